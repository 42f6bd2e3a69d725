//! What happens because time passes, and the broker's own leaving.
//!
//! Time is an argument; a timer that comes due late is handled as if it had come in time.

use std::time::Instant;

use super::{
    Broker, Phase,
    message::{Output, Refusal, ToWorker},
    request::{Keeping, Place, RequestNumber},
    timers::Timer,
};

impl Broker {
    /// Handles every timer that is due.
    pub(super) fn elapse(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Deadline(number) => self.expire(number),
                Timer::Grace(number) => self.not_found(number),
                Timer::Lease(delivery) => self.lease_ended(delivery),
                Timer::Silence(peer) => self.check_silence(peer, now),
                Timer::Stall(peer) => self.resume(peer),
                Timer::Heartbeat => self.beat(now),
                Timer::Answers => {
                    if let Some(due) = self.answers.expire(now) {
                        self.timers.set(Timer::Answers, due);
                    }
                }
                Timer::Drain => self.give_up(),
            }
        }
    }

    fn expire(&mut self, number: RequestNumber) {
        let refusal = Refusal {
            maybe_executed: self.was_given(number),
            ..Refusal::new(504, "no answer in time")
        };
        self.fail(number, refusal);
    }

    /// It waited for the first worker of its service, and there is none.
    fn not_found(&mut self, number: RequestNumber) {
        let Some(held) = self.requests.get(&number) else {
            return;
        };
        if matches!(held.place, Place::Queued(_)) && self.board.get(held.service).lanes.is_empty() {
            let refusal = Refusal {
                maybe_executed: self.was_given(number),
                ..Refusal::new(404, "no worker serves this")
            };
            self.fail(number, refusal);
        }
    }

    fn was_given(&self, number: RequestNumber) -> bool {
        self.requests
            .get(&number)
            .is_some_and(|held| held.attempts > 0)
    }

    /// The broker is to leave: what it holds is finished, what comes is refused.
    pub(super) fn drain(&mut self, until: Instant) {
        if self.phase != Phase::Serving {
            return;
        }
        self.phase = Phase::Draining;
        self.timers.set(Timer::Drain, until);
        for (&peer, _) in self.workers.iter().filter(|(_, worker)| !worker.far) {
            self.out.push(Output::Worker(peer, ToWorker::Drain));
        }
    }

    /// Whatever is still held has to be asked of another broker.
    fn give_up(&mut self) {
        let mut numbers: Vec<_> = self.requests.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let held = self.requests.get(&number);
            if held.is_some_and(|it| it.keeping == Keeping::Done && it.from.is_empty()) {
                // It stays on disk for the next start.
                self.take_out(number);
                continue;
            }
            if held.is_some_and(|it| it.handed.is_some()) {
                self.give_back(number, true);
                continue;
            }
            let refusal = Refusal {
                maybe_executed: self.was_given(number),
                ..Refusal::new(503, "this broker has left")
            };
            self.fail(number, refusal);
        }
    }

    /// The last request is answered: the workers may leave.
    pub(super) fn finish_drain(&mut self) {
        if self.phase != Phase::Draining || !self.requests.is_empty() {
            return;
        }
        self.phase = Phase::Drained;
        self.timers.clear(Timer::Drain);
        for (&peer, _) in self.workers.iter().filter(|(_, worker)| !worker.far) {
            self.out.push(Output::Worker(peer, ToWorker::Bye));
        }
        self.out.push(Output::Drained);
    }
}
