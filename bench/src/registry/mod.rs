//! `registry…`: turno's embedded registry beside Consul, on the same machine, in the same run.
//!
//! Three kinds of case: what a question costs, how long those who wait for a change wait, and what many rows and many
//! waiters take. It measures and prints; it judges nothing but failed requests.

mod crowd;
mod reads;
mod server;
mod size;
pub(crate) mod spread;
mod wakes;

use std::fmt::Write as _;

use self::reads::READS;
use self::server::{Kind, Server};
use self::size::Way;
use self::spread::Spread;
use self::wakes::Waiting;
use crate::machine::{self, Cores};
use crate::measure::Plan;

/// The names of the cases on the command line.
pub(crate) const CASES: [&str; 4] = [
    "registry-reads",
    "registry-wake",
    "registry-waiting",
    "registry-large",
];

/// A process needs a file for each connection and some for itself, and may often have no more than 20,000.
const MOST_WAITING: usize = 19_800;
/// (waiters of the service that changes, waiters of others, registrations in a round)
const WAKES: [(usize, usize, usize); 2] = [(100, 9_800, 20), (10_000, 9_800, 4)];
/// Registrations of a round with a single waiter.
const SINGLE: usize = 300;
const INSTANCES: usize = 100_000;
const SERVICES: usize = 5_000;

/// How much is measured.
#[derive(Debug)]
struct Extent {
    kinds: Vec<Kind>,
    rounds: u64,
    quick: bool,
}

/// Runs the cases named and prints their tables.
pub(crate) fn run(plan: &Plan, cases: &[&str], quick: bool) -> Result<(), String> {
    let kinds = if quick {
        vec![Kind::Turno]
    } else {
        vec![Kind::Consul, Kind::Turno]
    };
    if kinds.contains(&Kind::Consul) && e2e::parts::Part::Consul.find().is_none() {
        return Err("consul is not installed; scripts/real-parts would install it".to_owned());
    }
    let extent = Extent {
        kinds,
        rounds: plan.rounds,
        quick,
    };
    if !quick {
        println!("{}", machine::facts_of("registry", "clients", plan));
        for kind in &extent.kinds {
            println!("{kind}: {}", kind.version());
        }
        println!();
    }
    for case in cases {
        let table = match *case {
            "registry-reads" => read(plan, &extent)?,
            "registry-wake" => wake(&plan.cores, &extent)?,
            "registry-waiting" => waiting(&plan.cores, &extent)?,
            _ => large(&plan.cores, &extent)?,
        };
        if quick {
            println!("{case:<16} turno: 0 failed");
        } else {
            println!("{table}");
        }
    }
    Ok(())
}

fn read(plan: &Plan, extent: &Extent) -> Result<String, String> {
    let servers = start(&plan.cores, extent);
    for server in &servers {
        reads::prepare(server)?;
    }
    let mut rows: Vec<Vec<Vec<reads::Sample>>> = vec![vec![Vec::new(); servers.len()]; READS.len()];
    for round in 1..=extent.rounds {
        for (question, row) in READS.iter().zip(&mut rows) {
            for (server, samples) in servers.iter().zip(row) {
                let sample = reads::sample(server, question, plan.seconds, &plan.cores)?;
                eprintln!(
                    "round {round}  {:<48} {} {:>9.1} requests/s {:>9.1} µs/request",
                    question.name, server.kind, sample.rate, sample.cpu_micros
                );
                if sample.failed > 0 {
                    return Err(format!("{} failed {}", server.kind, question.name));
                }
                samples.push(sample);
            }
        }
    }
    let mut text = String::from(
        "| question | registry | requests/s | × Consul | CPU µs/request | × Consul |\n|---|---|---:|---:|---:|---:|\n",
    );
    for (question, row) in READS.iter().zip(&rows) {
        for (kind, samples) in extent.kinds.iter().zip(row) {
            let rate = columns(samples, &row[0], |sample| sample.rate, 0);
            let cpu = columns(samples, &row[0], |sample| sample.cpu_micros, 1);
            line(
                &mut text,
                format_args!("| {} | {kind} | {rate} | {cpu} |", question.name),
            );
        }
    }
    Ok(text)
}

