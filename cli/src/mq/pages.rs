//! The admin pages of a broker: how it is, for people, for programs and for Prometheus.
//!
//! It asks the broker each time; what the numbers mean is said where they are made.

use std::net::SocketAddr;

use ::broker::server::Asker;
use daemon::http::{Reply, json, text};
use http::{HeaderValue, Method, Request, StatusCode, header};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Admin, AdminToken},
    failure::Failure,
    output,
};

/// Everything a broker tells of itself, as JSON.
pub(super) const VIEW_PATH: &str = "/v1/broker";

/// An admin listener that is open.
pub(super) struct Pages {
    /// Where.
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Pages {
    /// Opens it for those who have the token, if there is one, and says where.
    pub(super) fn serve(
        (address, token): (SocketAddr, &AdminToken),
        name: &str,
        asker: Asker,
    ) -> Result<Self, Failure> {
        let admin = Admin::listen(address, token.clone())?;
        let address = admin.local_addr()?;
        output::line(&format!("{name} admin on http://{address}"))?;
        let stop = CancellationToken::new();
        let respond = move |request| page(asker.clone(), request);
        let task = tokio::spawn(admin.serve(respond, stop.clone()));
        Ok(Self {
            address,
            task,
            stop,
        })
    }

    /// Closes it.
    pub(super) async fn end(self) {
        self.stop.cancel();
        // What it may have panicked with is in the log.
        let _ = self.task.await;
    }
}

/// The answer to one request at the admin listener.
async fn page<B>(asker: Asker, request: Request<B>) -> Reply {
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
