//! What to run and how to register it, from the arguments alone: nothing is started here.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use consul::types::{CheckDefinition, ServiceRegistration, Weights};
use tokio::process::Command;

use super::RunArgs;
use crate::{connect, failure::Failure, process::stdin_for_child};

/// Stands for the port in the program's arguments.
const PORT_MARK: &str = "{port}";

/// The program with its port, by environment and by argument.
pub(super) fn command(words: &[String], port: u16) -> Command {
    let port = port.to_string();
    let mut command = Command::new(&words[0]);
    command.args(words[1..].iter().map(|word| word.replace(PORT_MARK, &port)));
    command.env("PORT", port).stdin(stdin_for_child());
    command
}

/// Where others reach the program, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Ip(IpAddr),
    /// This machine's address on the way to the registry.
    Auto,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            ip => ip
                .parse()
                .map(Self::Ip)
                .map_err(|_| "expected an IP address, or auto"),
        }
    }
}

/// Why the program could not be started, with what to do.
pub(super) fn cannot_start(program: &str, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => " (is it installed, and in PATH?)",
        io::ErrorKind::PermissionDenied => " (is it executable?)",
        _ => "",
    };
    format!("cannot start {program:?}: {error}{hint}")
}

/// Why an instance cannot be registered that somebody else is, with what to do.
pub(super) fn held(args: &RunArgs, id: &str, address: SocketAddr) -> String {
    let other = if args.id.is_some() {
        "--id"
    } else {
        "--port (0 picks a free one)"
    };
    format!(
        "instance {id:?} is registered already and answers at {address}: give this one another {other}, or stop that one"
    )
}

/// How the program is registered.
pub(super) fn registration(
    args: &RunArgs,
    address: SocketAddr,
) -> Result<ServiceRegistration, Failure> {
    if args.name.trim().is_empty() {
        return Err(Failure::usage("--name must not be empty"));
    }
    if address.ip().is_unspecified() {
        return Err(Failure::usage(format!(
            "--address {} is no address to connect to: give the one others reach the program by",
            address.ip()
        )));
    }
    let check = match &args.check_http {
        Some(target) => CheckDefinition::http(url(target, address)?, args.check_interval),
        None => CheckDefinition::tcp(address.to_string(), args.check_interval),
    };
    Ok(ServiceRegistration {
        id: args.id.clone().unwrap_or_else(|| match args.address {
            Address::Ip(ip) if ip.is_loopback() => format!("{}-{}", args.name, address.port()),
            _ => connect::far_id(&args.name, address),
        }),
        tags: args.tags.clone(),
        meta: args.meta.iter().cloned().collect(),
        weights: Some(Weights {
            passing: args.weight,
            warning: 1,
        }),
        checks: vec![check],
        ..ServiceRegistration::new(&args.name, address.ip().to_string(), address.port())
    })
}

fn url(target: &str, address: SocketAddr) -> Result<String, Failure> {
    if target.starts_with('/') {
        return Ok(format!("http://{address}{target}"));
    }
    if target.starts_with("http://") || target.starts_with("https://") {
        return Ok(target.to_owned());
    }
    Err(Failure::usage(format!(
        "--check-http {target:?}: expected a path like /health, or a whole URL"
    )))
}

/// Reads `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command as Subcommand};

    fn args(line: &str) -> RunArgs {
        let words = ["turno", "run"].into_iter().chain(line.split(' '));
        match Arguments::try_parse_from(words)
            .expect("a good line")
            .command
        {
            Subcommand::Run(args) => args,
            other => panic!("not run: {other:?}"),
        }
    }

    #[test]
    fn the_registration_says_what_the_command_line_said() {
        let args = args(
            "--name web --tag a --tag b --meta v=2=x --weight 3 --check-interval 500ms --address ::1 -- x",
        );
        let address = "[::1]:9000".parse().expect("a literal");
        assert_eq!(
            args.address,
            Address::Ip(std::net::Ipv6Addr::LOCALHOST.into())
        );
        let service = registration(&args, address).expect("it can be registered");
        assert_eq!(
            (service.id.as_str(), service.name.as_str()),
            ("web-9000", "web")
        );
        assert_eq!((service.address.as_str(), service.port), ("::1", 9000));
        assert_eq!(service.tags, ["a", "b"]);
        assert_eq!(service.meta["v"], "2=x");
        assert_eq!(service.weights.map(|w| w.passing), Some(3));
        assert_eq!(service.checks[0].tcp.as_deref(), Some("[::1]:9000"));
        assert_eq!(service.checks[0].interval.as_deref(), Some("500ms"));
    }

    #[test]
    fn an_id_is_nobody_elses() {
        for (line, address, want) in [
            ("--name web -- x", "127.0.0.1:80", "web-80"),
            // Those on other machines may have the same port.
            (
                "--name web --address 10.0.0.7 -- x",
                "10.0.0.7:80",
                "web-10.0.0.7-80",
            ),
            (
                "--name web --address auto -- x",
                "10.0.0.7:80",
                "web-10.0.0.7-80",
            ),
            (
                "--name web --address 10.0.0.7 --id me -- x",
                "10.0.0.7:80",
                "me",
            ),
        ] {
            let address = address.parse().expect("a literal");
            let service = registration(&args(line), address).expect("it can be registered");
            assert_eq!(service.id, want, "{line}");
        }
        let address = "127.0.0.1:80".parse().expect("a literal");
        let flag = |line| held(&args(line), "web-80", address);
        assert!(flag("--name web --id web-80 -- x").contains("another --id,"));
        assert!(flag("--name web --port 80 -- x").contains("another --port (0"));
    }

    #[test]
    fn an_http_check_is_a_path_or_a_url() {
        let address = "127.0.0.1:9000".parse().expect("a literal");
        for (target, want) in [
            ("/health", Some("http://127.0.0.1:9000/health")),
            ("https://web.example/up", Some("https://web.example/up")),
            ("health", None),
            ("ftp://x", None),
        ] {
            assert_eq!(url(target, address).ok().as_deref(), want, "{target}");
        }
    }

    #[test]
    fn what_cannot_be_registered_is_refused() {
        for (address, line) in [
            ("0.0.0.0:1", "--name web --address 0.0.0.0 -- x"),
            ("127.0.0.1:1", "--name web --check-http health -- x"),
        ] {
            let address = address.parse().expect("a literal");
            assert!(
                matches!(registration(&args(line), address), Err(Failure::Usage(_))),
                "{line}"
            );
        }
    }

    #[test]
    fn the_port_is_put_where_its_mark_is() {
        let words = ["serve", "-p", "{port}", "--bind=:{port}"].map(str::to_owned);
        let command = command(&words, 9000);
        let args: Vec<_> = command.as_std().get_args().collect();
        assert_eq!(args, ["-p", "9000", "--bind=:9000"]);
        assert!(
            command
                .as_std()
                .get_envs()
                .any(|(k, v)| k == "PORT" && v == Some("9000".as_ref()))
        );
    }

    #[test]
    fn pairs_need_a_key() {
        assert_eq!(pair("a=b"), Ok(("a".into(), "b".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("=b").is_err() && pair("a").is_err());
    }
}
