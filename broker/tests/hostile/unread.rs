//! Listeners that stay connected and never read what they are told: the others hear everything all the same, and those are let
//! go of.
//!
//! Nothing here waits for a time to pass: what is told goes on until the one who does not read must have been in the way.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use broker::{
    faas::{broker as functions, coordinator as queues},
    federation::coordinator as brokers,
    zsock::{Pipe, PipeEvent},
};
use bytes::Bytes;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{LIMIT, raw::Raw};

const ANY_PORT: &str = "tcp://127.0.0.1:0";
const MAX_BODY: usize = 1024 * 1024;
/// A message's size, so that there need not be many …
const LARGE: usize = 256 * 1024;
/// … and how many are far more than the kernel and a queue for one peer hold.
const MANY: usize = 200;
/// Asked again after so long where nothing says that a subscription has come.
const AGAIN: Duration = Duration::from_millis(50);

fn at(address: &str) -> SocketAddr {
    let address = address.trim_start_matches("tcp://");
    address.parse().expect("an address")
}

/// Somebody who subscribes, hears that it is connected, and then nothing more.
fn subscriber(address: &str, topic: &[u8]) -> Raw {
    let mut raw = Raw::peer(at(address), "SUB", b"");
    raw.send(&[&[b"\x01", topic].concat()]);
    raw
}

async fn next(pipe: &mut Pipe) -> PipeEvent {
    let event = timeout(LIMIT, pipe.event()).await;
    event
        .expect("nobody is in the way")
        .expect("the socket lives")
}

/// The next message in which this is said.
async fn hear(pipe: &mut Pipe, said: &str) {
    loop {
        if let PipeEvent::Message(frames) = next(pipe).await
            && let Some(body) = frames.last()
            && body.windows(said.len()).any(|it| it == said.as_bytes())
        {
            return;
        }
    }
}

/// A publisher who is heard.
async fn publisher(address: &str, name: &str) -> Pipe {
    let pipe = Pipe::publish_to(address, MAX_BODY, name).await;
    let mut pipe = pipe.expect("an address");
    while !matches!(next(&mut pipe).await, PipeEvent::Subscribed(..)) {}
    pipe
}

fn padded(text: &str) -> Bytes {
    Bytes::from(format!("{text}{}", " ".repeat(LARGE)))
}

/// A part in a thread of its own, until it is stopped.
struct Running {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Running {
    /// Starts it; it says where it listens.
    fn start<T: Send + 'static>(
        part: impl AsyncFnOnce(CancellationToken, Sender<T>) + Send + 'static,
    ) -> (Self, T) {
        let stop = CancellationToken::new();
        let (stopped, (tell, told)) = (stop.clone(), mpsc::channel());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(part(stopped, tell));
        });
        let told = told.recv_timeout(LIMIT).expect("it listens");
        (Self { stop, thread }, told)
    }

    fn end(self) {
        self.stop.cancel();
        self.thread.join().expect("it does not fail");
    }
}

