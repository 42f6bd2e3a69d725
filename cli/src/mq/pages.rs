//! The admin pages of a broker: how it is, for people, for programs and for Prometheus.
//!
//! It asks the broker each time; what the numbers mean is said where they are made.

use ::broker::server::Asker;
use daemon::http::{Reply, json, text};
use http::{HeaderValue, Method, Request, StatusCode, header};

/// Everything a broker tells of itself, as JSON.
pub(super) const VIEW_PATH: &str = "/v1/broker";

/// The answer to one request at the admin listener.
pub(super) async fn page<B>(asker: Asker, request: Request<B>) -> Reply {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    let path = request.uri().path().to_owned();
    if path == "/" {
        return html(include_str!("page.html"));
    }
    if !["/health", "/metrics", VIEW_PATH].contains(&path.as_str()) {
        let pages = "no such page; there are / /health /metrics /v1/broker\n";
        return text(StatusCode::NOT_FOUND, pages);
    }
    let Some(report) = asker.report().await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the broker has ended\n");
    };
    match path.as_str() {
        "/health" => text(StatusCode::OK, "the broker answers\n"),
        "/metrics" => text(StatusCode::OK, report.prometheus()),
        _ => json(StatusCode::OK, &report),
    }
}

fn html(page: &'static str) -> Reply {
    let mut reply = text(StatusCode::OK, page);
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}
