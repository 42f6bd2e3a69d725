//! One worker's unused connections to upstreams. Nobody else touches them, so there is no lock.
//!
//! Newest first: the one used last is the least likely to have been closed meanwhile. A connection is only ever put here
//! after its response ended exactly and no byte was left over; one on which anything has arrived since is not used again.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

/// Unused connections, by upstream key.
#[derive(Debug)]
pub(crate) struct Connections {
    idle: HashMap<u64, Vec<Idle>, BuildHasherDefault<KeyHasher>>,
    per_upstream: usize,
}

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    since: Instant,
}

impl Connections {
    pub(crate) fn new(per_upstream: usize) -> Self {
        Self {
            idle: HashMap::default(),
            per_upstream,
        }
    }

    /// A connection to the upstream that is still silent and open, if there is one.
    pub(crate) fn take(&mut self, upstream: u64) -> Option<TcpStream> {
        let idle = self.idle.get_mut(&upstream)?;
        while let Some(candidate) = idle.pop() {
            if is_silent(&candidate.stream) {
                return Some(candidate.stream);
            }
        }
        None
    }

    /// Keeps a connection for later. Over the limit it is closed instead.
    pub(crate) fn keep(&mut self, upstream: u64, stream: TcpStream, now: Instant) {
        let idle = self.idle.entry(upstream).or_default();
        if idle.len() < self.per_upstream {
            idle.push(Idle { stream, since: now });
        }
    }

    /// Closes what has been unused for longer than `limit`, what the other side closed, and what leads to an upstream
    /// that is not in `wanted`.
    pub(crate) fn sweep(&mut self, now: Instant, limit: Duration, wanted: &HashSet<u64>) {
        self.idle.retain(|upstream, idle| {
            idle.retain(|c| now.duration_since(c.since) < limit && is_silent(&c.stream));
            wanted.contains(upstream) && !idle.is_empty()
        });
    }
}

/// Whether nothing has arrived: no byte that nobody asked for, and no end.
fn is_silent(stream: &TcpStream) -> bool {
    // Readiness is known from the event loop: this makes a system call only if something did arrive.
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Upstream keys are small counted numbers: one multiplication spreads them well enough.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let ours = TcpStream::connect(address).await.expect("connected");
        (ours, listener.accept().await.expect("accepted").0)
    }

    #[tokio::test]
    async fn the_newest_comes_first_and_the_limit_holds() {
        let mut connections = Connections::new(2);
        let now = Instant::now();
        let mut others = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..3 {
            let (ours, theirs) = pair().await;
            ports.push(ours.local_addr().expect("bound"));
            others.push(theirs);
            connections.keep(7, ours, now);
        }
        assert!(connections.take(8).is_none());
        let taken = connections.take(7).expect("two are kept");
        assert_eq!(taken.local_addr().expect("bound"), ports[1]);
        assert!(connections.take(7).is_some());
        assert!(connections.take(7).is_none());
    }

    #[tokio::test]
    async fn one_that_was_closed_or_spoken_on_is_not_used() {
        let mut connections = Connections::new(8);
        let (closed, theirs) = pair().await;
        drop(theirs);
        closed.readable().await.expect("the end is readable");
        let (spoken, mut theirs) = pair().await;
        theirs
            .write_all(b"HTTP/1.1 408 x\r\n\r\n")
            .await
            .expect("written");
        spoken.readable().await.expect("bytes are readable");
        connections.keep(1, closed, Instant::now());
        connections.keep(1, spoken, Instant::now());
        assert!(connections.take(1).is_none());
    }

    #[tokio::test]
    async fn sweeping_closes_the_old_and_the_unwanted() {
        let mut connections = Connections::new(8);
        let now = Instant::now();
        let limit = Duration::from_secs(20);
        let mut others = Vec::new();
        for (key, since) in [(1, now), (2, now), (3, now - limit)] {
            let (ours, theirs) = pair().await;
            others.push(theirs);
            connections.keep(key, ours, since);
        }
        connections.sweep(now, limit, &HashSet::from([1, 3]));
        assert!(connections.take(2).is_none() && connections.take(3).is_none());
        assert!(connections.take(1).is_some());
    }
}