#[tokio::test]
async fn at_the_coordinator_of_queues() {
    let (running, (inward, outward)) = Running::start(async |stop, tell| {
        let config = queues::Config {
            from_queues: ANY_PORT.to_owned(),
            to_queues: ANY_PORT.to_owned(),
            max_body: MAX_BODY,
        };
        let part = queues::Coordinator::bind(config).await.expect("ports");
        let ports = (part.from_queues().to_owned(), part.to_queues().to_owned());
        tell.send(ports).expect("the test waits");
        part.run(stop).await.expect("its sockets live");
    });
    let mut stuck = subscriber(&outward, b"DATA");
    assert_eq!(stuck.receive()[0], b"DATA", "it was heard");
    let mut listener = Pipe::subscribe(&outward, MAX_BODY, "DATA")
        .await
        .expect("an address");
    hear(&mut listener, "queue_status").await;
    let queue = publisher(&inward, "a").await;
    for number in 0..MANY {
        let id = format!(r#""id":"job {number}""#);
        let job = format!(r#"{{"type":"job","queue_from":"a","queue_to":"b",{id},"message":0}}"#);
        let sent = queue.try_send(vec![Bytes::from_static(b"DATA"), padded(&job)]);
        sent.expect("one message has room");
        hear(&mut listener, &id).await;
    }
    // Their numbers as well, and to whoever comes.
    let status = r#"{"type":"queue_status","queue_name":"a","num_workers":77}"#;
    let sent = queue.try_send(vec![
        Bytes::from_static(b"DATA"),
        Bytes::from_static(status.as_bytes()),
    ]);
    sent.expect("room");
    hear(&mut listener, r#""num_workers":77"#).await;
    let mut newcomer = subscriber(&outward, b"DATA");
    let told = String::from_utf8(newcomer.receive().remove(1)).expect("text");
    assert!(told.contains(r#""num_workers":77"#), "{told}");
    stuck.assert_dropped();
    running.end();
}

#[tokio::test]
async fn at_the_coordinator_of_brokers() {
    let (running, (inward, outward)) = Running::start(async |stop, tell| {
        let part = brokers::Coordinator::bind(ANY_PORT, ANY_PORT, None).await;
        let part = part.expect("ports");
        let ports = (part.inward().to_owned(), part.outward().to_owned());
        tell.send(ports).expect("the test waits");
        part.run(stop).await.expect("its sockets live");
    });
    let mut listener = Pipe::subscribe(&outward, MAX_BODY, "news")
        .await
        .expect("an address");
    let teller = publisher(&inward, "a").await;
    let stuck = subscriber(&outward, b"news");
    let news = |text: &str| vec![Bytes::from_static(b"news"), padded(text)];
    while timeout(AGAIN, hear(&mut listener, "<hello>"))
        .await
        .is_err()
    {
        teller.try_send(news("<hello>")).expect("room");
    }
    for number in 0..MANY {
        let said = format!("<{number}>");
        teller.try_send(news(&said)).expect("room");
        hear(&mut listener, &said).await;
    }
    stuck.assert_dropped();
    running.end();
}

#[tokio::test]
async fn among_the_queues_of_a_broker() {
    let (running, (requests, jobs)) = Running::start(async |stop, tell| {
        let config = functions::Config {
            requests: ANY_PORT.to_owned(),
            answers: ANY_PORT.to_owned(),
            jobs: ANY_PORT.to_owned(),
            workers: ANY_PORT.to_owned(),
            fronts: watch::channel(BTreeSet::new()).1,
            limits: functions::Limits::default(),
            max_body: MAX_BODY,
        };
        let part = functions::Broker::bind(config).await.expect("ports");
        let ports = (part.requests().to_owned(), part.jobs().to_owned());
        tell.send(ports).expect("the test waits");
        part.run(stop).await.expect("its sockets live");
    });
    let front = Pipe::push(&requests, MAX_BODY).await.expect("an address");
    let mut queue = Pipe::subscribe(&jobs, MAX_BODY, "reads")
        .await
        .expect("an address");
    let stuck = subscriber(&jobs, b"stuck");
    // They get jobs in turns, until one has no room: from then on the other gets all.
    let mut heard = BTreeSet::new();
    for number in 0..MANY {
        let job = format!(r#"{{"id":"{number}","message":"{}"}}"#, " ".repeat(LARGE));
        let sent = front.send(vec![Bytes::from(job)]).await;
        sent.expect("the socket lives");
        if number % 2 == 1 {
            heard.insert(job_of(&mut queue).await);
        }
    }
    while heard.len() <= MANY * 11 / 20 {
        heard.insert(job_of(&mut queue).await);
    }
    // What the other was given is not lost with it.
    drop(stuck);
    while heard.len() < MANY {
        heard.insert(job_of(&mut queue).await);
    }
    running.end();
}

/// What the next job says before its message.
async fn job_of(queue: &mut Pipe) -> Bytes {
    loop {
        if let PipeEvent::Message(mut frames) = next(queue).await
            && let Some(job) = frames.pop()
        {
            let end = job.windows(2).position(|it| it == b"\",");
            return job.slice(..end.expect("an id"));
        }
    }
}
