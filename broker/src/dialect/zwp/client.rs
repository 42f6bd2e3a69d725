//! Messages between client and broker.
//!
//! A request and its answer carry the id that the client gave; the id is what makes asking again safe.

use bytes::Bytes;

use super::{AnswerHeaders, AskHeaders, CLIENT, Malformed, byte, headers, number, take};
use crate::core::message::Frames;

const REQUEST: u8 = 1;
const PARTIAL: u8 = 2;
const FINAL: u8 = 3;
const ERROR: u8 = 4;
const ACCEPTED: u8 = 5;
const CANCEL: u8 = 6;

/// What a client says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// Do this.
    Request {
        /// The service.
        service: Bytes,
        /// The client's id of the request.
        id: Bytes,
        /// What else it says.
        headers: AskHeaders,
        /// The body.
        body: Frames,
    },
    /// I no longer want the answer.
    Cancel {
        /// The client's id of the request.
        id: Bytes,
    },
}

impl Ask {
    /// As frames.
    pub fn write(&self) -> Frames {
        let header = Bytes::from_static(CLIENT);
        match self {
            Self::Request {
                service,
                id,
                headers,
                body,
            } => {
                let headers = headers::write(headers);
                let mut frames = vec![header, byte(REQUEST), service.clone(), id.clone(), headers];
                frames.extend_from_slice(body);
                frames
            }
            Self::Cancel { id } => vec![header, byte(CANCEL), id.clone()],
        }
    }

    /// Reads the frames after the envelope. An error comes with the request's id as far as it could be read.
    ///
    /// # Errors
    /// If they are not a message of a client.
    pub fn read(frames: Frames) -> Result<Self, (Bytes, Malformed)> {
        let nameless = |error| (Bytes::new(), error);
        let mut frames = frames.into_iter();
        let [_, command] = take(&mut frames).map_err(nameless)?;
        match command.as_ref() {
            [REQUEST] => {
                let [service, id] = take(&mut frames).map_err(nameless)?;
                let with_id = |error| (id.clone(), error);
                let [headers] = take(&mut frames).map_err(with_id)?;
                let headers = headers::read(&headers).map_err(with_id)?;
                let body = frames.collect();
                Ok(Self::Request {
                    service,
                    id,
                    headers,
                    body,
                })
            }
            [CANCEL] => {
                let [id] = take(&mut frames).map_err(nameless)?;
                Ok(Self::Cancel { id })
            }
            _ => Err(nameless(Malformed("not a command of a client"))),
        }
    }
}

/// What a broker says to a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The request was accepted.
    Accepted {
        /// The client's id of the request.
        id: Bytes,
    },
    /// Part of the answer.
    Partial {
        /// The client's id of the request.
        id: Bytes,
        /// The part.
        body: Frames,
    },
    /// The answer, or its end.
    Final {
        /// The client's id of the request.
        id: Bytes,
        /// The body.
        body: Frames,
    },
    /// There will be no answer.
    Error {
        /// The client's id of the request.
        id: Bytes,
        /// As in HTTP.
        code: u16,
        /// What else there is to say.
        headers: AnswerHeaders,
        /// The reason, for a person.
        text: Bytes,
    },
}

impl Answer {
    /// As frames.
    pub fn write(self) -> Frames {
        let header = Bytes::from_static(CLIENT);
        match self {
            Self::Accepted { id } => vec![header, byte(ACCEPTED), id],
            Self::Partial { id, body } => {
                let mut frames = vec![header, byte(PARTIAL), id];
                frames.extend(body);
                frames
            }
            Self::Final { id, body } => {
                let code = Bytes::from_static(b"200");
                let mut frames = Vec::with_capacity(5 + body.len());
                frames.extend([header, byte(FINAL), id, code, Bytes::new()]);
                frames.extend(body);
                frames
            }
            Self::Error {
                id,
                code,
                headers,
                text,
            } => {
                let code = Bytes::from(code.to_string());
                vec![
                    header,
                    byte(ERROR),
                    id,
                    code,
                    headers::write(&headers),
                    text,
                ]
            }
        }
    }

    /// Reads the frames after the envelope.
    ///
    /// # Errors
    /// If they are not a message of a broker to a client.
    pub fn read(frames: Frames) -> Result<Self, Malformed> {
        let mut frames = frames.into_iter();
        let [header, command, id] = take(&mut frames)?;
        if header != CLIENT {
            return Err(Malformed("not a message to a client"));
        }
        match command.as_ref() {
            [ACCEPTED] => Ok(Self::Accepted { id }),
            [PARTIAL] => {
                let body = frames.collect();
                Ok(Self::Partial { id, body })
            }
            [FINAL] => {
                let [_code, _headers] = take(&mut frames)?;
                let body = frames.collect();
                Ok(Self::Final { id, body })
            }
            [ERROR] => {
                let [code, headers, text] = take(&mut frames)?;
                Ok(Self::Error {
                    id,
                    code: number(&code, "an error without a code")?,
                    headers: headers::read(&headers)?,
                    text,
                })
            }
            _ => Err(Malformed("not a command to a client")),
        }
    }
}
