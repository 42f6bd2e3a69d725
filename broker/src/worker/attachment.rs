//! A worker's time at one broker, from the first READY to the last BYE.
//!
//! One task owns the socket, the jobs under way and the answers that wait to be sent; it ends when the worker stops, when the
//! broker leaves, or when it is gone and another one is known.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{task::JoinSet, time::sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Brokers, Handler, Job, Offer, Outcome};
use crate::{
    core::message::{Delivery, Frames},
    dialect::zwp::{Order, Report},
    zsock::{Dealer, DealerEvent, Error},
};

/// How often a beat is due until the broker says how often it wants one.
const BEAT: Duration = Duration::from_secs(1);
/// Beats of the broker that may be missed before it counts as gone.
const MISSED: u32 = 3;
/// A broker that is not reached within this time is left for another, if there is one.
const REACH: Duration = Duration::from_millis(500);

/// A broker that is not reached within this time is said to be out of reach, once: somebody may have mistyped its address.
const TOLD_AFTER: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The worker was told to stop, and has finished.
    Stopped,
    /// The broker leaves, or is no longer listed.
    Left,
    /// The broker is gone.
    Lost,
}

pub(super) struct Attachment<'a> {
    offer: &'a Offer,
    handler: Handler,
    address: String,
    dealer: Dealer,
    /// Jobs under way, with the connection they came by: an answer by another one would mean nothing.
    jobs: JoinSet<(u64, Delivery, Outcome)>,
    running: HashSet<Delivery>,
    /// Answers that did not fit into the connection.
    outbox: VecDeque<Frames>,
    connection: u64,
    beat: Duration,
    next_beat: Instant,
    heard: Instant,
    /// It was said that the broker is out of reach.
    told: bool,
    /// When to stop waiting for the end, once it has been asked for.
    leaving: Option<(End, Instant)>,
}

impl<'a> Attachment<'a> {
    pub(super) async fn new(
        offer: &'a Offer,
        handler: Handler,
        address: &str,
    ) -> Result<Self, Error> {
        let dealer = Dealer::connect_with(address, offer.max_body, offer.pass.as_ref()).await?;
        let now = Instant::now();
        Ok(Self {
            offer,
            handler,
            address: address.to_owned(),
            dealer,
            jobs: JoinSet::new(),
            running: HashSet::new(),
            outbox: VecDeque::new(),
            connection: 0,
            beat: BEAT,
            next_beat: now + BEAT,
            heard: now,
            told: false,
            leaving: None,
        })
    }

    pub(super) async fn run(
        mut self,
        brokers: &mut Brokers,
        stop: &CancellationToken,
    ) -> Result<End, Error> {
        let end = loop {
            let due = match self.leaving {
                Some((_, limit)) => limit.min(self.next_beat),
                None => self.next_beat,
            };
            tokio::select! {
                event = self.dealer.event() => {
                    if let Some(end) = self.on(event?) {
                        break end;
                    }
                }
                Some(done) = self.jobs.join_next() => match done {
                    Ok((connection, delivery, outcome)) => self.finished(connection, delivery, outcome),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => warn!(%error, "a job ended without an answer"),
                },
                () = stop.cancelled(), if self.leaving.is_none() => self.leave(End::Stopped),
                Ok(()) = brokers.changed(), if self.leaving.is_none() => {
                    let listed = brokers.borrow_and_update().contains(&self.address);
                    if !listed && self.dealer.is_up() {
                        self.leave(End::Left);
                    }
                }
                () = sleep_until(due.into()) => {
                    if let Some(end) = self.tick(brokers) {
                        break end;
                    }
                }
            }
        };
        // What is still running has lost its broker, or its time.
        self.jobs.abort_all();
        self.dealer.close().await;
        Ok(end)
    }

    /// Something came from the broker.
    fn on(&mut self, event: DealerEvent) -> Option<End> {
        match event {
            DealerEvent::Up => {
                self.heard = Instant::now();
                self.told = false;
                self.offer_services();
            }
            DealerEvent::Down => {
                self.give_up();
                self.heard = Instant::now();
                // Not a whole beat later: somebody asks for us meanwhile.
                self.next_beat = self.next_beat.min(self.heard + REACH);
                if let Some((end, _)) = self.leaving {
                    return Some(end);
                }
            }
            DealerEvent::Message(frames) => {
                self.heard = Instant::now();
                // A bare DEALER may be answered with or without a delimiter.
                return match Order::read(frames) {
                    Ok(order) => self.obey(order),
                    Err(error) => {
                        debug!(%error, "a message of the broker makes no sense");
                        None
                    }
                };
            }
        }
        None
    }

