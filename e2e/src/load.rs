//! Clients and origins inside the test process, for what wrk cannot see: which instance answered which request, and when.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::Connection;

/// What clients saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many answers carried each body, and so came from each instance.
    pub by_instance: BTreeMap<String, u64>,
    /// Requests that were not answered with 200, and what was seen instead.
    pub failures: Vec<String>,
}

impl Tally {
    /// The counts alone, in the order of the instances' bodies.
    pub fn counts(&self) -> Vec<u64> {
        self.by_instance.values().copied().collect()
    }

    fn add(&mut self, other: Tally) {
        for (instance, count) in other.by_instance {
            *self.by_instance.entry(instance).or_default() += count;
        }
        self.failures.extend(other.failures);
    }
}

/// Sends `total` requests for `/` over `connections` keep-alive connections, each as fast as its answers come.
pub fn requests(server: SocketAddr, connections: usize, total: u64) -> Tally {
    let left = AtomicU64::new(total);
    let take = || {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        })
        .is_ok()
    };
    clients(server, connections, &take)
}

/// The same, but for a time instead of a number.
pub fn requests_for(server: SocketAddr, connections: usize, time: Duration) -> Tally {
    let end = Instant::now() + time;
    clients(server, connections, &|| Instant::now() < end)
}

/// The instances that answer `total` requests over one connection, in order.
///
/// # Panics
/// If a request fails.
pub fn sequence(server: SocketAddr, total: usize) -> Vec<String> {
    let mut connection = Connection::open(server).expect("the server listens");
    let mut bodies = Vec::with_capacity(total);
    for _ in 0..total {
        let answer = connection.get("/").expect("the server answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        bodies.push(answer.text());
    }
    bodies
}

fn clients(server: SocketAddr, connections: usize, more: &(dyn Fn() -> bool + Sync)) -> Tally {
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| client(server, more)))
            .collect();
        for client in clients {
            all.add(client.join().expect("a client does not panic"));
        }
    });
    all
}

fn client(server: SocketAddr, more: &(dyn Fn() -> bool + Sync)) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    while more() {
        let open = match connection.take() {
            Some(open) => Ok(open),
            None => Connection::open(server),
        };
        match open.and_then(|mut open| open.get("/").map(|answer| (answer, open))) {
            Ok((answer, open)) if answer.status == 200 => {
                *tally.by_instance.entry(answer.text()).or_default() += 1;
                let is_last = answer.header("connection") == Some("close");
                connection = (!is_last).then_some(open);
            }
            Ok((answer, _)) => tally
                .failures
                .push(format!("{}: {}", answer.status, answer.text())),
            Err(error) => tally.failures.push(error.to_string()),
        }
    }
    tally
}

/// A client that sends requests steadily while the test does something else.
#[derive(Debug)]
pub struct Background {
    stop: Arc<AtomicBool>,
    clients: Option<JoinHandle<Tally>>,
}

impl Background {
    /// Starts `connections` clients.
    pub fn start(server: SocketAddr, connections: usize) -> Background {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let clients = std::thread::spawn(move || {
            clients(server, connections, &|| !seen.load(Ordering::Relaxed))
        });
        Background {
            stop,
            clients: Some(clients),
        }
    }

    /// Ends the load and returns what was seen.
    ///
    /// # Panics
    /// If a client panicked.
    pub fn finish(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.clients
            .take()
            .map(|clients| clients.join().expect("no client panics"))
            .unwrap_or_default()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// An origin in this process that remembers when it was asked. `/health` is answered and not counted.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    body: String,
    delay: Duration,
    ended: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    connections: Vec<TcpStream>,
}

impl Origin {
    /// Answers every request with `name`, after `delay`.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(name: &str, delay: Duration) -> Origin {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            body: name.to_owned(),
            delay,
            ended: AtomicBool::new(false),
            seen: Mutex::new(Seen::default()),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if accepting.ended.load(Ordering::Acquire) {
                    break;
                }
                if let Ok(clone) = stream.try_clone() {
                    accepting.seen().connections.push(clone);
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        Origin { address, shared }
    }

    /// How many requests it has got.
    pub fn requests(&self) -> u64 {
        self.shared.seen().requests
    }

    /// When its first request came.
    pub fn first(&self) -> Option<Instant> {
        self.shared.seen().first
    }

    /// When its latest request came.
    pub fn last(&self) -> Option<Instant> {
        self.shared.seen().last
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for connection in self.shared.seen().connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, which then sees the end and closes the port.
        let _ = TcpStream::connect(self.address);
    }
}

/// An origin in this process that answers every request with the path it was asked for, one connection after the other.
#[derive(Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Echo {
    /// Starts it; it lives as long as the test's process.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start() -> Echo {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                std::thread::spawn(move || echo(stream));
            }
        });
        Echo { address }
    }
}

fn echo(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    let mut line = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let length = path.len();
    // Whoever has gone away wants no answer.
    let _ = write!(
        reader.get_mut(),
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{path}"
    );
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection. Requests without a body only: nothing else is sent to it.
    fn answer(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::new(stream);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
            self.body.len(),
            self.body
        );
        loop {
            let mut first = String::new();
            match reader.read_line(&mut first) {
                Ok(read) if read > 0 => {}
                _ => return,
            }
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
            }
            if !first.starts_with("GET /health ") {
                self.count();
                std::thread::sleep(self.delay);
            }
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn count(&self) {
        let now = Instant::now();
        let mut seen = self.seen();
        seen.requests += 1;
        seen.first.get_or_insert(now);
        seen.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_counts_what_clients_tally() {
        let origin = Origin::start("a", Duration::ZERO);
        let tally = requests(origin.address, 4, 100);
        assert_eq!(tally.by_instance, BTreeMap::from([("a".to_owned(), 100)]));
        assert_eq!((origin.requests(), tally.failures.len()), (100, 0));
        assert!(origin.first() <= origin.last());
    }

    #[test]
    fn health_is_not_counted() {
        let origin = Origin::start("a", Duration::ZERO);
        assert_eq!(
            crate::http::get(origin.address, "/health")
                .map(|answer| answer.status)
                .ok(),
            Some(200)
        );
        assert_eq!(origin.requests(), 0);
    }

    #[test]
    fn an_origin_that_is_gone_fails_its_clients() {
        let origin = Origin::start("a", Duration::ZERO);
        let address = origin.address;
        drop(origin);
        assert_eq!(requests(address, 1, 3).failures.len(), 3);
    }
}
