//! What the numbers depend on: the machine, its CPUs, the versions of the programs.

use std::fmt::{self, Write as _};
use std::fs;
use std::process::Command;

use e2e::parts::Part;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::measure::Plan;
use crate::proxy::Kind;

/// The CPU of the proxy and the CPU of everything else.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    pub(crate) proxy: usize,
    /// Also used by the load generator.
    pub(crate) load: usize,
}

impl Cores {
    /// Fails if the machine does not have these CPUs, or they are the same.
    pub(crate) fn new(proxy: usize, load: usize) -> Result<Cores, String> {
        let there = std::thread::available_parallelism().map_or(1, usize::from);
        if proxy == load {
            return Err(
                "the proxy needs a CPU of its own: --proxy-core and --load-core are the same"
                    .to_owned(),
            );
        }
        let highest = proxy.max(load);
        if highest >= there
            && !fs::exists(format!("/sys/devices/system/cpu/cpu{highest}")).unwrap_or(false)
        {
            return Err(format!(
                "there is no CPU {highest}: this machine has {there}, counted from 0"
            ));
        }
        Ok(Cores { proxy, load })
    }

    /// Pins this process to the CPU of the load.
    pub(crate) fn move_here(&self) -> Result<(), String> {
        let mut only = CpuSet::new();
        only.set(self.load);
        sched_setaffinity(None, &only)
            .map_err(|error| format!("cannot move to CPU {}: {error}", self.load))
    }

    /// `command`, pinned to the proxy's CPU.
    pub(crate) fn on_proxy_core(&self, command: &Command) -> Command {
        pinned(self.proxy, command)
    }

    /// `command`, pinned to the CPU of the load.
    pub(crate) fn on_load_core(&self, command: &Command) -> Command {
        pinned(self.load, command)
    }
}

fn pinned(core: usize, command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned
        .args(["-c", &core.to_string()])
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(key, value),
            None => pinned.env_remove(key),
        };
    }
    pinned
}

/// Lifts this process' limit of open files, which its children inherit, as far as it may: a thousand connections through a
/// proxy are two thousand files.
pub(crate) fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    // If it may not, the cases with few connections still run, and wrk says what failed in the others.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

/// The programs needed that are not installed.
pub(crate) fn missing(kinds: &[Kind]) -> Vec<Part> {
    let mut parts = vec![Part::Nginx, Part::Wrk];
    if kinds.contains(&Kind::Haproxy) {
        parts.push(Part::Haproxy);
    }
    parts.retain(|part| part.find().is_none());
    parts
}

/// A paragraph for above the table.
pub(crate) fn facts(plan: &Plan, kinds: &[Kind]) -> String {
    let mut text = String::new();
    let mut line = |arguments: fmt::Arguments<'_>| {
        text.write_fmt(arguments)
            .expect("a String takes everything");
        text.push('\n');
    };
    line(format_args!("{}", computer()));
    for kind in kinds {
        line(format_args!("{kind}: {}", kind.version()));
    }
    line(format_args!(
        "proxy on CPU {}, three nginx origins and wrk on CPU {}; median of {} rounds of {} s, in brackets the lowest and \
         the highest; load of the machine before: {}",
        plan.cores.proxy, plan.cores.load, plan.rounds, plan.seconds, plan.load_before
    ));
    text
}

/// The same for above the tables of what is no proxy: `subject` on one CPU, `others` on the other.
pub(crate) fn facts_of(subject: &str, others: &str, plan: &Plan) -> String {
    format!(
        "{}\n{subject} on CPU {}, {others} on CPU {}; median of {} rounds, in brackets the lowest and the highest; load of the \
         machine before: {}",
        computer(),
        plan.cores.proxy,
        plan.cores.load,
        plan.rounds,
        plan.load_before
    )
}

/// CPUs and kernel, in a line.
fn computer() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} × {}, Linux {}",
        cpus.matches("\nprocessor").count() + usize::from(cpus.starts_with("processor")),
        model.trim_start_matches(['\t', ' ', ':']),
        kernel.trim()
    )
}

/// How busy the machine was in the last minute. Well below 1 it is quiet, and the numbers mean something.
pub(crate) fn load_average() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}
