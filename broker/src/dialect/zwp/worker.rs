//! Messages between worker and broker.
//!
//! A worker sees the number of a delivery, never a client's address: it can answer what it was given and nothing else.

use std::time::Duration;

use bytes::Bytes;

use super::{JobHeaders, Malformed, WORKER, WelcomeHeaders, byte, headers, number, take};
use crate::core::message::{Delivery, Frames};

const READY: u8 = 1;
const REQUEST: u8 = 2;
const PARTIAL: u8 = 3;
const FINAL: u8 = 4;
const FAIL: u8 = 5;
const HEARTBEAT: u8 = 6;
const DRAIN: u8 = 7;
const BYE: u8 = 8;
const EXTEND: u8 = 9;
const WELCOME: u8 = 10;

/// Most deliveries named in one heartbeat: as many as a worker can have, since its capacity is one byte.
const MAX_RUNNING: usize = 255;

/// What a worker says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// I serve these, and so many at once.
    Ready {
        /// Requests at once.
        capacity: u8,
        /// Names of services, or prefixes followed by `*`.
        services: Vec<Bytes>,
    },
    /// Part of an answer.
    Partial(Delivery, Frames),
    /// An answer, or its end.
    Final(Delivery, Frames),
    /// It could not be done.
    Fail {
        /// Which delivery.
        delivery: Delivery,
        /// The worker's own code, 400 to 599.
        code: u16,
        /// Whether another attempt may succeed.
        retryable: bool,
        /// The reason, for a person.
        text: Bytes,
    },
    /// I live, and work on these.
    Heartbeat(Vec<Delivery>),
    /// I need longer for this one.
    Extend(Delivery, Duration),
    /// Give me no more.
    Drain,
    /// My last word.
    Bye,
}

impl Report {
    /// As frames.
    pub fn write(self) -> Frames {
        let header = Bytes::from_static(WORKER);
        match self {
            Self::Ready { capacity, services } => {
                let mut frames = vec![header, byte(READY), byte(capacity)];
                frames.extend(services);
                frames
            }
            Self::Partial(delivery, body) => {
                let mut frames = vec![header, byte(PARTIAL), id(delivery)];
                frames.extend(body);
                frames
            }
            Self::Final(delivery, body) => {
                let mut frames = vec![header, byte(FINAL), id(delivery)];
                frames.extend(body);
                frames
            }
            Self::Fail {
                delivery,
                code,
                retryable,
                text,
            } => {
                let code = Bytes::from(code.to_string());
                let retryable = byte(retryable.into());
                vec![header, byte(FAIL), id(delivery), code, retryable, text]
            }
            Self::Heartbeat(running) => {
                let mut frames = vec![header, byte(HEARTBEAT)];
                frames.extend(running.into_iter().map(id));
                frames
            }
            Self::Extend(delivery, by) => {
                let ms = Bytes::from(by.as_millis().to_string());
                vec![header, byte(EXTEND), id(delivery), ms]
            }
            Self::Drain => vec![header, byte(DRAIN)],
            Self::Bye => vec![header, byte(BYE)],
        }
    }

    /// Reads the frames after the envelope.
    ///
    /// # Errors
    /// If they are not a message of a worker.
    pub fn read(frames: Frames) -> Result<Self, Malformed> {
        let mut frames = frames.into_iter();
        let [_, command] = take(&mut frames)?;
        match command.as_ref() {
            [READY] => {
                let [capacity] = take(&mut frames)?;
                let [capacity] = *capacity.as_ref() else {
                    return Err(Malformed("the capacity of a worker is one byte"));
                };
                let services = frames.collect();
                Ok(Self::Ready { capacity, services })
            }
            [PARTIAL] => Ok(Self::Partial(next_id(&mut frames)?, frames.collect())),
            [FINAL] => Ok(Self::Final(next_id(&mut frames)?, frames.collect())),
            [FAIL] => {
                let delivery = next_id(&mut frames)?;
                let [code, retryable, text] = take(&mut frames)?;
                let code = number(&code, "a failure without a code")?;
                if !(400..=599).contains(&code) {
                    return Err(Malformed("the code of a failure is 400 to 599"));
                }
                Ok(Self::Fail {
                    delivery,
                    code,
                    retryable: retryable.as_ref() == [1],
                    text,
                })
            }
            [HEARTBEAT] => {
                let running = frames.take(MAX_RUNNING).map(|frame| read_id(&frame));
                Ok(Self::Heartbeat(running.collect::<Result<_, _>>()?))
            }
            [EXTEND] => {
                let delivery = next_id(&mut frames)?;
                let [ms] = take(&mut frames)?;
                let ms = number(&ms, "an extension without milliseconds")?;
                Ok(Self::Extend(delivery, Duration::from_millis(ms)))
            }
            [DRAIN] => Ok(Self::Drain),
            [BYE] => Ok(Self::Bye),
            _ => Err(Malformed("not a command of a worker")),
        }
    }
}

