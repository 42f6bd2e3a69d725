//! The front end of the FaaS: HTTP on one side, the broker on the other.
//!
//! A request is kept until it is answered or its time is over; whatever breaks between here and the broker, it is sent again.
//! It must not know where broker and coordinator are found.

mod http;
pub(super) mod waiting;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, watch},
    time::interval,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::{
    http::{Handed, Pages},
    waiting::Waiting,
};
use super::{
    Address, Error, TICK,
    message::{DATA, Job, Note, Offer, QueueStatus},
    moved,
};
use crate::zsock::{Pipe, PipeEvent};

/// Requests handed over and not yet taken: they are taken at once.
const HANDED_OVER: usize = 64;
/// Connections for each request that may wait: those that are idle, or ask for a page.
const CONNECTIONS_PER_REQUEST: usize = 2;

/// What a front end takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests that wait for their answer; the next gets 429.
    pub backlog: usize,
    /// Largest body, in bytes; a larger one gets 413.
    pub max_body: usize,
    /// How long a request waits for its answer; then it gets 504.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            backlog: 1_000,
            max_body: 1024 * 1024,
            timeout: http::TIMEOUT,
        }
    }
}

/// What a front end is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where brokers send answers: PULL.
    pub answers: String,
    /// Where the broker takes requests.
    pub broker: Address,
    /// Where the coordinator tells of queues. There need not be one.
    pub coordinator: Address,
    /// What it takes.
    pub limits: Limits,
}

/// The functions there are, as the coordinator told last.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Overview {
    functions: BTreeMap<String, Offer>,
    queues: Vec<String>,
    /// Whether the coordinator can be heard; otherwise this is how it was.
    current: bool,
}

impl Overview {
    fn of(queues: &[QueueStatus]) -> Self {
        let mut functions: BTreeMap<String, Offer> = BTreeMap::new();
        for queue in queues {
            let usual = [(super::DEFAULT_FUNCTION.to_owned(), Offer::default())];
            let names = queue.offers.clone().unwrap_or_else(|| usual.into());
            for name in names.into_keys() {
                let offer = queue.offer(&name);
                let all = functions.entry(name).or_default();
                all.workers += offer.workers;
                all.free += offer.free;
            }
        }
        Self {
            functions,
            queues: queues.iter().map(|it| it.queue_name.clone()).collect(),
            current: true,
        }
    }

    /// Whether it is known that no worker has this function.
    fn lacks(&self, function: &str) -> bool {
        self.current
            && self
                .functions
                .get(function)
                .is_none_or(|it| it.workers == 0)
    }
}

/// A front end that can be answered, and can be asked once it runs.
#[derive(Debug)]
pub struct Front {
    answers: Pipe,
    broker: Address,
    to_broker: Option<Pipe>,
    coordinator: Address,
    from_coordinator: Option<Pipe>,
    limits: Limits,
    advertised: String,
    waiting: Waiting,
    overview: watch::Sender<Overview>,
}

