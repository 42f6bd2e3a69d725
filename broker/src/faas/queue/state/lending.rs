//! Jobs that other queues have workers for, and this one has not.
//!
//! Who got a job from the broker keeps it until it is answered, wherever it is meanwhile; so a queue that is gone, or a
//! coordinator, takes no job with it. Who got it from another queue keeps nothing, and hands it back if it cannot do it.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;

use super::{Act, Loan, OPEN, OURS, Other, State, Turn, name_of};
use crate::{
    core::message::{Beats, Delivery, Input, Peer, Ready},
    faas::message::{Job, Note, QueueStatus},
};

impl State {
    /// Hands over what waits here to queues with room for it.
    pub(super) fn lend(&mut self, now: Instant) {
        while let Some((queue, function)) = self.borrower() {
            let service = format!("{OPEN}{function}");
            let before = self.core.queued(service.as_bytes());
            let worker = Peer(self.next_loan);
            self.next_loan += 1;
            if let Some(other) = self.others.get_mut(&queue) {
                other.given += 1;
            }
            let (id, delivery) = (String::new(), None);
            let loan = Loan {
                queue,
                id,
                delivery,
            };
            self.loans.insert(worker, loan);
            let ready = Ready {
                services: vec![Bytes::from(service.clone())],
                capacity: 1,
                beats: Beats::Never,
                silence: self.limits.loan * 2,
                lease: self.limits.loan,
            };
            self.feed(Input::Ready { worker, ready }, now);
            if self.core.queued(service.as_bytes()) >= before {
                return; // the core takes no more workers
            }
        }
    }

    /// The queue with the most room for something that waits here.
    fn borrower(&self) -> Option<(String, String)> {
        let mut best: Option<(usize, &String, &str)> = None;
        for (name, other) in &self.others {
            for function in other.functions() {
                // One that does not tell who is free gets only what nobody here can do.
                let blind = other.status.offers.is_none();
                let offer = other.status.offer(function);
                let room = offer.free.saturating_sub(other.taken(blind));
                let better = best.is_none_or(|(most, ..)| room > most);
                if room > 0
                    && better
                    && !(blind && self.has_worker(function))
                    && self.core.queued(format!("{OPEN}{function}").as_bytes()) > 0
                {
                    best = Some((room, name, function));
                }
            }
        }
        best.map(|(_, name, function)| (name.clone(), function.to_owned()))
    }

    fn has_worker(&self, function: &str) -> bool {
        self.workers.values().any(|worker| {
            !matches!(worker.turn, Turn::Lost) && worker.functions.iter().any(|it| it == function)
        })
    }

    /// The core gave a job to a loan: it goes to the other queue.
    pub(super) fn lent(&mut self, peer: Peer, delivery: Delivery, job: Job) {
        let Some(loan) = self.loans.get_mut(&peer) else {
            return;
        };
        loan.id.clone_from(&job.id);
        loan.delivery = Some(delivery);
        let note = Note {
            queue_from: Some(self.name.clone()),
            queue_to: Some(loan.queue.clone()),
            ..job.note(Some("job"))
        };
        self.acts.push(Act::Coordinator(note));
        let keep = self.jobs.get(&job.id).is_some_and(|held| held.keeper);
        if !(keep && job.kept) {
            // Another queue keeps it; or nobody would tell us of the answer. The loan ends here, the room it takes does not.
            if let Some(other) = self.others.get_mut(&loan.queue) {
                other.fresh += 1;
            }
            self.jobs.remove(&job.id);
        }
    }

    /// Ends the loans of jobs that are not held any more, and those that no job was found for.
    pub(super) fn end_loans(&mut self, now: Instant) {
        loop {
            let over = |(_, loan): &(&Peer, &Loan)| !self.jobs.contains_key(&loan.id);
            let Some((&peer, _)) = self.loans.iter().find(over) else {
                return;
            };
            let Some(loan) = self.loans.remove(&peer) else {
                return;
            };
            if let Some(other) = self.others.get_mut(&loan.queue) {
                other.given = other.given.saturating_sub(1);
            }
            let (client, name) = (super::BROKER, name_of(&loan.id));
            // Both find nothing if the core knows already.
            self.feed(Input::Cancel { client, name }, now);
            self.feed(Input::Bye(peer), now);
        }
    }

    /// Another queue hands a job to us, or hands one `back`.
    pub(super) fn lent_to_us(&mut self, job: Job, from: &str, back: bool, now: Instant) {
        if self.take_back(&job.id, from, now) || back {
            return; // one that comes back and is not on loan has gone to somebody else meanwhile
        }
        let known = self.jobs.contains_key(&job.id) || self.recent.get(&job.id).is_some();
        if known || self.has_worker(&job.function) {
            self.take_job(job, OURS, Some(from.to_owned()), now);
        } else if self.keeps(from) {
            self.hand_back(&job, from);
        } else {
            self.take_job(job, OPEN, Some(from.to_owned()), now);
        }
    }