/// What a broker says to a worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// The offer was taken.
    Welcome(WelcomeHeaders),
    /// Do this.
    Request {
        /// Which delivery.
        delivery: Delivery,
        /// The service.
        service: Bytes,
        /// The client's id of the request.
        id: Bytes,
        /// 1 for the first attempt.
        attempt: u8,
        /// What else there is to say.
        headers: JobHeaders,
        /// The body.
        body: Frames,
    },
    /// I live.
    Heartbeat,
    /// Finish, and look for another broker.
    Drain,
    /// My last word; or: I do not know you.
    Bye,
}

impl Order {
    /// As frames.
    pub fn write(self) -> Frames {
        let header = Bytes::from_static(WORKER);
        match self {
            Self::Welcome(headers) => vec![header, byte(WELCOME), headers::write(&headers)],
            Self::Request {
                delivery,
                service,
                id: request,
                attempt,
                headers,
                body,
            } => {
                let headers = headers::write(&headers);
                let mut frames = Vec::with_capacity(7 + body.len());
                frames.extend([header, byte(REQUEST), id(delivery), service, request]);
                frames.extend([byte(attempt), headers]);
                frames.extend(body);
                frames
            }
            Self::Heartbeat => vec![header, byte(HEARTBEAT)],
            Self::Drain => vec![header, byte(DRAIN)],
            Self::Bye => vec![header, byte(BYE)],
        }
    }

    /// Reads the frames after the envelope.
    ///
    /// # Errors
    /// If they are not a message of a broker to a worker.
    pub fn read(frames: Frames) -> Result<Self, Malformed> {
        let mut frames = frames.into_iter();
        let [header, command] = take(&mut frames)?;
        if header != WORKER {
            return Err(Malformed("not a message to a worker"));
        }
        match command.as_ref() {
            [WELCOME] => {
                let [headers] = take(&mut frames)?;
                Ok(Self::Welcome(headers::read(&headers)?))
            }
            [REQUEST] => {
                let delivery = next_id(&mut frames)?;
                let [service, id, attempt, headers] = take(&mut frames)?;
                Ok(Self::Request {
                    delivery,
                    service,
                    id,
                    attempt: attempt.first().copied().unwrap_or_default(),
                    headers: headers::read(&headers)?,
                    body: frames.collect(),
                })
            }
            [HEARTBEAT] => Ok(Self::Heartbeat),
            [DRAIN] => Ok(Self::Drain),
            [BYE] => Ok(Self::Bye),
            _ => Err(Malformed("not a command to a worker")),
        }
    }
}

fn id(delivery: Delivery) -> Bytes {
    Bytes::copy_from_slice(&delivery.0.to_be_bytes())
}

fn read_id(frame: &[u8]) -> Result<Delivery, Malformed> {
    let bytes = frame
        .try_into()
        .map_err(|_| Malformed("a delivery's number has 8 bytes"))?;
    Ok(Delivery(u64::from_be_bytes(bytes)))
}

fn next_id(frames: &mut std::vec::IntoIter<Bytes>) -> Result<Delivery, Malformed> {
    let [frame] = take(frames)?;
    read_id(&frame)
}
