//! What becomes of a request, without sockets.

use http_body_util::BodyExt;

use super::*;
use crate::{Json, Rejection};

fn app() -> App {
    async fn double(request: Request) -> Result<Json<u64>, Rejection> {
        Ok(Json(request.param::<u64>("n")?.saturating_mul(2)))
    }
    App::new("test")
        .get("/", async |_| "root")
        .get("/double/{n}", double)
        .post("/double/{n}", async |_| StatusCode::CREATED)
        .get("/panic", async |_| -> &'static str { panic!("as asked") })
        .get("/interim", async |_| StatusCode::SWITCHING_PROTOCOLS)
        .get("/name/{name}", async |r: Request| r.param::<String>("name"))
        .metrics("/metrics")
}

async fn ask(app: &App, method: Method, uri: &str) -> (http::response::Parts, String) {
    let request = http::Request::builder()
        .method(method)
        .uri(uri)
        .body(Bytes::new());
    let reply = app
        .handle(Request::from(request.expect("a good request")))
        .await;
    let (head, body) = reply.into_parts();
    let body = body.collect().await.expect("a body at hand").to_bytes();
    (head, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn requests_are_answered_by_their_routes() {
    let app = app();
    let table = [
        (Method::GET, "/", 200, "root"),
        (Method::GET, "/?x=1", 200, "root"),
        (Method::GET, "/double/21", 200, "42"),
        (Method::POST, "/double/21", 201, ""),
        (Method::GET, "/name/a%20b%2Fc", 200, "a b/c"),
        (Method::GET, "/nothing", 404, "no such page\n"),
        (Method::GET, "/double/21/", 404, "no such page\n"),
        (Method::GET, "//", 404, "no such page\n"),
        (Method::OPTIONS, "*", 404, "no such page\n"),
        (
            Method::GET,
            "/name/%zz",
            400,
            "the path has a broken escape\n",
        ),
        (Method::GET, "/panic", 500, "internal error\n"),
        (Method::GET, "/interim", 500, "internal error\n"),
    ];
    for (method, uri, status, text) in table {
        let (head, body) = ask(&app, method, uri).await;
        assert_eq!(
            (head.status.as_u16(), body.as_str()),
            (status, text),
            "{uri}"
        );
    }
    let (head, body) = ask(&app, Method::GET, "/double/x").await;
    assert_eq!(head.status, StatusCode::BAD_REQUEST);
    assert!(
        body.starts_with("path parameter n: \"x\" does not fit"),
        "{body}"
    );
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let (head, body) = ask(&app(), Method::DELETE, "/double/1").await;
    assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(head.headers[header::ALLOW], "GET, HEAD, POST");
    assert_eq!(
        body,
        "method DELETE not allowed; allowed: GET, HEAD, POST\n"
    );
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let (get, _) = ask(&app(), Method::GET, "/").await;
    let (head, body) = ask(&app(), Method::HEAD, "/").await;
    assert_eq!((head.status, body.as_str()), (get.status, ""));
    assert_eq!(
        head.headers[header::CONTENT_TYPE],
        get.headers[header::CONTENT_TYPE]
    );
    assert_eq!(head.headers[header::CONTENT_LENGTH], "4");
}

#[tokio::test]
async fn requests_are_counted_by_template_and_class() {
    let app = app();
    for uri in [
        "/double/1",
        "/double/2",
        "/double/x",
        "/panic",
        "/a",
        "/b",
        "/c",
    ] {
        ask(&app, Method::GET, uri).await;
    }
    let (head, page) = ask(&app, Method::GET, "/metrics").await;
    assert_eq!(
        head.headers[header::CONTENT_TYPE],
        "text/plain; version=0.0.4"
    );
    for line in [
        "http_requests_total{class=\"2xx\",route=\"/double/{n}\",service=\"test\"} 2",
        "http_requests_total{class=\"4xx\",route=\"/double/{n}\",service=\"test\"} 1",
        "http_requests_total{class=\"5xx\",route=\"/panic\",service=\"test\"} 1",
        "http_requests_total{class=\"4xx\",route=\"none\",service=\"test\"} 3",
        "http_request_duration_seconds_count{route=\"/double/{n}\",service=\"test\"} 3",
        "http_requests_in_flight{service=\"test\"} 1",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
    }
}

#[tokio::test]
async fn the_first_mistake_is_kept_and_nothing_is_served_with_it() {
    let app = app()
        .get("/double/{other}", async |_| "")
        .get("bad", async |_| "");
    let mistake = app.check().expect_err("the same route twice");
    assert!(
        mistake.to_string().contains("GET /double/{other}"),
        "{mistake}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    // Returns at once, although nobody asks it to stop.
    assert_eq!(
        app.serve(listener, CancellationToken::new()).await,
        Err(mistake)
    );
}
