//! A real program, started in a process group of its own, that does not outlive the value that holds it.
//!
//! What it prints goes to a file, and is shown when the test that started it fails. It knows nothing of any program in
//! particular.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait;

/// The end of a program's output that a failing test shows: enough for a panic and what led to it.
const SHOWN: usize = 6_000;

/// A running program. Dropping it kills it and every process of its group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    ended: Option<ExitStatus>,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts `command`. Its stdin is empty; stdout and stderr go to [`Self::output`].
    ///
    /// If the thread that calls this ends (because the tests are interrupted), the program gets SIGTERM: so call this from
    /// the test's own thread, not from one that ends earlier.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start(name: &str, command: Command) -> Process {
        Process::spawn(name, command, Stdio::null(), None)
    }

    /// The same for a program that is spoken to: its stdin and stdout are pipes, and only stderr goes to [`Self::output`].
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start_on_pipes(name: &str, command: Command) -> (Process, ChildStdin, ChildStdout) {
        let mut process = Process::spawn(name, command, Stdio::piped(), Some(Stdio::piped()));
        let pipes = (process.child.stdin.take(), process.child.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else {
            panic!("{name} was started with pipes");
        };
        (process, stdin, stdout)
    }

    /// Without a `stdout` of its own it goes where stderr goes.
    fn spawn(name: &str, command: Command, stdin: Stdio, stdout: Option<Stdio>) -> Process {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let output = folder.path().join("output");
        let file = File::create(&output).expect("the folder was just made");
        let clone = file.try_clone().expect("a file handle can be duplicated");
        let mut command = tied_to_this_thread(command);
        let child = command
            .stdin(stdin)
            .stdout(stdout.unwrap_or_else(|| file.into()))
            .stderr(clone)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Process {
            name: name.to_owned(),
            child,
            output,
            ended: None,
            _folder: folder,
        }
    }

    /// The process id, which is also the id of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// How it ended, or `None` while it runs.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// If it has not ended within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        wait::until(what, limit, || self.status()).0
    }

    /// Sends `signal` to the program alone, not to its group.
    pub fn signal(&mut self, signal: Signal) {
        if self.status().is_none() {
            // It may end between the look and the signal; then there is nothing to do.
            let _ = kill_process(self.pid(), signal);
        }
    }

    /// Asks it to stop and waits.
    ///
    /// # Panics
    /// If it has not ended within `limit`.
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// Ends the program, its group and its descendants at once, with no chance to say goodbye (`kill -9`).
    pub fn kill(&mut self) {
        // `turno run` gives its program a group of its own, so that a terminal's Ctrl-C reaches it once.
        let descendants = if self.status().is_none() {
            descendants(self.id())
        } else {
            Vec::new()
        };
        // The group may live on when its leader has ended.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        if self.status().is_none() {
            self.ended = self.child.wait().ok();
        }
        for descendant in descendants {
            // Most have ended with the group.
            let _ = kill_process(descendant, Signal::KILL);
        }
    }

    /// Panics with the program's output if it has ended although it should run.
    ///
    /// # Panics
    /// See above.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.status() {
            panic!("{} ended ({status}):\n{}", self.name, self.output());
        }
    }

    /// `kill -9` for the program alone: what it has started lives on.
    pub fn kill_alone(&mut self) {
        self.signal(Signal::KILL);
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let output = self.output();
            let mut from = output.len().saturating_sub(SHOWN);
            while !output.is_char_boundary(from) {
                from += 1;
            }
            eprintln!(
                "--- {} ({:?}) printed:\n{}",
                self.name,
                self.ended,
                &output[from..]
            );
        }
    }
}

/// The children of a running process, and theirs. Any of its threads may have started them.
fn descendants(id: u32) -> Vec<Pid> {
    let mut all = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else {
        return all;
    };
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children
            .split_whitespace()
            .filter_map(|child| child.parse::<i32>().ok())
        {
            all.extend(Pid::from_raw(child));
            all.extend(descendants(child.unsigned_abs()));
        }
    }
    all
}

/// What a program that ran to its end left behind.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status, or 128 + the signal that ended it, as a shell says it.
    pub code: i32,
    /// Everything it wrote to stdout.
    pub stdout: String,
    /// Everything it wrote to stderr.
    pub stderr: String,
}

/// Runs a short program to its end.
///
/// # Errors
/// If it cannot be started.
///
/// # Panics
/// If it has not ended within `limit`; it is killed then.
pub fn run(mut command: Command, limit: Duration) -> io::Result<Ended> {
    let folder = tempfile::tempdir()?;
    let (stdout, stderr) = (folder.path().join("stdout"), folder.path().join("stderr"));
    // Files, not pipes: a program that writes much never waits for us, and we never for it.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(File::create(&stdout)?)
        .stderr(File::create(&stderr)?)
        .process_group(0)
        .spawn()?;
    let started = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            panic!(
                "{command:?} did not end within {limit:?}: {}",
                fs::read_to_string(&stderr)?
            );
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Ended {
        code: status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: text(stdout)?,
        stderr: text(stderr)?,
    })
}

/// Wraps `command` so that the kernel ends it when the calling thread ends, where util-linux' `setpriv` is there to ask for
/// it. It replaces itself with the program, so the process id is the program's.
fn tied_to_this_thread(command: Command) -> Command {
    let setpriv = PathBuf::from("/usr/bin/setpriv");
    if !setpriv.is_file() {
        return command;
    }
    let mut tied = Command::new(setpriv);
    tied.args(["--pdeathsig", "TERM", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(key, value),
            None => tied.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        tied.current_dir(folder);
    }
    tied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_takes_its_descendants_along() {
        // In its group, and in another one.
        for script in [
            "sleep 1000 & echo $!; wait",
            "setsid sleep 1000 & echo $!; wait",
        ] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            assert_takes_along(command);
        }
    }

    fn assert_takes_along(command: Command) {
        let process = Process::start("sh", command);
        let sleeper = wait::until("the sleeper's pid", wait::SOON, || {
            process.output().trim().parse::<u32>().ok()
        });
        drop(process);
        wait::until_true("the sleeper to be gone", wait::SOON, || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", sleeper.0)).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
    }

    #[test]
    fn run_tells_status_and_both_outputs_apart() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let ended = run(command, wait::SOON).expect("sh starts");
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
            (3, "out\n", "err\n")
        );
    }
}
