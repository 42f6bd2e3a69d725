//! The core's limits: everything that can grow has one, and each has a name, a unit and a reason.
//!
//! Plain numbers; where they come from is the caller's business.

use std::time::Duration;

/// Longest id of a request, in bytes: a UUID in any spelling, with room for a prefix.
pub const MAX_ID: usize = 64;
/// Longest name of a service, in bytes: what fits into one short ZMTP frame.
pub const MAX_SERVICE_NAME: usize = 255;
/// Most services one worker may name: a worker that serves more says so with a `*`.
pub const MAX_SERVICES_PER_WORKER: usize = 64;
/// Most frames of a body: each costs memory of its own, however short it is.
pub const MAX_BODY_FRAMES: usize = 256;
/// Accounted for each request and each frame besides the bytes of the body, so that empty ones are not free.
pub(crate) const OVERHEAD: usize = 128;

/// What a broker holds at most, and how long it waits for what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of one body.
    pub max_body: usize,
    /// Requests waiting for one service; the next gets 429.
    pub queue_length: usize,
    /// Bytes of the requests waiting for one service; what would exceed them gets 429.
    pub queue_bytes: usize,
    /// Requests held in all, waiting or with a worker.
    pub requests: usize,
    /// Bytes of all requests held.
    pub bytes: usize,
    /// Requests held for one client: one that never waits for answers leaves room for others.
    pub requests_per_client: usize,
    /// Workers.
    pub workers: usize,
    /// Other brokers, each counted once for every name and prefix it serves.
    pub remotes: usize,
    /// Services and prefixes that workers have named, in all.
    pub lanes: usize,
    /// Prefixes among them: a new service is compared with each length of them.
    pub prefixes: usize,
    /// Requests one worker may take at once; a greater offer is cut down.
    pub capacity: u16,
    /// Times a request is given to a worker before it is a dead letter.
    pub attempts: u8,
    /// The longest a client may let a request wait.
    pub max_timeout: Duration,
    /// How long a request waits for the first worker of a service that nobody serves, before it gets 404. One accepted while
    /// there was a worker waits as long as its client does.
    pub grace: Duration,
    /// How often workers are told that the broker lives.
    pub heartbeat: Duration,
    /// The longest a worker may extend its lease by, in one go.
    pub max_extension: Duration,
    /// How long a worker whose connection was full is left alone, unless it says something earlier.
    pub stall: Duration,
    /// What 429 and 503 tell the client to wait before it tries again.
    pub retry_after: Duration,
    /// Answers kept for requests sent twice: how many …
    pub answers: usize,
    /// … how many bytes …
    pub answer_bytes: usize,
    /// … and for how long.
    pub answer_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            max_body: 16 * MIB,
            queue_length: 10_000,
            queue_bytes: 64 * MIB,
            requests: 100_000,
            bytes: 256 * MIB,
            requests_per_client: 10_000,
            workers: 20_000,
            remotes: 16_384,
            lanes: 65_536,
            prefixes: 1_024,
            capacity: 1_024,
            attempts: 3,
            max_timeout: Duration::from_secs(24 * 3600),
            grace: Duration::from_secs(2),
            heartbeat: Duration::from_secs(1),
            max_extension: Duration::from_secs(3600),
            stall: Duration::from_secs(1),
            retry_after: Duration::from_millis(250),
            answers: 10_000,
            answer_bytes: 64 * MIB,
            answer_age: Duration::from_secs(60),
        }
    }
}
