//! Runs a user's command: by `sh -c`, with a time limit, its output kept for the log.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::group::Group;
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, Command};

/// How long a check or a reload may take. Reloads take a second; what takes longer than this hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What is kept of a command's output, from its beginning.
const OUTPUT_LIMIT: usize = 4 * 1024;

/// How long the last of it is waited for once the command has ended: what it has left behind may hold its output open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs `command` for at most `limit`. The error is what a person needs to know, in one line.
pub(crate) async fn run_within(command: &str, limit: Duration) -> Result<(), String> {
    let mut sh = Command::new("sh");
    sh.args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // It is not for a command to tell the manager that we are ready.
        .env_remove(daemon::systemd::SOCKET_VARIABLE);
    // When the time is up, what the command has started ends with it.
    let (mut child, mut group) =
        Group::start(&mut sh).map_err(|error| format!("cannot run sh: {error}"))?;
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut hearing = tokio::spawn(hear(child.stderr.take(), Arc::clone(&said)));
    let status = match tokio::time::timeout(limit, child.wait()).await {
        Ok(status) => {
            // What it has started and left behind is meant to stay.
            group.let_go();
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
    // What it said is a comfort, not a condition.
    let _ = tokio::time::timeout(LAST_WORDS, &mut hearing).await;
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let said = String::from_utf8_lossy(&said);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(format!(
        "{command:?} ended with {status}{}{said}",
        if said.is_empty() { "" } else { ": " }
    ))
}

/// Reads what a command says, and keeps the beginning. It reads to the end, which comes with the last process that the
/// command has left behind: one that writes where nobody reads any more would be ended for it.
async fn hear(stderr: Option<ChildStderr>, said: Arc<Mutex<Vec<u8>>>) {
    let Some(mut stderr) = stderr else { return };
    let mut buffer = [0; 1_024];
    while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = OUTPUT_LIMIT.saturating_sub(said.len());
        said.extend_from_slice(&buffer[..n.min(room)]);
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
    async fn what_a_command_leaves_behind_stays_and_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let (go, done) = (folder.path().join("go"), folder.path().join("done"));
        let leaves = format!(
            "(while [ ! -e {} ]; do sleep 0.02; done; echo said >&2; echo > {}) &",
            go.display(),
            done.display()
        );
        assert_eq!(run_within(&leaves, Duration::from_secs(10)).await, Ok(()));
        let error = run_within(&format!("{leaves} echo no >&2; exit 1"), LIMIT).await;
        assert!(error.expect_err("it fails").ends_with("no"));
        // It lives, and may say something.
        std::fs::write(&go, "").expect("written");
        let stays = async {
            while !done.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let stays = tokio::time::timeout(Duration::from_secs(10), stays).await;
        assert!(stays.is_ok(), "it was ended");
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
