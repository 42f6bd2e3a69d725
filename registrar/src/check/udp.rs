//! One run of a UDP check: it sends a datagram and listens for the news that nobody is there.
//!
//! UDP has no connection to open, so silence is a good sign, as it is in Consul: only an ICMP message that nobody
//! listens on the port (or that the host cannot be reached) makes the check critical.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Outcome, reason, target};

/// How long silence is listened to before it counts, at most. An ICMP message comes back within a round trip, and a check
/// holds one of the places for runs at the same moment while it waits; Consul waits the check's whole timeout.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// What is sent. Not empty, because some services answer only to something.
const PROBE: &[u8] = b"check";

/// Sends to the first address of `address` (`host:port`), all within `limit`.
pub(super) async fn check(address: &str, limit: Duration) -> Outcome {
    let deadline = Instant::now() + limit;
    let failed =
        |error: &io::Error| Outcome::critical(format!("dial udp {address}: {}", reason(error)));
    let found = match timeout_at(deadline, target::resolve(address)).await {
        Ok(Ok(found)) => found[0],
        Ok(Err(error)) => return failed(&error),
        Err(_) => return Outcome::critical(format!("dial udp {address}: i/o timeout")),
    };
    let left = deadline.saturating_duration_since(Instant::now());
    match timeout(SILENCE.min(left), exchange(found)).await {
        Ok(Err(error)) => Outcome::critical(format!("udp {address}: {}", reason(&error))),
        Ok(Ok(())) | Err(_) => Outcome::passing(format!("UDP connect {address}: Success")),
    }
}

/// Ends when there is news, good or bad.
async fn exchange(address: SocketAddr) -> io::Result<()> {
    let own: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(address).await?;
    socket.send(PROBE).await?;
    socket.recv(&mut [0; 1]).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use consul::types::Status;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn silence_and_an_answer_pass_and_a_closed_port_does_not() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("it is bound").to_string();
        let success = Outcome::passing(format!("UDP connect {address}: Success"));
        let short = Duration::from_millis(20);
        assert_eq!(check(&address, short).await, success, "silence");

        let answering = async {
            let mut buffer = [0; 64];
            loop {
                let (n, from) = socket.recv_from(&mut buffer).await.expect("a datagram");
                assert_eq!(&buffer[..n], PROBE);
                // The first is of the run before, whose socket is closed.
                let _ = socket.send_to(b"here", from).await;
            }
        };
        tokio::select! {
            outcome = check(&address, LIMIT) => assert_eq!(outcome, success, "an answer"),
            () = answering => {}
        }

        drop(socket);
        let closed = check(&address, LIMIT).await;
        let text = format!("udp {address}: connection refused");
        assert_eq!(closed, Outcome::critical(text));
    }

    #[tokio::test]
    async fn what_is_no_address_is_critical() {
        for address in ["", "127.0.0.1", "169.254.169.254:53"] {
            let outcome = check(address, LIMIT).await;
            assert_eq!(outcome.status, Status::Critical, "{outcome:?}");
        }
    }
}
