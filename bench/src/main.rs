//! `bench`: turno's balancer beside HAProxy and nginx, its embedded registry beside Consul, and its broker beside one in C on
//! libzmq, each on the same machine in the same run.
//!
//! It measures what a proxy costs (its CPU time for each request) and what it carries (requests per second). How the peers
//! are set up, and why that is fair, stands in README.md beside this. It judges nothing: only failed requests are an error.

mod case;
mod machine;
mod measure;
mod mq;
mod origin;
mod proxy;
mod registry;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::case::{CASES, Case};
use crate::measure::{Plan, Sample};
use crate::origin::Origins;
use crate::proxy::{Kind, Proxy};
use crate::table::Table;

/// Compares turno's balancer with HAProxy and nginx, with `--case registry` its embedded registry with Consul, and with
/// `--case mq` its broker with one in C on libzmq and one on pyzmq.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run every case once for a second, turno only, to see that it works; measure nothing
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// The proxies to compare; ratios are to haproxy if it is among them
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        default_value = "haproxy,nginx,turno"
    )]
    proxies: Vec<Kind>,
    /// Rounds; the table shows the median
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Seconds of load for each proxy, case and round
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// The CPU that the proxy runs on
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// The CPU that the load generator and the origins run on
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Record turno with `perf` in the first round; one file for each case, FILE-CASE
    #[arg(long, value_name = "FILE")]
    perf: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    machine::allow_many_files();
    let registries = cases_of(arguments, &registry::CASES, &registry::CASES);
    let brokers = cases_of(arguments, &mq::CASES, &[mq::QUICK]);
    if !registries.is_empty() || !brokers.is_empty() {
        let plan = plan(
            arguments,
            machine::Cores::new(arguments.proxy_core, arguments.load_core)?,
        );
        plan.cores.move_here()?;
        if !registries.is_empty() {
            registry::run(&plan, &registries, arguments.quick)?;
        }
        if !brokers.is_empty() {
            mq::run(&plan, &brokers, arguments.quick)?;
        }
        if !arguments.quick || !arguments.case.is_empty() {
            return Ok(());
        }
    }
    let cases = chosen(&arguments.case)?;
    let kinds = if arguments.quick {
        vec![Kind::Turno]
    } else {
        arguments.proxies.clone()
    };
    if let Some(part) = machine::missing(&kinds).first() {
        return Err(format!(
            "{} is not installed; scripts/real-parts would install it",
            part.program()
        ));
    }
    let cores = machine::Cores::new(arguments.proxy_core, arguments.load_core)?;
    let origins = Origins::start(&cores);
    let proxies: Vec<Proxy> = kinds
        .iter()
        .map(|kind| Proxy::start(*kind, &origins, &cores))
        .collect();
    let plan = plan(arguments, cores);
    let samples = measure::all(&plan, &cases, &proxies);
    let table = Table {
        cases: &cases,
        kinds: &kinds,
        samples: &samples,
    };
    if arguments.quick {
        print!("{}", table.plain());
    } else {
        print!("{}\n{}", machine::facts(&plan, &kinds), table.markdown());
    }
    judge(&samples)
}

fn plan(arguments: &Arguments, cores: machine::Cores) -> Plan {
    Plan {
        rounds: if arguments.quick { 1 } else { arguments.rounds },
        seconds: if arguments.quick {
            1
        } else {
            arguments.seconds
        },
        warm_up: !arguments.quick,
        perf: arguments.perf.clone(),
        load_before: machine::load_average(),
        cores,
    }
}

/// The cases that are asked for: by name, or the quick ones where it was only asked whether they run.
fn cases_of(
    arguments: &Arguments,
    all: &[&'static str],
    quick: &[&'static str],
) -> Vec<&'static str> {
    if arguments.quick && arguments.case.is_empty() {
        return quick.to_vec();
    }
    let named = |case: &&&str| {
        let mut names = arguments.case.iter();
        names.any(|name| case.contains(name.as_str()))
    };
    all.iter().filter(named).copied().collect()
}

fn chosen(names: &[String]) -> Result<Vec<Case>, String> {
    let wanted =
        |case: &&Case| names.is_empty() || names.iter().any(|name| case.name.contains(name));
    let cases: Vec<Case> = CASES.iter().filter(wanted).cloned().collect();
    if cases.is_empty() {
        let all: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        return Err(format!(
            "no case is named so; there are: {}",
            all.join(", ")
        ));
    }
    Ok(cases)
}

/// A proxy that fails requests is not fast but broken.
fn judge(samples: &[Sample]) -> Result<(), String> {
    for sample in samples {
        if sample.failed > 0 || sample.requests == 0 {
            return Err(format!(
                "{} in the case {}: {} requests answered, {} failed",
                sample.kind, sample.case, sample.requests, sample.failed
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_a_part_of_their_name() {
        assert_eq!(chosen(&[]).map(|cases| cases.len()), Ok(CASES.len()));
        assert_eq!(
            chosen(&["1m".to_owned()]).map(|cases| cases[0].name),
            Ok("body-1m")
        );
        assert!(chosen(&["no such".to_owned()]).is_err());
    }

    #[test]
    fn a_failed_request_is_an_error_and_so_is_none_at_all() {
        let sample = |requests, failed| Sample {
            kind: Kind::Turno,
            case: "x",
            requests,
            failed,
            rate: 1.0,
            cpu_micros: 1.0,
        };
        assert_eq!(judge(&[sample(5, 0)]), Ok(()));
        assert!(judge(&[sample(5, 0), sample(5, 1)]).is_err());
        assert!(judge(&[sample(0, 0)]).is_err());
    }
}
