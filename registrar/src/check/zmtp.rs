//! One run of a ZMTP check: it opens a connection and greets as a ZeroMQ peer would.
//!
//! An open port says little about a broker that hangs; one that greets is alive. The greeting is that of ZMTP 3
//! (<https://rfc.zeromq.org/spec/23/>); peers of 2.0 are recognised by the same signature. Nothing after the greeting is
//! sent, so the peer forgets the connection.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Outcome, reason, tcp};

/// Bytes of a greeting of ZMTP 3: signature 10, version 2, mechanism 20, as-server 1, filler 31.
const GREETING: usize = 64;
/// Bytes of the signature: 0xff, eight of anything, 0x7f.
const SIGNATURE: usize = 10;
/// The oldest revision with a signature: ZMTP 2.0 sends 1 there.
const OLDEST: u8 = 1;

/// Greets at `address` (`host:port`).
pub(super) async fn check(address: &str) -> Outcome {
    match greet(address).await {
        Ok(version) => Outcome::passing(format!("ZMTP greeting {address}: Success ({version})")),
        Err(text) => Outcome::critical(text),
    }
}

/// Greets the ZeroMQ peer at `address` (`host:port`) once, and says which version it speaks. Has no time limit of its own.
///
/// # Errors
/// The reason, as a check's output would say it.
pub async fn greet(address: &str) -> Result<String, String> {
    let mut stream = tcp::connect(address).await?;
    let failed = |text: String| format!("ZMTP greeting {address}: {text}");
    stream
        .write_all(&greeting())
        .await
        .map_err(|error| failed(reason(&error)))?;
    // Signature and major version; a peer may wait for ours before it says more.
    let mut theirs = [0; SIGNATURE + 1];
    stream.read_exact(&mut theirs).await.map_err(|error| {
        failed(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the peer closed without greeting".into(),
            _ => reason(&error),
        })
    })?;
    version(theirs).map_err(failed)
}

/// Our greeting: version 3.0, mechanism NULL, a client.
fn greeting() -> [u8; GREETING] {
    let mut greeting = [0; GREETING];
    greeting[0] = 0xff;
    greeting[SIGNATURE - 1] = 0x7f;
    greeting[SIGNATURE] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

/// What the beginning of a peer's greeting says it speaks.
fn version(theirs: [u8; SIGNATURE + 1]) -> Result<String, String> {
    // The last bit of the tenth byte distinguishes the signature from the length of an old, unversioned frame.
    if theirs[0] != 0xff || theirs[SIGNATURE - 1] & 1 != 1 {
        return Err("the peer does not speak ZMTP: its signature is wrong".into());
    }
    match theirs[SIGNATURE] {
        0 => Err("the peer speaks a ZMTP older than 2.0".into()),
        OLDEST | 2 => Ok("ZMTP 2.0".into()),
        major => Ok(format!("ZMTP {major}")),
    }
}

#[cfg(test)]
mod tests {
    use consul::types::Status;
    use tokio::net::TcpListener;

    use super::*;

    /// Runs the check against a peer that says `answer` and closes.
    async fn against(answer: &'static [u8]) -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut theirs = [0; GREETING];
            stream.read_exact(&mut theirs).await.expect("a greeting");
            assert_eq!(theirs, greeting());
            stream.write_all(answer).await.expect("the check listens");
        });
        let outcome = check(&address).await;
        peer.await.expect("the peer ends");
        outcome
    }

    #[tokio::test]
    async fn a_peer_that_greets_is_passing() {
        let table: [(&[u8], &str); 3] = [
            (b"\xff\0\0\0\0\0\0\0\0\x7f\x03", "ZMTP 3"),
            (b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL", "ZMTP 3"),
            (b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x02", "ZMTP 2.0"),
        ];
        for (answer, version) in table {
            let outcome = against(answer).await;
            assert_eq!(outcome.status, Status::Passing, "{outcome:?}");
            assert!(outcome.output.contains(version), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn another_program_or_a_silent_one_is_critical() {
        let table: [(&[u8], &str); 5] = [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak ZMTP"),
            (b"\xff\0\0\0\0\0\0\0\0\x7e\x03", "does not speak ZMTP"),
            (b"\xff\0\0\0\0\0\0\0\0\x7f\0", "older than 2.0"),
            (b"", "closed without greeting"),
            (b"\xff\0\0", "closed without greeting"),
        ];
        for (answer, said) in table {
            let outcome = against(answer).await;
            assert_eq!(outcome.status, Status::Critical, "{outcome:?}");
            assert!(outcome.output.contains(said), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_critical() {
        let outcome = check("127.0.0.1:1").await;
        assert_eq!(outcome.status, Status::Critical);
        assert!(
            outcome.output.starts_with("dial tcp 127.0.0.1:1: connect:"),
            "{outcome:?}"
        );
    }
}
