//! A program with all that it starts: a process group, which can be ended as one.
//!
//! It knows processes; why one was started is its owner's business.

use std::io;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A process group that is killed when this is dropped, unless it is let go.
#[derive(Debug)]
pub struct Group(Option<Pid>);

impl Group {
    /// Starts `command` as the leader of a group of its own. So a signal from the terminal does not reach it: whoever
    /// started it decides what becomes of it. Call it inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn start(command: &mut Command) -> io::Result<(Child, Self)> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Ok((child, Self(id.and_then(Pid::from_raw))))
    }

    /// Kills nobody any more: whoever is left is meant to stay, or nobody is, and then the group's number may be given
    /// to strangers.
    pub fn let_go(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails only if all of them have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
