//! Reading and writing with a deadline, and with the worker's buffers.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::deadline::Deadline;

/// Why nothing could be read or written.
#[derive(Debug)]
pub(super) enum IoError {
    /// The deadline passed.
    Late,
    /// The connection is broken.
    Broken,
}

/// Reads what is there into `scratch`. 0 is the end. The bytes must be used before the next await: the buffer is the
/// whole worker's.
pub(super) async fn read_scratch(
    from: &mut ReadHalf<'_>,
    scratch: &RefCell<Box<[u8]>>,
    deadline: &mut Deadline,
) -> Result<usize, IoError> {
    poll_fn(|cx| poll_read(from, &mut scratch.borrow_mut(), deadline, cx)).await
}

/// Reads what is there into `buffer`. 0 is the end.
pub(super) async fn read(
    from: &mut ReadHalf<'_>,
    buffer: &mut [u8],
    deadline: &mut Deadline,
) -> Result<usize, IoError> {
    poll_fn(|cx| poll_read(from, buffer, deadline, cx)).await
}

fn poll_read(
    from: &mut ReadHalf<'_>,
    buffer: &mut [u8],
    deadline: &mut Deadline,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, IoError>> {
    let mut buffer = ReadBuf::new(buffer);
    match Pin::new(from).poll_read(cx, &mut buffer) {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
        Poll::Ready(Err(_)) => Poll::Ready(Err(IoError::Broken)),
        Poll::Pending => {
            ready!(deadline.poll(cx));
            Poll::Ready(Err(IoError::Late))
        }
    }
}

/// Waits until the peer has reset the connection or, if `closing` is enough, closed its side of it. Reads nothing, and asks the
/// kernel nothing: the runtime has been told already.
pub(super) async fn has_left(peer: &WriteHalf<'_>, closing: bool) {
    let signal = if closing {
        // Of its two meanings, urgent data and a closed side, urgent data is never told of: no socket asks for it.
        Interest::PRIORITY | Interest::ERROR
    } else {
        Interest::ERROR
    };
    // It fails only when the runtime ends.
    let _ = peer.ready(signal).await;
}

/// Writes all of `bytes`.
pub(super) async fn write_all(
    to: &mut WriteHalf<'_>,
    mut bytes: &[u8],
    deadline: &mut Deadline,
) -> Result<(), IoError> {
    while !bytes.is_empty() {
        let n = poll_fn(|cx| match Pin::new(&mut *to).poll_write(cx, bytes) {
            Poll::Ready(Ok(n @ 1..)) => Poll::Ready(Ok(n)),
            Poll::Ready(_) => Poll::Ready(Err(IoError::Broken)),
            Poll::Pending => {
                ready!(deadline.poll(cx));
                Poll::Ready(Err(IoError::Late))
            }
        });
        bytes = &bytes[n.await?..];
    }
    Ok(())
}

/// Writes as much of `slices` as goes without waiting, and appends what is left to `rest`. If something is left from
/// before, all of it is.
pub(super) fn write_now(
    to: &WriteHalf<'_>,
    slices: &[IoSlice<'_>],
    rest: &mut Vec<u8>,
) -> io::Result<()> {
    let written = match slices {
        _ if !rest.is_empty() => Ok(0),
        [] => return Ok(()),
        [only] => to.try_write(only),
        several => to.try_write_vectored(several),
    };
    let mut written = match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        other => other?,
    };
    for slice in slices {
        let skip = written.min(slice.len());
        written -= skip;
        rest.extend_from_slice(&slice[skip..]);
    }
    Ok(())
}
