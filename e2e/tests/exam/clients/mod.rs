//! Clients that know nothing of turno, each run against both registries at once: Consul's own command line, HAProxy over
//! DNS, Prometheus. What they make of the two must be the same. They judge by what the client shows, not by requests.

mod command_line;
mod haproxy;
mod prometheus;

use std::net::SocketAddr;

use e2e::http;

/// Sends a request that has to succeed.
///
/// # Panics
/// If it does not.
fn put(registry: SocketAddr, path: &str, body: &str) {
    let answer = http::Connection::open(registry)
        .and_then(|mut connection| connection.request("PUT", path, &[], body.as_bytes()))
        .expect("the registry answers");
    assert_eq!(answer.status, 200, "PUT {path}: {}", answer.text());
}
