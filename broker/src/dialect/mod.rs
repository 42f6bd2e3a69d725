//! The languages of clients and workers: frames in and out, nothing else.
//!
//! All share one port and are told apart by their frames; workers of the two-port kind have a port of their own. Whatever a
//! stranger sends is either understood or nothing: no frames make this panic. It must not know sockets, clocks or queues.

mod cbw;
mod envelope;
mod mdp;
#[cfg(test)]
pub(crate) mod testing;
mod text_id;
pub mod zwp;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

pub use self::zwp::AskHeaders;
use self::zwp::{Answer, AnswerHeaders, Ask, JobHeaders, Malformed, Order, Report, WelcomeHeaders};
use crate::core::message::{Delivery, Frames, Refusal, ToClient, ToWorker};

/// First body frame of an error to a client whose protocol has none.
pub const ERROR_MARK: &[u8] = b"!ERR";

/// How a client speaks, as far as its answers depend on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum ClientDialect {
    /// ZWP/1.
    Native,
    /// A bare REQ or DEALER: the whole message is the body.
    Plain,
    /// MDP 0.1.
    Mdp1,
    /// MDP 0.2 as specified.
    Mdp2,
    /// MDP 0.2 as majortomo has it.
    Mdp2Majortomo,
    /// MDP 0.2 without commands.
    Mdp2NoCommand,
}

impl ClientDialect {
    const ALL: [Self; 6] = [
        Self::Native,
        Self::Plain,
        Self::Mdp1,
        Self::Mdp2,
        Self::Mdp2Majortomo,
        Self::Mdp2NoCommand,
    ];

    /// As a number that a return address carries.
    pub fn tag(self) -> u16 {
        self as u16
    }

    /// The dialect of a return address.
    pub fn of_tag(tag: u16) -> Option<Self> {
        Self::ALL.get(usize::from(tag)).copied()
    }

    /// Whether it takes an answer in parts without having said so.
    pub fn takes_parts(self) -> bool {
        matches!(self, Self::Mdp2 | Self::Mdp2Majortomo)
    }
}

/// How a worker speaks; remembered from its first message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WorkerDialect {
    /// ZWP/1, with the envelope it sends.
    Native(Frames),
    /// MDP, with the envelope it sends.
    Mdp(MdpVersion, Frames),
    /// A REQ worker that is free when it answers.
    Req(ReqVariant),
}

pub use self::{cbw::Variant as ReqVariant, mdp::Version as MdpVersion};

/// What a worker reports, whichever way it says it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WorkerReport {
    /// It offers itself. No services means the default one.
    Ready {
        /// Names of services or prefixes.
        services: Vec<Bytes>,
        /// Requests at once.
        capacity: u8,
    },
    /// Part of an answer.
    Partial(Delivery, Frames),
    /// An answer.
    Final(Delivery, Frames),
    /// A failure: delivery, code, whether another attempt may succeed, reason.
    Fail(Delivery, u16, bool, Bytes),
    /// It lives, and works on these.
    Heartbeat(Vec<Delivery>),
    /// It needs longer for one.
    Extend(Delivery, Duration),
    /// It wants no more.
    Drain,
    /// Its last word.
    Bye,
}

/// What a client wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientWish {
    /// A request. No service means the default one.
    Request {
        /// The service.
        service: Option<Bytes>,
        /// The client's id of the request.
        id: Option<Bytes>,
        /// What else it said.
        headers: AskHeaders,
        /// The body.
        body: Frames,
    },
    /// No answer any more to this id.
    Cancel(Bytes),
    /// A question to the broker itself: whether it serves what the body names; `None` for a question we cannot answer.
    Management {
        /// The question's name.
        name: Bytes,
        /// The service it is about.
        about: Option<Bytes>,
    },
    /// It meant a request, but said it wrongly.
    Malformed(Bytes, Malformed),
}

/// A message understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Said {
    /// By a client.
    Client {
        /// How it speaks.
        dialect: ClientDialect,
        /// To be repeated before the answer.
        envelope: Frames,
        /// What it wants.
        wish: ClientWish,
    },
    /// By a worker.
    Worker(WorkerDialect, WorkerReport),
}

