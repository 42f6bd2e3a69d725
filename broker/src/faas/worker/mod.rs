//! A worker of the FaaS: asks the broker for a queue, and does that queue's jobs one at a time.
//!
//! On the wire it is a REQ socket: it speaks, then waits to be spoken to. When its queue is gone it asks for another. What a
//! function does is its handler's business.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Address, DEFAULT_FUNCTION, Error, check_name,
    message::{Answer, Job, Note, json_of},
};
use crate::{
    worker::{Handler, Job as Task, Outcome},
    zsock::{Dealer, DealerEvent, check_address},
};

/// A broker or a queue that cannot be reached within this time is not waited for.
const REACH: Duration = Duration::from_secs(1);
/// Queues ping idle workers every 4 s; one that has been silent for so long is gone.
const SILENT: Duration = Duration::from_secs(15);
/// The shortest wait before a broker is asked for another queue; some more by chance.
const PAUSE_MS: std::ops::Range<u64> = 20..150;

/// What a worker is started with.
#[derive(Clone)]
pub struct Config {
    /// Where to ask for a queue: the broker's ROUTER.
    pub broker: Address,
    /// The functions it has.
    pub functions: Vec<String>,
    /// What carries them out.
    pub handler: Handler,
    /// Largest body, in bytes.
    pub max_body: usize,
    /// How long it finishes what it does when it is to stop.
    pub drain: Duration,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Config");
        shown
            .field("functions", &self.functions)
            .finish_non_exhaustive()
    }
}

/// Works until `stop`.
///
/// # Errors
/// If a function's name cannot be one, or the broker's address not be understood.
pub async fn run(mut config: Config, stop: CancellationToken) -> Result<(), Error> {
    for function in &config.functions {
        check_name(function)?;
    }
    while !stop.is_cancelled() {
        let queue = tokio::select! {
            queue = ask(&mut config) => queue?,
            () = stop.cancelled() => break,
        };
        if let Some(queue) = queue {
            info!(%queue, functions = ?config.functions, "joining the queue");
            if serve(&config, &queue, &stop).await? {
                break;
            }
            warn!(%queue, "the queue is gone");
        }
        tokio::select! {
            () = sleep(Duration::from_millis(fastrand::u64(PAUSE_MS))) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Asks the broker which queue to join. `None` if it is gone before it answers.
async fn ask(config: &mut Config) -> Result<Option<String>, Error> {
    let known = config.broker.wait_for(Option::is_some).await;
    let Some(address) = known.ok().and_then(|it| it.clone()) else {
        // Nobody will tell of a broker any more.
        return std::future::pending().await;
    };
    let mut dealer = Dealer::connect(&address, config.max_body).await?;
    let mut queue = None;
    let mut up = false;
    loop {
        // One that is connected may keep us waiting until there is a queue.
        let event = tokio::select! {
            event = dealer.event() => event?,
            () = sleep(REACH), if !up => break,
            () = super::moved(&mut config.broker) => break,
        };
        match event {
            DealerEvent::Up => {
                up = true;
                say(&dealer, &Note::of("request_queue_ip"));
            }
            DealerEvent::Message(frames) => {
                let note = frames.last().and_then(|frame| Note::read(frame));
                queue = note.and_then(|note| note.queue_ip);
                queue = queue.filter(|address| check_address(address).is_ok());
                break;
            }
            DealerEvent::Down => break,
        }
    }
    dealer.close().await;
    Ok(queue)
}

/// Does a queue's jobs. Returns whether that ended because of `stop`.
async fn serve(config: &Config, queue: &str, stop: &CancellationToken) -> Result<bool, Error> {
    let mut dealer = Dealer::connect(queue, config.max_body).await?;
    let stopped = loop {
        let patience = if dealer.is_up() { SILENT } else { REACH };
        let event = tokio::select! {
            event = timeout(patience, dealer.event()) => event,
            () = stop.cancelled() => break true,
        };
        let Ok(event) = event else { break false };
        match event? {
            DealerEvent::Up => {
                let only_usual = config.functions.iter().all(|it| it == DEFAULT_FUNCTION);
                let note = Note {
                    functions: (!only_usual).then(|| config.functions.clone()),
                    ..Note::of("new")
                };
                say(&dealer, &note);
            }
            DealerEvent::Down => break false,
            DealerEvent::Message(frames) => {
                let note = frames.last().and_then(|frame| Note::read(frame));
                let note = note.unwrap_or_default();
                let is_job = note.kind() == "request_job";
                match note.into_job().filter(|_| is_job) {
                    Some(job) => {
                        if let Some(stopped) = work(config, &mut dealer, job, stop).await? {
                            break stopped;
                        }
                    }
                    // Whatever it was, a REQ socket has to say something before it can be told more.
                    None => say(&dealer, &Note::of("heartbeat")),
                }
            }
        }
    };
    dealer.close().await;
    Ok(stopped)
}

/// Does one job. If that is the last one here, tells whether because of `stop`.
async fn work(
    config: &Config,
    dealer: &mut Dealer,
    job: Job,
    stop: &CancellationToken,
) -> Result<Option<bool>, Error> {
    let id = job.id.clone();
    let done = (config.handler)(task(job));
    tokio::pin!(done);
    let mut give_up = Instant::now() + config.drain;
    let mut stopping = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut done => break outcome,
            event = dealer.event() => match event? {
                // The queue gives it to another.
                DealerEvent::Down => return Ok(Some(false)),
                DealerEvent::Up | DealerEvent::Message(_) => debug!("spoken to out of turn"),
            },
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                give_up = Instant::now() + config.drain;
            }
            () = tokio::time::sleep_until(give_up.into()), if stopping => return Ok(Some(true)),
        }
    };
    say(dealer, &answer(id, outcome));
    Ok(stop.is_cancelled().then_some(true))
}

fn task(job: Job) -> Task {
    Task {
        service: job.function,
        id: Bytes::from(job.id),
        attempt: 1,
        time_left: Duration::from_millis(job.timeout_ms.unwrap_or(0)),
        trace: None,
        body: vec![Bytes::copy_from_slice(job.message.get().as_bytes())],
    }
}

fn answer(id: String, outcome: Outcome) -> Note {
    match outcome {
        Outcome::Done(body) => Answer {
            id,
            message: json_of(&body.concat()),
            code: None,
            queue: None,
        }
        .note(),
        Outcome::Failed {
            code,
            retryable,
            text,
        } => Note {
            retry: retryable.then_some(true),
            ..Answer::error(&id, code, &text).note()
        },
    }
}

/// As a REQ socket would.
fn say(dealer: &Dealer, note: &Note) {
    if let Err(error) = dealer.try_send(vec![Bytes::new(), note.write()]) {
        debug!(%error, "not sent: the connection is gone");
    }
}
