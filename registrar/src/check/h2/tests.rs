//! Checks over HTTP/2 against a server made of the same library, plain and with TLS.

use http::{HeaderValue, Response};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// What the server says to a call.
#[derive(Clone, Copy)]
enum Says {
    /// A message and trailers.
    Status(u8),
    /// Only headers, with this `grpc-status`.
    Refuses(&'static str),
    /// Something that is not gRPC.
    Http(u16),
    /// More than any health answer has.
    Endless,
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, says: Says) {
    let Ok(mut connection) = ::h2::server::handshake(stream).await else {
        return;
    };
    // Dropping one that has not ended would cancel it.
    let mut unfinished = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["te"], "trailers");
        let mut head = Response::builder().header("content-type", "application/grpc");
        match says {
            Says::Status(status) => {
                let response = head.body(()).expect("a head");
                let mut body = respond.send_response(response, false).expect("it listens");
                let message = vec![0, 0, 0, 0, 2, 8, status];
                body.send_data(message.into(), false).expect("it listens");
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                body.send_trailers(trailers).expect("it listens");
            }
            Says::Refuses(code) => {
                head = head.header("grpc-status", code);
                let response = head.body(()).expect("a head");
                respond.send_response(response, true).expect("it listens");
            }
            Says::Http(status) => {
                let response = head.status(status).body(()).expect("a head");
                respond.send_response(response, true).expect("it listens");
            }
            Says::Endless => {
                let response = head.body(()).expect("a head");
                let mut body = respond.send_response(response, false).expect("it listens");
                body.send_data(vec![0; 2 * ANSWER_MAX].into(), false)
                    .expect("it listens");
                unfinished.push(body);
            }
        }
    }
}

/// A server on a free port of this machine.
async fn server(says: Says, tls: bool) -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let acceptor = tls::server::acceptor(&[PROTOCOL]);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if !tls {
                serve(stream, says).await;
            } else if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, says).await;
            }
        }
    });
    (address, AbortOnDropHandle::new(serving))
}

fn trusting() -> Tls {
    Tls {
        server_name: "localhost".into(),
        skip_verify: true,
    }
}

async fn asked(says: Says, tls: bool) -> Outcome {
    let (address, _serving) = server(says, tls).await;
    let settings = tls::Settings::default();
    let with = tls.then(trusting);
    grpc(&format!("{address}/db"), with.as_ref(), &settings).await
}

#[tokio::test]
async fn the_health_service_decides() {
    let table = [
        (Says::Status(1), Status::Passing, "success"),
        (Says::Status(0), Status::Critical, "UNKNOWN serving status"),
        (Says::Status(2), Status::Critical, "NOT_SERVING"),
        (Says::Status(3), Status::Critical, "SERVICE_UNKNOWN"),
        (Says::Refuses("12"), Status::Critical, "no health service"),
        (Says::Refuses("5"), Status::Critical, "does not know this"),
        (Says::Refuses("14"), Status::Critical, "grpc-status 14"),
        (Says::Http(404), Status::Critical, "HTTP 404"),
        (Says::Endless, Status::Critical, "too long"),
    ];
    for (says, status, text) in table {
        for tls in [false, true] {
            let outcome = asked(says, tls).await;
            assert_eq!(outcome.status, status, "{outcome:?}");
            assert!(outcome.output.contains(text), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_ping_is_acknowledged_plain_and_with_tls() {
    let settings = tls::Settings::default();
    for tls in [false, true] {
        let (address, _serving) = server(Says::Status(1), tls).await;
        let outcome = ping(&address, tls.then(trusting).as_ref(), &settings).await;
        assert_eq!(outcome, Outcome::passing("HTTP2 ping was successful"));
    }
}

#[tokio::test]
async fn a_certificate_is_verified_unless_told_otherwise() {
    let (address, _serving) = server(Says::Status(1), true).await;
    let outcome = ping(&address, Some(&Tls::default()), &tls::Settings::default()).await;
    assert_eq!(outcome.status, Status::Critical);
    assert!(outcome.output.contains("TLS"), "{outcome:?}");
}

#[tokio::test]
async fn what_does_not_speak_http2_is_critical() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let serving = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let settings = tls::Settings::default();
    let outcome = ping(&address, None, &settings).await;
    assert_eq!(outcome.status, Status::Critical, "{outcome:?}");
    let outcome = grpc(&address, None, &settings).await;
    assert_eq!(outcome.status, Status::Critical, "{outcome:?}");
    serving.await.expect("the server ends");
    let outcome = grpc("127.0.0.1:1", None, &settings).await;
    assert!(outcome.output.contains("connection refused"), "{outcome:?}");
}
