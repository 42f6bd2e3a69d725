//! The client's task: which request is with which broker, and where it goes when that broker is gone.
//!
//! It owns the connections and all requests under way.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};
use tracing::{debug, warn};

use super::{
    Brokers, Failure, Request,
    link::{Link, LinkEvent},
    new_id,
};
use crate::{
    core::message::Frames,
    dialect::zwp::{Answer, Ask, AskHeaders},
    zsock::{DealerEvent, curve::Pass},
};

/// Events of all connections on their way: the connections wait when it is full.
const EVENTS: usize = 1024;
/// How often requests without a broker, and those that are to wait, are looked at.
const PATROL: Duration = Duration::from_millis(20);
/// When a broker has left, its workers are on their way to others for so long: who finds nobody there asks again.
const MOVING: Duration = Duration::from_secs(3);
/// How soon.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// The longest a broker may have a request wait before it is sent again.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Times a request is sent again because a broker has nobody for it, or no room.
const MAX_REFUSALS: u32 = 50;

struct Pending {
    service: Bytes,
    body: Frames,
    timeout: Duration,
    deadline: Instant,
    /// The broker that has it.
    broker: Option<String>,
    /// Not before then, if a broker asked to wait.
    not_before: Instant,
    refusals: u32,
    answer: oneshot::Sender<Result<Frames, Failure>>,
}

pub(super) struct Task {
    brokers: Brokers,
    max_body: usize,
    pass: Option<Pass>,
    links: BTreeMap<String, Link>,
    pending: HashMap<Bytes, Pending>,
    turn: usize,
    /// When a broker was last seen to leave.
    left: Option<Instant>,
}

impl Task {
    pub(super) fn new(brokers: Brokers, max_body: usize, pass: Option<Pass>) -> Self {
        Self {
            brokers,
            max_body,
            pass,
            links: BTreeMap::new(),
            pending: HashMap::new(),
            turn: fastrand::usize(..),
            left: None,
        }
    }