    fn obey(&mut self, order: Order) -> Option<End> {
        match order {
            Order::Welcome(headers) => {
                if headers.hb_ms > 0 {
                    self.beat = Duration::from_millis(headers.hb_ms).min(BEAT);
                }
                info!(broker = %headers.broker, address = %self.address, services = ?self.offer.services, "attached");
            }
            Order::Request {
                delivery,
                service,
                id,
                attempt,
                headers,
                body,
            } => {
                let job = Job {
                    service: String::from_utf8_lossy(&service).into_owned(),
                    id,
                    attempt,
                    time_left: Duration::from_millis(headers.deadline_ms),
                    trace: headers.trace,
                    body,
                };
                self.running.insert(delivery);
                let (work, connection) = ((self.handler)(job), self.connection);
                self.jobs
                    .spawn(async move { (connection, delivery, work.await) });
            }
            Order::Heartbeat => {}
            Order::Drain => {
                if self.leaving.is_none() {
                    self.leave(End::Left);
                }
            }
            Order::Bye => match self.leaving {
                Some((end, _)) => {
                    self.say(Report::Bye);
                    return Some(end);
                }
                // It has lost sight of us.
                None => self.offer_services(),
            },
        }
        None
    }

    /// The broker has given what we have to others: their answers count, and to go on here would be more at once than was
    /// offered.
    fn give_up(&mut self) {
        self.connection += 1;
        self.running.clear();
        self.outbox.clear();
        self.jobs.abort_all();
    }

    fn offer_services(&mut self) {
        self.give_up();
        if self.leaving.is_some() {
            return;
        }
        let services = self.offer.services.iter().cloned().map(Bytes::from);
        self.say(Report::Ready {
            capacity: self.offer.capacity,
            services: services.collect(),
        });
    }

    /// Asks for no more, and waits for the broker's word that nothing is on its way.
    fn leave(&mut self, end: End) {
        let now = Instant::now();
        self.leaving = Some((end, now + self.offer.drain));
        if self.dealer.is_up() {
            self.say(Report::Drain);
        } else {
            self.leaving = Some((end, now));
        }
    }

    fn finished(&mut self, connection: u64, delivery: Delivery, outcome: Outcome) {
        if connection != self.connection || !self.running.remove(&delivery) {
            return;
        }
        self.say(match outcome {
            Outcome::Done(body) => Report::Final(delivery, body),
            Outcome::Failed {
                code,
                retryable,
                text,
            } => Report::Fail {
                delivery,
                code,
                retryable,
                text: text.into(),
            },
        });
    }

    /// Sends, in order, as much as the connection takes.
    fn say(&mut self, report: Report) {
        self.outbox.push_back(report.write());
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(frames) = self.outbox.front() {
            if self.dealer.try_send(frames.clone()).is_err() {
                break; // again at the next beat; there is no more than one answer for each job
            }
            self.outbox.pop_front();
        }
    }

    fn tick(&mut self, brokers: &Brokers) -> Option<End> {
        let now = Instant::now();
        if let Some((end, limit)) = self.leaving
            && now >= limit
        {
            return Some(end);
        }
        self.next_beat = now + self.beat;
        let silent = now.saturating_duration_since(self.heard);
        if !self.dealer.is_up() {
            if silent > TOLD_AFTER && !self.told {
                self.told = true;
                warn!(broker = %self.address, "the broker is out of reach; still trying");
            }
            let others = brokers
                .borrow()
                .iter()
                .any(|address| *address != self.address);
            return (others && silent >= REACH).then_some(End::Lost);
        }
        if silent > self.beat * MISSED {
            return Some(End::Lost);
        }
        if self.outbox.is_empty() {
            let running = self.running.iter().copied().collect();
            self.say(Report::Heartbeat(running));
        } else {
            self.flush();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::dialect::zwp::JobHeaders;

    /// Counts what is under way, however it ends.
    struct UnderWay(Arc<AtomicUsize>);

    impl Drop for UnderWay {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn what_a_lost_broker_gave_is_given_up() {
        let offer = Offer {
            services: vec!["a".to_owned()],
            capacity: 1,
            max_body: 1_024,
            drain: Duration::ZERO,
            pass: None,
        };
        let under_way = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&under_way);
        let handler: Handler = Arc::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let mine = UnderWay(Arc::clone(&count));
            Box::pin(async move {
                let _mine = mine;
                std::future::pending().await
            })
        });
        let nobody = "tcp://127.0.0.1:1";
        let attachment = Attachment::new(&offer, handler, nobody).await;
        let mut attachment = attachment.expect("an address");
        for lost in [0, 1] {
            attachment.obey(Order::Request {
                delivery: Delivery(lost),
                service: Bytes::from_static(b"a"),
                id: Bytes::from_static(b"i"),
                attempt: 1,
                headers: JobHeaders::default(),
                body: Vec::new(),
            });
            assert_eq!(under_way.load(Ordering::SeqCst), 1);
            match lost {
                0 => drop(attachment.on(DealerEvent::Down)),
                _ => drop(attachment.obey(Order::Bye)), // it has lost sight of us
            }
            let ended = attachment.jobs.join_next().await.expect("a job");
            assert!(ended.expect_err("it is given up").is_cancelled());
            assert_eq!(under_way.load(Ordering::SeqCst), 0);
            assert!(attachment.running.is_empty());
        }
    }
}
