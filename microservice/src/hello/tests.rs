//! `hello` without sockets, its clock paused.

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::*;

fn hello(message: Option<&str>) -> App {
    app(Config {
        instance: "hello-1".into(),
        message: message.map(str::to_owned),
    })
}

async fn ask(app: &App, method: Method, uri: &str) -> (u16, String) {
    let request = http::Request::builder()
        .method(method)
        .uri(uri)
        .body(Bytes::new());
    let request = request.expect("a good request");
    let address = SocketAddr::from(([127, 0, 0, 1], 4000));
    let reply = app.handle(Request::new(request, address, address)).await;
    let status = reply.status().as_u16();
    let body = reply
        .into_body()
        .collect()
        .await
        .expect("a body at hand")
        .to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn the_line_names_the_instance_whatever_the_message() {
    let table = [
        (None, "Hello from hello-1 (127.0.0.1:4000)\n"),
        (Some("Good day"), "Good day from hello-1 (127.0.0.1:4000)\n"),
        (
            Some("two\r\nlines"),
            "two  lines from hello-1 (127.0.0.1:4000)\n",
        ),
    ];
    for (message, line) in table {
        let app = hello(message);
        assert_eq!(app.check(), Ok(()));
        assert_eq!(ask(&app, Method::GET, "/").await, (200, line.to_owned()));
    }
}

#[tokio::test]
async fn health_fails_and_passes_on_request() {
    let app = hello(None);
    let passing = (
        200,
        "{\"status\":\"passing\",\"instance\":\"hello-1\"}".to_owned(),
    );
    let critical = (
        503,
        "{\"status\":\"critical\",\"instance\":\"hello-1\"}".to_owned(),
    );
    assert_eq!(ask(&app, Method::GET, "/health").await, passing);
    for method in [Method::PUT, Method::POST] {
        assert_eq!(ask(&app, method.clone(), "/health/fail").await.0, 200);
        assert_eq!(ask(&app, Method::GET, "/health").await, critical);
        assert_eq!(ask(&app, Method::GET, "/").await.0, 200);
        assert_eq!(ask(&app, method, "/health/pass").await.0, 200);
        assert_eq!(ask(&app, Method::GET, "/health").await, passing);
    }
    assert_eq!(ask(&app, Method::GET, "/health/fail").await.0, 405);
}

#[tokio::test(start_paused = true)]
async fn sleep_takes_as_long_as_asked_within_its_limit() {
    let app = hello(None);
    let start = Instant::now();
    let (status, line) = ask(&app, Method::GET, "/sleep/60000").await;
    assert_eq!((status, start.elapsed()), (200, SLEEP_MAX));
    assert!(line.contains("hello-1"));
    for ms in ["60001", "-1", "x", "18446744073709551616"] {
        let (status, text) = ask(&app, Method::GET, &format!("/sleep/{ms}")).await;
        assert_eq!(status, 400);
        assert!(text.starts_with("path parameter ms: "), "{text}");
    }
    assert_eq!(start.elapsed(), SLEEP_MAX);
}

#[tokio::test]
async fn status_answers_with_final_statuses_only() {
    let app = hello(None);
    for (code, text) in [
        (200, "200 OK\n"),
        (503, "503 Service Unavailable\n"),
        (599, "599 (no name)\n"),
    ] {
        let reply = ask(&app, Method::GET, &format!("/status/{code}")).await;
        assert_eq!(reply, (code, text.to_owned()));
    }
    for code in ["0", "99", "100", "199", "600", "999", "70000", "x"] {
        let (status, text) = ask(&app, Method::GET, &format!("/status/{code}")).await;
        assert_eq!(status, 400, "{code}");
        assert!(text.starts_with("path parameter code: "), "{text}");
    }
}
