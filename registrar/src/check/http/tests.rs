//! HTTP checks against a server that is a few bytes on a real socket.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

static NO_TLS: Tls = Tls {
    server_name: String::new(),
    skip_verify: false,
};

/// Answers each connection with the next of `answers`. Returns where it listens, and what was
/// asked once all have been given.
async fn server(answers: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let asked = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !ended(&request) {
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).await.expect("a request");
                assert!(
                    n > 0,
                    "the request stopped short: {:?}",
                    String::from_utf8_lossy(&request)
                );
                request.extend_from_slice(&buffer[..n]);
            }
            requests.push(String::from_utf8_lossy(&request).into_owned());
            // The client may leave before it has taken a long body.
            let _ = stream.write_all(&answer).await;
        }
        requests
    });
    (address, asked)
}

fn ended(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().expect("a length"))
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

fn get(url: &str) -> HttpCheck<'_> {
    HttpCheck {
        url,
        method: "",
        headers: &[],
        body: "",
        tls: &NO_TLS,
        disable_redirects: false,
        output_limit: 4096,
    }
}

async fn run(check: HttpCheck<'_>) -> Outcome {
    tokio::time::timeout(Duration::from_secs(20), Clients::default().check(check))
        .await
        .expect("a check against a server that answers ends")
}

#[tokio::test]
async fn the_status_decides() {
    let table = [
        ("200 OK", Status::Passing),
        ("204 No Content", Status::Passing),
        ("429 Too Many Requests", Status::Warning),
        ("304 Not Modified", Status::Critical),
        ("404 Not Found", Status::Critical),
        ("500 Internal Server Error", Status::Critical),
        ("503 Service Unavailable", Status::Critical),
    ];
    for (line, status) in table {
        let (address, asked) = server(vec![answer(line, "", "")]).await;
        let url = format!("http://{address}/health");
        let output = format!("HTTP GET {url}: {line} Output: ");
        assert_eq!(run(get(&url)).await, Outcome { status, output });
        asked.await.expect("the server ends");
    }
}

