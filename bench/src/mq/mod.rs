//! `mq…`: `turno mq broker` beside the same kind of broker in C on libzmq and in Python on pyzmq, on the same machine, in the
//! same run; and what many services cost it.
//!
//! It measures and prints; it judges nothing but requests that were not answered.

mod broker;
mod crowd;
mod load;
mod zmtp;

use std::fmt::Write as _;
use std::time::Duration;

use self::broker::{Broker, Kind};
use self::load::{Crew, Demand, Load, Sample, Speech};
use crate::machine;
use crate::measure::{self, Plan};
use crate::registry::spread::Spread;

/// The names of the cases on the command line.
pub(crate) const CASES: [&str; 3] = ["mq-load", "mq-round-trip", "mq-services"];
/// The one that a run includes that only asks whether everything runs.
pub(crate) const QUICK: &str = "mq-round-trip";

/// Clients, and workers, under load.
const PEERS: usize = 8;
/// (requests under way for each client, bytes of a body)
const LOADS: [(usize, usize); 4] = [(1, 64), (1, 4096), (64, 64), (64, 4096)];
/// Connections and broker have settled after this.
const WARM_UP: Duration = Duration::from_secs(1);
const QUICK_TIME: Duration = Duration::from_millis(300);

/// (services, workers): one worker for each, and as many workers for few services, so that what connections cost can be
/// told from what services cost.
const SERVICES: [(usize, usize); 5] = [
    (10, 10),
    (100, 100),
    (1_000, 1_000),
    (10_000, 10_000),
    (10, 10_000),
];
const SERVICE_CLIENTS: usize = 1_000;
/// Requests under way where the broker's work is measured: no more than the fewest workers.
const SERVICE_OPEN: usize = 8;

/// A row of the tables: a broker, and how it is spoken to.
#[derive(Clone, Copy, Debug)]
struct Way {
    kind: Kind,
    speech: Speech,
}

impl Way {
    const ALL: [Way; 4] = [
        Way::of(Kind::Libzmq, Speech::Req),
        Way::of(Kind::Pyzmq, Speech::Req),
        Way::of(Kind::Turno, Speech::Req),
        Way::of(Kind::Turno, Speech::Native),
    ];

    const fn of(kind: Kind, speech: Speech) -> Way {
        Way { kind, speech }
    }

    fn name(self) -> String {
        match self.speech {
            Speech::Req => self.kind.to_string(),
            Speech::Native => format!("{}, ZWP/1", self.kind),
        }
    }
}

/// Runs the cases named and prints their tables.
pub(crate) fn run(plan: &Plan, cases: &[&str], quick: bool) -> Result<(), String> {
    let ways = if quick {
        &Way::ALL[2..]
    } else {
        for way in Way::ALL {
            way.kind.find()?;
        }
        let facts = machine::facts_of("broker", "clients and workers", plan);
        println!("{facts}");
        for kind in [Kind::Libzmq, Kind::Pyzmq, Kind::Turno] {
            println!("{kind}: {}", kind.version());
        }
        println!();
        &Way::ALL[..]
    };
    for case in cases {
        let table = match *case {
            "mq-load" => loads(plan, ways, quick)?,
            "mq-round-trip" => round_trip(plan, ways, quick)?,
            _ => services(plan, quick)?,
        };
        if quick {
            println!("{case:<16} turno: 0 failed");
        } else {
            println!("{table}");
        }
    }
    Ok(())
}

/// A broker of its own for each sample: what one left behind does not burden the next.
fn one(
    plan: &Plan,
    way: Way,
    peers: usize,
    demand: Demand,
    name: &str,
    round: u64,
) -> Result<Sample, String> {
    let broker = Broker::start(way.kind, &plan.cores);
    let crew = Crew {
        speech: way.speech,
        clients: peers,
        workers: peers,
        services: 1,
    };
    let mut load =
        Load::connect(&broker, crew).map_err(|error| format!("{}: {error}", way.name()))?;
    let perf = plan
        .perf
        .as_deref()
        .filter(|_| round == 1 && way.kind == Kind::Turno);
    let recorder = perf.map(|file| {
        let name = format!(
            "{name}{}",
            if way.speech == Speech::Native {
                "-zwp"
            } else {
                ""
            }
        );
        measure::record(file, &name, broker.id())
    });
    let sample = load.sample(&broker, demand);
    let sample = sample.map_err(|error| format!("{}: {error}", way.name()))?;
    if let Some(recorder) = recorder {
        measure::stop_recording(recorder);
    }
    eprintln!(
        "round {round}/{}  {name:<16} {:<14} {:>7.2} µs/request {:>7.0} requests/s  p50 {:>6.0} p99 {:>6.0} µs  {} failed",
        plan.rounds,
        way.name(),
        sample.cpu_micros,
        sample.rate,
        sample.half,
        sample.most,
        sample.failed
    );
    if sample.failed > 0 || sample.requests == 0 {
        return Err(format!(
            "{} in the case {name}: {} requests answered, {} failed",
            way.name(),
            sample.requests,
            sample.failed
        ));
    }
    Ok(sample)
}

fn demand(plan: &Plan, quick: bool, open: usize, size: usize) -> Demand {
    Demand {
        open,
        size,
        warm_up: if quick { Duration::ZERO } else { WARM_UP },
        time: if quick {
            QUICK_TIME
        } else {
            Duration::from_secs(plan.seconds)
        },
    }
}

