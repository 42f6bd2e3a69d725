//! Jobs that other queues have workers for, and this one has not.
//!
//! Who got a job from the broker keeps it until it is answered, wherever it is meanwhile; so a queue that is gone, or a
//! coordinator, takes no job with it. Who got it from another queue keeps nothing.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;

use super::{Act, Loan, OPEN, OURS, Other, State, Turn};
use crate::{
    core::message::{Beats, Input, Peer, Ready},
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
            let id = String::new();
            self.loans.insert(worker, Loan { queue, id });
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
    pub(super) fn lent(&mut self, peer: Peer, job: Job) {
        let Some(loan) = self.loans.get_mut(&peer) else {
            return;
        };
        loan.id.clone_from(&job.id);
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
            let id = Bytes::from(loan.id);
            let client = super::BROKER;
            // Both find nothing if the core knows already.
            self.feed(Input::Cancel { client, id }, now);
            self.feed(Input::Bye(peer), now);
        }
    }

    /// Another queue hands a job to us.
    pub(super) fn lent_to_us(&mut self, job: Job, from: &str, now: Instant) {
        let theirs = |loan: &Loan| loan.id == job.id && loan.queue == from;
        let bounced = self.loans.iter().find(|(_, loan)| theirs(loan));
        if let Some((&peer, _)) = bounced {
            // It comes back: nobody has it but us.
            self.loans.remove(&peer);
            return self.feed(Input::Gone(peer), now);
        }
        let kind = if self.has_worker(&job.function) {
            OURS
        } else {
            OPEN
        };
        self.take_job(job, kind, false, now);
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
            let stuck: Vec<Job> = stuck.map(|held| held.job.clone()).collect();
            for job in stuck {
                self.forget(&job.id, now);
                self.take_job(job, OPEN, false, now);
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
