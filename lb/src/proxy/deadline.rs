//! A deadline that moves with every request and touches the timer only rarely.
//!
//! Arming a timer costs more than parsing a request line. So the timer is set for the earliest moment that could matter;
//! when it fires early, it is set again for what is left.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// When what is being waited for is overdue.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    armed: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// Overdue `limit` from `now`.
    pub(crate) fn new(now: Instant, limit: Duration) -> Self {
        let at = now + limit;
        Self {
            at,
            armed: at,
            sleep: Box::pin(sleep_until(at)),
        }
    }

    /// Overdue `limit` from `now`, from here on.
    pub(crate) fn set(&mut self, now: Instant, limit: Duration) {
        self.at = now + limit;
        if self.at < self.armed {
            self.arm();
        }
    }

    /// Ready once it is overdue.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.armed >= self.at {
                return Poll::Ready(());
            }
            self.arm();
        }
        Poll::Pending
    }

    fn arm(&mut self) {
        self.armed = self.at;
        self.sleep.as_mut().reset(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn overdue_after(deadline: &mut Deadline) -> u64 {
        let start = Instant::now();
        poll_fn(|cx| deadline.poll(cx)).await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_moved_both_ways() {
        let mut deadline = Deadline::new(Instant::now(), Duration::from_secs(10));
        deadline.set(Instant::now(), Duration::from_secs(60));
        assert_eq!(overdue_after(&mut deadline).await, 60);
        deadline.set(Instant::now(), Duration::from_secs(60));
        deadline.set(Instant::now(), Duration::from_secs(5));
        assert_eq!(overdue_after(&mut deadline).await, 5);
        assert_eq!(overdue_after(&mut deadline).await, 0);
    }
}
