//! The broker's decisions: which queue gets a request, what becomes of it when the queue goes, who is told the answer.
//!
//! A request is held until it is answered. Queues are known by the topics that somebody subscribes to; they take turns. No
//! socket and no clock: what happened and the time go in, what is to be sent comes out.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::super::{
    message::{Answer, Job, Note},
    recent::Recent,
};
use crate::zsock::Link;

/// Addresses of queues that are remembered: one more than this, and those of queues that are gone are forgotten.
const MAX_ADDRESSES: usize = 1_000;
/// Workers that wait for the first queue; the next is not answered, and will ask again.
const MAX_ASKING: usize = 10_000;
/// Longest topic taken for a queue's name, in bytes.
const MAX_TOPIC: usize = 255;

/// What the broker holds at most, and how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests held; the next gets 429.
    pub requests: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// How long a request is held whose front end does not say how long somebody waits; then it gets 504.
    pub timeout: Duration,
    /// After this time a request is given to another queue, if the one that has it is of the kind that may lose it.
    pub lease: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 10_000,
            bytes: 256 * 1024 * 1024,
            timeout: Duration::from_secs(300),
            lease: Duration::from_secs(30),
        }
    }
}

/// Something to be sent.
#[derive(Clone, Debug)]
pub(in crate::faas) enum Act {
    /// To a queue. If it is a job and cannot be sent, say so with [`State::unpublished`].
    Queue { topic: String, note: Note },
    /// To the front end at this address, or to all. If it cannot be sent, say so with [`State::unsent`]; some
    /// time later it is to be sent [`again`](State::again).
    Front { front: Option<String>, note: Note },
    /// To a worker that has asked for a queue.
    Worker { worker: Link, note: Note },
}

#[derive(Debug)]
struct Held {
    job: Job,
    deadline: Instant,
    /// The queue that has it, and since when.
    given: Option<(String, Instant)>,
}

#[derive(Debug)]
pub(in crate::faas) struct State {
    limits: Limits,
    /// The queues, by the topic of their jobs, with the connections that subscribe to it.
    queues: BTreeMap<String, BTreeSet<Link>>,
    /// The queue that got a request last.
    last_queue: String,
    held: HashMap<String, Held>,
    bytes: usize,
    /// Requests that no queue has.
    waiting: VecDeque<String>,
    recent: Recent,
    /// Answers among these that front ends did not take.
    unsent: BTreeMap<String, BTreeSet<String>>,
    /// Where workers reach queues: by name those that tell it, which are also those that lose nothing.
    named: BTreeMap<String, String>,
    unnamed: BTreeSet<String>,
    last_address: String,
    asking: VecDeque<Link>,
    acts: Vec<Act>,
}

impl State {
    pub(in crate::faas) fn new(limits: Limits) -> Self {
        Self {
            limits,
            queues: BTreeMap::new(),
            last_queue: String::new(),
            held: HashMap::new(),
            bytes: 0,
            waiting: VecDeque::new(),
            recent: Recent::default(),
            unsent: BTreeMap::new(),
            named: BTreeMap::new(),
            unnamed: BTreeSet::new(),
            last_address: String::new(),
            asking: VecDeque::new(),
            acts: Vec::new(),
        }
    }