#[tokio::test]
async fn the_output_is_the_end_of_the_body() {
    let body = format!("{}{}", "H".repeat(5000), "T".repeat(4000));
    let (address, _asked) = server(vec![answer("200 OK", "", &body)]).await;
    let url = format!("http://{address}/");
    let outcome = run(HttpCheck {
        output_limit: 4100,
        ..get(&url)
    })
    .await;
    let kept = format!("{}{}", "H".repeat(100), "T".repeat(4000));
    assert_eq!(
        outcome.output,
        format!("HTTP GET {url}: 200 OK Output: {kept}")
    );
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_the_limit_and_judged_by_its_status() {
    let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    endless.resize(endless.len() + 16 * BODY_READ_MAX, b'x');
    let (address, _asked) = server(vec![endless]).await;
    let outcome = run(HttpCheck {
        output_limit: 3,
        ..get(&format!("http://{address}/"))
    })
    .await;
    assert_eq!(outcome.status, Status::Passing);
    assert!(
        outcome.output.ends_with("Output: xxx"),
        "{}",
        outcome.output
    );
}

#[tokio::test]
async fn what_is_sent_is_what_consul_sends() {
    let (address, asked) = server(vec![answer("200 OK", "", "")]).await;
    run(get(&format!("http://{address}/health?deep=1"))).await;
    let request = asked
        .await
        .expect("the server ends")
        .remove(0)
        .to_lowercase();
    assert!(
        request.starts_with("get /health?deep=1 http/1.1\r\n"),
        "{request}"
    );
    for line in [
        "user-agent: consul health check",
        "accept: text/plain, text/*, */*",
        "connection: close",
        &format!("host: {address}"),
    ] {
        assert!(
            request.contains(&format!("\r\n{line}\r\n")),
            "{line} in {request}"
        );
    }
}

#[tokio::test]
async fn method_headers_and_body_are_those_of_the_check() {
    let (address, asked) = server(vec![answer("200 OK", "", "fine")]).await;
    let headers = [
        ("Host", "shop.example"),
        ("X-A", "1"),
        ("X-A", "2"),
        ("User-Agent", "me"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let url = format!("http://{address}/");
    let check = HttpCheck {
        method: "PUT",
        headers: &headers,
        body: "{\"a\":1}",
        ..get(&url)
    };
    assert_eq!(
        run(check).await.output,
        format!("HTTP PUT {url}: 200 OK Output: fine")
    );
    let request = asked
        .await
        .expect("the server ends")
        .remove(0)
        .to_lowercase();
    assert!(request.starts_with("put / http/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"a\":1}"), "{request}");
    for line in ["host: shop.example", "x-a: 1", "x-a: 2", "user-agent: me"] {
        assert!(
            request.contains(&format!("\r\n{line}\r\n")),
            "{line} in {request}"
        );
    }
    assert_eq!(request.matches("\r\nhost:").count(), 1);
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed() {
    let moved = answer("301 Moved Permanently", "Location: /ready\r\n", "");
    let (address, asked) = server(vec![moved, answer("200 OK", "", "ready")]).await;
    assert_eq!(
        run(get(&format!("http://{address}/"))).await.status,
        Status::Passing
    );
    assert!(asked.await.expect("the server ends")[1].starts_with("GET /ready "));
}

#[tokio::test]
async fn a_redirect_to_another_port_or_host_is_not_followed() {
    // Nothing is accepted there: a connection would hang until the test's limit.
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = elsewhere.local_addr().expect("it is bound").port();
    for location in [
        format!("http://127.0.0.1:{port}/"),
        "http://169.254.169.254/".into(),
    ] {
        let found = answer("302 Found", &format!("Location: {location}\r\n"), "");
        let (address, _asked) = server(vec![found]).await;
        let outcome = run(get(&format!("http://{address}/"))).await;
        assert_eq!(outcome.status, Status::Critical);
        let said = format!("302 Found (redirect to {location} not followed)");
        assert!(outcome.output.contains(&said), "{}", outcome.output);
    }
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let moved = answer("302 Found", "Location: /again\r\n", "");
    let (address, asked) = server(vec![moved; REDIRECTS_MAX + 1]).await;
    assert_eq!(
        run(get(&format!("http://{address}/"))).await.status,
        Status::Critical
    );
    assert_eq!(
        asked.await.expect("the server ends").len(),
        REDIRECTS_MAX + 1
    );
}

#[tokio::test]
async fn what_cannot_be_asked_is_critical_and_says_why() {
    let table = [
        (
            "http://127.0.0.1:1/",
            "Get \"http://127.0.0.1:1/\": dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        ("ftp://127.0.0.1/", "unsupported protocol scheme \"ftp\""),
        ("127.0.0.1:80", "invalid URL"),
        ("", "invalid URL"),
        (
            "http://169.254.169.254/latest",
            "checks are not sent to 169.254.169.254",
        ),
        (
            "http://0xa9fea9fe/latest",
            "checks are not sent to 169.254.169.254",
        ),
        ("http://[::ffff:169.254.169.254]/", "checks are not sent to"),
    ];
    for (url, text) in table {
        let outcome = run(get(url)).await;
        assert_eq!(outcome.status, Status::Critical, "{url}");
        assert!(outcome.output.contains(text), "{url}: {}", outcome.output);
    }
    let bad = [("A b".to_owned(), "1".to_owned())];
    let outcome = run(HttpCheck {
        headers: &bad,
        ..get("http://127.0.0.1:1/")
    })
    .await;
    assert!(
        outcome.output.contains("invalid header name"),
        "{}",
        outcome.output
    );
    let outcome = run(HttpCheck {
        method: "G T",
        ..get("http://127.0.0.1:1/")
    })
    .await;
    assert!(
        outcome.output.contains("invalid method"),
        "{}",
        outcome.output
    );
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_is_critical() {
    let (address, _asked) = server(vec![b"220 mail ready\r\n".to_vec()]).await;
    assert_eq!(
        run(get(&format!("http://{address}/"))).await.status,
        Status::Critical
    );
}

#[tokio::test]
async fn a_password_in_the_url_is_sent_but_not_shown() {
    let (address, asked) = server(vec![answer("200 OK", "", "")]).await;
    let outcome = run(get(&format!("http://user:hunter2@{address}/"))).await;
    assert!(!outcome.output.contains("hunter2"), "{}", outcome.output);
    let request = asked
        .await
        .expect("the server ends")
        .remove(0)
        .to_lowercase();
    assert!(request.contains("\r\nauthorization: basic "), "{request}");
}

/// Answers each TLS connection with 200 and the name that was asked for, under a certificate that nobody has vouched for.
async fn tls_server() -> String {
    let acceptor = tls::server::acceptor(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not believe us ends the handshake.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                let mut request = [0; 4096];
                let n = stream.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..n]).to_lowercase();
                let host = request.lines().find(|line| line.starts_with("host: "));
                let text = format!("{name:?} {}", host.unwrap_or_default());
                let _ = stream.write_all(&answer("200 OK", "", &text)).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    format!("https://{address}/")
}

async fn named(url: &str, server_name: &str) -> Outcome {
    let tls = Tls {
        server_name: server_name.into(),
        skip_verify: true,
    };
    run(HttpCheck {
        tls: &tls,
        ..get(url)
    })
    .await
}

#[tokio::test]
async fn a_check_may_name_the_server_it_expects() {
    let url = tls_server().await;
    let outcome = named(&url, "web.example.test").await;
    assert_eq!(outcome.status, Status::Passing, "{}", outcome.output);
    let host = url.trim_start_matches("https://").trim_end_matches('/');
    let said = format!("Some(\"web.example.test\") host: {host}");
    assert!(outcome.output.ends_with(&said), "{}", outcome.output);

    for wrong in ["10.0.0.1", "not a name", "a/b"] {
        let outcome = named(&url, wrong).await;
        assert_eq!(outcome.status, Status::Critical, "{}", outcome.output);
        assert!(
            outcome.output.contains("is not a server name"),
            "{}",
            outcome.output
        );
    }
}

#[tokio::test]
async fn a_redirect_is_the_answer_if_redirects_are_disabled() {
    let moved = answer("302 Found", "Location: /elsewhere\r\n", "");
    let (address, asked) = server(vec![moved]).await;
    let url = format!("http://{address}/");
    let outcome = run(HttpCheck {
        disable_redirects: true,
        ..get(&url)
    })
    .await;
    assert_eq!(outcome.status, Status::Critical);
    assert!(outcome.output.contains("302 Found"), "{}", outcome.output);
    assert_eq!(asked.await.expect("the server ends").len(), 1);
}

#[tokio::test]
async fn a_certificate_is_verified_unless_told_otherwise() {
    let url = tls_server().await;
    let trusting = HttpCheck {
        tls: &Tls {
            skip_verify: true,
            ..Tls::default()
        },
        ..get(&url)
    };
    let outcome = run(trusting).await;
    assert_eq!(outcome.status, Status::Passing, "{}", outcome.output);

    let outcome = run(get(&url)).await;
    assert_eq!(outcome.status, Status::Critical);
    // The second on a machine that has no certificates to verify with.
    let reasons = ["certificate", "the HTTP client could not be made"];
    let said = |reason: &&str| outcome.output.contains(*reason);
    assert!(reasons.iter().any(said), "{}", outcome.output);
}