impl Front {
    /// Listens for answers. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be understood or listened on.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let answers = Pipe::pull(&config.answers, config.limits.max_body).await?;
        Ok(Self {
            advertised: answers.bound().to_owned(),
            answers,
            broker: config.broker,
            to_broker: None,
            coordinator: config.coordinator,
            from_coordinator: None,
            limits: config.limits,
            waiting: Waiting::default(),
            overview: watch::channel(Overview::default()).0,
        })
    }

    /// Where brokers send answers.
    pub fn answers(&self) -> &str {
        self.answers.bound()
    }

    /// Where brokers reach it, if that is not where it listens.
    pub fn advertise(&mut self, address: String) {
        self.advertised = address;
    }

    /// Serves HTTP on `listener` until `stop`; then requests under way have their time to finish.
    ///
    /// # Errors
    /// If a socket fails.
    pub async fn run(
        mut self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let (requests, handed) = mpsc::channel(HANDED_OVER);
        let pages = Pages {
            limits: self.limits.clone(),
            room: Arc::new(Semaphore::new(self.limits.backlog)),
            requests,
            overview: self.overview.subscribe(),
            answers: self.advertised.clone(),
        };
        let limits = daemon::http::Limits {
            connections: self.limits.backlog * CONNECTIONS_PER_REQUEST + HANDED_OVER,
            body_bytes: self.limits.max_body,
            drain: self.limits.timeout,
            ..daemon::http::Limits::default()
        };
        let handler = move |request, _| pages.clone().serve(request);
        let serve = daemon::http::serve(listener, limits, handler, stop);
        tokio::select! {
            // Requests under way still need the sockets.
            () = serve => {}
            failed = self.turn(handed) => failed?,
        }
        self.answers.close().await;
        if let Some(pipe) = self.to_broker {
            pipe.close().await;
        }
        Ok(())
    }

    async fn turn(&mut self, mut handed: mpsc::Receiver<Handed>) -> Result<(), Error> {
        self.join_broker().await?;
        self.join_coordinator().await?;
        let mut up = false;
        let mut ticks = interval(TICK);
        loop {
            tokio::select! {
                Some((job, answer)) = handed.recv() => self.waiting.insert(job, answer),
                event = self.answers.event() => match event? {
                    PipeEvent::Message(frames) => self.answered(&frames),
                    // Answers may have been lost with the connection; or there was none to send them by.
                    PipeEvent::Up(_) | PipeEvent::Down(..) => self.waiting.doubt(),
                    _ => continue,
                },
                event = event_of(&mut self.to_broker) => match event? {
                    PipeEvent::Up(_) => {
                        info!("the broker is there");
                        up = true;
                    }
                    PipeEvent::Down(..) => {
                        warn!("the broker is gone: what is not answered is asked again");
                        up = false;
                        self.waiting.doubt();
                        self.join_broker().await?;
                    }
                    _ => continue,
                },
                event = event_of(&mut self.from_coordinator) => {
                    self.on_coordinator(event?);
                    continue;
                }
                () = moved(&mut self.broker) => {
                    up = false;
                    self.waiting.doubt();
                    self.join_broker().await?;
                }
                () = moved(&mut self.coordinator) => self.join_coordinator().await?,
                _ = ticks.tick() => {}
            }
            if up && let Some(pipe) = &self.to_broker {
                self.waiting.send(|job| sent(pipe, job));
            }
        }
    }

    fn answered(&mut self, frames: &[Bytes]) {
        let note = frames.last().and_then(|frame| Note::read(frame));
        match note.and_then(Note::into_answer) {
            Some(answer) => self.waiting.answered(answer),
            None => debug!("an answer makes no sense"),
        }
    }

    fn on_coordinator(&mut self, event: PipeEvent) {
        match event {
            PipeEvent::Message(frames) => {
                let note = frames.last().and_then(|frame| Note::read(frame));
                if let Some(queues) = note.and_then(|note| note.queues) {
                    self.overview.send_replace(Overview::of(&queues));
                }
            }
            PipeEvent::Down(..) => self.overview.send_modify(|it| it.current = false),
            _ => {}
        }
    }

    async fn join_broker(&mut self) -> Result<(), Error> {
        let address = self.broker.borrow_and_update().clone();
        self.to_broker = match address {
            Some(address) => Some(Pipe::push(&address, self.limits.max_body).await?),
            None => None,
        };
        Ok(())
    }

    async fn join_coordinator(&mut self) -> Result<(), Error> {
        let address = self.coordinator.borrow_and_update().clone();
        self.from_coordinator = match address {
            Some(address) => Some(Pipe::subscribe(&address, self.limits.max_body, DATA).await?),
            None => None,
        };
        Ok(())
    }
}

/// What happens at a socket, if there is one.
async fn event_of(pipe: &mut Option<Pipe>) -> Result<PipeEvent, crate::zsock::Error> {
    match pipe {
        Some(pipe) => pipe.event().await,
        None => std::future::pending().await,
    }
}

fn sent(pipe: &Pipe, job: &Job) -> bool {
    pipe.try_send(vec![job.note(None).write()]).is_ok()
}