/// Reads a message that came to the front port, from a peer that may be known as a worker.
pub fn read_front(frames: Frames, known: Option<&WorkerDialect>) -> Option<Said> {
    let (envelope, rest) = envelope::split(frames);
    if let Some(&WorkerDialect::Req(variant)) = known {
        let report = cbw::read_report(variant, rest)?;
        return Some(Said::Worker(WorkerDialect::Req(variant), report));
    }
    let first = rest.first().map(Bytes::as_ref).unwrap_or_default();
    match first {
        zwp::CLIENT => Some(read_native_client(envelope, rest)),
        zwp::WORKER => {
            let report = Report::read(rest).ok()?;
            Some(Said::Worker(WorkerDialect::Native(envelope), report.into()))
        }
        mdp::CLIENT_1 | mdp::CLIENT_2 => {
            let (dialect, service, body) = mdp::read_request(rest)?;
            let wish = mdp_wish(service, body);
            Some(Said::Client {
                dialect,
                envelope,
                wish,
            })
        }
        mdp::WORKER_1 | mdp::WORKER_2 => {
            let (version, report) = mdp::read_report(rest)?;
            Some(Said::Worker(WorkerDialect::Mdp(version, envelope), report))
        }
        cbw::READY if rest.len() == 1 => Some(Said::Worker(
            WorkerDialect::Req(ReqVariant::Divided),
            WorkerReport::Ready {
                services: Vec::new(),
                capacity: 1,
            },
        )),
        _ => Some(Said::Client {
            dialect: ClientDialect::Plain,
            envelope,
            wish: ClientWish::Request {
                service: None,
                id: None,
                headers: AskHeaders::default(),
                body: rest,
            },
        }),
    }
}

/// Reads a message that came to the workers' own port. Workers of the other dialects may use it as well.
pub fn read_back(frames: Frames, known: Option<&WorkerDialect>) -> Option<Said> {
    if known.is_none() {
        let (_, rest) = envelope::split(frames.clone());
        if let Some(variant) = cbw::read_first(&rest) {
            let dialect = WorkerDialect::Req(variant);
            let report = cbw::read_report(variant, rest)?;
            return Some(Said::Worker(dialect, report));
        }
    }
    // Clients have no business here.
    read_front(frames, known).filter(|said| matches!(said, Said::Worker(..)))
}

fn read_native_client(envelope: Frames, rest: Frames) -> Said {
    let wish = match Ask::read(rest) {
        Ok(Ask::Request {
            service,
            id,
            headers,
            body,
        }) => ClientWish::Request {
            service: Some(service),
            id: Some(id),
            headers,
            body,
        },
        Ok(Ask::Cancel { id }) => ClientWish::Cancel(id),
        Err((id, why)) => ClientWish::Malformed(id, why),
    };
    Said::Client {
        dialect: ClientDialect::Native,
        envelope,
        wish,
    }
}

fn mdp_wish(service: Bytes, body: Frames) -> ClientWish {
    if service.starts_with(mdp::MANAGEMENT) {
        let ours = service == mdp::MANAGEMENT_SERVICE;
        return ClientWish::Management {
            about: body.into_iter().next().filter(|_| ours),
            name: service,
        };
    }
    ClientWish::Request {
        service: Some(service),
        id: None,
        headers: AskHeaders::default(),
        body,
    }
}

impl From<Report> for WorkerReport {
    fn from(report: Report) -> Self {
        match report {
            Report::Ready { capacity, services } => Self::Ready { services, capacity },
            Report::Partial(delivery, body) => Self::Partial(delivery, body),
            Report::Final(delivery, body) => Self::Final(delivery, body),
            Report::Fail {
                delivery,
                code,
                retryable,
                text,
            } => Self::Fail(delivery, code, retryable, text),
            Report::Heartbeat(running) => Self::Heartbeat(running),
            Report::Extend(delivery, by) => Self::Extend(delivery, by),
            Report::Drain => Self::Drain,
            Report::Bye => Self::Bye,
        }
    }
}

