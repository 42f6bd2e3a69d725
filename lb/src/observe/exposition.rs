//! Metrics as Prometheus reads them: the one page that all admin listeners have. It knows no metric.

use daemon::http::{Reply, text};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};

/// Prometheus' text format, version 0.0.4, with the families in the order of their names.
pub(crate) fn exposition(mut families: Vec<MetricFamily>) -> Reply {
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut out = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&families, &mut out) {
        let what = format!("metrics cannot be written: {error}\n");
        return text(StatusCode::INTERNAL_SERVER_ERROR, what);
    }
    let mut reply = text(StatusCode::OK, String::from_utf8_lossy(&out).into_owned());
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, format);
    reply
}
