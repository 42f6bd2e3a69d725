//! The command line as people type it: the commands, and the options that all of them take.
//!
//! Each command's own arguments stand beside the command; nothing is carried out here.

use std::{ffi::OsString, fmt, process::ExitCode, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use daemon::telemetry::LogFormat;

use crate::{
    agent::AgentArgs,
    deregister::DeregisterArgs,
    explain::ExplainArgs,
    faas::FaasArgs,
    failure::{Failure, usage_line},
    haproxy::HaproxyArgs,
    health::HealthArgs,
    lb::LbArgs,
    maint::MaintArgs,
    members::MembersArgs,
    microservice::MicroserviceArgs,
    mq::MqArgs,
    output,
    register::RegisterArgs,
    registry::RegistryArgs,
    run::RunArgs,
    scale::ScaleArgs,
    services::ServicesArgs,
    snapshot::SnapshotArgs,
    template::TemplateArgs,
    up::UpArgs,
    validate::ValidateArgs,
};

const AFTER_HELP: &str = "\
Examples:
  turno up                      registry, three replicas and a balancer, on this machine
  turno scale hello=5           two more replicas
  turno run --name web -- python3 -m http.server {port}
  turno lb --listen 127.0.0.1:8000 --route /=web
  turno agent --config-dir /etc/consul.d
  turno mq broker               a ZeroMQ broker; turno mq worker, client and logger go with it
  turno faas up                 functions over HTTP, on queues and workers
  turno explain web             who is in rotation, who is not, and why

Environment: CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT, CONSUL_CLIENT_CERT,
CONSUL_CLIENT_KEY and CONSUL_DATACENTER mean what they mean to Consul's own command line.
RUST_LOG steers the log, as in RUST_LOG=debug or RUST_LOG=lb=debug,info.

Exit status: 0 done, 1 failed, 2 usage.";

/// Above the options that every command takes, in its help.
const EVERYWHERE: &str = "Options of every command";

/// Takes a service from "the process started" to "it gets its share of the traffic", and out again.
#[derive(Debug, Parser)]
#[command(name = "turno", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The registry: Consul, or the embedded one. Overrides CONSUL_HTTP_ADDR [default: http://127.0.0.1:8500]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "URL", value_parser = registry_address)]
    pub(crate) consul: Option<String>,
    /// The token for the registry. Overrides CONSUL_HTTP_TOKEN, which other users of this machine cannot see
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "TOKEN")]
    pub(crate) token: Option<Secret>,
    /// How log lines are written to standard error: text or json
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FORMAT", default_value_t)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(UpArgs),
    Scale(ScaleArgs),
    Registry(RegistryArgs),
    Agent(AgentArgs),
    Run(RunArgs),
    Lb(LbArgs),
    // Boxed: it has far more flags than the others.
    Haproxy(Box<HaproxyArgs>),
    Template(TemplateArgs),
    Microservice(MicroserviceArgs),
    Health(HealthArgs),
    Mq(MqArgs),
    Faas(FaasArgs),
    Services(ServicesArgs),
    Explain(ExplainArgs),
    Register(RegisterArgs),
    Deregister(DeregisterArgs),
    Validate(ValidateArgs),
    Members(MembersArgs),
    Maint(MaintArgs),
    Snapshot(SnapshotArgs),
}

impl Command {
    /// What is logged when `RUST_LOG` says nothing.
    pub(crate) fn log_filter(&self) -> &'static str {
        match self {
            // It prints who joins and leaves; the log need not say it again.
            Self::Up(_) => {
                "info,turno::rotation=warn,registrar::register=warn,rustls_platform_verifier=off"
            }
            // What a certificate was refused for is part of our own error.
            _ => "info,rustls_platform_verifier=off",
        }
    }
}

/// A text that must not be shown: its debug form is masked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends or compares it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // It becomes the value of a header.
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a token is one word of visible ASCII characters");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Options that Consul's command line writes with one dash, and what they are called here.
const CONSUL_STYLE: [(&str, &str); 8] = [
    ("-enable", "--enable"),
    ("-disable", "--disable"),
    ("-service", "--service"),
    ("-reason", "--reason"),
    ("-id", "--id"),
    ("-quiet", "--quiet"),
    ("-http-addr", "--consul"),
    ("-token", "--token"),
];

/// The commands that Consul's command line has too.
const CONSUL_COMMANDS: [&str; 6] = [
    "register",
    "deregister",
    "validate",
    "members",
    "maint",
    "snapshot",
];

/// The command line with the options of Consul's own commands as ours are written: `-enable` is `--enable`.
pub(crate) fn two_dashes(line: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut line: Vec<OsString> = line.collect();
    let command = line.get(1).and_then(|word| word.to_str());
    if !command.is_some_and(|command| CONSUL_COMMANDS.contains(&command)) {
        return line;
    }
    for word in line.iter_mut().skip(2) {
        let Some(text) = word.to_str() else { continue };
        if text == "--" {
            break;
        }
        let (name, value) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        if let Some((_, ours)) = CONSUL_STYLE.iter().find(|(theirs, _)| *theirs == name) {
            *word = value
                .map_or_else(|| (*ours).to_owned(), |value| format!("{ours}={value}"))
                .into();
        }
    }
    line
}