/// A message to a client, envelope first. `None` if its protocol has no word for it.
pub fn write_to_client(
    dialect: ClientDialect,
    envelope: Frames,
    message: ToClient,
    mdp_errors: bool,
) -> Option<Frames> {
    let frames = match dialect {
        ClientDialect::Native => native_answer(message).write(),
        ClientDialect::Plain => match message {
            ToClient::Final { body, .. } => body,
            ToClient::Error { refusal, .. } => error_body(&refusal),
            ToClient::Accepted { .. } | ToClient::Partial { .. } => return None,
        },
        _ => match message {
            ToClient::Final { service, body, .. } => {
                mdp::write_answer(dialect, &service, body, true)
            }
            ToClient::Partial { service, body, .. } => {
                mdp::write_answer(dialect, &service, body, false)
            }
            ToClient::Error {
                service, refusal, ..
            } if mdp_errors => mdp::write_answer(dialect, &service, error_body(&refusal), true),
            ToClient::Accepted { .. } | ToClient::Error { .. } => return None,
        },
    };
    Some(with_envelope(envelope, frames))
}

fn with_envelope(mut envelope: Frames, frames: Frames) -> Frames {
    if envelope.is_empty() {
        return frames;
    }
    envelope.extend(frames);
    envelope
}

fn native_answer(message: ToClient) -> Answer {
    match message {
        ToClient::Accepted { id } => Answer::Accepted { id },
        ToClient::Partial { id, body, .. } => Answer::Partial { id, body },
        ToClient::Final { id, body, .. } => Answer::Final { id, body },
        ToClient::Error { id, refusal, .. } => Answer::Error {
            id,
            code: refusal.code,
            headers: AnswerHeaders {
                retry_after_ms: refusal.retry_after.map(millis),
                maybe_executed: refusal.maybe_executed,
            },
            text: refusal.text,
        },
    }
}

fn error_body(refusal: &Refusal) -> Frames {
    let code = Bytes::from(refusal.code.to_string());
    vec![Bytes::from_static(ERROR_MARK), code]
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A message to a worker, envelope first. `None` if its protocol has no word for it.
pub fn write_to_worker(
    dialect: &WorkerDialect,
    message: ToWorker,
    about_us: &WelcomeHeaders,
) -> Option<Frames> {
    let (envelope, frames) = match dialect {
        WorkerDialect::Native(envelope) => {
            (envelope.clone(), native_order(message, about_us).write())
        }
        WorkerDialect::Mdp(version, envelope) => {
            let frames = match message {
                ToWorker::Request { delivery, body, .. } => {
                    mdp::write_request(*version, delivery, body)
                }
                ToWorker::Heartbeat => mdp::write_heartbeat(*version),
                ToWorker::Bye => mdp::write_disconnect(*version),
                ToWorker::Welcome { .. } | ToWorker::Drain => return None,
            };
            (envelope.clone(), frames)
        }
        WorkerDialect::Req(variant) => match message {
            ToWorker::Request { delivery, body, .. } => {
                let frames = cbw::write_request(*variant, delivery, body);
                (vec![Bytes::new()], frames)
            }
            _ => return None,
        },
    };
    Some(with_envelope(envelope, frames))
}

fn native_order(message: ToWorker, about_us: &WelcomeHeaders) -> Order {
    match message {
        ToWorker::Welcome { lease } => Order::Welcome(WelcomeHeaders {
            lease_ms: millis(lease),
            ..about_us.clone()
        }),
        ToWorker::Request {
            delivery,
            service,
            id,
            attempt,
            time_left,
            trace,
            body,
        } => Order::Request {
            delivery,
            service: Bytes::copy_from_slice(service.as_bytes()),
            id,
            attempt,
            headers: JobHeaders {
                deadline_ms: millis(time_left),
                trace: trace.map(|trace| trace.to_string()),
            },
            body,
        },
        ToWorker::Heartbeat => Order::Heartbeat,
        ToWorker::Drain => Order::Drain,
        ToWorker::Bye => Order::Bye,
    }
}
