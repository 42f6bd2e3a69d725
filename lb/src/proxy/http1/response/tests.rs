//! Responses of other servers: what is understood, refused, and written anew.

use super::super::storage;
use super::*;
use proptest::prelude::*;

const DELIVERY: Delivery = Delivery {
    chunked: false,
    close: false,
    say_keep_alive: false,
};

fn head(text: &str, method: Method) -> Result<(Framing, bool, String), &'static str> {
    match parse(text.as_bytes(), method, &mut storage())? {
        Parsed::Partial => panic!("partial: {text:?}"),
        Parsed::Complete(head) => {
            let mut out = Vec::new();
            let chunked = head.framing == Framing::Chunked;
            head.write(
                Delivery {
                    chunked,
                    ..DELIVERY
                },
                &mut out,
            );
            Ok((
                head.framing,
                head.reusable,
                String::from_utf8_lossy(&out).into_owned(),
            ))
        }
    }
}

#[test]
fn a_plain_response_is_written_anew() {
    let (framing, reusable, out) = head(
        "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 5\r\nConnection: keep-alive, x-own\r\nX-Own: 1\r\n\
         Keep-Alive: timeout=5\r\nSet-Cookie: a=b\r\n\r\n",
        Method::Safe,
    )
    .expect("valid");
    assert_eq!((framing, reusable), (Framing::Length(5), true));
    assert_eq!(
        out,
        "HTTP/1.1 200 OK\r\nServer: s\r\nSet-Cookie: a=b\r\nvia: 1.1 turno\r\ncontent-length: 5\r\n\r\n"
    );
}

#[test]
fn where_the_body_ends_and_whether_the_connection_serves_again() {
    use Framing::{Chunked, Length, None, UntilClose};
    let get = Method::Safe;
    for (text, method, framing, reusable) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
            get,
            Length(5),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
            get,
            Length(5),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: Close\r\n",
            get,
            Length(5),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
            get,
            Chunked,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            get,
            Chunked,
            false,
        ),
        ("HTTP/1.1 200 OK\r\n", get, UntilClose, false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n",
            get,
            Length(5),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
            Method::Head,
            None,
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
            Method::Head,
            None,
            true,
        ),
        ("HTTP/1.1 204 No\r\n", get, None, true),
        ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n", get, None, false),
        (
            "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n",
            get,
            None,
            false,
        ),
        ("HTTP/1.1 100 Continue\r\n", get, None, true),
    ] {
        let got = head(&format!("{text}\r\n"), method).expect(text);
        assert_eq!((got.0, got.1), (framing, reusable), "{text}");
    }
}

#[test]
fn what_cannot_be_passed_on_is_refused() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "+PONG\r\n",
    ] {
        assert!(head(text, Method::Safe).is_err(), "{text:?}");
    }
}

#[test]
fn no_length_on_answers_that_cannot_have_one() {
    let (_, _, out) = head(
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        Method::Safe,
    )
    .expect("valid");
    assert_eq!(out, "HTTP/1.1 204 No Content\r\nvia: 1.1 turno\r\n\r\n");
    let (_, _, out) =
        head("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Method::Head).expect("valid");
    assert!(out.contains("content-length: 9\r\n"));
}

proptest! {
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, Method::Safe, &mut storage());
        let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
        text.extend(bytes);
        let _ = parse(&text, Method::Head, &mut storage());
    }
}

#[test]
fn a_426_says_what_it_asks_for_and_nothing_else_offers_an_upgrade() {
    let written = |status: &str, delivery| {
        let text = format!(
            "HTTP/1.1 {status} X\r\nUpgrade: websocket\r\nConnection: upgrade\r\nUpgrade: x/2\r\nContent-Length: 0\r\n\r\n"
        );
        let mut storage = storage();
        let Ok(Parsed::Complete(head)) = parse(text.as_bytes(), Method::Safe, &mut storage) else {
            panic!("{text:?}");
        };
        let mut out = Vec::new();
        head.write(delivery, &mut out);
        String::from_utf8(out).expect("text")
    };
    let close = Delivery {
        close: true,
        ..DELIVERY
    };
    let old = Delivery {
        say_keep_alive: true,
        ..DELIVERY
    };
    for (delivery, connection) in [
        (DELIVERY, "connection: upgrade\r\n"),
        (close, "connection: upgrade, close\r\n"),
        (old, "connection: upgrade\r\n"),
    ] {
        let end =
            format!("content-length: 0\r\nupgrade: websocket\r\nupgrade: x/2\r\n{connection}\r\n");
        let out = written("426", delivery);
        assert!(out.ends_with(&end), "{out}");
        assert_eq!(out.matches("pgrade:").count(), 2, "{out}");
    }
    for status in ["200", "400", "503"] {
        assert!(!written(status, DELIVERY).contains("pgrade"), "{status}");
    }
}
