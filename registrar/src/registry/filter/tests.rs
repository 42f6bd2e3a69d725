//! What expressions take, and how bad ones are refused, as measured on Consul 1.8.7.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn row(id: &str) -> Value {
    let (port, tags, meta) = if id == "w1" {
        (80, json!(["a", "b"]), json!({"k": "v"}))
    } else {
        (0, json!([]), json!(null))
    };
    json!({
        "Node": {"Node": "here", "Address": "127.0.0.1", "TaggedAddresses": {"lan": "127.0.0.1"}},
        "Service": {
            "ID": id, "Service": "web", "Tags": tags, "Meta": meta, "Port": port, "EnableTagOverride": false,
            "TaggedAddresses": {"lan_ipv4": {"Address": "10.0.0.1", "Port": port}},
        },
        "Checks": [
            {"CheckID": "serfHealth", "Status": "passing", "ServiceTags": []},
            {"CheckID": "c", "Status": if id == "w1" { "warning" } else { "passing" }, "ServiceTags": tags},
        ],
    })
}

#[test]
fn expressions_take_what_consul_takes() {
    let table = [
        (r#"Service.ID == "w1""#, "w1"),
        (r#"Service.ID==w1"#, "w1"),
        ("Service.ID == `w1`", "w1"),
        (r#"  Service.ID != "w1"  "#, "w2"),
        ("Service.Port == 80", "w1"),
        (r#"Service.Port == "80""#, "w1"),
        ("Service.Port != 80", "w2"),
        ("Service.Port == -1", ""),
        ("Service.EnableTagOverride == false", "w1 w2"),
        (r#""a" in Service.Tags"#, "w1"),
        ("a not in Service.Tags", "w2"),
        (r#"Service.Tags contains "a""#, "w1"),
        (r#"Service.Tags not contains "a""#, "w2"),
        ("Service.Tags is empty", "w2"),
        ("Service.Tags is not empty", "w1"),
        (r#"Service.ID matches "^w[12]$""#, "w1 w2"),
        (r#"Service.ID not matches "1""#, "w2"),
        (r#"Service.ID contains "1""#, "w1"),
        (r#""w" in Service.ID"#, "w1 w2"),
        ("Service.Meta is empty", "w2"),
        (r#""k" in Service.Meta"#, "w1"),
        (r#"Service.Meta.k == "v""#, "w1"),
        (r#"Service.Meta["k"] != "v""#, "w2"),
        (r#"Service.Meta.none == "v""#, ""),
        (r#"Service.Meta.none != "v""#, "w1 w2"),
        (r#"Service.Meta.none matches "v""#, "w1 w2"),
        (r#""x" in Service.Meta.none"#, ""),
        (r#"Checks.Status == "warning""#, "w1"),
        (r#"Checks.Status != "passing""#, "w1"),
        (r#"Checks.ServiceTags contains "a""#, "w1"),
        ("Checks is empty", ""),
        (r#"Service.TaggedAddresses.lan_ipv4.Port == 80"#, "w1"),
        (r#"Service.Kind == """#, "w1 w2"),
        (r#"Service.Proxy.MeshGateway.Mode == """#, "w1 w2"),
        (r#"not Service.ID == "w1""#, "w2"),
        (r#"not not Service.ID == "w1""#, "w1"),
        (r#"not (Service.ID == "w1")"#, "w2"),
        (
            r#"Service.ID == "w1" and Service.Port == 1 or Service.Port == 80"#,
            "w1",
        ),
        (
            r#"( Service.ID == "w2" or Service.Port == 80 ) and Checks.Status == warning"#,
            "w1",
        ),
        (r#"((Service.ID == "w1"))"#, "w1"),
    ];
    for (text, expected) in table {
        let expression =
            Expression::new(text, &HEALTH).unwrap_or_else(|error| panic!("{text}: {error}"));
        let taken: Vec<_> = ["w1", "w2"]
            .into_iter()
            .filter(|id| expression.takes(&row(id)))
            .collect();
        assert_eq!(taken.join(" "), expected, "{text}");
    }
}

#[test]
fn bad_expressions_are_refused_in_consuls_words() {
    let table = [
        (
            "Service.Port == abc",
            "Failed to coerce value \"abc\" for selector \"Service.Port\": \
          strconv.ParseInt: parsing \"abc\": invalid syntax",
        ),
        (
            "Service.Port == 99999999999999999999",
            "Failed to coerce value \"99999999999999999999\" for selector \
          \"Service.Port\": strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
        ),
        (
            "Service.EnableTagOverride == maybe",
            "Failed to coerce value \"maybe\" for selector \
          \"Service.EnableTagOverride\": strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "Service.Port is empty",
            "Invalid match operator \"Is Empty\" for selector \"Service.Port\"",
        ),
        (
            "Service.Tags == a",
            "Invalid match operator \"Equal\" for selector \"Service.Tags\"",
        ),
        (
            "Service.Meta matches k",
            "Invalid match operator \"Matches\" for selector \"Service.Meta\"",
        ),
        (
            "Checks == x",
            "Invalid match operator \"Equal\" for selector \"Checks\"",
        ),
        (
            "Service == x",
            "Invalid match operator \"Equal\" for selector \"Service\"",
        ),
        (
            "Checks.Definition.HTTP == x",
            "Selector \"Checks.Definition\" is not valid",
        ),
        ("node.Node == x", "Selector \"node\" is not valid"),
        (
            "Service.Meta.a.b == x",
            "Selector \"Service.Meta.a.b\" is not valid",
        ),
        (
            "Node.CreateIndex == 1",
            "Selector \"Node.CreateIndex\" is not valid",
        ),
        (
            "Service.Port in 80",
            "1:17 (16): rule \"match\": Invalid selector",
        ),
        (
            "Node.Address==127.0.0.1",
            "1:15 (14): rule \"number\": Invalid number literal",
        ),
        ("Service.ID == web-0", "1:18 (17): no match found"),
        ("Service.ID = \"w1\"", "1:12 (11): no match found"),
        ("Service.ID ==", "1:14 (13): no match found"),
        ("()", "1:2 (1): no match found"),
        ("", "1:1 (0): no match found"),
    ];
    for (text, expected) in table {
        let error = Expression::new(text, &HEALTH).expect_err(text);
        assert_eq!(error.0, expected, "{text}");
    }
    for text in [
        "Service.ID == \"a",
        "Service.ID matches \"(\"",
        "Service.Meta[\"k] == 1",
        "a AND b",
    ] {
        assert!(Expression::new(text, &HEALTH).is_err(), "{text}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = format!(
        "{}Service.Port == 1{}",
        "(".repeat(10_000),
        ")".repeat(10_000)
    );
    assert!(Expression::new(&deep, &HEALTH).is_err());
    let nots = format!("{}Service.Port == 1", "not ".repeat(10_000));
    assert!(Expression::new(&nots, &HEALTH).is_err());
    let long = vec!["Service.Port == 1"; 20_000].join(" or ");
    assert!(Expression::new(&long, &HEALTH).is_err());
    let many = vec!["Service.Port == 1"; 3_000].join(" or ");
    assert!(Expression::new(&many, &HEALTH).is_ok_and(|many| !many.takes(&row("w1"))));
}

proptest! {
    #[test]
    fn nothing_panics(text in r#"([A-Za-z.\[\]"`()=!<> 0-9\\-]|Service|Checks|and|or|not|in|is|empty|é){0,40}"#) {
        if let Ok(expression) = Expression::new(&text, &HEALTH) {
            expression.takes(&row("w1"));
        }
    }
}

#[test]
fn regular_expressions_are_bounded_one_by_one_and_together() {
    let one = "Node.Node matches `a`";
    let many = |count: usize| vec![one; count].join(" and ");
    assert!(Expression::new(&many(32), &HEALTH).is_ok());
    let refused = Expression::new(&many(33), &HEALTH).expect_err("too many");
    assert!(
        refused
            .to_string()
            .ends_with("more than 32 regular expressions"),
        "{refused}"
    );
    let large = r"Node.Node matches `(\w{90}){90}`";
    assert!(Expression::new(large, &HEALTH).is_err());
}
