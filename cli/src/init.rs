//! What process 1 of a container owes the others: it passes signals on, and buries every process that nobody waits for.
//!
//! turno as process 1 starts itself once more as a child and does nothing but this, because whoever buries everybody cannot
//! also wait for children of its own. It knows no command.

use std::process::{Command, ExitCode, ExitStatus};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

use crate::{failure::Failure, process::shell_status};

/// The signals that somebody outside may mean for us.
const PASSED_ON: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
];

/// Whether this process is the first of a container.
pub(crate) fn is_due() -> bool {
    std::process::id() == 1
}

/// Runs this program again with the same arguments, until it ends. Its exit status is ours.
pub(crate) fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(supervise()),
        Err(error) => Err(Failure::of("cannot start the async runtime", &error)),
    };
    match ended {
        Ok(status) => ExitCode::from(shell_status(status)),
        Err(failure) => failure.report(),
    }
}

async fn supervise() -> Result<ExitStatus, Failure> {
    // Before the child is there, so that no signal is lost.
    let mut children = signal(SignalKind::child())?;
    let (sender, mut passed_on) = tokio::sync::mpsc::channel(PASSED_ON.len());
    for number in PASSED_ON {
        let mut stream = signal(SignalKind::from_raw(number.as_raw()))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() && sender.send(number).await.is_ok() {}
        });
    }
    // By its path: the file may be replaced while we run.
    let program = std::env::current_exe()?;
    let child = Command::new(&program)
        .args(std::env::args_os().skip(1))
        .spawn()
        .map_err(|error| Failure::of(format_args!("cannot start {}", program.display()), &error))?;
    let child = Pid::from_child(&child);
    loop {
        tokio::select! {
            _ = children.recv() => {
                if let Some(status) = bury(child) {
                    return Ok(status);
                }
            }
            Some(signal) = passed_on.recv() => {
                // It may have ended just now, which the next turn of the loop sees.
                let _ = kill_process(child, signal);
            }
        }
    }
}

/// Takes the status of everybody who has ended. Returns that of `child`, if it is among them.
fn bury(child: Pid) -> Option<ExitStatus> {
    let mut ours = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == child {
            ours = Some(std::os::unix::process::ExitStatusExt::from_raw(
                status.as_raw(),
            ));
        }
    }
    ours
}
