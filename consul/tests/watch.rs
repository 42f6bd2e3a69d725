//! The watch against everything a registry may do to it: faults, resets, floods, silence.

mod support;

use std::time::Duration;

use consul::types::ServiceEntry;
use consul::watch::{Event, Watch};
use consul::{Client, Config, Error, Query};
use support::{Script, Step, answer, entry, indexed, status};
use tokio::time::Instant;

async fn watch(script: &Script) -> Watch<Vec<ServiceEntry>> {
    let config = Config::new(format!("http://{}", script.listen().await));
    Watch::health_service(
        Client::new(config).expect("a client"),
        "web",
        Query::default(),
    )
}

/// An event in a word, e.g. `changed 1 @5`: how many instances, at which index.
fn word(event: &Event<Vec<ServiceEntry>>) -> String {
    match event {
        Event::Changed { value, index } => format!("changed {} @{index}", value.len()),
        Event::Unchanged { index } => format!("same @{index}"),
        Event::Failed { attempts, .. } => format!("failed {attempts}"),
    }
}

/// Runs a script to its end and says what came of it and which indexes were asked for.
async fn run(steps: Vec<Step>) -> (Vec<String>, Vec<String>) {
    let count = steps.len();
    let script = Script::new(steps);
    let mut watch = watch(&script).await;
    let mut words = Vec::new();
    for _ in 0..count {
        words.push(word(&watch.next().await));
    }
    let index = |line: String| match line.split_once("index=") {
        Some((_, rest)) => rest.split('&').next().unwrap_or_default().to_owned(),
        None => "-".to_owned(),
    };
    (words, script.lines().into_iter().map(index).collect())
}

fn up(index: u64) -> Step {
    indexed(index, &entry("web-1", 80, "passing", "", index))
}

#[tokio::test]
async fn what_changes_and_what_does_not() {
    let (words, asked) = run(vec![
        up(5),
        indexed(6, &entry("web-1", 80, "passing", "other output", 6)),
        indexed(7, &entry("web-1", 80, "critical", "", 7)),
        indexed(8, &entry("web-1", 81, "critical", "", 8)),
        indexed(9, "[]"),
        indexed(10, "[]"),
    ])
    .await;
    assert_eq!(
        words,
        [
            "changed 1 @5",
            "same @6",
            "changed 1 @7",
            "changed 1 @8",
            "changed 0 @9",
            "same @10"
        ]
    );
    assert_eq!(asked, ["-", "5", "6", "7", "8", "9"]);
}

#[tokio::test]
async fn an_index_that_goes_back_or_is_zero_is_forgotten() {
    let (words, asked) = run(vec![up(50), up(3), up(3), indexed(0, "[]"), up(4)]).await;
    assert_eq!(
        words,
        [
            "changed 1 @50",
            "same @3",
            "same @3",
            "changed 0 @0",
            "changed 1 @4"
        ]
    );
    assert_eq!(asked, ["-", "50", "-", "3", "-"]);
}

