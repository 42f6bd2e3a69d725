//! Trace lines to a logger: one JSON object each.
//!
//! A logger that is slow, dead or not there never stops the broker. Some lines wait for one that is not there yet; those it does
//! not take are counted, and the count stands in the next line that gets through.

use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tracing::warn;

use crate::{
    core::message::Event,
    zsock::{Push, curve::Pass},
};

/// Longest line, in bytes: ids and names are short.
const MAX_LINE: usize = 4096;

/// A line of the trace.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// Milliseconds since 1970.
    ts: u64,
    broker: &'a str,
    event: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    attempt: u8,
    #[serde(skip_serializing_if = "is_none")]
    code: u16,
    /// Lines lost before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_none(code: &u16) -> bool {
    *code == 0
}

/// Lines kept while nobody knows where the logger is: a broker that has just started finds it a moment later.
const EARLY: usize = 256;

/// Sends trace lines to wherever the logger is at the moment.
#[derive(Debug)]
pub(super) struct Tracer {
    broker: String,
    address: watch::Receiver<Option<String>>,
    pass: Option<Pass>,
    push: Option<Push>,
    /// Lines that wait until there is a logger.
    early: VecDeque<Bytes>,
    /// Lines lost since the last one that got through …
    pending: u64,
    /// … and ever.
    pub(super) lost: u64,
}

impl Tracer {
    pub(super) async fn new(
        broker: String,
        mut address: watch::Receiver<Option<String>>,
        pass: Option<Pass>,
    ) -> Self {
        address.mark_changed();
        let mut tracer = Self {
            broker,
            address,
            pass,
            push: None,
            early: VecDeque::new(),
            pending: 0,
            lost: 0,
        };
        tracer.follow().await;
        tracer
    }

    /// Waits until the logger's address changes. Cancel-safe.
    pub(super) async fn moved(&mut self) {
        if self.address.changed().await.is_err() {
            std::future::pending::<()>().await; // whoever told it has stopped to
        }
        self.address.mark_changed();
    }

    /// Connects to where the logger is now.
    pub(super) async fn follow(&mut self) {
        let address = self.address.borrow_and_update().clone();
        self.push = match address {
            Some(address) => match Push::connect_with(&address, MAX_LINE, self.pass.as_ref()).await
            {
                Ok(push) => Some(push),
                Err(error) => {
                    warn!(%error, "no trace lines are sent");
                    None
                }
            },
            None => None,
        };
        while let Some(push) = &mut self.push
            && let Some(line) = self.early.pop_front()
        {
            let sent = push.try_send(vec![line]).is_ok();
            self.count(sent);
        }
    }

    fn count(&mut self, sent: bool) {
        if !sent {
            self.pending += 1;
            self.lost += 1;
        }
    }

    pub(super) fn send(&mut self, event: &Event) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let id = String::from_utf8_lossy(&event.id);
        let line = Line {
            ts: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            broker: &self.broker,
            event: event.what.as_str(),
            request_id: &id,
            service: event.service.as_deref(),
            worker: event.worker.map(|peer| peer.0),
            attempt: event.attempt,
            code: event.code,
            dropped: (self.pending > 0).then_some(self.pending),
        };
        let text = Bytes::from(serde_json::to_vec(&line).unwrap_or_default());
        let sent = match &mut self.push {
            Some(push) => push.try_send(vec![text]).is_ok(),
            None if self.early.len() < EARLY => {
                self.early.push_back(text);
                return;
            }
            None => false,
        };
        if sent {
            self.pending = 0;
        }
        self.count(sent);
    }

    pub(super) async fn close(self) {
        if let Some(push) = self.push {
            push.close().await;
        }
    }
}
