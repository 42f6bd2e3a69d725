//! The surface: methods, paths, parameters, bodies, limits.

use crate::support::start;

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong_as_consul_does() {
    let registry = start().await;
    let table = [
        (
            "GET",
            "/v1/agent/service/register",
            "",
            405,
            "method GET not allowed",
        ),
        (
            "POST",
            "/v1/status/leader",
            "",
            405,
            "method POST not allowed",
        ),
        ("GET", "/v1/nothing", "", 404, ""),
        (
            "GET",
            "/v1/health/service/",
            "",
            400,
            "Missing service name",
        ),
        ("GET", "/v1/catalog/node/", "", 400, "Missing node name"),
        ("GET", "/v1/health/state/", "", 400, "Missing check state"),
        (
            "GET",
            "/v1/health/service/x?index=abc",
            "",
            400,
            "Invalid index",
        ),
        (
            "GET",
            "/v1/health/service/x?wait=10",
            "",
            400,
            "Invalid wait time",
        ),
        (
            "GET",
            "/v1/health/service/x?passing=maybe",
            "",
            400,
            "Invalid value for ?passing",
        ),
        (
            "GET",
            "/v1/health/service/x?stale&consistent",
            "",
            400,
            "Cannot specify ?stale with ?consistent, conflicting semantics.",
        ),
        (
            "GET",
            "/v1/health/service/x?dc=far",
            "",
            500,
            "No path to datacenter",
        ),
        (
            "GET",
            "/v1/health/service/x?ns=a",
            "",
            400,
            "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature",
        ),
        ("GET", "/v1/health/service/x?%zz", "", 500, ""),
        ("GET", "/v1/acl/tokens", "", 401, "ACL support disabled"),
        (
            "PUT",
            "/v1/agent/service/register",
            "",
            400,
            "Request decode failed: EOF",
        ),
        (
            "PUT",
            "/v1/agent/service/register",
            "{}",
            400,
            "Missing service name",
        ),
        (
            "PUT",
            "/v1/agent/service/deregister/",
            "",
            500,
            "ServiceID missing",
        ),
        (
            "PUT",
            "/v1/agent/check/deregister/",
            "",
            500,
            "CheckID missing",
        ),
        (
            "PUT",
            "/v1/agent/check/pass/x",
            "",
            500,
            "CheckID \"x\" does not have associated TTL",
        ),
        (
            "PUT",
            "/v1/agent/check/update/x",
            r#"{"Status":"x"}"#,
            400,
            "Invalid check status: 'x'",
        ),
        (
            "PUT",
            "/v1/agent/service/maintenance/x",
            "",
            400,
            "Missing value for enable",
        ),
        (
            "PUT",
            "/v1/agent/maintenance?enable=maybe",
            "",
            400,
            "Invalid value for enable: \"maybe\"",
        ),
        (
            "PUT",
            "/v1/agent/service/maintenance/x?enable=true",
            "",
            404,
            "No service registered with ID \"x\"",
        ),
        (
            "PUT",
            "/v1/catalog/register",
            r#"{"Node":"a"}"#,
            500,
            "Must provide address if SkipNodeUpdate is not set",
        ),
        (
            "PUT",
            "/v1/catalog/deregister",
            "{}",
            500,
            "Must provide node",
        ),
    ];
    for (method, path, body, status, text) in table {
        let got = registry.send(method, path, "", body).await;
        assert_eq!(
            (got.status, got.text().as_str()),
            (status, text),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn methods_are_listed_and_paths_cleaned() {
    let registry = start().await;
    let options = registry
        .send("OPTIONS", "/v1/catalog/register", "", "")
        .await;
    assert_eq!(
        (options.status, options.header("allow")),
        (200, Some("OPTIONS,PUT"))
    );
    let doubled = registry.get("//v1/health//service/x?a=b").await;
    assert_eq!(
        (doubled.status, doubled.header("location")),
        (301, Some("/v1/health/service/x?a=b"))
    );
    let short = registry.get("/v1/health/service").await;
    assert_eq!(short.header("location"), Some("/v1/health/service/"));
}

#[tokio::test]
async fn names_may_hold_what_they_like() {
    let registry = start().await;
    registry
        .register(r#"{"Name":"a b/c","ID":"i d","Tags":["<x>"]}"#)
        .await;
    let got = registry.get("/v1/catalog/service/a%20b%2Fc").await;
    assert_eq!(got.json()[0]["ServiceID"], "i d");
    assert!(got.text().contains(r#""\u003cx\u003e""#), "{}", got.text());
    assert_eq!(
        registry
            .put("/v1/agent/service/deregister/i%20d", "")
            .await
            .status,
        200
    );
    assert_eq!(
        registry.get("/v1/catalog/service/a%20b%2Fc").await.text(),
        "[]"
    );
}

#[tokio::test]
async fn pretty_is_indented_and_otherwise_compact() {
    let registry = start().await;
    assert_eq!(
        registry.get("/v1/catalog/datacenters").await.text(),
        r#"["dc1"]"#
    );
    assert_eq!(
        registry.get("/v1/catalog/datacenters?pretty").await.text(),
        "[\n    \"dc1\"\n]\n"
    );
}

#[tokio::test]
async fn a_page_from_elsewhere_may_not_write() {
    let registry = start().await;
    let foreign = "Origin: http://evil.example\r\n";
    let got = registry
        .send(
            "PUT",
            "/v1/agent/service/register",
            foreign,
            r#"{"Name":"x"}"#,
        )
        .await;
    assert_eq!(got.status, 403);
    let own = format!("Origin: http://{}\r\n", registry.address);
    let got = registry
        .send("PUT", "/v1/agent/service/register", &own, r#"{"Name":"x"}"#)
        .await;
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn a_body_too_large_is_refused() {
    let registry = start().await;
    let body = format!(r#"{{"Name":"{}"}}"#, "x".repeat(5 << 20));
    let request = format!(
        "PUT /v1/agent/service/register HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // Only the head: the length alone is reason enough.
    assert_eq!(registry.raw(&request).await.status, 413);
}

#[tokio::test]
async fn deep_json_is_an_error_and_not_a_crash() {
    let registry = start().await;
    let body = "[".repeat(100_000);
    let got = registry.put("/v1/agent/service/register", &body).await;
    assert_eq!(got.status, 400);
}

/// As measured on Consul 1.8.7: whatever has a body and varies by it is packed when asked, errors included.
#[tokio::test]
async fn answers_are_packed_for_who_asks() {
    use std::io::Read as _;
    let registry = start().await;
    registry.put("/v1/kv/a", "some value").await;
    let gzip = "Accept-Encoding: deflate, gzip\r\n";
    let table = [
        ("GET", "/v1/status/leader", 200, true),
        ("PUT", "/v1/kv/b", 200, true),
        ("GET", "/v1/kv/a", 200, true),
        ("GET", "/v1/kv/a?raw", 200, true),
        ("GET", "/v1/catalog/services", 200, true),
        ("GET", "/v1/health/service/none", 200, true),
        ("GET", "/v1/health/service/", 400, true),
        ("POST", "/v1/agent/self", 405, true),
        ("GET", "/v1/kv/none", 404, false),
        ("PUT", "/v1/agent/reload", 200, false),
        ("OPTIONS", "/v1/agent/self", 200, false),
        ("GET", "/v1/nothing", 404, false),
        ("GET", "/", 301, false),
    ];
    for (method, path, status, packed) in table {
        let plain = registry.send(method, path, "", "").await;
        let got = registry.send(method, path, gzip, "").await;
        assert_eq!((got.status, plain.status), (status, status), "{path}");
        let encoding = packed.then_some("gzip");
        assert_eq!(got.header("content-encoding"), encoding, "{path}");
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        let mut body = got.body.clone();
        if packed {
            body.clear();
            let mut reader = flate2::read::GzDecoder::new(&got.body[..]);
            reader.read_to_end(&mut body).expect("a gzip member");
        }
        assert_eq!(body, plain.body, "{path}");
    }
    let index = registry.get("/v1/health/service/web").await.index();
    let request = format!(
        "GET /v1/health/service/web?index={index}&wait=30s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{gzip}\r\n"
    );
    let (got, ()) = tokio::join!(
        registry.raw(&request),
        registry.register(r#"{"Name": "web"}"#)
    );
    assert_eq!(
        (got.status, got.header("content-encoding")),
        (200, Some("gzip"))
    );
}

#[tokio::test]
async fn the_page_for_people_comes_with_a_policy_that_allows_itself_only() {
    let registry = start().await;
    let moved = registry.get("/ui").await;
    assert_eq!(
        (moved.status, moved.header("location")),
        (301, Some("/ui/"))
    );
    let page = registry.get("/ui/").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(registry.get("/ui/other").await.status, 404);
    assert_eq!(registry.put("/ui/", "x").await.status, 404);
}
