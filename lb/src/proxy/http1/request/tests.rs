//! The exam of the request reader: what passes, how it is written again, and what is refused with which status.

use super::super::storage;
use super::*;
use proptest::prelude::*;

fn forwarded<'a>(path: &'a [u8]) -> Forwarded<'a> {
    Forwarded {
        client: "192.0.2.7",
        proto: "http",
        default_host: "web",
        path,
    }
}

fn written(request: &str) -> Result<String, Invalid> {
    match parse(request.as_bytes(), MAX_FIELDS, &mut storage())? {
        Parsed::Partial => panic!("partial: {request:?}"),
        Parsed::Complete(head) => {
            let mut out = Vec::new();
            head.write(&forwarded(head.path), &mut out);
            Ok(String::from_utf8_lossy(&out).into_owned())
        }
    }
}

fn status(request: &str) -> u16 {
    written(request).map_or_else(|invalid| invalid.status, |_| 200)
}

#[test]
fn a_plain_request_is_written_anew() {
    assert_eq!(
        written("GET /a?b=c HTTP/1.1\r\nHost: x:80\r\nUser-Agent: t\r\nAccept:  */* \r\n\r\n")
            .expect("valid"),
        "GET /a?b=c HTTP/1.1\r\nhost: x:80\r\nUser-Agent: t\r\nAccept: */*\r\nvia: 1.1 turno\r\n\
         x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: http\r\nx-forwarded-host: x:80\r\n\r\n"
    );
}

#[test]
fn what_belongs_to_one_connection_stays_behind() {
    let out = written(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close, X-Mine, Host, X-Forwarded-For, Content-Length\r\nX-Mine: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\
         X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 198.51.100.2\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil\r\nContent_Length: 9\r\nContent-Length: 3\r\nX-Kept: 2\r\n\r\n",
    );
    assert_eq!(
        out.expect("valid"),
        "POST / HTTP/1.1\r\nhost: x\r\nX-Kept: 2\r\nvia: 1.1 turno\r\n\
         x-forwarded-for: 198.51.100.1, 198.51.100.2, 192.0.2.7\r\nx-forwarded-proto: http\r\n\
         x-forwarded-host: x\r\ncontent-length: 3\r\n\r\n"
    );
}

#[test]
fn an_absolute_target_wins_over_the_host() {
    let out =
        written("GET HTTP://Real.example:81?q HTTP/1.1\r\nHost: other\r\n\r\n").expect("valid");
    assert!(
        out.starts_with("GET /?q HTTP/1.1\r\nhost: Real.example:81\r\n"),
        "{out}"
    );
    assert!(
        out.contains("x-forwarded-host: Real.example:81\r\n"),
        "{out}"
    );
}

#[test]
fn a_prefix_can_be_stripped() {
    for (path, strip, expected) in [
        ("/api/x", 4, "/x"),
        ("/api", 4, "/"),
        ("/api?q", 4, "/?q"),
        ("/", 0, "/"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut fields = storage();
        let Ok(Parsed::Complete(head)) = parse(request.as_bytes(), MAX_FIELDS, &mut fields) else {
            panic!("{path}")
        };
        let mut out = Vec::new();
        head.write(&forwarded(&head.path[strip..]), &mut out);
        let out = String::from_utf8_lossy(&out);
        assert!(
            out.starts_with(&format!("GET {expected} HTTP/1.1\r\n")),
            "{path}: {out}"
        );
    }
}

#[test]
fn keep_alive_by_version_and_connection() {
    for (version, connection, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
    ] {
        let request = format!("GET / HTTP/{version}\r\nHost: x\r\n{connection}\r\n");
        let mut fields = storage();
        let Ok(Parsed::Complete(head)) = parse(request.as_bytes(), MAX_FIELDS, &mut fields) else {
            panic!("{request}")
        };
        assert_eq!(head.keep_alive, expected, "{request:?}");
    }
}

#[test]
fn an_upgrade_needs_both_fields_and_no_body() {
    let upgrade = |extra: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n{extra}\r\n");
        written(&request)
            .expect("valid")
            .contains("upgrade: websocket")
    };
    assert!(upgrade("Connection: keep-alive, Upgrade\r\n"));
    let h2c = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n";
    let out = written(h2c).expect("valid").to_ascii_lowercase();
    assert!(!out.contains("upgrade") && !out.contains("http2"), "{out}");
    assert!(!upgrade(""));
    assert!(!upgrade("Connection: Upgrade\r\nContent-Length: 1\r\n"));
}