    /// A job could not be sent to another queue. One on its way back is kept where it goes to.
    pub(in crate::faas) fn unlent(&mut self, note: Note, now: Instant) {
        let to = note.queue_to.clone().unwrap_or_default();
        let back = note.back.unwrap_or(false);
        let Some(job) = note.into_job() else {
            return;
        };
        if self.take_back(&job.id, &to, now) {
            if let Some(other) = self.others.get_mut(&to) {
                other.given = other.given.saturating_sub(1);
            }
        } else if !back {
            // It was given for good. What the broker keeps and we do not was another queue's.
            let from = job.kept.then(String::new);
            self.take_job(job, OPEN, from, now);
        }
    }

    /// Ends a loan whose job nobody has tried. The room it takes there stays taken until that queue tells its numbers.
    fn take_back(&mut self, id: &str, queue: &str, now: Instant) -> bool {
        let mut loans = self.loans.iter();
        let Some((&peer, _)) = loans.find(|(_, it)| it.id == id && it.queue == queue) else {
            return false;
        };
        if let Some(loan) = self.loans.remove(&peer)
            && let Some(delivery) = loan.delivery
        {
            self.feed(Input::Undelivered(delivery), now);
        }
        self.feed(Input::Bye(peer), now);
        true
    }

    /// Whether that queue keeps what it lends: one of ours does.
    fn keeps(&self, queue: &str) -> bool {
        let other = self.others.get(queue);
        other.is_some_and(|it| it.status.run.is_some())
    }

    /// Whoever keeps a job finds another queue for it. If this went on to a third one, nobody would see that one die.
    fn hand_back(&mut self, job: &Job, to: &str) {
        self.acts.push(Act::Coordinator(Note {
            queue_from: Some(self.name.clone()),
            queue_to: Some(to.to_owned()),
            back: Some(true),
            ..job.note(Some("job"))
        }));
    }

    /// What other queues there are, and how they are.
    pub(super) fn others_are(&mut self, queues: Vec<QueueStatus>, now: Instant) {
        let mut others = BTreeMap::new();
        let mut restarted = Vec::new();
        for status in queues {
            if status.queue_name == self.name {
                continue;
            }
            let known = self.others.remove(&status.queue_name);
            if known.as_ref().is_some_and(|it| it.status.run != status.run) {
                restarted.push(status.queue_name.clone());
            }
            let given = match &known {
                Some(known) if known.status == status => known.given,
                _ => 0,
            };
            let name = status.queue_name.clone();
            let other = Other {
                status,
                given,
                fresh: 0,
                stale: known.map_or(0, |known| known.fresh),
            };
            others.insert(name, other);
        }
        self.others = others;
        self.end_broken_loans(&restarted, now);
        self.lend(now);
    }

    /// Takes back what was lent to queues that are gone, or have begun anew.
    fn end_broken_loans(&mut self, restarted: &[String], now: Instant) {
        let broken = self.loans.iter().filter(|(_, loan)| {
            !self.others.contains_key(&loan.queue) || restarted.contains(&loan.queue)
        });
        let broken: Vec<Peer> = broken.map(|(&peer, _)| peer).collect();
        for peer in broken {
            self.loans.remove(&peer);
            self.feed(Input::Gone(peer), now);
        }
    }

    /// Workers are gone: jobs that only they could do may go to other queues.
    pub(super) fn open_up(&mut self, functions: &[String], now: Instant) {
        for function in functions {
            if self.has_worker(function) {
                continue;
            }
            let stuck = self.jobs.values();
            let stuck = stuck.filter(|held| held.kind == OURS && held.job.function == *function);
            let stuck: Vec<(Job, Option<String>)> = stuck
                .map(|held| (held.job.clone(), held.from.clone()))
                .collect();
            for (job, from) in stuck {
                let keeper = self.jobs.get(&job.id).is_some_and(|held| held.keeper);
                self.forget(&job.id, now);
                match from {
                    // The broker has given it to us as well.
                    _ if keeper => self.take_job(job, OPEN, None, now),
                    Some(from) if self.keeps(&from) => self.hand_back(&job, &from),
                    from => self.take_job(job, OPEN, from, now),
                }
            }
        }
    }
}

impl Other {
    /// How much of its room we have filled. One that does not tell who is free tells its numbers only when they change.
    fn taken(&self, blind: bool) -> usize {
        let for_good = if blind { 0 } else { self.fresh + self.stale };
        self.given + for_good
    }

    fn functions(&self) -> impl Iterator<Item = &str> {
        let offers = self.status.offers.as_ref();
        let named = offers
            .into_iter()
            .flat_map(|it| it.keys().map(String::as_str));
        named.chain(offers.is_none().then_some(crate::faas::DEFAULT_FUNCTION))
    }
}
