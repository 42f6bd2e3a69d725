//! Runs the load generator wrk and reads what it reports.
//!
//! wrk is silent about answers that were not 2xx or 3xx and about broken connections unless there were some; a report with
//! neither line is a report of none.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::parts::Part;
use crate::process::Process;

/// A run may end later than its duration: wrk waits for its threads, and the machine may be busy.
const GRACE: Duration = Duration::from_secs(30);

/// How to load a server.
#[derive(Clone, Debug)]
pub struct Load {
    /// Who to send to.
    pub target: SocketAddr,
    /// The path to ask for.
    pub path: String,
    /// How many connections to keep open.
    pub connections: usize,
    /// For how long, in whole seconds (wrk knows no less).
    pub seconds: u64,
    /// Whether every request asks for the connection to be closed after it.
    pub close: bool,
    /// The CPU to run on, or any.
    pub core: Option<usize>,
}

impl Load {
    /// `connections` keep-alive connections asking for `/` for `seconds`.
    pub fn new(target: SocketAddr, connections: usize, seconds: u64) -> Load {
        Load {
            target,
            path: "/".to_owned(),
            connections,
            seconds,
            close: false,
            core: None,
        }
    }

    /// Starts wrk and returns at once.
    ///
    /// # Panics
    /// If wrk cannot be started.
    pub fn start(&self) -> Running {
        let mut command = match self.core {
            None => Command::new(Part::Wrk.path()),
            Some(core) => {
                let mut command = Command::new("taskset");
                command
                    .args(["-c", &core.to_string()])
                    .arg(Part::Wrk.path());
                command
            }
        };
        command.args(["-t", "1", "-c", &self.connections.to_string()]);
        command.args([
            "-d",
            &format!("{}s", self.seconds),
            "--timeout",
            "10s",
            "--latency",
        ]);
        if self.close {
            command.args(["-H", "Connection: close"]);
        }
        command.arg(format!("http://{}{}", self.target, self.path));
        Running {
            process: Process::start("wrk", command),
            limit: Duration::from_secs(self.seconds) + GRACE,
        }
    }

    /// Runs wrk to its end.
    ///
    /// # Panics
    /// If wrk cannot be run, or reports what cannot be read.
    pub fn run(&self) -> Report {
        self.start().finish()
    }
}

/// wrk at work.
#[derive(Debug)]
pub struct Running {
    process: Process,
    limit: Duration,
}

impl Running {
    /// Whether it still sends.
    pub fn is_running(&mut self) -> bool {
        self.process.status().is_none()
    }

    /// Ends the run now, with a report on what was sent until now. For work that takes as long as it takes.
    ///
    /// # Panics
    /// If the run has ended before: then some of the work was not under load. If wrk fails or does not end.
    pub fn enough(mut self) -> Report {
        assert!(self.is_running(), "the load has ended too early");
        self.process.signal(Signal::INT);
        self.finish()
    }

    /// Waits for the end of the run.
    ///
    /// # Panics
    /// If wrk fails or does not end in time.
    pub fn finish(mut self) -> Report {
        let status = self.process.wait(self.limit);
        let output = self.process.output();
        assert!(status.success(), "wrk failed ({status}):\n{output}");
        Report::parse(&output).unwrap_or_else(|| panic!("wrk's report cannot be read:\n{output}"))
    }
}

/// What wrk counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Requests that were answered in full.
    pub requests: u64,
    /// Seconds that the run took.
    pub seconds: f64,
    /// Answers with a status of 400 and more.
    pub bad_status: u64,
    /// Connections refused, broken while reading or writing, or silent for too long.
    pub socket_errors: u64,
    /// What wrk printed.
    pub text: String,
}

impl Report {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// Requests that a client saw fail.
    pub fn failed(&self) -> u64 {
        self.bad_status + self.socket_errors
    }

    fn parse(text: &str) -> Option<Report> {
        let mut report = Report {
            text: text.to_owned(),
            ..Report::default()
        };
        for line in text.lines().map(str::trim) {
            if let Some((requests, rest)) = line.split_once(" requests in ") {
                report.requests = requests.parse().ok()?;
                report.seconds = seconds(rest.split(',').next()?)?;
            } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
                report.bad_status = count.parse().ok()?;
            } else if let Some(errors) = line.strip_prefix("Socket errors: ") {
                for error in errors.split(", ") {
                    report.socket_errors += error.rsplit(' ').next()?.parse::<u64>().ok()?;
                }
            }
        }
        (report.seconds > 0.0).then_some(report)
    }
}

/// wrk writes times as `5.00s`, `1.50m` or `2.00h`.
fn seconds(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let factor = match &text[unit..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    text[..unit]
        .parse::<f64>()
        .ok()
        .map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_errors() {
        let report =
            Report::parse("  34028 requests in 2.02s, 5.06MB read\nRequests/sec:  16876.02\n");
        let report = report.expect("it is a report");
        assert_eq!(
            (report.requests, report.seconds, report.failed()),
            (34_028, 2.02, 0)
        );
    }

    #[test]
    fn errors_of_every_kind_count() {
        let report = Report::parse(
            "  10 requests in 1.00m, 5.06MB read\n  Socket errors: connect 1, read 20, write 300, timeout 4000\n  \
             Non-2xx or 3xx responses: 50000\n",
        );
        let report = report.expect("it is a report");
        assert_eq!(
            (report.seconds, report.bad_status, report.socket_errors),
            (60.0, 50_000, 4_321)
        );
    }

    #[test]
    fn no_report_at_all() {
        assert_eq!(
            Report::parse("unable to connect to 127.0.0.1:1 Connection refused\n"),
            None
        );
    }
}
