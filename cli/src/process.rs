//! A child process that is asked to stop before it is made to.
//!
//! It runs in a process group of its own: Ctrl-C at a terminal goes to turno alone, which can then
//! deregister the child before it passes the signal on. It knows nothing of registries.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{ChildStdin, ChildStdout, Command},
    time,
};
use tracing::warn;

/// A running child and, with it, the process group it leads.
#[derive(Debug)]
pub(crate) struct Process {
    child: tokio::process::Child,
    /// Of the group too. `None` once the child was waited for: the number may be another's then.
    pid: Option<Pid>,
}

impl Process {
    /// Starts `command` as the leader of a new process group.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        // The net below a clean stop: a task that is dropped takes its child with it.
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(Self { child, pid })
    }

    /// The process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The near ends of its standard input and output, where they were asked to be pipes. Once.
    pub(crate) fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>) {
        (self.child.stdin.take(), self.child.stdout.take())
    }

    /// Waits until it has ended. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        // tokio closes a piped stdin here; a child that ends when its stdin does must not be told to,
        // which is why `pipes` hands it to the caller.
        let status = self.child.wait().await;
        self.pid = None;
        status
    }

    /// Sends a signal to it and to what it has started.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(pid) = self.pid else { return };
        if let Err(error) = kill_process_group(pid, signal) {
            warn!(pid = pid.as_raw_nonzero(), ?signal, %error, "cannot signal the child");
        }
    }

    /// Sends `signal` and waits; whatever has not ended within `grace` is killed.
    pub(crate) async fn stop(&mut self, signal: Signal, grace: Duration) -> io::Result<ExitStatus> {
        self.signal(signal);
        if let Ok(status) = time::timeout(grace, self.wait()).await {
            return status;
        }
        warn!(
            pid = self.id(),
            ?grace,
            "the child did not end in time: killing it"
        );
        self.signal(Signal::KILL);
        self.wait().await
    }
}

/// A status as a shell would report it: the exit code, or 128 and the signal's number.
pub(crate) fn shell_status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// How a process ended, in words.
pub(crate) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// What a child gets for standard input: ours, unless it is a terminal, which a background process
/// group may not read.
pub(crate) fn stdin_for_child() -> Stdio {
    if io::IsTerminal::is_terminal(&io::stdin()) {
        Stdio::null()
    } else {
        Stdio::inherit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_a_shells() {
        let cases = [
            (0, 0, "exit status 0"),
            (3 << 8, 3, "exit status 3"),
            (9, 137, "killed by signal 9"),
        ];
        for (raw, want, words) in cases {
            let status = ExitStatus::from_raw(raw);
            assert_eq!(
                (shell_status(status), ending(status).as_str()),
                (want, words)
            );
        }
    }

    #[tokio::test]
    async fn a_deaf_child_is_killed_and_its_children_with_it() {
        let script = "trap '' TERM; echo ready; while :; do sleep 1; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command).expect("there is a shell");
        let (_, stdout) = process.pipes();
        let mut stdout = stdout.expect("a pipe");
        let mut ready = [0; 6];
        tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut ready)
            .await
            .expect("it is ready");
        let status = process
            .stop(Signal::TERM, Duration::from_millis(50))
            .await
            .expect("it ends");
        assert_eq!(shell_status(status), 137);
        // The pipe ends only when nobody of the group holds it any more.
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stdout, &mut rest)
            .await
            .expect("an end");
    }
}
