//! `turno mq broker --data-dir`: killed under load, and with a disk that is full. What was acknowledged is answered
//! afterwards; what runs twice ran once before a kill and once after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use broker::{
    core::message::Frames,
    dialect::{
        AskHeaders,
        zwp::{Answer, Ask, Order, Report},
    },
    zsock::{Dealer, DealerEvent},
};
use bytes::Bytes;
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tokio::time::timeout;

use super::harness::{PATIENCE, Turno, command, get};

/// How often it is killed; set it higher for a longer look.
const ROUNDS_VARIABLE: &str = "QUEUE_ROUNDS";
const ROUNDS: u32 = 4;
/// Requests of a client that wait for their answers at once.
const WINDOW: usize = 64;
const MAX_BODY: usize = 1024 * 1024;

fn start(folder: &Path) -> (Turno, String) {
    let mut command =
        command("mq broker --bind tcp://127.0.0.1:0 --no-worker-bind --no-register --data-dir");
    command.arg(folder);
    let mut turno = Turno::spawn(command);
    let address = turno.line("where it listens", |line| {
        let rest = line.strip_prefix("mq listening on ")?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    (turno, address)
}

async fn connect(address: &str) -> Dealer {
    let mut dealer = Dealer::connect(address, MAX_BODY).await.expect("a socket");
    let up = async { while !matches!(dealer.event().await, Ok(DealerEvent::Up)) {} };
    timeout(PATIENCE, up).await.expect("the broker listens");
    dealer
}

/// What all know of what happened.
#[derive(Debug, Default)]
struct Story {
    asked: u32,
    /// Acknowledged.
    promised: BTreeSet<Bytes>,
    answered: BTreeSet<Bytes>,
    /// In which rounds a worker had it.
    runs: BTreeMap<Bytes, Vec<u32>>,
}

type Shared = Arc<Mutex<Story>>;

fn told(story: &Shared) -> std::sync::MutexGuard<'_, Story> {
    story.lock().expect("no panic")
}

fn ask(id: &Bytes, body: Bytes) -> Frames {
    let headers = AskHeaders {
        timeout_ms: Some(600_000),
        ack: true,
        ..AskHeaders::default()
    };
    Ask::Request {
        service: Bytes::from_static(b"up"),
        id: id.clone(),
        headers,
        body: vec![body],
    }
    .write()
}

/// Serves until its broker is gone.
async fn work(address: String, story: Shared, round: u32) {
    let mut dealer = connect(&address).await;
    let offer = Report::Ready {
        capacity: 4,
        services: vec![Bytes::from_static(b"up")],
    };
    dealer.try_send(offer.write()).expect("it is connected");
    while let Ok(event) = dealer.event().await {
        let DealerEvent::Message(frames) = event else {
            break;
        };
        if let Ok(Order::Request {
            delivery, id, body, ..
        }) = Order::read(frames)
        {
            told(&story).runs.entry(id).or_default().push(round);
            tokio::time::sleep(Duration::from_millis(2)).await;
            // It may be gone by now.
            let _ = dealer.try_send(Report::Final(delivery, body).write());
        }
    }
}

/// Asks until its broker is gone.
async fn demand(address: String, story: Shared) {
    let mut dealer = connect(&address).await;
    let mut under_way = 0;
    loop {
        while under_way < WINDOW {
            let mut story = told(&story);
            story.asked += 1;
            let id = Bytes::from(format!("r{}", story.asked));
            if dealer.try_send(ask(&id, id.clone())).is_err() {
                return;
            }
            under_way += 1;
        }
        let Ok(DealerEvent::Message(frames)) = dealer.event().await else {
            return;
        };
        match Answer::read(frames).expect("an answer") {
            Answer::Accepted { id } => {
                told(&story).promised.insert(id);
            }
            Answer::Final { id, body } => {
                assert_eq!(body.concat(), *id, "its own answer");
                under_way -= 1;
                told(&story).answered.insert(id);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Asks for each of these again, and returns the answers that are not as they should be.
async fn ask_again(address: &str, ids: &BTreeSet<Bytes>) -> Vec<String> {
    let mut dealer = connect(address).await;
    let mut wrong = Vec::new();
    for id in ids {
        dealer.try_send(ask(id, id.clone())).expect("connected");
        loop {
            let event = timeout(PATIENCE, dealer.event()).await;
            let Ok(DealerEvent::Message(frames)) = event.expect("an answer in time") else {
                panic!("the broker is gone");
            };
            match Answer::read(frames).expect("an answer") {
                Answer::Accepted { .. } => {}
                Answer::Final { id: of, body } if of == *id && body == [id.clone()] => break,
                other => {
                    wrong.push(format!("{id:?}: {other:?}"));
                    break;
                }
            }
        }
    }
    wrong
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect(what);
}

#[tokio::test]
async fn what_was_acknowledged_is_answered_though_the_broker_is_killed_under_load() {
    let rounds = std::env::var(ROUNDS_VARIABLE).ok();
    let rounds = rounds.and_then(|it| it.parse().ok()).unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().expect("a folder");
    let story = Shared::default();
    for round in 0..rounds {
        let (mut broker, address) = start(folder.path());
        let enough = told(&story).promised.len() + 150;
        let worker = tokio::spawn(work(address.clone(), story.clone(), round));
        let client = tokio::spawn(demand(address, story.clone()));
        until("enough acknowledged", || {
            told(&story).promised.len() >= enough
        })
        .await;
        broker.signal(Signal::KILL);
        broker.ended();
        worker.await.expect("no panic");
        client.await.expect("no panic");
    }
    let (mut broker, address) = start(folder.path());
    let worker = tokio::spawn(work(address.clone(), story.clone(), rounds));
    until("everything acknowledged to have run", || {
        let story = told(&story);
        story.promised.iter().all(|id| story.runs.contains_key(id))
    })
    .await;
    let promised = told(&story).promised.clone();
    assert_eq!(ask_again(&address, &promised).await, Vec::<String>::new());
    let wrong: Vec<_> = {
        let story = told(&story);
        let unordered = |runs: &&Vec<u32>| !runs.is_sorted_by(|a, b| a < b);
        story.runs.values().filter(unordered).cloned().collect()
    };
    assert_eq!(
        wrong,
        Vec::<Vec<u32>>::new(),
        "twice without a kill between"
    );
    {
        let story = told(&story);
        let twice = story.runs.values().filter(|it| it.len() > 1).count();
        let (promised, answered) = (story.promised.len(), story.answered.len());
        eprintln!(
            "{rounds} kills: {promised} acknowledged, 0 lost, {answered} answered before a kill, {twice} run twice"
        );
    }
    broker.stop();
    worker.await.expect("no panic");
}

#[tokio::test]
async fn a_full_disk_is_an_error_to_the_sender_and_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut broker, address) = start(folder.path());
    let limit = |bytes: Option<u64>| {
        let limits = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(broker.pid()), Resource::Fsize, limits).expect("a child's limits can be set");
    };
    limit(Some(32 * 1024));
    let mut dealer = connect(&address).await;
    let mut answer_to = async |n: u32| {
        let id = Bytes::from(format!("r{n}"));
        let message = ask(&id, Bytes::from(vec![b'x'; 1000]));
        dealer.try_send(message).expect("connected");
        let event = timeout(PATIENCE, dealer.event()).await;
        let Ok(DealerEvent::Message(frames)) = event.expect("an answer in time") else {
            panic!("the broker is gone");
        };
        Answer::read(frames).expect("an answer")
    };
    let mut promised = 0;
    loop {
        match answer_to(promised).await {
            Answer::Accepted { .. } => promised += 1,
            Answer::Error { code, text, .. } => {
                let text = String::from_utf8_lossy(&text).into_owned();
                assert_eq!(code, 507);
                assert!(
                    text.contains("cannot be kept") && text.contains("log-1"),
                    "{text}"
                );
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(promised > 10, "{promised}");
    limit(None);
    let after = answer_to(promised).await;
    assert!(matches!(after, Answer::Accepted { .. }), "{after:?}");
    broker.signal(Signal::KILL);
    broker.ended();
    let (mut broker, address) = start(folder.path());
    let story = Shared::default();
    let worker = tokio::spawn(work(address, story.clone(), 0));
    let all = promised as usize + 1;
    until("all of them to run", || told(&story).runs.len() == all).await;
    broker.stop();
    worker.await.expect("no panic");
}

#[test]
fn a_damaged_folder_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut broker, _) = start(folder.path());
    broker.stop();
    let state = std::fs::read_dir(folder.path())
        .expect("a folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains("state-"))
        .expect("a state");
    let mut bytes = std::fs::read(&state).expect("a file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&state, bytes).expect("a damaged file");
    let line = format!(
        "mq broker --bind tcp://127.0.0.1:0 --no-worker-bind --no-register --data-dir {}",
        folder.path().display()
    );
    let refused = super::harness::ends(&line);
    assert_eq!(refused.code, Some(1));
    let name = state.display().to_string();
    assert!(refused.stderr.contains(&name), "{refused:?}");
    assert!(refused.stderr.contains("is damaged at byte"), "{refused:?}");
}

#[tokio::test]
async fn a_broker_tells_how_it_is() {
    let mut broker = Turno::start(
        "mq broker --bind tcp://127.0.0.1:0 --no-worker-bind --no-register --admin 127.0.0.1:0",
    );
    let address = broker.line("where it listens", |line| {
        let rest = line.strip_prefix("mq listening on ")?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    let admin = broker.address("mq admin on");
    let story = Shared::default();
    let worker = tokio::spawn(work(address.clone(), story.clone(), 0));
    let ids = BTreeSet::from([Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
    assert_eq!(ask_again(&address, &ids).await, Vec::<String>::new());
    let page = |path: &'static str| async move {
        let got = tokio::task::spawn_blocking(move || get(admin, path)).await;
        got.expect("no panic").expect("an answer")
    };
    let (status, metrics) = page("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"turno_mq_requests_total{outcome="answered"} 2"#,
        "turno_mq_attempts_total 2",
        r#"turno_mq_queue_length{service="up"} 0"#,
        r#"turno_mq_workers{service="up"} 1"#,
        "turno_mq_latency_seconds_count 2",
    ] {
        assert!(
            metrics.lines().any(|it| it.trim() == line),
            "{line}\n{metrics}"
        );
    }
    let (status, view) = page("/v1/broker").await;
    assert_eq!(status, 200);
    assert!(view.contains(r#""name":"up","queued":0"#), "{view}");
    let (status, html) = page("/").await;
    assert_eq!(status, 200);
    assert!(html.contains("<title>turno mq</title>"), "{html}");
    let top = super::harness::ends(&format!("mq top --admin {admin} --once"));
    assert_eq!(top.code, Some(0), "{top:?}");
    assert!(top.stdout.contains("2 answered, 0 failed"), "{top:?}");
    assert!(
        top.stdout.lines().any(|it| it.starts_with("up ")),
        "{top:?}"
    );
    broker.stop();
    worker.await.expect("no panic");
}