/// Reads a duration above zero, as `500ms`, `1s` or `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match consul::types::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be longer than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

fn registry_address(text: &str) -> Result<String, String> {
    consul::check_address(text).map(|()| text.to_owned())
}

/// Reads where to listen by ZeroMQ.
pub(crate) fn zmq_address(text: &str) -> Result<String, String> {
    let checked = broker::zsock::check_address(text).map(|()| text.to_owned());
    checked.map_err(|error| error.to_string())
}

/// Ends a run that clap will not start: help and version are answers, the rest are mistakes.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match output::print(&error.render().to_string()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => failure.report(),
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::complain(error.render().to_string().trim_end());
            ExitCode::from(Failure::USAGE)
        }
        _ => Failure::usage(usage_line(error)).report(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn consuls_options_may_have_one_dash() {
        let line = |text: &str| {
            let words = two_dashes(text.split(' ').map(OsString::from));
            let words = words.iter().map(|word| word.to_str().expect("text"));
            words.collect::<Vec<_>>().join(" ")
        };
        for (theirs, ours) in [
            (
                "turno maint -enable -service=web -reason x",
                "turno maint --enable --service=web --reason x",
            ),
            ("turno members -http-addr=h:1", "turno members --consul=h:1"),
            (
                "turno maint --enable -- -service",
                "turno maint --enable -- -service",
            ),
            ("turno run -- x -enable", "turno run -- x -enable"),
            ("turno", "turno"),
        ] {
            assert_eq!(line(theirs), ours);
        }
    }

    /// The commands that people type, each with the words before its name.
    fn typed(command: &clap::Command, before: &str) -> Vec<(String, clap::Command)> {
        let mut all = Vec::new();
        for command in command.get_subcommands() {
            let name = format!("{before} {}", command.get_name());
            all.extend(typed(command, &name));
            all.push((name, command.clone()));
        }
        all
    }

    /// The words of a command, as a shell reads them, up to two blanks, which go before a comment, or another command.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quoted, mut blank) = (vec![String::new()], false, false);
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if blank && !quoted => break,
                '|' | ';' | '>' | '&' if !quoted => break,
                ' ' if !quoted => words.push(String::new()),
                _ => words.last_mut().expect("there is one").push(c),
            }
            blank = c == ' ' && !quoted;
        }
        words.retain(|word| !word.is_empty());
        words
    }

    /// The examples of a help text that call turno, without the environment they set.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let pieces: Vec<&str> = help.split("\\\n").collect();
        let joined: Vec<&str> = pieces.iter().map(|piece| piece.trim_start()).collect();
        let joined = joined.join("");
        let lines = joined.lines().filter_map(|line| line.strip_prefix("  "));
        let without_environment = |line| {
            let set = |word: &String| word.contains('=');
            words(line).into_iter().skip_while(set).collect()
        };
        let commands = lines.map(without_environment);
        let turno = |words: &Vec<String>| words.first().is_some_and(|word| word == "turno");
        commands.filter(turno).collect()
    }

    #[test]
    fn every_command_has_examples_that_are_taken_as_they_stand() {
        let root = Arguments::command();
        let mut all = typed(&root, "turno");
        all.push(("turno".to_owned(), root));
        for (name, command) in all {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let examples = examples(&help);
            assert!(!examples.is_empty(), "{name} has no example");
            for line in examples {
                let words = two_dashes(line.iter().map(OsString::from));
                let taken = Arguments::try_parse_from(words);
                assert!(taken.is_ok(), "{name} --help: {line:?}: {taken:?}");
            }
            for line in help.lines() {
                assert!(
                    line.chars().count() <= 100,
                    "{name} --help is wider than 100: {line}"
                );
            }
            for option in command.get_arguments() {
                assert!(
                    option.get_help().is_some(),
                    "{name}: {option} is not explained"
                );
            }
        }
    }

    #[test]
    fn a_value_that_cannot_be_is_a_mistake_in_the_command_line() {
        for line in [
            "turno services --consul ftp://x",
            "turno mq broker --bind 127.0.0.1:1",
            "turno mq logger --file f --bind http://h:1",
            "turno mq coordinator --in tcp:/h",
            "turno lb --listen localhost",
        ] {
            let taken = Arguments::try_parse_from(line.split(' '));
            assert!(taken.is_err(), "{line}");
        }
    }

    #[test]
    fn a_token_does_not_show() {
        let line = ["turno", "--token", "s3cret", "services"];
        let arguments = Arguments::try_parse_from(line).expect("a good line");
        assert!(!format!("{arguments:?}").contains("s3cret"));
        assert_eq!(arguments.global.token.expect("given").expose(), "s3cret");
        assert!("two words".parse::<Secret>().is_err());
    }

    #[test]
    fn durations_are_above_zero() {
        for (text, good) in [
            ("500ms", true),
            ("1s", true),
            ("0s", false),
            ("5", false),
            ("", false),
        ] {
            assert_eq!(duration(text).is_ok(), good, "{text:?}");
        }
    }
}
