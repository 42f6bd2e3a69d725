//! Reading and writing the wire types: what real servers and programs send, and what nobody should.

use std::time::Duration;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_str(&value.to_string()).expect("readable")
}

/// An answer of Consul 1.8.7, shortened.
fn entry() -> Value {
    json!({
        "Node": {"ID": "7f", "Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1",
            "TaggedAddresses": {"lan": "10.0.0.1"}, "Meta": {"consul-network-segment": ""},
            "CreateIndex": 5, "ModifyIndex": 6},
        "Service": {"ID": "web-1", "Service": "web", "Tags": ["v1"], "Address": "",
            "TaggedAddresses": {"lan_ipv4": {"Address": "10.0.0.1", "Port": 80}},
            "Meta": null, "Port": 80, "Weights": {"Passing": 3, "Warning": 1},
            "EnableTagOverride": false,
            "Proxy": {"MeshGateway": {}, "Expose": {}}, "Connect": {},
            "CreateIndex": 17, "ModifyIndex": 17},
        "Checks": [
            {"Node": "n1", "CheckID": "serfHealth", "Name": "Serf Health Status",
                "Status": "passing", "Notes": "", "Output": "Agent alive and reachable",
                "ServiceID": "", "ServiceName": "", "ServiceTags": [], "Type": "",
                "Definition": {}, "CreateIndex": 5, "ModifyIndex": 5},
            {"Node": "n1", "CheckID": "service:web-1", "Name": "Service 'web' check",
                "Status": "warning", "Notes": "", "Output": "hm", "ServiceID": "web-1",
                "ServiceName": "web", "ServiceTags": ["v1"], "Type": "ttl", "Definition": {},
                "CreateIndex": 17, "ModifyIndex": 20},
        ],
    })
}

#[test]
fn a_real_entry_is_read_and_written_back_whole() {
    let read: ServiceEntry = read(entry());
    assert_eq!(
        (read.address(), read.port(), read.status()),
        ("10.0.0.1", Some(80), Status::Warning)
    );
    assert_eq!(
        read.service.weights,
        Weights {
            passing: 3,
            warning: 1
        }
    );
    let mut expected = entry();
    expected["Service"]["Meta"] = json!({});
    assert_eq!(serde_json::to_value(read).expect("JSON"), expected);
}

#[test]
fn equal_means_that_nobody_who_routes_could_tell() {
    let changed = |pointer: &str, value: Value| {
        let mut changed = entry();
        *changed.pointer_mut(pointer).expect(pointer) = value;
        read::<ServiceEntry>(entry()) == read::<ServiceEntry>(changed)
    };
    for pointer in [
        "/Node/ModifyIndex",
        "/Service/ModifyIndex",
        "/Service/CreateIndex",
        "/Checks/1/ModifyIndex",
    ] {
        assert!(changed(pointer, json!(99)), "{pointer}");
    }
    assert!(changed("/Checks/1/Output", json!("changed")));
    assert!(changed("/Checks/1/Notes", json!("changed")));
    let mut checks = entry()["Checks"].as_array().expect("a list").clone();
    checks.reverse();
    assert!(changed("/Checks", json!(checks)), "in another order");
    checks.pop();
    assert!(!changed("/Checks", json!(checks)), "one less");

    for (pointer, value) in [
        ("/Node/Node", json!("n2")),
        ("/Node/Address", json!("10.0.0.2")),
        ("/Node/Meta", json!({"a": "b"})),
        ("/Service/ID", json!("web-2")),
        ("/Service/Address", json!("10.0.0.2")),
        ("/Service/Port", json!(81)),
        ("/Service/Tags", json!(["v2"])),
        ("/Service/Meta", json!({"a": "b"})),
        ("/Service/Weights/Passing", json!(4)),
        ("/Checks/1/Status", json!("passing")),
        ("/Checks/1/CheckID", json!("other")),
        ("/Checks/1/ServiceID", json!("")),
        ("/Checks/1/Type", json!("maintenance")),
    ] {
        assert!(!changed(pointer, value), "{pointer}");
    }
}

