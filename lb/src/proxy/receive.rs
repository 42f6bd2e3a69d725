//! The upstream's answer, on its way to the client.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::client::Request;
use super::deadline::Deadline;
use super::error::ProxyError;
use super::exchange::Failed;
use super::http1::{
    self, BodyReader, BodyWriter, Delivery, Framing, Parsed, Pieces, ResponseHead, parse_response,
};
use super::io::{IoError, has_left, read_scratch, write_all, write_now};
use super::relay::Relay;
use super::worker::Worker;
use crate::pool::Upstream;

/// The most interim answers (1xx) before the final one. Applications send one or two.
const MAX_INTERIM: u32 = 16;

/// A body that came with its head and is at most this long is copied behind it: one stretch is cheaper to write than two.
const COPIED_BODY: usize = 4_096;

/// An answer that has reached the client.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: u16,
    /// Whether the client's connection can serve another request.
    pub(super) keep_alive: bool,
    /// Whether the answer came before the request was fully read: the client may still be sending.
    pub(super) early: bool,
    /// Whether the upstream's connection can serve another request.
    pub(super) reusable: bool,
    /// The protocol was switched; what of the new one has been read already.
    pub(super) switched: Option<Vec<u8>>,
}

/// Receives one answer.
#[derive(Debug)]
pub(super) struct Receive<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) request: &'a Request,
    pub(super) upstream: &'a Arc<Upstream>,
    /// Set to when the answer is due.
    pub(super) deadline: &'a mut Deadline,
    /// Whether the request is fully sent.
    pub(super) sent: &'a Cell<bool>,
    /// Set when the client has got part of the final answer.
    pub(super) started: &'a Cell<bool>,
}

/// An answer whose head is on its way.
#[derive(Debug)]
struct Begun {
    status: u16,
    body: BodyReader,
    writer: BodyWriter,
    close: bool,
    reusable: bool,
    switched: bool,
    /// Read and not used.
    input: Vec<u8>,
}

/// How far the bytes that are there lead.
enum Step {
    /// Further bytes are needed. So many of those there are used up.
    More(usize),
    Begun(Begun),
}

