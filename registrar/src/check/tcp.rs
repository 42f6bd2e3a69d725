//! One run of a TCP check: it opens a connection and closes it again.
//!
//! Knows nothing of intervals or thresholds; the time limit is set around it.

use std::io;

use tokio::net::TcpStream;

use super::{Outcome, reason, target};

/// Connects to `address` (`host:port`), trying each address of a name in turn.
pub(super) async fn check(address: &str) -> Outcome {
    match connect(address).await {
        Ok(()) => Outcome::passing(format!("TCP connect {address}: Success")),
        Err(error) => Outcome::critical(format!("dial tcp {address}: {}", reason(&error))),
    }
}

async fn connect(address: &str) -> io::Result<()> {
    // `resolve` never returns an empty list, so one of the two results below is always set.
    let mut last = io::Error::other("the name has no address");
    for address in target::resolve(address).await? {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(io::Error::new(
        last.kind(),
        format!("connect: {}", reason(&last)),
    ))
}

#[cfg(test)]
mod tests {
    use consul::types::Status;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_open_port_is_passing_and_a_closed_one_critical() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let open = check(&address).await;
        assert_eq!(
            open,
            Outcome::passing(format!("TCP connect {address}: Success"))
        );

        drop(listener);
        let closed = check(&address).await;
        let text = format!("dial tcp {address}: connect: connection refused");
        assert_eq!(closed, Outcome::critical(text));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_critical_and_named() {
        for address in ["", "127.0.0.1", "127.0.0.1:99999", "no such host:80"] {
            let outcome = check(address).await;
            assert_eq!(outcome.status, Status::Critical);
            assert!(
                outcome.output.starts_with(&format!("dial tcp {address}: ")),
                "{outcome:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_metadata_address_is_refused_without_a_connection() {
        let outcome = check("169.254.169.254:80").await;
        assert_eq!(outcome.status, Status::Critical);
        assert!(
            outcome.output.contains("checks are not sent to"),
            "{outcome:?}"
        );
    }
}
