//! Reads a request's body whole, within a size and a time.
//!
//! It knows bytes only; what they mean is the handler's business.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::time;

/// Time for a whole body to arrive. A megabyte over a poor line takes some seconds; a client that
/// drips bytes to hold a connection is cut here.
const BODY_READ: Duration = Duration::from_secs(30);

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than allowed: answer 413.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// What was allowed, in bytes.
        limit: usize,
    },
    /// It did not arrive in time: answer 408.
    #[error("the body did not arrive within {BODY_READ:?}")]
    TooSlow,
    /// The client left, or its framing is faulty: answer 400, if anybody is there to read it.
    #[error("the body cannot be read: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads all of `body`, at most `limit` bytes.
///
/// # Errors
///
/// When it is larger, slower than 30 seconds, or breaks off.
pub async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    read(body, limit, BODY_READ).await
}

async fn read<B>(body: B, limit: usize, time: Duration) -> Result<Bytes, BodyError>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // A declared length is believed only when it is too large: nothing is reserved for it.
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    match time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { limit }),
        Ok(Err(error)) => Err(BodyError::Broken(error)),
        Err(_) => Err(BodyError::TooSlow),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    type Chunk = Result<Frame<Bytes>, BrokenOff>;

    #[derive(Debug, thiserror::Error)]
    #[error("broken off")]
    struct BrokenOff;

    fn four() -> Chunk {
        Ok(Frame::data(Bytes::from_static(b"four")))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_not_beyond() {
        for (bytes, limit, fits) in [(0, 0, true), (4, 4, true), (5, 4, false)] {
            let body = Full::new(Bytes::from(vec![b'x'; bytes]));
            let read = read(body, limit, BODY_READ).await;
            match read {
                Ok(whole) => assert!(fits && whole.len() == bytes),
                Err(error) => assert!(!fits && matches!(error, BodyError::TooLarge { .. })),
            }
        }
    }

    #[tokio::test]
    async fn chunks_are_added_up() {
        let body = || StreamBody::new(stream::iter([four(), four(), four()]));
        assert_eq!(
            read(body(), 12, BODY_READ).await.expect("it fits").len(),
            12
        );
        let error = read(body(), 11, BODY_READ)
            .await
            .expect_err("one byte too many");
        assert!(
            matches!(error, BodyError::TooLarge { limit: 11 }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error() {
        let body = StreamBody::new(stream::iter([four(), Err(BrokenOff)]));
        let error = read(body, 100, BODY_READ)
            .await
            .expect_err("it is not whole");
        assert_eq!(error.to_string(), "the body cannot be read: broken off");
    }

    #[tokio::test]
    async fn a_dripping_client_is_cut() {
        let body = StreamBody::new(stream::pending::<Chunk>());
        let error = read(body, 10, Duration::from_millis(20))
            .await
            .expect_err("nothing came");
        assert!(matches!(error, BodyError::TooSlow), "{error}");
    }
}