    /// What is to be sent since last asked.
    pub(in crate::faas) fn take(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// Requests held, and queues.
    pub(in crate::faas) fn size(&self) -> (usize, usize) {
        (self.held.len(), self.queues.len())
    }

    /// A front end sent something.
    pub(in crate::faas) fn request(&mut self, note: Note, now: Instant) {
        let Some(mut job) = note.into_job() else {
            return;
        };
        if let Some(answer) = self.recent.get(&job.id) {
            let (front, note) = (job.front, answer.note());
            return self.acts.push(Act::Front { front, note });
        }
        if let Some(held) = self.held.get_mut(&job.id) {
            held.job.front = job.front;
            return;
        }
        let size = job.size();
        if self.held.len() >= self.limits.requests || self.bytes + size > self.limits.bytes {
            let note = Answer::error(&job.id, 429, "too many requests are waiting").note();
            let front = job.front;
            return self.acts.push(Act::Front { front, note });
        }
        let timeout = job.timeout_ms.map(Duration::from_millis);
        let timeout = timeout.map_or(self.limits.timeout, |it| it.min(self.limits.timeout));
        job.kept = true;
        self.bytes += size;
        self.waiting.push_back(job.id.clone());
        let held = Held {
            deadline: now + timeout,
            given: None,
            job,
        };
        self.held.insert(held.job.id.clone(), held);
        self.give(now);
    }

    /// A connection subscribed.
    pub(in crate::faas) fn subscribed(&mut self, link: Link, topic: &[u8], now: Instant) {
        let Some(topic) = topic_name(topic) else {
            return;
        };
        self.queues
            .entry(topic.to_owned())
            .or_default()
            .insert(link);
        self.give(now);
        self.point();
    }

    /// A connection no longer subscribes.
    pub(in crate::faas) fn unsubscribed(&mut self, link: Link, topic: &[u8], now: Instant) {
        let Some(topic) = topic_name(topic) else {
            return;
        };
        let Some(links) = self.queues.get_mut(topic) else {
            return;
        };
        if !links.remove(&link) {
            return;
        }
        if links.is_empty() {
            self.queues.remove(topic);
        }
        // Also if it has come back already: it began anew, and may not know what it had.
        self.take_back(now, |given, _| given == topic);
    }

    /// A connection of queues is gone. Returns the queues that are gone with it.
    pub(in crate::faas) fn gone(&mut self, link: Link, now: Instant) -> Vec<String> {
        let theirs = |(topic, links): (&String, &BTreeSet<Link>)| {
            links.contains(&link).then(|| topic.clone())
        };
        let topics: Vec<String> = self.queues.iter().filter_map(theirs).collect();
        for topic in &topics {
            self.unsubscribed(link, topic.as_bytes(), now);
        }
        topics
    }

    /// Whether a queue misses what was sent to all but these.
    pub(in crate::faas) fn misses(&self, topic: &str, full: &[Link]) -> bool {
        let links = self.queues.get(topic).filter(|it| !it.is_empty());
        links.is_some_and(|links| links.iter().all(|link| full.contains(link)))
    }

    /// A job could not be sent: it waits.
    pub(in crate::faas) fn unpublished(&mut self, id: &str) {
        if let Some(held) = self.held.get_mut(id) {
            held.given = None;
            self.waiting.push_front(id.to_owned());
        }
    }

    /// This answer could not be sent to that front end: it is tried again as long as it is kept.
    pub(in crate::faas) fn unsent(&mut self, front: String, note: &Note) {
        self.unsent
            .entry(front)
            .or_default()
            .extend(note.id.clone());
    }

    /// The front ends that did not take an answer.
    pub(in crate::faas) fn behind(&self) -> Vec<String> {
        self.unsent.keys().cloned().collect()
    }

    /// An answer that this front end did not take; for the time being it counts as taken.
    pub(in crate::faas) fn again(&mut self, front: &str) -> Option<Note> {
        let id = self.unsent.get_mut(front)?.pop_first()?;
        Some(self.recent.get(&id)?.note())
    }

    /// A queue sent something.
    pub(in crate::faas) fn queue_said(&mut self, note: Note, now: Instant) {
        match note.kind() {
            "init_queue" => self.init(note),
            "response" => {
                if let Some(answer) = note.into_answer() {
                    self.answered(&answer, now);
                }
            }
            _ => {}
        }
    }

    /// A worker asks for a queue.
    pub(in crate::faas) fn asked(&mut self, worker: Link) {
        if self.asking.len() < MAX_ASKING && !self.asking.contains(&worker) {
            self.asking.push_back(worker);
        }
        self.point();
    }

    /// A worker that may have asked is gone.
    pub(in crate::faas) fn worker_gone(&mut self, worker: Link) {
        self.asking.retain(|asking| *asking != worker);
    }

    /// Time passed.
    pub(in crate::faas) fn tick(&mut self, now: Instant) {
        let late = self.held.values().filter(|held| held.deadline <= now);
        let late: Vec<String> = late.map(|held| held.job.id.clone()).collect();
        for id in late {
            self.answered(&Answer::error(&id, 504, "no worker answered in time"), now);
        }
        let (lease, named) = (self.limits.lease, self.named.clone());
        self.take_back(now, |topic, since| {
            !named.contains_key(topic) && now.saturating_duration_since(since) >= lease
        });
        self.recent.forget(now);
        self.unsent.retain(|_, ids| {
            ids.retain(|id| self.recent.get(id).is_some());
            !ids.is_empty()
        });
        self.give(now);
    }

    fn init(&mut self, note: Note) {
        let Some(address) = note.ip_worker_to_queue else {
            return;
        };
        if self.named.len() + self.unnamed.len() >= MAX_ADDRESSES {
            let queues = &self.queues;
            self.named.retain(|name, _| queues.contains_key(name));
        }
        match note.queue_name {
            Some(name) => {
                self.unnamed.remove(&address);
                self.named.insert(name, address);
            }
            None if self.unnamed.len() < MAX_ADDRESSES => {
                self.unnamed.insert(address);
            }
            None => {}
        }
        self.point();
    }

    fn answered(&mut self, answer: &Answer, now: Instant) {
        let held = self.held.remove(&answer.id);
        if let Some(held) = &held {
            self.bytes -= held.job.size();
            if let Some((topic, _)) = &held.given
                && self.named.contains_key(topic)
                && answer.queue.as_ref() != Some(topic)
            {
                // The one that had it need not keep it any longer.
                let note = Note {
                    id: Some(answer.id.clone()),
                    ..Note::of("answered")
                };
                let topic = topic.clone();
                self.acts.push(Act::Queue { topic, note });
            }
        }
        if self.recent.keep(answer, now) {
            let front = held.and_then(|held| held.job.front);
            let note = answer.note();
            self.acts.push(Act::Front { front, note });
        }
    }

    /// Takes requests back from the queues that `lost` says have lost them, the oldest first in line.
    fn take_back(&mut self, now: Instant, lost: impl Fn(&str, Instant) -> bool) {
        let mut back: Vec<(Instant, String)> = Vec::new();
        for held in self.held.values_mut() {
            if let Some((topic, since)) = &held.given
                && lost(topic, *since)
            {
                back.push((*since, held.job.id.clone()));
                held.given = None;
            }
        }
        back.sort_unstable();
        for (_, id) in back.into_iter().rev() {
            self.waiting.push_front(id);
        }
        self.give(now);
    }

    /// Gives what waits to the queues, in turns.
    fn give(&mut self, now: Instant) {
        while !self.queues.is_empty() {
            let Some(id) = self.waiting.pop_front() else {
                return;
            };
            let Some(held) = self.held.get_mut(&id) else {
                continue; // it was answered meanwhile
            };
            let topic = next_after(self.queues.keys(), &self.last_queue);
            let topic = topic.expect("there is a queue").clone();
            self.last_queue.clone_from(&topic);
            held.given = Some((topic.clone(), now));
            let left = held.deadline.saturating_duration_since(now);
            let note = Note {
                front: None,
                timeout_ms: Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
                ..held.job.note(None)
            };
            self.acts.push(Act::Queue { topic, note });
        }
    }

    /// Tells workers that ask where the queues are, in turns.
    fn point(&mut self) {
        let present = |(name, address): (&String, &String)| {
            self.queues.contains_key(name).then(|| address.clone())
        };
        let mut addresses: BTreeSet<String> = self.named.iter().filter_map(present).collect();
        addresses.extend(self.unnamed.iter().cloned());
        if addresses.is_empty() {
            // Queues that have nothing to serve with take no jobs; a worker is what they wait for.
            addresses.extend(self.named.values().cloned());
        }
        while let Some(address) = next_after(addresses.iter(), &self.last_address) {
            let Some(worker) = self.asking.pop_front() else {
                return;
            };
            self.last_address.clone_from(address);
            let note = Note {
                queue_ip: Some(address.clone()),
                ..Note::default()
            };
            self.acts.push(Act::Worker { worker, note });
        }
    }
}

/// The one after `last`, or the first.
fn next_after<'a>(
    mut sorted: impl Iterator<Item = &'a String> + Clone,
    last: &str,
) -> Option<&'a String> {
    let first = sorted.clone().next();
    sorted.find(|it| it.as_str() > last).or(first)
}

/// The queue whose jobs have this topic.
fn topic_name(topic: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(topic).ok()?;
    (1..=MAX_TOPIC).contains(&name.len()).then_some(name)
}
