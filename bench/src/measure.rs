//! Loads the proxies in turn and takes their CPU time.
//!
//! Rounds are interleaved: every proxy gets the same case within seconds of the others, so that a machine that grows slower
//! or busier during the run does so for all of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::process::Process;
use e2e::wait;
use e2e::wrk::Load;
use rustix::process::Signal;

use crate::case::Case;
use crate::machine::Cores;
use crate::proxy::{Kind, Proxy};

/// Samples for each second: high enough to see a share of half a percent in four seconds, odd so as not to march in step
/// with timers.
const PERF_FREQUENCY: &str = "1999";

/// How to measure.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u64,
    pub(crate) seconds: u64,
    /// Whether a second of load comes before each measurement, to fill the proxy's idle connections.
    pub(crate) warm_up: bool,
    pub(crate) perf: Option<PathBuf>,
    pub(crate) cores: Cores,
    /// The load average at the start, in words.
    pub(crate) load_before: String,
}

/// What one proxy did in one case in one round.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) kind: Kind,
    pub(crate) case: &'static str,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// CPU microseconds of the proxy for each request.
    pub(crate) cpu_micros: f64,
}

/// Takes every sample of the plan. Progress goes to stderr.
pub(crate) fn all(plan: &Plan, cases: &[Case], proxies: &[Proxy]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for round in 1..=plan.rounds {
        for case in cases {
            for proxy in proxies {
                let perf = plan
                    .perf
                    .as_deref()
                    .filter(|_| round == 1 && proxy.kind == Kind::Turno);
                let sample = one(plan, case, proxy, perf);
                eprintln!(
                    "round {round}/{}  {:<16} {:<8} {:>7.2} µs/request {:>7.0} requests/s  {} failed",
                    plan.rounds,
                    sample.case,
                    sample.kind,
                    sample.cpu_micros,
                    sample.rate,
                    sample.failed
                );
                samples.push(sample);
            }
        }
    }
    samples
}

fn one(plan: &Plan, case: &Case, proxy: &Proxy, perf: Option<&Path>) -> Sample {
    let load = |seconds| Load {
        target: proxy.address,
        path: case.path.to_owned(),
        connections: case.connections,
        seconds,
        close: case.close,
        core: Some(plan.cores.load),
    };
    if plan.warm_up {
        load(1).run();
    }
    let recorder = perf.map(|file| record(file, case.name, proxy.id()));
    let before = proxy.cpu_seconds();
    let report = load(plan.seconds).run();
    let used = proxy.cpu_seconds() - before;
    if let Some(recorder) = recorder {
        stop_recording(recorder);
    }
    Sample {
        kind: proxy.kind,
        case: case.name,
        requests: report.requests,
        failed: report.failed(),
        rate: report.rate(),
        cpu_micros: used * 1e6 / report.requests.max(1) as f64,
    }
}

/// Starts `perf record` on a process, into FILE-CASE. What it costs falls on that process too: look at its shares, not at
/// the times.
pub(crate) fn record(file: &Path, case: &str, id: u32) -> Process {
    let mut name = file.as_os_str().to_owned();
    name.push("-");
    name.push(case);
    let mut command = Command::new("perf");
    command
        .args(["record", "-F", PERF_FREQUENCY, "-g", "-o"])
        .arg(name);
    command.args(["-p", &id.to_string()]);
    Process::start("perf", command)
}

/// Lets it write its file and end.
pub(crate) fn stop_recording(mut recorder: Process) {
    recorder.signal(Signal::INT);
    recorder.wait(wait::SOON);
    eprint!("{}", recorder.output());
}