#[test]
fn what_could_be_read_two_ways_is_refused() {
    let host = "Host: x\r\n";
    for (request, expected) in [
        // framing
        (
            format!(
                "POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 3\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 3, 3\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: +3\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: \r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 18446744073709551616\r\n\r\n"),
            400,
        ),
        (
            format!(
                "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, identity\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked,\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: \"chunked\"\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            501,
        ),
        (
            format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host} Transfer-Encoding: chunked\r\n\r\n"),
            400,
        ),
        (format!("POST / HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n"), 400),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding:\x0bchunked\r\n\r\n"),
            400,
        ),
        // lines and bytes
        (format!("GET / HTTP/1.1\n{host}\r\n"), 400),
        ("GET / HTTP/1.1\r\nHost: x\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nX y: a\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\nX(: a\r\n\r\n".to_owned(), 400),
        // host
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n".to_owned(), 400),
        (
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            400,
        ),
        ("GET http://a/x HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        // request line
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET / HTTP/1.1 \r\n{host}\r\n"), 400),
        (format!("GET /a b HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET /#f HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET x HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET ftp://x/ HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET * HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET /\u{e4} HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("G@T / HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), 505),
        (format!("GET / HTTP/1.2\r\n{host}\r\n"), 505),
        (format!("GET / http/1.1\r\n{host}\r\n"), 400),
        ("GET /\r\n\r\n".to_owned(), 400),
        (format!("CONNECT x:443 HTTP/1.1\r\n{host}\r\n"), 405),
        (
            format!("GET / HTTP/1.1\r\n{host}Expect: a pony\r\n\r\n"),
            417,
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}{}\r\n", "A: b\r\n".repeat(100)),
            431,
        ),
    ] {
        assert_eq!(status(&request), expected, "{request:?}");
    }
}

#[test]
fn what_is_odd_but_has_one_meaning_passes() {
    for request in [
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET /a|b{c} HTTP/1.1\r\nHost: x\r\n\r\n",
        "PROPFIND / HTTP/1.1\r\nHost: x\r\nDepth: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX:\r\nY:\t \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert_eq!(status(request), 200, "{request:?}");
    }
}

proptest! {
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, MAX_FIELDS, &mut storage());
    }

    /// Whatever passes is, once written, read as the same message: same method, path, host and framing.
    #[test]
    fn what_is_written_has_the_meaning_of_what_was_read(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("Host: a.example".to_owned()),
                Just("Content-Length: 5".to_owned()),
                Just("Transfer-Encoding: chunked".to_owned()),
                Just("Connection: close, x-a".to_owned()),
                Just("Connection: host, content-length".to_owned()),
                Just("Content_Length: 7".to_owned()),
                "[A-Za-z_-]{1,18}:[ \t]{0,2}[ -~]{0,20}",
                "[ -~\t]{0,30}",
            ],
            0..8,
        ),
        first in prop_oneof![
            Just("GET /x?y HTTP/1.1".to_owned()),
            Just("POST http://b.example/z HTTP/1.1".to_owned()),
            Just("PUT / HTTP/1.0".to_owned()),
            "[A-Z]{1,6} [!-~]{1,20} HTTP/1.[01]",
        ],
    ) {
        let request = format!("{first}\r\n{}\r\n\r\n", lines.join("\r\n"));
        let mut fields = storage();
        if let Ok(Parsed::Complete(head)) = parse(request.as_bytes(), MAX_FIELDS, &mut fields) {
            let mut out = Vec::new();
            head.write(&forwarded(head.path), &mut out);
            let mut fields = storage();
            let Ok(Parsed::Complete(again)) = parse(&out, MAX_FIELDS, &mut fields) else {
                panic!("our own output is refused: {:?}", String::from_utf8_lossy(&out));
            };
            prop_assert_eq!(again.len, out.len());
            prop_assert_eq!(again.framing, head.framing);
            prop_assert_eq!(again.path, head.path);
            prop_assert_eq!(again.method_name, head.method_name);
            prop_assert_eq!(again.host, if head.host.is_empty() { b"web" as &[u8] } else { head.host });
            prop_assert!(!again.old);
        }
    }
}
