//! One run of a TCP check: it opens a connection, with TLS if asked, and closes it again.
//!
//! Knows nothing of intervals or thresholds; the time limit is set around it. The other kinds of checks that speak over
//! TCP connect here as well.

use tokio::net::TcpStream;

use super::{Outcome, Tls, reason, target, tls};

/// Connects to `address` (`host:port`) and, if asked, shakes hands.
pub(super) async fn check(address: &str, tls: Option<&Tls>, settings: &tls::Settings) -> Outcome {
    let stream = match connect(address).await {
        Ok(stream) => stream,
        Err(text) => return Outcome::critical(text),
    };
    if let Some(tls) = tls
        && let Err(text) = settings.connect(stream, host_of(address), tls, &[]).await
    {
        return Outcome::critical(format!("TCP connect {address}: {text}"));
    }
    Outcome::passing(format!("TCP connect {address}: Success"))
}

/// Connects to `address` (`host:port`), trying each address of a name in turn. The error is the text for the output.
pub(super) async fn connect(address: &str) -> Result<TcpStream, String> {
    let failed = |text: String| format!("dial tcp {address}: {text}");
    let found = target::resolve(address)
        .await
        .map_err(|error| failed(reason(&error)))?;
    // `resolve` never returns an empty list, so an error of the loop is always set.
    let mut last = String::from("the name has no address");
    for address in found {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("connect: {}", reason(&error)),
        }
    }
    Err(failed(last))
}

/// The host of `host:port`, an IPv6 address with its brackets.
pub(super) fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use consul::types::Status;
    use tokio::net::TcpListener;

    use super::*;

    async fn plain(address: &str) -> Outcome {
        check(address, None, &tls::Settings::default()).await
    }

    #[tokio::test]
    async fn with_tls_the_handshake_counts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let acceptor = tls::server::acceptor(&[]);
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let accepted = acceptor.accept(stream).await.expect("a handshake");
            let name = accepted.get_ref().1.server_name().map(str::to_owned);
            // No TLS at all for the second one.
            drop(listener.accept().await);
            name
        });
        let settings = tls::Settings::default();
        let tls = Tls {
            server_name: "db.example.test".into(),
            skip_verify: true,
        };
        let first = check(&address, Some(&tls), &settings).await;
        assert_eq!(first.status, Status::Passing, "{}", first.output);
        let second = check(&address, Some(&tls), &settings).await;
        assert_eq!(second.status, Status::Critical);
        assert!(
            second.output.contains("TLS handshake failed"),
            "{}",
            second.output
        );
        let name = serving.await.expect("the server ends");
        assert_eq!(name.as_deref(), Some("db.example.test"));
    }

    #[tokio::test]
    async fn an_open_port_is_passing_and_a_closed_one_critical() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let open = plain(&address).await;
        assert_eq!(
            open,
            Outcome::passing(format!("TCP connect {address}: Success"))
        );

        drop(listener);
        let closed = plain(&address).await;
        let text = format!("dial tcp {address}: connect: connection refused");
        assert_eq!(closed, Outcome::critical(text));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_critical_and_named() {
        for address in ["", "127.0.0.1", "127.0.0.1:99999", "no such host:80"] {
            let outcome = plain(address).await;
            assert_eq!(outcome.status, Status::Critical);
            assert!(
                outcome.output.starts_with(&format!("dial tcp {address}: ")),
                "{outcome:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_metadata_address_is_refused_without_a_connection() {
        let outcome = plain("169.254.169.254:80").await;
        assert_eq!(outcome.status, Status::Critical);
        assert!(
            outcome.output.contains("checks are not sent to"),
            "{outcome:?}"
        );
    }
}
