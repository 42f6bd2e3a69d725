//! Runs a user's command: by `sh -c`, with a time limit, its output kept for the log.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// How long a check or a reload may take. Reloads take a second; what takes longer than this hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What is kept of a command's output, from its beginning.
const OUTPUT_LIMIT: u64 = 4 * 1024;

/// Runs `command` for at most `limit`. The error is what a person needs to know, in one line.
pub(crate) async fn run_within(command: &str, limit: Duration) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // It is not for a command to tell the manager that we are ready.
        .env_remove(daemon::systemd::SOCKET_VARIABLE)
        // A group of its own: when the time is up, what the command has started ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run sh: {error}"))?;
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let mut group = Group(group);
    let mut said = Vec::new();
    let stderr = child.stderr.take();
    let ended = async {
        if let Some(stderr) = stderr {
            let mut start = stderr.take(OUTPUT_LIMIT);
            // What it said is a comfort, not a condition.
            let _ = start.read_to_end(&mut said).await;
            let _ = tokio::io::copy(&mut start.into_inner(), &mut tokio::io::sink()).await;
        }
        child.wait().await
    };
    let status = match tokio::time::timeout(limit, ended).await {
        Ok(status) => {
            // What it has started and left behind is meant to stay.
            group.0 = None;
            status.map_err(|error| format!("cannot wait for {command:?}: {error}"))?
        }
        Err(_) => {
            return Err(format!(
                "{command:?} took longer than {}s and was ended",
                limit.as_secs_f32()
            ));
        }
    };
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(format!(
        "{command:?} ended with {status}{}{said}",
        if said.is_empty() { "" } else { ": " }
    ))
}

/// A command's processes, which end with this value.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails only if all of them have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_all_it_has_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let noted = folder.path().join("child");
        let hangs = format!("sleep 60 & echo $! > {}; wait", noted.display());
        // A busy machine may need longer until the child is there.
        let mut child = None;
        for limit in [200, 1_000, 10_000].map(Duration::from_millis) {
            let error = run_within(&hangs, limit).await.expect_err("it hangs");
            let said = format!("took longer than {}s", limit.as_secs_f32());
            assert!(error.contains(&said), "{error}");
            let id = std::fs::read_to_string(&noted).unwrap_or_default();
            child = id.ends_with('\n').then(|| id.trim().to_owned());
            if child.is_some() {
                break;
            }
        }
        let id = child.expect("it had ten seconds to start its child");
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.contains("(sleep)") && !stat.contains(") Z ")
        };
        let gone = async {
            while lives() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(10), gone).await;
        assert!(gone.is_ok(), "its child went on");
    }

    #[tokio::test]
    async fn what_a_command_says_is_kept_when_it_fails() {
        assert_eq!(run_within("true", LIMIT).await, Ok(()));
        let error = run_within("echo 'line 3: unknown keyword' >&2; exit 3", LIMIT)
            .await
            .expect_err("it fails");
        assert!(
            error.contains("exit status: 3: line 3: unknown keyword"),
            "{error}"
        );
        assert!(
            run_within("yes | head -c 1000000 >&2; exit 1", LIMIT)
                .await
                .is_err()
        );
    }
}
