//! One run of a script check, and of an OS service check, which is a run of the service manager's own program.
//!
//! Knows neither thresholds nor who may run what. A program runs in a process group of its own, which is killed when the
//! time is up or the run is given up, so that no child outlives its check.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use consul::types::Status;
use daemon::group::Group;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::tail::Tail;
use super::{Outcome, reason};

/// How many programs run at the same moment; the other checks of this kind wait, and their time limit starts when their
/// turn comes. A program costs far more than a socket.
pub(super) const CONCURRENT_SCRIPTS: usize = 32;

/// How long output is still read once the program has ended, if a child of it keeps the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs `args` and takes the end of what it writes, to both outputs, as output of the check.
pub(super) async fn check(args: &[String], limit: Duration, output_limit: usize) -> Outcome {
    let mut run = match Run::start(args, output_limit) {
        Ok(run) => run,
        Err(error) => return Outcome::critical(unstarted(args, &error)),
    };
    match timeout(limit, run.finish()).await {
        Ok(Ok(status)) => Outcome {
            status: status_of(status),
            output: run.output(),
        },
        Ok(Err(error)) => Outcome::critical(unstarted(args, &error)),
        Err(_) => {
            let output = run.output();
            let gap = if output.is_empty() { "" } else { "\n\n" };
            let limit = duration(limit);
            Outcome::critical(format!("Timed out ({limit}) running check{gap}{output}"))
        }
    }
}

/// Whether systemd says that the unit `name` is active: a query, so it needs no permission to run scripts, but the name
/// must be one that a unit can have.
pub(super) async fn os_service(name: &str, limit: Duration) -> Outcome {
    if !is_unit_name(name) {
        return Outcome::critical(format!("Service {name:?} is not a name of a systemd unit"));
    }
    let args = ["systemctl", "is-active", "--", name].map(String::from);
    let run = async {
        let mut run = Run::start(&args, UNIT_OUTPUT)?;
        let status = run.finish().await?;
        Ok::<_, io::Error>((status, run.output()))
    };
    match timeout(limit, run).await {
        Ok(Ok((status, said))) => judge_unit(name, status.code(), said.trim()),
        Ok(Err(error)) => Outcome::critical(unstarted(&args, &error)),
        Err(_) => Outcome::critical(format!(
            "Service \"{name}\": no answer from systemctl within {}",
            duration(limit)
        )),
    }
}

/// Bytes kept of what systemctl says: a word, or an error.
const UNIT_OUTPUT: usize = 512;

/// systemctl(1): `is-active` exits 0 for an active unit and prints its state.
fn judge_unit(name: &str, code: Option<i32>, said: &str) -> Outcome {
    match (code, said) {
        (Some(0), _) => Outcome::passing(format!("Service \"{name}\" is healthy")),
        (_, "activating" | "reloading" | "deactivating") => Outcome {
            status: Status::Warning,
            output: format!("Service \"{name}\" is {said}"),
        },
        _ => Outcome::critical(format!("Service \"{name}\" is not healthy: {said}")),
    }
}

/// The characters systemd.unit(5) allows, and not an option.
fn is_unit_name(name: &str) -> bool {
    /// The longest name of a unit.
    const LONGEST: usize = 255;
    !name.is_empty()
        && name.len() <= LONGEST
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
}

fn status_of(status: ExitStatus) -> Status {
    match status.code() {
        Some(0) => Status::Passing,
        Some(1) => Status::Warning,
        _ => Status::Critical,
    }
}

/// Consul's words for a program that does not start.
fn unstarted(args: &[String], error: &io::Error) -> String {
    let program = args.first().map_or("", String::as_str);
    if program.contains('/') {
        format!("fork/exec {program}: {}", reason(error))
    } else if error.kind() == io::ErrorKind::NotFound {
        format!("exec: \"{program}\": executable file not found in $PATH")
    } else {
        format!("exec: \"{program}\": {}", reason(error))
    }
}

/// As Go prints it for what people write: whole milliseconds, seconds or minutes and seconds.
fn duration(limit: Duration) -> String {
    match (limit.as_secs(), limit.subsec_nanos()) {
        (0, _) => format!("{limit:?}"),
        (seconds @ 60.., 0) => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{limit:?}"),
    }
}

/// A program that runs, with its output so far. Dropping it kills its process group.
struct Run {
    child: Child,
    group: Group,
    pipe: Receiver,
    tail: Tail,
    limit: usize,
}

impl Run {
    fn start(args: &[String], output_limit: usize) -> io::Result<Self> {
        let [program, arguments @ ..] = args else {
            return Err(io::Error::other("no program is named"));
        };
        // One pipe for both outputs, so that they stay in the order written.
        let (read, write) = io::pipe()?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(write.try_clone()?).stderr(write);
        let (child, group) = Group::start(&mut command)?;
        drop(command);
        // Our ends of the pipe for writing went with the command: the pipe ends with the program.
        Ok(Self {
            group,
            child,
            pipe: Receiver::from_owned_fd(read.into())?,
            tail: Tail::new(output_limit),
            limit: output_limit,
        })
    }

    /// Waits for the end of the program and of its output. Cancelling it loses nothing.
    async fn finish(&mut self) -> io::Result<ExitStatus> {
        let reading = drain(&mut self.pipe, &mut self.tail);
        tokio::pin!(reading);
        let (status, silent) = tokio::select! {
            status = self.child.wait() => {
                let status = status?;
                // A child that was left behind may hold the pipe; it is killed with the group.
                (status, timeout(LAST_WORDS, reading).await.is_ok())
            }
            // What closes its output may run on.
            () = &mut reading => (self.child.wait().await?, true),
        };
        if silent {
            // Nobody of the group is left who holds the output.
            self.group.let_go();
        }
        Ok(status)
    }

    /// The end of the output, with a note if there was more.
    fn output(&mut self) -> String {
        let tail = std::mem::replace(&mut self.tail, Tail::new(0));
        let written = tail.written();
        let text = tail.into_text();
        if written > self.limit {
            format!("Captured {} of {written} bytes\n...\n{text}", self.limit)
        } else {
            text
        }
    }
}

async fn drain(pipe: &mut Receiver, tail: &mut Tail) {
    let mut buffer = [0; 4096];
    // An error of a pipe is as good as its end: the exit status decides.
    while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
        tail.push(&buffer[..n]);
    }
}

#[cfg(test)]
mod tests;