#[test]
fn what_is_odd_in_one_instance_leaves_the_list_readable() {
    let nulls: ServiceEntry =
        read(json!({"Node": null, "Service": null, "Checks": null, "Novelty": {"a": [1]}}));
    assert_eq!(
        (nulls.address(), nulls.port(), nulls.status()),
        ("", None, Status::Passing)
    );
    assert_eq!(nulls.service.weights, Weights::default());
    for (port, expected) in [
        (-1, None),
        (0, None),
        (1, Some(1)),
        (65535, Some(65535)),
        (70000, None),
    ] {
        let entry: ServiceEntry = read(json!({"Service": {"Port": port}}));
        assert_eq!(entry.port(), expected);
    }
    for (weights, passing, warning) in [
        (json!(null), 1, 1),
        (json!({}), 0, 0),
        (json!({"Passing": 3}), 3, 0),
        (json!({"Passing": -3, "Warning": 1_i64 << 40}), 0, u32::MAX),
    ] {
        let entry: ServiceEntry = read(json!({"Service": {"Weights": weights}}));
        assert_eq!(entry.service.weights, Weights { passing, warning });
    }
    for (word, status) in [
        (json!("passing"), Status::Passing),
        (json!("warning"), Status::Warning),
        (json!("critical"), Status::Critical),
        (json!("Passing"), Status::Critical),
        (json!(""), Status::Critical),
        (json!(null), Status::Critical),
    ] {
        assert_eq!(read::<HealthCheck>(json!({"Status": word})).status, status);
    }
}

#[test]
fn a_registration_in_any_spelling() {
    let expected = ServiceRegistration {
        id: "web-1".to_owned(),
        enable_tag_override: true,
        weights: Some(Weights {
            passing: 2,
            warning: 1,
        }),
        tags: vec!["v1".to_owned()],
        checks: vec![
            CheckDefinition {
                check_id: Some("up".to_owned()),
                tls_skip_verify: true,
                deregister_critical_service_after: Some("1m".to_owned()),
                status: Some(Status::Passing),
                ..CheckDefinition::http("http://127.0.0.1/health", Duration::from_secs(10))
            },
            CheckDefinition::ttl(Duration::from_secs(30)),
        ],
        ..ServiceRegistration::new("web", "127.0.0.1", 80)
    };
    let camel = json!({"ID": "web-1", "Name": "web", "Tags": ["v1"], "Address": "127.0.0.1", "Port": 80,
        "EnableTagOverride": true, "Weights": {"Passing": 2, "Warning": 1}, "Meta": null,
        "Check": {"CheckID": "up", "HTTP": "http://127.0.0.1/health", "Interval": "10s", "TLSSkipVerify": true,
            "DeregisterCriticalServiceAfter": "1m", "Status": "passing"},
        "Checks": [{"TTL": "30s"}]});
    let snake = json!({"id": "web-1", "name": "web", "tags": ["v1"], "address": "127.0.0.1", "port": 80,
        "enable_tag_override": true, "weights": {"passing": 2, "warning": 1},
        "checks": [{"id": "up", "http": "http://127.0.0.1/health", "interval": "10s", "tls_skip_verify": true,
            "deregister_critical_service_after": "1m", "status": "passing"}, {"ttl": "30s"}]});
    assert_eq!(read::<ServiceRegistration>(camel), expected);
    assert_eq!(read::<ServiceRegistration>(snake), expected);
    assert_eq!(expected.check_ids(), ["up", "service:web-1:2"]);
    let written = serde_json::to_value(&expected).expect("JSON");
    assert_eq!(
        read::<ServiceRegistration>(written),
        expected,
        "there and back"
    );
}