impl Receive<'_> {
    /// Reads the answer from the upstream and writes it to the client, to its end.
    pub(super) async fn run(
        mut self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> Result<Received, Failed> {
        // What the client could not take at once.
        let mut rest = Vec::new();
        let mut begun = self.head(from, to, &mut rest).await?;
        if !rest.is_empty() {
            self.flush(&rest, to).await?;
        }
        if begun.switched {
            let switched = Some(begun.input);
            return Ok(Received {
                status: begun.status,
                keep_alive: false,
                early: false,
                reusable: false,
                switched,
            });
        }
        if !begun.body.is_done() {
            let relay = Relay {
                worker: self.worker,
                body: &mut begun.body,
                writer: begun.writer,
                input: &mut begun.input,
                deadline: self.deadline,
            };
            if let Err(error) = relay.run(from, to).await {
                tracing::debug!(upstream = %self.upstream.id(), "the answer did not get through: {error:?}");
                return Err(Failed::Broken);
            }
        }
        let sent = self.sent.get();
        Ok(Received {
            status: begun.status,
            keep_alive: !begun.close && sent,
            early: !sent,
            reusable: begun.reusable && sent && begun.input.is_empty(),
            switched: None,
        })
    }

    /// Reads until the final head is there, and sends it on with what of the body came along.
    async fn head(
        &mut self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        rest: &mut Vec<u8>,
    ) -> Result<Begun, Failed> {
        let mut kept: Vec<u8> = Vec::new();
        let mut interims = 0;
        loop {
            let Some(read) = self.read_unless_left(from, to).await else {
                return Err(Failed::Final(ProxyError::ClientLeft));
            };
            let n = match read {
                Ok(n @ 1..) => n,
                Ok(_) | Err(IoError::Broken) if kept.is_empty() && interims == 0 => {
                    return Err(Failed::Unanswered(ProxyError::closed(self.upstream)));
                }
                Ok(_) | Err(IoError::Broken) => return Err(self.bad("it ends within its head")),
                Err(IoError::Late) => {
                    return Err(Failed::Final(ProxyError::late(
                        self.upstream,
                        &self.worker.shared.limits,
                    )));
                }
            };
            if let Some(begun) = self.take_in(n, &mut kept, to, rest, &mut interims)? {
                return Ok(begun);
            }
            if kept.len() > self.worker.shared.limits.head_bytes {
                return Err(self.bad("its head is too long"));
            }
            if !rest.is_empty() {
                self.flush(rest, to).await?;
                rest.clear();
            }
        }
    }

    /// Reads into the worker's scratch buffer. `None`: the client has sent its whole request, and is gone.
    async fn read_unless_left(
        &mut self,
        from: &mut ReadHalf<'_>,
        client: &WriteHalf<'_>,
    ) -> Option<Result<usize, IoError>> {
        // Who asks for no further request may close their side and wait all the same.
        let closing = self.worker.shared.abort_on_close && self.request.keep_alive;
        let mut reading = pin!(read_scratch(from, &self.worker.scratch, self.deadline));
        let mut leaving = pin!(has_left(client, closing));
        poll_fn(|cx| match reading.as_mut().poll(cx) {
            Poll::Pending if self.sent.get() => leaving.as_mut().poll(cx).map(|()| None),
            read => read.map(Some),
        })
        .await
    }

    /// Looks at what came with the `n` bytes just read, and keeps what is not used up.
    fn take_in(
        &mut self,
        n: usize,
        kept: &mut Vec<u8>,
        to: &WriteHalf<'_>,
        rest: &mut Vec<u8>,
        interims: &mut u32,
    ) -> Result<Option<Begun>, Failed> {
        let worker = Rc::clone(self.worker);
        let scratch = worker.scratch.borrow();
        let fresh = &scratch[..n];
        if kept.is_empty() {
            return Ok(match self.step(fresh, to, rest, interims)? {
                Step::Begun(begun) => Some(begun),
                Step::More(used) => {
                    kept.extend_from_slice(&fresh[used..]);
                    None
                }
            });
        }
        kept.extend_from_slice(fresh);
        Ok(match self.step(kept, to, rest, interims)? {
            Step::Begun(begun) => Some(begun),
            Step::More(used) => {
                kept.drain(..used);
                None
            }
        })
    }

    /// Takes the heads at the front of `bytes`.
    fn step(
        &mut self,
        bytes: &[u8],
        to: &WriteHalf<'_>,
        rest: &mut Vec<u8>,
        interims: &mut u32,
    ) -> Result<Step, Failed> {
        let mut at = 0;
        loop {
            let mut storage = http1::storage();
            let parsed = parse_response(&bytes[at..], self.request.method, &mut storage);
            let head = match parsed.map_err(|reason| self.bad(reason))? {
                Parsed::Partial => return Ok(Step::More(at)),
                Parsed::Complete(head) => head,
            };
            if head.len > self.worker.shared.limits.head_bytes {
                return Err(self.bad("its head is too long"));
            }
            if head.status == 101 {
                return self
                    .switch(&head, &bytes[at + head.len..], to, rest)
                    .map(Step::Begun);
            }
            if head.status >= 200 {
                return self
                    .begin(&head, &bytes[at + head.len..], to, rest)
                    .map(Step::Begun);
            }
            *interims += 1;
            if *interims > MAX_INTERIM {
                return Err(self.bad("it has too many interim answers"));
            }
            self.interim(&head, to, rest)?;
            at += head.len;
        }
    }

    /// Passes an interim answer on to a client that can make use of it.
    fn interim(
        &mut self,
        head: &ResponseHead<'_, '_>,
        to: &WriteHalf<'_>,
        rest: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let wanted = match head.status {
            100 => self.request.expects_continue,
            _ => !self.request.old,
        };
        if !wanted {
            return Ok(());
        }
        let mut out = self.worker.out.borrow_mut();
        out.clear();
        if head.status == 100 {
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        } else {
            head.write(
                Delivery {
                    chunked: false,
                    close: false,
                    say_keep_alive: false,
                },
                &mut out,
            );
        }
        write_now(to, &[IoSlice::new(&out)], rest).map_err(|_| Failed::Broken)
    }

    /// Writes the final head, and what of the body came along.
    fn begin(
        &mut self,
        head: &ResponseHead<'_, '_>,
        bytes: &[u8],
        to: &WriteHalf<'_>,
        rest: &mut Vec<u8>,
    ) -> Result<Begun, Failed> {
        let old = self.request.old;
        let unmeasured = matches!(head.framing, Framing::Chunked | Framing::UntilClose);
        let close = !self.request.keep_alive
            || self.worker.drain.is_on()
            || (old && unmeasured)
            || !self.sent.get();
        let delivery = Delivery {
            chunked: unmeasured && !old,
            close,
            say_keep_alive: old && !close,
        };
        let writer = if delivery.chunked {
            BodyWriter::Chunked
        } else {
            BodyWriter::Plain
        };
        let mut out = self.worker.out.borrow_mut();
        out.clear();
        head.write(delivery, &mut out);
        let mut body = BodyReader::new(head.framing);
        let mut pieces = Pieces::default();
        let used = body
            .feed(bytes, &mut pieces)
            .map_err(|_| self.bad("its chunked body is malformed"))?;
        self.started.set(true);
        if writer == BodyWriter::Plain && pieces.total() <= COPIED_BODY {
            for range in pieces.ranges() {
                out.extend_from_slice(&bytes[range.clone()]);
            }
            write_now(to, &[IoSlice::new(&out)], rest).map_err(|_| Failed::Broken)?;
        } else {
            let write = |slices: &[IoSlice<'_>]| write_now(to, slices, rest);
            let written = writer.frame(bytes, &pieces, &body, &out, write);
            written
                .map_err(|_| Failed::Broken)?
                .map_err(|_| Failed::Broken)?;
        }
        Ok(Begun {
            status: head.status,
            body,
            writer,
            close,
            reusable: head.reusable,
            switched: false,
            input: bytes[used..].to_vec(),
        })
    }

    /// Passes a 101 on, if the client has asked for one.
    fn switch(
        &mut self,
        head: &ResponseHead<'_, '_>,
        bytes: &[u8],
        to: &WriteHalf<'_>,
        rest: &mut Vec<u8>,
    ) -> Result<Begun, Failed> {
        if !self.request.upgrade {
            return Err(self.bad("it switches protocols, and nobody asked for that"));
        }
        let mut out = self.worker.out.borrow_mut();
        out.clear();
        head.write_switch(&mut out);
        self.started.set(true);
        write_now(to, &[IoSlice::new(&out)], rest).map_err(|_| Failed::Broken)?;
        Ok(Begun {
            status: head.status,
            body: BodyReader::Done,
            writer: BodyWriter::Plain,
            close: true,
            reusable: false,
            switched: true,
            input: bytes.to_vec(),
        })
    }

    async fn flush(&mut self, rest: &[u8], to: &mut WriteHalf<'_>) -> Result<(), Failed> {
        self.deadline
            .set(Instant::now(), self.worker.shared.limits.stall);
        write_all(to, rest, self.deadline)
            .await
            .map_err(|_| Failed::Broken)
    }

    fn bad(&self, reason: &'static str) -> Failed {
        Failed::Final(ProxyError::bad_answer(self.upstream, reason))
    }
}
