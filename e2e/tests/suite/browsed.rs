//! The embedded registry's page, `/ui/`, and the balancer's dashboard in a real browser: they show what there is and follow
//! it, and whatever strangers registered is shown as text and runs nowhere.

use std::time::Duration;

use e2e::browser::Browser;
use e2e::load::Origin;
use e2e::parts::{self, Part};
use e2e::ports;
use e2e::registry::{Kind, Registration, Registry};
use e2e::turno::Balancer;
use serde_json::json;

/// Marks the page it runs in, twice over.
const HOSTILE: &str = r#"<img src=x onerror="window.ran=1"><script>window.ran=1</script>"#;

/// Marks it if it stands in an address or in a place that looks for the end of a quotation.
const QUOTED: &str = r#""'><svg onload=window.ran=1>"#;

fn put(registry: &Registry, path: &str, body: &str) {
    registry.put(path, &["--data-binary", body]);
}

fn report(registry: &Registry, status: &str, output: &str) {
    let report = json!({ "Status": status, "Output": output }).to_string();
    put(registry, "/v1/agent/check/update/beat", &report);
}

fn filled() -> Registry {
    let registry = Registry::start(Kind::Embedded);
    let web = json!({
        "ID": "web-1", "Name": "web", "Address": "10.0.0.7", "Port": 8000, "Tags": [HOSTILE, "blue"], "Meta": { "m": QUOTED },
        "Check": { "CheckID": "beat", "Name": QUOTED, "Notes": HOSTILE, "TTL": "1h" },
    });
    put(&registry, "/v1/agent/service/register", &web.to_string());
    let odd = json!({ "ID": HOSTILE, "Name": QUOTED, "Port": 1 }).to_string();
    put(&registry, "/v1/agent/service/register", &odd);
    report(&registry, "warning", &format!("slow {HOSTILE}"));
    put(&registry, "/v1/kv/shop/greeting", "hello");
    put(&registry, "/v1/kv/shop/opening", "9:00");
    // A key of the same kind, as its URL has it.
    let key: String = QUOTED.bytes().map(|byte| format!("%{byte:02X}")).collect();
    put(&registry, &format!("/v1/kv/{key}"), HOSTILE);
    registry
}

/// Waits until a person sees all of this, and asserts that none of it has become an element.
fn shows(page: &mut Browser, wanted: &[&str]) {
    page.await_text(wanted);
    let made = page.run("document.querySelectorAll('img, svg').length");
    assert_eq!(made, 0, "{wanted:?}");
    assert_eq!(page.run("document.scripts.length"), 1, "{wanted:?}");
}

#[test]
fn the_registrys_page_shows_what_there_is_and_runs_none_of_it() {
    if !parts::available(&[Part::Chromium, Part::Curl]) {
        return;
    }
    let registry = filled();
    let mut page = Browser::start();
    // Where nobody is careful, it does run: otherwise this test would say nothing.
    page.run(&format!("document.body.innerHTML = {}", json!(HOSTILE)));
    page.run("new Promise((done) => { const look = () => window.ran ? done() : setTimeout(look, 10); look(); })");

    page.open(&format!("http://{}/ui/", registry.address));
    shows(&mut page, &[HOSTILE, QUOTED, "blue", "1 warning", "none"]);
    page.follow(QUOTED);
    shows(&mut page, &[HOSTILE, "Agent alive and reachable"]);
    page.run("history.back()");
    shows(&mut page, &["blue", "1 warning"]);
    page.follow("web");
    let slow = format!("slow {HOSTILE}");
    shows(
        &mut page,
        &[
            "web-1",
            "10.0.0.7:8000",
            "blue",
            "warning",
            &slow,
            HOSTILE,
            QUOTED,
        ],
    );
    // Nobody touches the page, and it changes.
    report(&registry, "critical", &format!("gone {QUOTED}"));
    let gone = format!("gone {QUOTED}");
    shows(&mut page, &["critical", &gone]);

    page.follow("nodes");
    shows(&mut page, &["e2e", "127.0.0.1"]);
    page.follow("e2e");
    shows(
        &mut page,
        &["web-1", "10.0.0.7:8000", HOSTILE, "critical", &gone],
    );

    page.follow("keys");
    shows(&mut page, &["shop/", QUOTED]);
    page.follow(QUOTED);
    shows(&mut page, &[QUOTED, "flags 0", HOSTILE]);
    page.follow("keys");
    shows(&mut page, &["shop/"]);
    page.follow("shop/");
    shows(&mut page, &["shop/greeting", "shop/opening"]);
    page.follow("shop/greeting");
    shows(&mut page, &["hello", "flags 0"]);
    page.run("history.back()");
    shows(&mut page, &["shop/opening"]);

    // All of it was one document: going to another place in it loads nothing.
    assert_eq!(page.run("typeof window.ran"), "undefined");
}

#[test]
fn the_dashboard_shows_who_is_in_rotation_and_runs_none_of_it() {
    if !parts::available(&[Part::Chromium, Part::Curl]) {
        return;
    }
    let registry = Registry::start(Kind::Embedded);
    let good = Origin::start("good", Duration::ZERO);
    registry.register(&Registration::new(HOSTILE, good.address));
    // Nobody listens there, so its check fails.
    registry.register(&Registration::new(QUOTED, ports::free_address()));
    let balancer = Balancer::start(registry.address, "round-robin");
    let mut page = Browser::start();
    page.open(&format!("http://{}/", balancer.admin));
    let address = good.address.to_string();
    let one = ["the registry answers", "round-robin, 1 in rotation"];
    shows(
        &mut page,
        &[one[0], one[1], HOSTILE, &address, QUOTED, "critical"],
    );
    let another = Origin::start("another", Duration::ZERO);
    registry.register(&Registration::new("another", another.address));
    shows(&mut page, &["round-robin, 2 in rotation", "another"]);
    assert_eq!(page.run("typeof window.ran"), "undefined");
}