#[test]
fn what_a_registration_leaves_to_judge() {
    let odd: ServiceRegistration = read(json!({
        "Name": "web", "Port": -1, "Locality": {}, "Token": "s3cret", "Check": {},
        "Checks": [{"Interval": 10_000_000_000_i64, "TTL": 0, "Weather": "x", "OSService": "ntp", "Token": "s3cret", "OutputMaxSize": -1}],
    }));
    assert_eq!((odd.effective_id(), odd.port), ("web", -1));
    assert_eq!(odd.unknown, ["Locality"]);
    assert_eq!(odd.checks[0], CheckDefinition::default());
    assert_eq!(odd.checks[1].interval.as_deref(), Some("10000000000ns"));
    assert_eq!(
        (odd.checks[1].ttl.as_deref(), odd.checks[1].output_max_size),
        (None, -1)
    );
    assert_eq!(odd.checks[1].unknown, ["Weather"]);
    assert_eq!(odd.checks[1].os_service.as_deref(), Some("ntp"));
    assert!(!format!("{odd:?}").contains("s3cret"));
    for (body, part) in [
        (json!({"Port": "80"}), "field Port"),
        (json!({"Tags": [1]}), "field Tags"),
        (
            json!({"Check": {"Status": "good"}}),
            "'passing', 'warning' or 'critical'",
        ),
        (json!({"Check": {"Interval": []}}), "field Interval"),
        (json!([]), "an object"),
    ] {
        let error = serde_json::from_value::<ServiceRegistration>(body).expect_err(part);
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn ids_of_checks_nobody_named() {
    let ids = |checks: Vec<CheckDefinition>| {
        ServiceRegistration {
            checks,
            ..ServiceRegistration::new("web", "", 0)
        }
        .check_ids()
    };
    let ttl = || CheckDefinition::ttl(Duration::from_secs(1));
    assert!(ids(vec![]).is_empty());
    assert_eq!(ids(vec![ttl()]), ["service:web"]);
    assert_eq!(ids(vec![ttl(), ttl()]), ["service:web:1", "service:web:2"]);
}

#[test]
fn durations_as_go_writes_them() {
    for (text, millis) in [
        ("10s", 10_000),
        ("1m30s", 90_000),
        ("1.5s", 1_500),
        (".5s", 500),
        ("250ms", 250),
        ("1h", 3_600_000),
        ("2000000ns", 2),
        ("2000us", 2),
        ("2000µs", 2),
        ("0", 0),
        ("-0s", 0),
        ("+1s", 1_000),
    ] {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for text in [
        "", "s", "10x", "1..5s", ".s", "s10", "ten", "1s,", "-", "NaNs", "1e3s",
    ] {
        assert_eq!(
            parse_duration(text),
            Err(DurationError::Invalid(text.to_owned())),
            "{text}"
        );
    }
    assert_eq!(
        parse_duration("10"),
        Err(DurationError::NoUnit("10".to_owned()))
    );
    assert_eq!(
        parse_duration("1s5"),
        Err(DurationError::NoUnit("1s5".to_owned()))
    );
    assert_eq!(
        parse_duration("-1s"),
        Err(DurationError::Negative("-1s".to_owned()))
    );
    let long = "9".repeat(30) + "h";
    assert_eq!(parse_duration(&long), Err(DurationError::TooLong(long)));
}

/// Any JSON, with names that the types know among those they do not.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        "[A-Za-z_]{0,8}",
        prop::sample::select(vec![
            "Node",
            "Service",
            "Checks",
            "Check",
            "ID",
            "Name",
            "Tags",
            "Meta",
            "Port",
            "Weights",
            "Passing",
            "Status",
            "Interval",
            "TTL",
            "Output",
            "CheckID",
            "TaggedAddresses",
            "Header",
            "ModifyIndex",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn read_everything(bytes: &[u8]) {
    // Refused or read, and what is read can be written.
    fn one<T: DeserializeOwned + serde::Serialize>(bytes: &[u8]) {
        if let Ok(value) = serde_json::from_slice::<T>(bytes) {
            serde_json::to_vec(&value).expect("writable");
        }
    }
    one::<Vec<ServiceEntry>>(bytes);
    one::<ServiceEntry>(bytes);
    one::<HealthCheck>(bytes);
    one::<AgentService>(bytes);
    one::<AgentSelf>(bytes);
    one::<ServiceRegistration>(bytes);
    one::<CheckDefinition>(bytes);
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        read_everything(value.to_string().as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        read_everything(&bytes);
    }

    #[test]
    fn no_text_makes_the_duration_reader_panic(text in "[-+.0-9nusmhµ]{0,40}|.{0,12}") {
        let _ = parse_duration(&text);
    }

    #[test]
    fn a_duration_survives_there_and_back(nanos in any::<u64>()) {
        let duration = Duration::from_nanos(nanos);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
}
