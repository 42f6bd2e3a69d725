//! A program for each request: the body on its standard input, the answer on its standard output.
//!
//! Its exit status says what became of the request; how much it may write and how long it may take is limited.

use std::{process::Stdio, sync::Arc};

use bytes::Bytes;
use daemon::group::Group;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use super::{Handler, Job, Outcome};

/// Exit status that means "try again, elsewhere perhaps": EX_TEMPFAIL of sysexits.h.
const TRY_AGAIN: i32 = 75;
/// Bytes of its standard error kept as the reason of a failure.
const MAX_REASON: usize = 1024;

/// A handler that runs `words[0]` with the rest as arguments.
pub fn handler(words: Vec<String>, max_body: usize) -> Handler {
    let words = Arc::new(words);
    Arc::new(move |job| Box::pin(carry_out(Arc::clone(&words), max_body, job)))
}

async fn carry_out(words: Arc<Vec<String>>, max_body: usize, job: Job) -> Outcome {
    let Some((program, arguments)) = words.split_first() else {
        return failed(500, false, "there is no program to run");
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("TURNO_SERVICE", &job.service)
        .env(
            "TURNO_REQUEST_ID",
            String::from_utf8_lossy(&job.id).as_ref(),
        )
        .env("TURNO_ATTEMPT", job.attempt.to_string())
        .env("TURNO_TIME_LEFT_MS", job.time_left.as_millis().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A group of its own: a Ctrl-C that ends the worker lets it finish what it has.
    let (child, mut group) = match Group::start(&mut command) {
        Ok(started) => started,
        Err(error) => return failed(500, true, &format!("cannot start {program:?}: {error}")),
    };
    match tokio::time::timeout(job.time_left, converse(child, job.body, max_body)).await {
        Ok(outcome) => {
            group.let_go();
            outcome
        }
        // The group ends here with all it has started; the client has been told by the broker.
        Err(_) => failed(504, false, "the program took longer than the client waits"),
    }
}

async fn converse(mut child: Child, body: Vec<Bytes>, max_body: usize) -> Outcome {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            for frame in &body {
                // A program that does not read all of it may be right.
                if stdin.write_all(frame).await.is_err() {
                    break;
                }
            }
        }
    };
    let (_, answer, reason, status) = tokio::join!(
        write,
        read(stdout, max_body),
        read(stderr, MAX_REASON),
        child.wait()
    );
    let status = match status {
        Ok(status) => status,
        Err(error) => return failed(500, true, &error.to_string()),
    };
    if status.success() {
        return match answer {
            Some(answer) => Outcome::Done(vec![answer]),
            None => failed(500, false, "the program answered more than is allowed"),
        };
    }
    let text = reason.map(|it| String::from_utf8_lossy(&it).trim().to_owned());
    let text = text.filter(|it| !it.is_empty());
    let text = text.unwrap_or_else(|| format!("the program ended with {status}"));
    // Without a code it was killed: another worker may fare better.
    let again = status.code().is_none_or(|code| code == TRY_AGAIN);
    failed(500, again, &text)
}

/// Everything a program writes to one stream; `None` if that is more than `max` bytes, which are read all the same.
async fn read(stream: Option<impl AsyncRead + Unpin>, max: usize) -> Option<Bytes> {
    let mut stream = stream?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    let read = (&mut stream).take(limit + 1).read_to_end(&mut bytes).await;
    if read.is_ok() && bytes.len() <= max {
        return Some(bytes.into());
    }
    // A full pipe would keep it from ending.
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    None
}

fn failed(code: u16, retryable: bool, text: &str) -> Outcome {
    Outcome::Failed {
        code,
        retryable,
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn run(script: &str, max_body: usize) -> Outcome {
        run_within(script, max_body, Duration::from_secs(5)).await
    }

    async fn run_within(script: &str, max_body: usize, time_left: Duration) -> Outcome {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        let job = Job {
            service: "echo".to_owned(),
            id: "id-1".into(),
            attempt: 2,
            time_left,
            trace: None,
            body: vec!["hello ".into(), "world".into()],
        };
        handler(words, max_body)(job).await
    }

    #[tokio::test]
    async fn the_exit_status_says_what_became_of_it() {
        for (script, want) in [
            ("cat", Outcome::Done(vec!["hello world".into()])),
            (
                "echo $TURNO_SERVICE $TURNO_REQUEST_ID $TURNO_ATTEMPT",
                Outcome::Done(vec!["echo id-1 2\n".into()]),
            ),
            ("echo no >&2; exit 1", failed(500, false, "no")),
            (
                "exit 75",
                failed(500, true, "the program ended with exit status: 75"),
            ),
            (
                "kill -9 $$",
                failed(500, true, "the program ended with signal: 9 (SIGKILL)"),
            ),
            (
                "seq 1000",
                failed(500, false, "the program answered more than is allowed"),
            ),
        ] {
            assert_eq!(run(script, 100).await, want, "{script}");
        }
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_all_it_has_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let noted = folder.path().join("child");
        let hangs = format!("sleep 60 & echo $! > {}; wait", noted.display());
        // A busy machine may need longer until the child is there.
        let mut child = None;
        for limit in [200, 1_000, 10_000].map(Duration::from_millis) {
            let outcome = run_within(&hangs, 100, limit).await;
            let text = "the program took longer than the client waits";
            assert_eq!(outcome, failed(504, false, text));
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
    async fn a_program_that_is_not_there_may_be_elsewhere() {
        let words = vec!["/nonexistent/program".to_owned()];
        let job = Job {
            service: String::new(),
            id: Bytes::new(),
            attempt: 1,
            time_left: Duration::from_secs(5),
            trace: None,
            body: Vec::new(),
        };
        let outcome = handler(words, 100)(job).await;
        assert!(
            matches!(
                outcome,
                Outcome::Failed {
                    retryable: true,
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
}
