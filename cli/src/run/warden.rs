//! The process that outlives `turno run`, to end what it left alone.
//!
//! `turno run` that is killed cannot pass anything on. So it starts this program once more as its warden, and holds the one end
//! of a pipe, which the kernel closes however `turno run` ends. The warden knows a process group and nothing of registries.

use std::{
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{ChildStdin, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tracing::warn;

use super::GRACE;
use crate::output;

/// The one argument by which a process knows that it is a warden.
const WORD: &str = "warden-of-a-run";

/// What a list of processes calls it. Not by the program's name: `pkill -9 turno` is one of the ways to need a warden.
const NAME: &std::ffi::CStr = c"run-warden";

/// Said at the end, when there is nobody left to end.
const DISMISSED: &str = "dismissed\n";

/// More than the warden is ever told: a number, and that it is dismissed.
const TOLD_BYTES: u64 = 64;

/// How often the warden looks whether those it told to stop have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The near end: `turno run`'s hold on its warden. Dropping it without [`Self::dismiss`] ends the program.
#[derive(Debug)]
pub(super) struct Warden(Option<ChildStdin>);

impl Warden {
    /// Starts the warden, before there is a program. One that cannot be started is no reason not to run the program.
    pub(super) fn start() -> Self {
        let started = std::env::current_exe().and_then(|turno| {
            Command::new(turno)
                .arg(WORD)
                // A Ctrl-C that ends us in good order is not for it.
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
        });
        match started {
            // It ends after us, so nobody waits for it here.
            Ok(mut warden) => Self(warden.stdin.take()),
            Err(error) => {
                warn!(%error, "cannot start the warden: if turno is killed, its program goes on");
                Self(None)
            }
        }
    }

    /// From now on, our end is that of this process group.
    pub(super) fn watch(&mut self, group: u32) {
        self.tell(&format!("{group}\n"));
    }

    /// There is nobody left to end. A warden that has gone before, as when a service manager ends all of a service at once, is no
    /// loss any more.
    pub(super) fn dismiss(&mut self) {
        if let Some(mut pipe) = self.0.take() {
            let _ = pipe.write_all(DISMISSED.as_bytes());
        }
    }

    fn tell(&mut self, text: &str) {
        let Some(pipe) = &mut self.0 else { return };
        if let Err(error) = pipe.write_all(text.as_bytes()) {
            warn!(%error, "the warden is gone: if turno is killed, its program goes on");
            self.0 = None;
        }
    }
}

/// Whether this process is a warden.
pub(crate) fn is_due() -> bool {
    let mut words = std::env::args_os().skip(1);
    words.next().is_some_and(|word| word == WORD) && words.next().is_none()
}

/// Waits for the end of `turno run`, and ends what it left.
pub(crate) fn run() -> ExitCode {
    // Without a name of its own it is a warden all the same.
    let _ = rustix::thread::set_name(NAME);
    if let Some(group) = left_alone(io::stdin().lock()) {
        output::complain("turno: run was killed: ending its program");
        end(group);
    }
    ExitCode::SUCCESS
}

/// Reads until the other end is closed. The process group that nobody is left to end, if there is one.
fn left_alone(pipe: impl Read) -> Option<Pid> {
    let mut told = String::new();
    pipe.take(TOLD_BYTES).read_to_string(&mut told).ok()?;
    let group: i32 = told.strip_suffix('\n')?.parse().ok()?;
    // To signal "group 1" is to signal everybody.
    (group > 1).then(|| Pid::from_raw(group))?
}

/// Ends a group as `turno run` does: it is asked, and made to.
fn end(group: Pid) {
    let deadline = Instant::now() + GRACE;
    // An error says that all of them have ended, or are another user's, who does not let us.
    let mut left = kill_process_group(group, Signal::TERM);
    while left.is_ok() && Instant::now() < deadline {
        thread::sleep(LOOK_EVERY);
        left = test_kill_process_group(group);
    }
    if left.is_ok() {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_left_alone() {
        for (told, want) in [
            ("17\n", Some(17)),
            // Killed before the program was there.
            ("", None),
            ("17\ndismissed\n", None),
            ("dismissed\n", None),
            // Whoever is not `turno run` ends nobody, and no group but one.
            ("17", None),
            ("0\n", None),
            ("1\n", None),
            ("-1\n", None),
            ("\n", None),
        ] {
            let group = left_alone(told.as_bytes()).map(Pid::as_raw_pid);
            assert_eq!(group, want, "{told:?}");
        }
        assert_eq!(left_alone(io::repeat(b'1')), None, "it never ends");
    }
}
