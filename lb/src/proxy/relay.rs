//! One body from one side to the other: read, framed anew, written, never held whole.

use std::io;

use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::deadline::Deadline;
use super::http1::{BodyReader, BodyWriter, FramingError, Pieces};
use super::io::{IoError, read, write_all, write_now};
use super::worker::Worker;

/// Why a body did not get through, and on whose side.
#[derive(Debug)]
pub(super) enum RelayError {
    /// It could not be read to its end.
    From(FramingError),
    /// The side that sends it made no progress.
    FromLate,
    /// It could not be written.
    To,
    /// The side that takes it made no progress.
    ToLate,
}

/// Brings a body across.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    pub(super) worker: &'a Worker,
    pub(super) body: &'a mut BodyReader,
    pub(super) writer: BodyWriter,
    /// What has been read and not looked at. When the body is done: what does not belong to it.
    pub(super) input: &'a mut Vec<u8>,
    pub(super) deadline: &'a mut Deadline,
}

impl Relay<'_> {
    /// Reads and writes until the body is done.
    pub(super) async fn run(
        mut self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> Result<(), RelayError> {
        if !self.input.is_empty() {
            let input = std::mem::take(self.input);
            let used = self.pass_on(&input, to).await?;
            self.input.extend_from_slice(&input[used..]);
        }
        if self.body.is_done() {
            return Ok(());
        }
        let mut buffer = self.worker.take_buffer();
        while !self.body.is_done() {
            self.deadline
                .set(Instant::now(), self.worker.shared.limits.stall);
            let n = match read(from, &mut buffer, self.deadline).await {
                Ok(n) => n,
                Err(IoError::Late) => return Err(RelayError::FromLate),
                Err(IoError::Broken) => return Err(RelayError::From(FramingError::Cut)),
            };
            if n == 0 {
                self.body.end_of_input().map_err(RelayError::From)?;
                self.write(&[], &Pieces::default(), to).await?;
                break;
            }
            let used = self.pass_on(&buffer[..n], to).await?;
            self.input.extend_from_slice(&buffer[used..n]);
        }
        self.worker.give_buffer(buffer);
        Ok(())
    }

    /// Writes what of `bytes` belongs to the body. Returns how many do.
    async fn pass_on(&mut self, bytes: &[u8], to: &mut WriteHalf<'_>) -> Result<usize, RelayError> {
        let mut at = 0;
        while at < bytes.len() && !self.body.is_done() {
            let mut pieces = Pieces::default();
            let rest = &bytes[at..];
            at += self
                .body
                .feed(rest, &mut pieces)
                .map_err(RelayError::From)?;
            self.write(rest, &pieces, to).await?;
        }
        Ok(at)
    }

    async fn write(
        &mut self,
        bytes: &[u8],
        pieces: &Pieces,
        to: &mut WriteHalf<'_>,
    ) -> Result<(), RelayError> {
        let mut rest = Vec::new();
        if self.writer == BodyWriter::Plain
            && let [only] = pieces.ranges()
        {
            // Nothing to frame: written from where it lies, also if that takes several times.
            return self.finish(&bytes[only.clone()], to).await;
        }
        let now = |slices: &[io::IoSlice<'_>]| write_now(to, slices, &mut rest);
        let written = self
            .writer
            .frame(bytes, pieces, self.body, b"", now)
            .map_err(RelayError::From)?;
        written.map_err(|_| RelayError::To)?;
        self.finish(&rest, to).await
    }

    async fn finish(&mut self, bytes: &[u8], to: &mut WriteHalf<'_>) -> Result<(), RelayError> {
        self.deadline
            .set(Instant::now(), self.worker.shared.limits.stall);
        write_all(to, bytes, self.deadline)
            .await
            .map_err(|error| match error {
                IoError::Late => RelayError::ToLate,
                IoError::Broken => RelayError::To,
            })
    }
}
