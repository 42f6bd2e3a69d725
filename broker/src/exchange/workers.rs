//! What workers report, as the core understands it.
//!
//! What they cannot say, their leases and the silence that means they are lost, is the broker's manner. It must not know how
//! frames are written.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Act, Exchange};
use crate::{
    core::message::{Beats, Input, Peer, Ready},
    dialect::{WorkerDialect, WorkerReport},
};

impl Exchange {
    pub(super) fn worker(
        &mut self,
        worker: Peer,
        dialect: WorkerDialect,
        report: WorkerReport,
        now: Instant,
    ) -> Vec<Act> {
        let input = match report {
            WorkerReport::Ready { services, capacity } => {
                let ready = self.offer(&dialect, services, capacity);
                self.workers.insert(worker, dialect);
                Input::Ready { worker, ready }
            }
            other => {
                self.workers.entry(worker).or_insert(dialect);
                report_input(worker, other)
            }
        };
        self.feed(input, now)
    }

    fn offer(&self, dialect: &WorkerDialect, services: Vec<Bytes>, capacity: u8) -> Ready {
        let services = if services.is_empty() {
            vec![Bytes::from(self.manner.default_service.clone())]
        } else {
            services
        };
        let native = matches!(dialect, WorkerDialect::Native(_));
        let (beats, silence, lease) = match dialect {
            WorkerDialect::Native(_) => (Beats::Always, self.manner.silence, self.manner.lease),
            WorkerDialect::Mdp(..) => (
                Beats::WhenIdle,
                self.manner.foreign_silence,
                self.manner.foreign_lease,
            ),
            WorkerDialect::Req(_) => (Beats::Never, Duration::MAX, self.manner.foreign_lease),
        };
        Ready {
            services,
            capacity: if native { capacity.into() } else { 1 },
            beats,
            silence,
            lease,
        }
    }
}

fn report_input(worker: Peer, report: WorkerReport) -> Input {
    match report {
        WorkerReport::Partial(delivery, body) => Input::Partial {
            worker,
            delivery,
            body,
        },
        WorkerReport::Final(delivery, body) => Input::Final {
            worker,
            delivery,
            body,
        },
        WorkerReport::Fail(delivery, code, retryable, text) => Input::Fail {
            worker,
            delivery,
            code,
            retryable,
            text,
        },
        WorkerReport::Heartbeat(running) => Input::Heartbeat { worker, running },
        WorkerReport::Extend(delivery, by) => Input::Extend {
            worker,
            delivery,
            by,
        },
        WorkerReport::Drain => Input::WorkerDrain(worker),
        WorkerReport::Bye | WorkerReport::Ready { .. } => Input::Bye(worker),
    }
}