    /// Runs until nobody can ask any more and everything is answered.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let (events, mut happened) = mpsc::channel(EVENTS);
        self.follow(&events);
        let mut open = true;
        while open || !self.pending.is_empty() {
            let patrol = Instant::now()
                + if self.pending.is_empty() {
                    PATROL * 50
                } else {
                    PATROL
                };
            tokio::select! {
                request = requests.recv(), if open => match request {
                    Some(request) => self.add(request),
                    None => open = false,
                },
                Some(event) = happened.recv() => self.on(event),
                Ok(()) = self.brokers.changed() => self.follow(&events),
                () = sleep_until(patrol.into()) => self.patrol(),
            }
        }
    }

    /// Connects to brokers that are new, and lets go of those that are gone and have nothing of ours.
    fn follow(&mut self, events: &mpsc::Sender<LinkEvent>) {
        let listed = self.brokers.borrow_and_update().clone();
        for address in &listed {
            if !self.links.contains_key(address) {
                let link = Link::open(
                    address.clone(),
                    (self.max_body, self.pass.clone()),
                    events.clone(),
                );
                self.links.insert(address.clone(), link);
            }
        }
        if self.links.keys().any(|address| !listed.contains(address)) {
            self.left = Some(Instant::now());
        }
        let pending = &self.pending;
        self.links.retain(|address, link| {
            let busy = || {
                pending
                    .values()
                    .any(|it| it.broker.as_ref() == Some(address))
            };
            listed.contains(address) || (link.up && busy())
        });
    }

    fn add(&mut self, request: Request) {
        let now = Instant::now();
        let id = new_id();
        let pending = Pending {
            service: request.service.into(),
            body: request.body,
            timeout: request.timeout,
            deadline: now + request.timeout,
            broker: None,
            not_before: now,
            refusals: 0,
            answer: request.answer,
        };
        self.pending.insert(id.clone(), pending);
        self.send(&id, None);
    }

    /// Sends a request to the next broker that takes it; `avoid` only if there is no other.
    fn send(&mut self, id: &Bytes, avoid: Option<&str>) {
        let Some(pending) = self.pending.get_mut(id) else {
            return;
        };
        let now = Instant::now();
        let left = pending.deadline.saturating_duration_since(now);
        let ask = Ask::Request {
            service: pending.service.clone(),
            id: id.clone(),
            headers: AskHeaders {
                timeout_ms: Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
                ..AskHeaders::default()
            },
            body: pending.body.clone(),
        };
        self.turn = self.turn.wrapping_add(1);
        let mut up: Vec<_> = self.links.iter().filter(|(_, link)| link.up).collect();
        if up.is_empty() {
            return;
        }
        let start = self.turn % up.len();
        up.rotate_left(start);
        up.sort_by_key(|(address, _)| Some(address.as_str()) == avoid);
        for (address, link) in up {
            if link.try_send(ask.write()) {
                pending.broker = Some(address.clone());
                return;
            }
        }
    }

    fn on(&mut self, LinkEvent { address, event }: LinkEvent) {
        match event {
            DealerEvent::Up => {
                if let Some(link) = self.links.get_mut(&address) {
                    link.up = true;
                }
                self.patrol();
            }
            DealerEvent::Down => {
                if let Some(link) = self.links.get_mut(&address) {
                    link.up = false;
                }
                self.left = Some(Instant::now());
                warn!(broker = %address, "the broker is gone: what it had goes to another");
                let mine = self.pending.iter_mut();
                for (_, pending) in mine.filter(|(_, it)| it.broker.as_deref() == Some(&*address)) {
                    pending.broker = None;
                }
                self.patrol();
            }
            DealerEvent::Message(frames) => match Answer::read(frames) {
                Ok(answer) => self.answered(&address, answer),
                Err(error) => debug!(%error, "a message of the broker makes no sense"),
            },
        }
    }

    fn answered(&mut self, address: &str, answer: Answer) {
        match answer {
            Answer::Final { id, body } => self.end(&id, Ok(body)),
            Answer::Error {
                id,
                code,
                headers,
                text,
            } => {
                let Some(pending) = self.pending.get_mut(&id) else {
                    return;
                };
                let now = Instant::now();
                let elsewhere = matches!(code, 404 | 429 | 503) && pending.refusals < MAX_REFUSALS;
                // Nobody serves it here: worth a try elsewhere, not again and again.
                let others = self
                    .links
                    .iter()
                    .filter(|(other, link)| link.up && *other != address)
                    .count();
                let untried = others > pending.refusals as usize;
                let moving = self.left.is_some_and(|at| now < at + MOVING);
                if elsewhere && (code != 404 || untried || moving) {
                    pending.refusals += 1;
                    pending.broker = None;
                    let wait = match headers.retry_after_ms {
                        Some(wait) => Duration::from_millis(wait).min(MAX_WAIT),
                        None if code == 404 && !untried => ASK_AGAIN,
                        None => Duration::ZERO,
                    };
                    pending.not_before = now + wait;
                    if wait.is_zero() || (code == 503 && others > 0) {
                        self.send(&id, Some(address));
                    }
                    return;
                }
                let refused = Failure::Refused {
                    code,
                    text: String::from_utf8_lossy(&text).into_owned(),
                    maybe_executed: headers.maybe_executed,
                };
                self.end(&id, Err(refused));
            }
            Answer::Accepted { .. } | Answer::Partial { .. } => {} // not asked for
        }
    }

    fn end(&mut self, id: &Bytes, result: Result<Frames, Failure>) {
        if let Some(pending) = self.pending.remove(id) {
            // Whoever asked may have lost interest.
            let _ = pending.answer.send(result);
        }
    }

    /// Sends what no broker has, and ends what has waited for too long.
    fn patrol(&mut self) {
        let now = Instant::now();
        let late = self.pending.iter().filter(|(_, it)| it.deadline <= now);
        let reached = self.links.values().any(|link| link.up);
        let failure = |it: &Pending| match it.broker {
            None if !reached => Failure::Unreached(it.timeout),
            _ => Failure::TimedOut(it.timeout),
        };
        let late: Vec<_> = late.map(|(id, it)| (id.clone(), failure(it))).collect();
        for (id, failure) in late {
            self.end(&id, Err(failure));
        }
        let homeless = self.pending.iter();
        let homeless = homeless.filter(|(_, it)| it.broker.is_none() && it.not_before <= now);
        let homeless: Vec<_> = homeless.map(|(id, _)| id.clone()).collect();
        for id in homeless {
            self.send(&id, None);
        }
    }
}
