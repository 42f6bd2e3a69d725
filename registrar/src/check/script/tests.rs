//! Real programs: what their exit means, what is kept of their output, and that none outlives its check.

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

async fn shell(text: &str, limit: Duration) -> Outcome {
    check(&["sh", "-c", text].map(String::from), limit, 4096).await
}

#[tokio::test]
async fn the_exit_status_decides_and_both_outputs_are_kept_in_order() {
    let table = [
        ("echo fine", Status::Passing, "fine\n"),
        (
            "echo a; echo b >&2; echo c; exit 1",
            Status::Warning,
            "a\nb\nc\n",
        ),
        ("echo bad; exit 2", Status::Critical, "bad\n"),
        ("exit 255", Status::Critical, ""),
        ("kill -9 $$", Status::Critical, ""),
        ("exec >&- 2>&-; exit 1", Status::Warning, ""),
    ];
    for (text, status, output) in table {
        let outcome = shell(text, LIMIT).await;
        assert_eq!(
            (outcome.status, &*outcome.output),
            (status, output),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_long_output_is_cut_to_its_end() {
    let outcome = check(
        &["sh", "-c", "printf 0123456789"].map(String::from),
        LIMIT,
        4,
    )
    .await;
    assert_eq!(outcome.output, "Captured 4 of 10 bytes\n...\n6789");
    let outcome = shell("yes | head -c 3000000", LIMIT).await;
    assert_eq!(outcome.status, Status::Passing);
    let head = "Captured 4096 of 3000000 bytes\n...\n";
    assert!(
        outcome.output.starts_with(head),
        "{}",
        &outcome.output[..64]
    );
    assert_eq!(outcome.output.len(), head.len() + 4096);
}

#[tokio::test]
async fn what_cannot_be_started_is_critical_and_named() {
    let table: [(&[&str], &str); 3] = [
        (&[], "exec: \"\": no program is named"),
        (
            &["/nowhere"],
            "fork/exec /nowhere: no such file or directory",
        ),
        (
            &["turno-no-such-program", "x"],
            "exec: \"turno-no-such-program\": executable file not found in $PATH",
        ),
    ];
    for (args, text) in table {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let outcome = check(&args, LIMIT, 4096).await;
        assert_eq!(outcome, Outcome::critical(text), "{args:?}");
    }
}

/// Whether a process with this number is there and is not a zombie.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}

async fn gone(pid: &str) {
    let waiting = async {
        while lives(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, waiting)
        .await
        .expect("the process is killed");
}

/// The number that a script wrote to a file, once it has.
async fn written(file: &std::path::Path) -> String {
    let waiting = async {
        loop {
            match std::fs::read_to_string(file) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(LIMIT, waiting).await.expect("the script runs")
}

#[tokio::test]
async fn when_the_time_is_up_the_whole_group_is_killed() {
    let outcome = shell("sleep 1000 & echo $!; wait", Duration::from_millis(300)).await;
    assert_eq!(outcome.status, Status::Critical);
    let (head, pid) = outcome
        .output
        .split_once("\n\n")
        .expect("a text and output");
    assert_eq!(head, "Timed out (300ms) running check");
    gone(pid.trim()).await;
}

#[tokio::test]
async fn a_run_that_is_given_up_leaves_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pid");
    let text = format!("sleep 1000 & echo $! > '{}'; wait", file.display());
    let pid = tokio::select! {
        outcome = shell(&text, Duration::from_secs(1000)) => panic!("{outcome:?}"),
        pid = written(&file) => pid,
    };
    gone(&pid).await;
}

#[tokio::test]
async fn a_child_that_is_left_behind_neither_delays_the_result_nor_stays() {
    let outcome = shell("sleep 1000 & echo $!", LIMIT).await;
    assert_eq!(outcome.status, Status::Passing);
    gone(outcome.output.trim()).await;
}

#[test]
fn only_names_of_units_are_asked_for() {
    for name in ["nginx", "nginx.service", "getty@tty1.service", "a\\x2db"] {
        assert!(is_unit_name(name), "{name}");
    }
    let long = "x".repeat(256);
    for name in ["", "-H", "--host=x", "a b", "a;b", "../x", "a\nb", &long] {
        assert!(!is_unit_name(name), "{name}");
    }
}

#[test]
fn the_state_of_a_unit_decides() {
    let table = [
        (Some(0), "active", Status::Passing),
        (Some(3), "activating", Status::Warning),
        (Some(3), "inactive", Status::Critical),
        (Some(3), "failed", Status::Critical),
        (Some(4), "unknown", Status::Critical),
        (None, "", Status::Critical),
    ];
    for (code, said, status) in table {
        let outcome = judge_unit("nginx", code, said);
        assert_eq!(outcome.status, status, "{said}");
        assert!(outcome.output.contains("\"nginx\""), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_critical() {
    // With systemd, without it, and without its programs.
    for name in ["turno-no-such-unit.service", "not a name"] {
        let outcome = os_service(name, LIMIT).await;
        assert_eq!(outcome.status, Status::Critical, "{outcome:?}");
    }
}

#[test]
fn time_is_shown_as_consul_shows_it() {
    let table = [
        (500, "500ms"),
        (1500, "1.5s"),
        (30_000, "30s"),
        (90_000, "1m30s"),
    ];
    for (milliseconds, text) in table {
        assert_eq!(duration(Duration::from_millis(milliseconds)), text);
    }
}