fn wake(cores: &Cores, extent: &Extent) -> Result<String, String> {
    let names: Vec<(usize, usize)> = std::iter::once((1, WAKES[0].1))
        .chain(WAKES.iter().map(|(waiters, others, _)| (*waiters, *others)))
        .collect();
    let mut rows: Vec<Vec<Vec<wakes::Sample>>> =
        vec![vec![Vec::new(); extent.kinds.len()]; names.len()];
    for round in 1..=extent.rounds {
        for (at, kind) in extent.kinds.iter().enumerate() {
            // Both ends are in this machine, so only one registry can have its crowd at a time. Each is started anew: Consul
            // holds the connection of a waiting query until its time is over, though the client is gone.
            let server = Server::start(*kind, cores);
            let others = if extent.quick { 10 } else { WAKES[0].1 };
            let mut waiting = Waiting::new(&server, others)?;
            let mut samples =
                vec![waiting.one_after_another(if extent.quick { 5 } else { SINGLE })?];
            for (waiters, _, registrations) in WAKES {
                let (waiters, registrations) = if extent.quick {
                    (waiters.min(20), 1)
                } else {
                    (waiters, registrations)
                };
                samples.push(waiting.sample(waiters, registrations)?);
            }
            for (row, sample) in rows.iter_mut().zip(samples) {
                eprintln!("round {round}  {} {sample:?}", server.kind);
                row[at].push(sample);
            }
        }
    }
    let mut text = String::from(
        "| waiters (others) | registry | p50 ms | × Consul | p99 ms | × Consul | CPU µs/waiter | × Consul |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for ((waiters, others), row) in names.iter().zip(&rows) {
        for (kind, samples) in extent.kinds.iter().zip(row) {
            let half = columns(samples, &row[0], |sample| sample.half, 2);
            let most = columns(samples, &row[0], |sample| sample.most, 2);
            let cpu = columns(samples, &row[0], |sample| sample.cpu_micros, 1);
            line(
                &mut text,
                format_args!("| {waiters} ({others}) | {kind} | {half} | {most} | {cpu} |"),
            );
        }
    }
    Ok(text)
}

fn waiting(cores: &Cores, extent: &Extent) -> Result<String, String> {
    let count = if extent.quick { 50 } else { MOST_WAITING };
    let mut text =
        String::from("| waiting | registry | KB each | CPU while idle |\n|---|---|---:|---:|\n");
    for server in start(cores, extent) {
        let idle = size::wait(&server, count)?;
        let (each, share) = (idle.each, idle.share * 100.0);
        line(
            &mut text,
            format_args!("| {count} | {} | {each:.1} | {share:.2} % |", server.kind),
        );
    }
    Ok(text)
}

fn large(cores: &Cores, extent: &Extent) -> Result<String, String> {
    let mut text = String::from(
        "| written by | registry | instances | MiB resident (most) | written in s | wake p50 ms | p99 ms | \
         CPU µs/change | one txn ms |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let counts = if extent.quick {
        vec![(100, 5)]
    } else {
        vec![(100, 5), (INSTANCES, SERVICES)]
    };
    for way in [Way::Agent, Way::Catalog] {
        for kind in &extent.kinds {
            // One Consul agent with a hundred thousand instances of its own is busy with itself for hours.
            if (*kind, way) == (Kind::Consul, Way::Agent) {
                continue;
            }
            for (instances, services) in &counts {
                let server = Server::start(*kind, cores);
                let size = size::grow(&server, way, *instances, *services)?;
                eprintln!("{kind} {way:?} {instances} {size:?}");
                line(
                    &mut text,
                    format_args!(
                        "| {} | {kind} | {instances} | {:.0} ({:.0}) | {:.1} | {:.2} | {:.2} | {:.0} | {:.2} |",
                        way.name(),
                        size.memory.now as f64 / 1024.0,
                        size.memory.most as f64 / 1024.0,
                        size.seconds,
                        size.wake.half,
                        size.wake.most,
                        size.wake.cpu_micros,
                        size.transaction,
                    ),
                );
            }
        }
    }
    Ok(text)
}

fn start(cores: &Cores, extent: &Extent) -> Vec<Server> {
    let kinds = extent.kinds.iter();
    kinds.map(|kind| Server::start(*kind, cores)).collect()
}

/// Two columns: the value, and its ratio to the first registry's, taken round by round.
fn columns<S>(ours: &[S], peers: &[S], value: impl Fn(&S) -> f64, digits: usize) -> String {
    let ratios = ours.iter().zip(peers);
    let ratios = Spread::of(ratios.map(|(our, peer)| value(our) / value(peer)).collect());
    let values = Spread::of(ours.iter().map(value).collect());
    match (values, ratios) {
        (Some(values), Some(ratios)) => format!("{values:.digits$} | {ratios:.2}"),
        _ => "– | –".to_owned(),
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a String takes everything");
    text.push('\n');
}