#[tokio::test]
async fn after_any_fault_the_next_query_does_not_block() {
    let leaderless = "X-Consul-Index: 9\r\nX-Consul-KnownLeader: false\r\n";
    for fault in [
        status("500 Internal Server Error", "No cluster leader"),
        status("429 Too Many Requests", ""),
        status("503 Service Unavailable", ""),
        Step::Cut(Vec::new()),
        Step::Cut(b"HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\nContent-Length: 50\r\n\r\n[".to_vec()),
        indexed(9, r#"[{"Node":{"Node":"n1""#),
        indexed(9, r#"{"not":"a list"}"#),
        Step::Answer(answer("200 OK", leaderless, "[]")),
    ] {
        let (words, asked) = run(vec![up(5), fault.clone(), up(5)]).await;
        assert_eq!(words, ["changed 1 @5", "failed 1", "same @5"], "{fault:?}");
        assert_eq!(asked, ["-", "5", "-"], "{fault:?}");
    }
}

#[tokio::test]
async fn a_burst_of_errors_is_counted_and_slows_down() {
    let error = || status("500 Internal Server Error", "No cluster leader");
    let script = Script::new([error(), error(), error(), up(5), error()]);
    let mut watch = watch(&script).await;
    let mut delays = Vec::new();
    for attempt in 1..=3 {
        let Event::Failed {
            error: Error::Status { code: 500, .. },
            attempts,
            retry_in,
        } = watch.next().await
        else {
            panic!("not a failure")
        };
        assert_eq!(attempts, attempt);
        delays.push(retry_in);
    }
    for (delay, full) in delays.iter().zip([100, 200, 400]) {
        let full = Duration::from_millis(full);
        assert!(
            full / 2 <= *delay && *delay <= full,
            "{delay:?} of {full:?}"
        );
    }
    assert_eq!(word(&watch.next().await), "changed 1 @5");
    assert_eq!(word(&watch.next().await), "failed 1");
    let seen = script.seen();
    for (place, delay) in delays.iter().enumerate() {
        assert!(seen[place + 1].at - seen[place].at >= *delay);
    }
}

#[tokio::test]
async fn an_index_that_spins_is_not_followed_faster_than_the_interval() {
    let script = Script::new((1..=6).map(up));
    let mut watch = watch(&script).await;
    let began = Instant::now();
    for _ in 0..6 {
        watch.next().await;
    }
    assert!(
        began.elapsed() >= Duration::from_millis(480),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_registry_that_comes_back_is_seen_within_two_seconds() {
    let script = Script::new([]);
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("a bound address")
    };
    let client = Client::new(Config::new(address.to_string())).expect("a client");
    let mut watch = Watch::health_service(client, "web", Query::default());
    for attempt in 1..=4 {
        let Event::Failed {
            error: Error::Unreachable { .. },
            attempts,
            retry_in,
        } = watch.next().await
        else {
            panic!("somebody answered")
        };
        assert_eq!(attempts, attempt);
        assert!(retry_in <= Duration::from_secs(1), "{retry_in:?}");
    }
    script.push([
        status("500 Internal Server Error", "No cluster leader"),
        up(1),
    ]);
    script.listen_on(address).await;
    let Event::Failed {
        error: Error::Status { .. },
        attempts: 5,
        retry_in,
    } = watch.next().await
    else {
        panic!("not the leaderless answer")
    };
    // With at most a second before it and less than a second after it, that makes two.
    assert!(retry_in <= Duration::from_secs(1), "{retry_in:?}");
    assert_eq!(word(&watch.next().await), "changed 1 @1");
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_failure_and_not_the_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let client = Client::new(Config::new(address.to_string())).expect("a client");
    let mut watch = Watch::health_service(client, "web", Query::default());
    for attempt in 1..=12 {
        let Event::Failed {
            error: Error::Timeout { .. },
            attempts,
            retry_in,
        } = watch.next().await
        else {
            panic!("not a timeout")
        };
        assert_eq!(attempts, attempt);
        assert!(retry_in <= Duration::from_secs(1), "{retry_in:?}");
    }
}

#[tokio::test]
async fn a_dropped_next_loses_no_answer_and_asks_no_second_time() {
    let script = Script::new([up(5)]);
    let mut watch = watch(&script).await;
    assert_eq!(word(&watch.next().await), "changed 1 @5");
    for _ in 0..5 {
        let impatient = tokio::time::timeout(Duration::from_millis(40), watch.next()).await;
        assert!(impatient.is_err(), "the second query hangs");
    }
    assert_eq!(
        script.lines().len(),
        2,
        "one query, waited for several times"
    );
}

#[tokio::test]
async fn the_list_of_services_in_any_order_of_tags() {
    let script = Script::new([
        indexed(5, r#"{"web":["a","b"],"consul":[]}"#),
        indexed(6, r#"{"consul":[],"web":["b","a"]}"#),
        indexed(7, r#"{"consul":[],"web":["b"]}"#),
    ]);
    let config = Config::new(format!("http://{}", script.listen().await));
    let client = Client::new(config).expect("a client");
    let mut watch = Watch::catalog_services(
        client,
        Query {
            index: Some(99),
            ..Query::default()
        },
    );
    assert!(matches!(
        watch.next().await,
        Event::Changed { index: 5, .. }
    ));
    assert!(matches!(watch.next().await, Event::Unchanged { index: 6 }));
    assert!(matches!(
        watch.next().await,
        Event::Changed { index: 7, .. }
    ));
    assert_eq!(
        script.lines()[0],
        "GET /v1/catalog/services",
        "its own index is not used"
    );
    assert_eq!(
        script.lines()[1],
        "GET /v1/catalog/services?index=5&wait=60000ms"
    );
}

#[tokio::test]
async fn a_key_that_appears_changes_and_goes() {
    let value = |index: u64, text: &str| {
        let body = format!(
            r#"[{{"LockIndex":0,"Key":"a/b","Flags":0,"Value":"{text}","CreateIndex":5,"ModifyIndex":{index}}}]"#
        );
        indexed(index, &body)
    };
    let absent = |index: u64| {
        Step::Answer(answer(
            "404 Not Found",
            &format!("X-Consul-Index: {index}\r\n"),
            "",
        ))
    };
    let script = Script::new([
        absent(3),
        value(5, "b25l"),
        value(5, "b25l"),
        value(6, "dHdv"),
        status("404 Not Found", "who are you"),
        absent(9),
    ]);
    let config = Config::new(format!("http://{}", script.listen().await));
    let mut watch = Watch::key(
        Client::new(config).expect("a client"),
        "a/b",
        Query::default(),
    );
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(match watch.next().await {
            Event::Changed { value: None, .. } => "none".to_owned(),
            Event::Changed {
                value: Some(entry), ..
            } => String::from_utf8(entry.value).expect("text"),
            Event::Unchanged { .. } => "same".to_owned(),
            Event::Failed { .. } => "failed".to_owned(),
        });
    }
    assert_eq!(told, ["none", "one", "same", "two", "failed", "none"]);
    assert_eq!(
        script.lines()[1],
        "GET /v1/kv/a/b?index=3&wait=60000ms",
        "what is absent is waited for as well"
    );
}

#[tokio::test]
async fn nodes_and_datacenters() {
    let nodes = |index, body: &str| indexed(index, body);
    let script = Script::new([
        nodes(5, r#"[{"Node":"n1","Address":"10.0.0.1"},{"Node":"n2"}]"#),
        nodes(6, r#"[{"Node":"n2"},{"Node":"n1","Address":"10.0.0.1"}]"#),
        nodes(7, r#"[{"Node":"n2"}]"#),
    ]);
    let config = Config::new(format!("http://{}", script.listen().await));
    let client = Client::new(config).expect("a client");
    let mut watch = Watch::catalog_nodes(client.clone(), Query::default());
    assert!(matches!(watch.next().await, Event::Changed { value, .. } if value.len() == 2));
    assert!(matches!(watch.next().await, Event::Unchanged { .. }));
    assert!(matches!(watch.next().await, Event::Changed { value, .. } if value.len() == 1));
    script.push([status("200 OK", r#"["dc1","dc2"]"#)]);
    let mut watch = Watch::catalog_datacenters(client);
    assert!(
        matches!(watch.next().await, Event::Changed { value, index: 0 } if value == ["dc1", "dc2"])
    );
    assert_eq!(script.lines()[3], "GET /v1/catalog/datacenters");
}
