//! The `turno` program: it reads the command line, starts what is asked for, and turns how that ended
//! into one line and an exit status.
//!
//! The commands only join what the crates below do; no decision about traffic is made here.

mod admin;
mod agent;
mod args;
mod connect;
mod deregister;
mod explain;
mod faas;
mod failure;
mod haproxy;
mod health;
mod http_client;
mod init;
mod lb;
mod maint;
mod members;
mod microservice;
mod mq;
mod output;
mod presence;
mod process;
mod register;
mod registry;
mod run;
mod scale;
mod services;
mod snapshot;
mod template;
mod up;
mod validate;

use std::{net::TcpListener, process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    args::{Arguments, Command},
    failure::Failure,
};

/// When a command has ended, what still runs in the background gets this long. Nothing that matters
/// runs there: every command waits for its own tasks.
const LEFTOVERS: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    if init::is_due() {
        return init::run();
    }
    if run::warden::is_due() {
        return run::warden::run();
    }
    let arguments = match Arguments::try_parse_from(args::two_dashes(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(error) => return args::refuse(&error),
    };
    daemon::telemetry::init_with(arguments.global.log_format, arguments.command.log_filter());
    // While there is one thread only.
    let inherited = match &arguments.command {
        Command::Lb(_) => daemon::systemd::inherited(),
        _ => Ok(None),
    };
    let inherited = match inherited {
        Ok(inherited) => inherited,
        Err(error) => return Failure::from(error).report(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Failure::of("cannot start the async runtime", &error).report(),
    };
    let ended = runtime.block_on(carry_out(arguments, inherited));
    runtime.shutdown_timeout(LEFTOVERS);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn carry_out(
    Arguments { global, command }: Arguments,
    inherited: Option<TcpListener>,
) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(args, &global).await,
        Command::Scale(args) => scale::run(args).await,
        Command::Registry(args) => registry::run(args, &global).await,
        Command::Agent(args) => agent::run(args, &global).await,
        Command::Run(args) => run::run(args, &global).await,
        Command::Lb(args) => lb::run(args, &global, inherited).await,
        Command::Haproxy(args) => haproxy::run(*args, &global).await,
        Command::Template(args) => template::run(args, &global).await,
        Command::Microservice(args) => microservice::run(args, &global).await,
        Command::Health(args) => health::run(args).await,
        Command::Mq(args) => mq::run(args, &global).await,
        Command::Faas(args) => faas::run(args, &global).await,
        Command::Services(args) => services::run(args, &global).await,
        Command::Explain(args) => explain::run(args, &global).await,
        Command::Register(args) => register::run(args, &global).await,
        Command::Deregister(args) => deregister::run(args, &global).await,
        Command::Validate(args) => validate::run(&args),
        Command::Members(args) => members::run(args, &global).await,
        Command::Snapshot(args) => snapshot::run(args, &global).await,
        Command::Maint(args) => maint::run(args, &global).await,
    }
}