fn loads(plan: &Plan, ways: &[Way], quick: bool) -> Result<String, String> {
    let mut rows: Vec<Vec<Vec<Sample>>> = vec![vec![Vec::new(); ways.len()]; LOADS.len()];
    for round in 1..=plan.rounds {
        for ((window, size), row) in LOADS.iter().zip(&mut rows) {
            let name = format!("{size}-by-{window}");
            for (way, samples) in ways.iter().zip(row) {
                let demand = demand(plan, quick, window * PEERS, *size);
                samples.push(one(plan, *way, PEERS, demand, &name, round)?);
            }
        }
    }
    let mut text = String::from(
        "| body, open for each client | broker | CPU µs/request | × C | requests/s | × C | p50 µs | p99 µs | MB |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for ((window, size), row) in LOADS.iter().zip(&rows) {
        for (way, samples) in ways.iter().zip(row) {
            let cpu = columns(samples, &row[0], |sample| sample.cpu_micros, 1);
            let rate = columns(samples, &row[0], |sample| sample.rate, 0);
            let half = median(samples, |sample| sample.half);
            let most = median(samples, |sample| sample.most);
            let memory = median(samples, |sample| sample.megabytes);
            line(
                &mut text,
                format_args!(
                    "| {size} B, {window} | {} | {cpu} | {rate} | {half:.0} | {most:.0} | {memory:.0} |",
                    way.name()
                ),
            );
        }
    }
    Ok(text)
}

fn round_trip(plan: &Plan, ways: &[Way], quick: bool) -> Result<String, String> {
    let mut rows: Vec<Vec<Sample>> = vec![Vec::new(); ways.len()];
    for round in 1..=plan.rounds {
        for (way, samples) in ways.iter().zip(&mut rows) {
            let demand = demand(plan, quick, 1, 64);
            samples.push(one(plan, *way, 1, demand, "round-trip", round)?);
        }
    }
    let mut text = String::from(
        "| broker | p50 µs | × C | p99 µs | × C | CPU µs/request | × C |\n|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for (way, samples) in ways.iter().zip(&rows) {
        let half = columns(samples, &rows[0], |sample| sample.half, 0);
        let most = columns(samples, &rows[0], |sample| sample.most, 0);
        let cpu = columns(samples, &rows[0], |sample| sample.cpu_micros, 1);
        line(
            &mut text,
            format_args!("| {} | {half} | {most} | {cpu} |", way.name()),
        );
    }
    Ok(text)
}

fn services(plan: &Plan, quick: bool) -> Result<String, String> {
    let mut text = String::from(
        "| services | workers | MB | idle CPU | one at a time: p50 µs | p99 µs | eight: CPU µs/request | without idle | requests/s |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (services, workers) in SERVICES {
        let (services, workers, clients) = match quick {
            true => (services.min(10), workers.min(20), 10),
            false => (services, workers, SERVICE_CLIENTS),
        };
        let broker = Broker::start(Kind::Turno, &plan.cores);
        let crew = Crew {
            speech: Speech::Native,
            clients,
            workers,
            services,
        };
        let mut load = Load::connect(&broker, crew)?;
        let megabytes = broker.megabytes();
        let time = demand(plan, quick, 1, 64).time;
        let idle = load.idle(&broker, time)?;
        let (mut single, mut eight) = (Vec::new(), Vec::new());
        for round in 1..=plan.rounds {
            for (open, samples) in [(1, &mut single), (SERVICE_OPEN, &mut eight)] {
                let sample = load.sample(&broker, demand(plan, quick, open, 64))?;
                eprintln!(
                    "round {round}/{}  {services} services, {workers} workers, {open} open: {sample:?}",
                    plan.rounds
                );
                if sample.failed > 0 || sample.requests == 0 {
                    return Err(format!(
                        "{services} services: {} requests failed",
                        sample.failed
                    ));
                }
                samples.push(sample);
            }
        }
        let net = |sample: &Sample| sample.cpu_micros - idle * 1e6 / sample.rate;
        line(
            &mut text,
            format_args!(
                "| {services} | {workers} | {megabytes:.0} | {:.1} % | {:.0} | {:.0} | {:.1} | {:.1} | {:.0} |",
                idle * 100.0,
                spread(&single, |sample| sample.half),
                spread(&single, |sample| sample.most),
                spread(&eight, |sample| sample.cpu_micros),
                spread(&eight, net),
                spread(&eight, |sample| sample.rate),
            ),
        );
    }
    Ok(text)
}

/// Two columns: the value, and its ratio to the first broker's, taken round by round.
fn columns(
    ours: &[Sample],
    peers: &[Sample],
    value: impl Fn(&Sample) -> f64,
    digits: usize,
) -> String {
    let ratios = ours.iter().zip(peers);
    let ratios = ratios.map(|(our, peer)| value(our) / value(peer)).collect();
    match (
        Spread::of(ours.iter().map(value).collect()),
        Spread::of(ratios),
    ) {
        (Some(values), Some(ratios)) => format!("{values:.digits$} | {ratios:.2}"),
        _ => "– | –".to_owned(),
    }
}

fn spread(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Spread {
    let none = Spread {
        low: 0.0,
        median: 0.0,
        high: 0.0,
    };
    Spread::of(samples.iter().map(value).collect()).unwrap_or(none)
}

fn median(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    spread(samples, value).median
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a String takes everything");
    text.push('\n');
}
