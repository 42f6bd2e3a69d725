//! What was kept comes back, whatever happened to the process in between.

use std::time::{Duration, Instant};

use super::*;
use crate::core::message::{ClientKey, Refusal, RequestName, Retry};

const LIMIT: Duration = Duration::from_secs(20);

/// Some have a key.
fn name(number: u64) -> RequestName {
    RequestName {
        key: number.is_multiple_of(2).then_some(ClientKey([9; 32])),
        id: Bytes::from(format!("id-{number}")),
    }
}

fn request(number: u64) -> KeptRequest {
    KeptRequest {
        number,
        name: name(number),
        service: "up".into(),
        deadline: Instant::now() + Duration::from_secs(60),
        retry: if number == 2 {
            Retry::Never
        } else {
            Retry::Safe
        },
        trace: Some("00-trace".into()),
        body: vec![Bytes::from(vec![7; 100]), Bytes::new()],
    }
}

fn answer(number: u64) -> KeptAnswer {
    let refusal = Refusal {
        code: 422,
        text: Bytes::from_static(b"no"),
        retry_after: None,
        maybe_executed: true,
    };
    KeptAnswer {
        name: name(number),
        check_sum: 9,
        result: match number {
            3 => Err(refusal),
            _ => Ok(vec![Bytes::from_static(b"done")]),
        },
        at: Instant::now(),
    }
}

fn open(path: &Path) -> (Disk, Found) {
    Disk::open(path, &Limits::default()).expect("it can be opened")
}

/// Waits until these are on disk.
async fn kept(disk: &mut Disk, mut numbers: Vec<u64>) {
    while !numbers.is_empty() {
        let outcome = tokio::time::timeout(LIMIT, disk.outcome()).await;
        let outcome = outcome.expect("in time");
        assert_eq!(outcome.error, None);
        numbers.retain(|it| !outcome.numbers.contains(it));
    }
}

/// What is in the folder at this moment, as a killed process would leave it.
fn as_killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    copy
}

fn check(found: &Found) {
    let numbers: Vec<u64> = found.requests.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [2, 4]);
    let second = &found.requests[0];
    assert_eq!(
        KeptRequest {
            deadline: second.deadline,
            ..request(2)
        },
        *second
    );
    let left = second.deadline.saturating_duration_since(Instant::now());
    assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(61));
    let results: Vec<_> = found.answers.iter().map(|it| it.result.clone()).collect();
    assert_eq!(results, [answer(1).result, answer(3).result]);
    let names: Vec<_> = found.answers.iter().map(|it| it.name.clone()).collect();
    assert_eq!(names, [name(1), name(3)]);
}

#[tokio::test]
async fn requests_and_answers_come_back_after_a_kill_and_after_a_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut disk, found) = open(folder.path());
    assert!(found.requests.is_empty() && found.answers.is_empty());
    for number in 1..=4 {
        disk.keep(request(number));
    }
    kept(&mut disk, vec![1, 2, 3, 4]).await;
    disk.release(1, Some(answer(1)));
    disk.release(3, Some(answer(3)));
    disk.keep(request(5));
    disk.release(5, None);
    kept(&mut disk, vec![5]).await;
    disk.keep(request(6));
    kept(&mut disk, vec![6]).await; // so that what stood before it is there as well
    disk.release(6, None);
    let killed = as_killed(folder.path());
    disk.close();
    let (_disk, found) = open(folder.path());
    check(&found);
    let (_disk, mut found) = open(killed.path());
    found.requests.retain(|it| it.number != 6); // it may have been on its way
    check(&found);
}

#[tokio::test]
async fn a_damaged_file_is_named_and_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut disk, _) = open(folder.path());
    disk.keep(request(1));
    kept(&mut disk, vec![1]).await;
    let in_use = Disk::open(folder.path(), &Limits::default()).expect_err("it is in use");
    assert!(in_use.to_string().contains("in use"), "{in_use}");
    let killed = as_killed(folder.path());
    let log = killed.path().join("log-1");
    let mut bytes = std::fs::read(&log).expect("the log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).expect("a damaged log");
    let error = Disk::open(killed.path(), &Limits::default()).expect_err("damaged");
    assert!(error.to_string().contains("log-1 is damaged"), "{error}");
}
