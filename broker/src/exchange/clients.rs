//! What clients wish, as the core understands it, and what the broker answers by itself.
//!
//! Who cannot say how long they wait are given their time and patience here. It must not know how frames are written.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Act, Exchange};
use crate::{
    core::message::{
        Frames, Input, NewRequest, Refusal, RequestName, Retry, ReturnAddress, ToClient,
    },
    dialect::{AskHeaders, ClientDialect, ClientWish},
};

impl Exchange {
    pub(super) fn client(
        &mut self,
        dialect: ClientDialect,
        from: ReturnAddress,
        wish: ClientWish,
        now: Instant,
    ) -> Vec<Act> {
        match wish {
            ClientWish::Request { id, headers, .. }
                if headers.hop > 0 && !self.may_hand_over(from.peer) =>
            {
                let why = "this key may not hand requests over: it is not among --curve-brokers";
                self.turn_away(from, id.unwrap_or_default(), (403, why.into()))
            }
            ClientWish::Request {
                service,
                id,
                headers,
                body,
            } => {
                let request = self.request(dialect, from, (service, id, body), headers);
                self.feed(Input::Request(request), now)
            }
            ClientWish::Cancel(id) => {
                let (client, key) = (from.peer, self.key(from.peer));
                let name = RequestName { key, id };
                self.feed(Input::Cancel { client, name }, now)
            }
            ClientWish::Management { name, about } => {
                let code: &'static [u8] = match about {
                    Some(service) if self.core.is_served(&service) => b"200",
                    Some(_) => b"404",
                    None => b"501",
                };
                let answer = ToClient::Final {
                    id: Bytes::new(),
                    service: String::from_utf8_lossy(&name).into(),
                    body: vec![Bytes::from_static(code)],
                };
                self.to_client(from, answer).into_iter().collect()
            }
            ClientWish::Malformed(id, why) => self.turn_away(from, id, (400, why.to_string())),
        }
    }

    /// Refuses what the core does not get to see.
    fn turn_away(&self, from: ReturnAddress, id: Bytes, (code, why): (u16, String)) -> Vec<Act> {
        let error = ToClient::Error {
            id,
            service: "".into(),
            refusal: Refusal {
                code,
                text: Bytes::from(why),
                retry_after: None,
                maybe_executed: false,
            },
        };
        self.to_client(from, error).into_iter().collect()
    }

    fn request(
        &self,
        dialect: ClientDialect,
        from: ReturnAddress,
        (service, id, body): (Option<Bytes>, Option<Bytes>, Frames),
        headers: AskHeaders,
    ) -> NewRequest {
        let native = dialect == ClientDialect::Native;
        let usual = if native {
            self.manner.timeout
        } else {
            self.manner.foreign_timeout
        };
        let default_service = || Bytes::from(self.manner.default_service.clone());
        let over = headers.hop > 0;
        let (id, handed) = match over {
            true => (None, Some(id.unwrap_or_default())),
            false => (id, None),
        };
        NewRequest {
            key: self.key(from.peer),
            from,
            id,
            service: service.unwrap_or_else(default_service),
            timeout: headers.timeout_ms.map_or(usual, Duration::from_millis),
            retry: match headers.retry.as_deref() {
                Some("never") => Retry::Never,
                _ => Retry::Safe,
            },
            ack: headers.ack,
            stream: headers.stream || dialect.takes_parts(),
            // Who cannot read an error is better served by waiting.
            patient: !native,
            trace: headers.trace.map(Into::into),
            handed,
            body,
        }
    }
}
