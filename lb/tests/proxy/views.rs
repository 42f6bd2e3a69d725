//! What the balancer says of itself.

use http::Method;
use http_body_util::BodyExt;

use crate::harness::{GET, Origin, Proxy};

async fn page(proxy: &Proxy, path: &str) -> (http::response::Parts, String) {
    let reply = proxy
        .balancer
        .admin()
        .respond(&Method::GET, path, None)
        .expect("a page");
    let (parts, body) = reply.into_parts();
    let bytes = body.collect().await.expect("infallible").to_bytes();
    (parts, String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn pools_routes_and_metrics_tell_what_happened() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        client.ask(GET).await;
    }
    client.ask("GET /../x HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let (_, pools) = page(&proxy, "/v1/pools").await;
    let pools: serde_json::Value = serde_json::from_str(&pools).expect("JSON");
    let upstream = &pools[0]["upstreams"][0];
    assert_eq!(upstream["requests"], 3, "{pools}");
    assert_eq!(upstream["address"], origin.address.to_string());
    let (_, routes) = page(&proxy, "/v1/routes").await;
    assert!(
        routes.contains(r#""path":"/","service":"web","policy":"round-robin""#),
        "{routes}"
    );
    let metrics = proxy.metrics();
    for line in [
        format!(
            r#"turno_requests_total{{class="2xx",instance="{}",node="",service="web"}} 3"#,
            origin.address
        ),
        r#"turno_request_duration_seconds_count{service="web"} 3"#.to_owned(),
        r#"turno_failures_total{reason="bad_request"} 1"#.to_owned(),
        r#"turno_upstreams{service="web",state="in_rotation"} 1"#.to_owned(),
        r#"turno_upstreams{service="web",state="unreachable"} 0"#.to_owned(),
        "turno_client_connections 0".to_owned(),
    ] {
        crate::harness::eventually(&line, || proxy.metrics().lines().any(|l| l == line)).await;
    }
    assert!(metrics.starts_with("# HELP "), "{metrics}");
}

#[tokio::test]
async fn the_dashboard_loads_nothing_from_elsewhere() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    let (parts, html) = page(&proxy, "/").await;
    assert_eq!(parts.headers["content-type"], "text/html; charset=utf-8");
    assert!(
        parts.headers["content-security-policy"]
            .to_str()
            .expect("text")
            .starts_with("default-src 'none'")
    );
    for outside in ["http://", "https://", "src=", "innerHTML", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[tokio::test]
async fn pages_are_read_only_and_unknown_ones_are_not_ours() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    let admin = proxy.balancer.admin();
    assert_eq!(
        admin
            .respond(&Method::PUT, "/v1/pools", None)
            .map(|r| r.status().as_u16()),
        Some(405)
    );
    assert!(admin.respond(&Method::GET, "/v1/up", None).is_none());
}
