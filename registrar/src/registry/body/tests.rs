//! What is wrong with bodies, in the words measured on Consul 1.8.7.

use super::*;

#[test]
fn bad_service_bodies_are_refused_in_consuls_words() {
    let table = [
        ("", "EOF"),
        ("  ", "EOF"),
        (r#"{"Name":"x""#, "unexpected EOF"),
        (
            r#"{"Name":"x",}"#,
            "invalid character '}' looking for beginning of object key string",
        ),
        (
            "hello",
            "invalid character 'h' looking for beginning of value",
        ),
        (r#"{"Name":"x","Bad":1}"#, "json: unknown field \"Bad\""),
        (
            r#"{"Port":"a"}"#,
            "json: cannot unmarshal string into Go struct field .Port of type int",
        ),
        (
            r#"{"Port":1.5}"#,
            "json: cannot unmarshal number 1.5 into Go struct field .Port of type int",
        ),
        (
            r#"{"Name":1}"#,
            "json: cannot unmarshal number into Go struct field .Name of type string",
        ),
        (
            r#"{"Tags":"t"}"#,
            "json: cannot unmarshal string into Go struct field .Tags of type []string",
        ),
        (
            r#"{"Tags":[1]}"#,
            "json: cannot unmarshal number into Go struct field .Tags of type string",
        ),
        (
            r#"{"Meta":{"a":1}}"#,
            "json: cannot unmarshal number into Go struct field .Meta of type string",
        ),
        (
            r#"{"Weights":{"Passing":"1"}}"#,
            "json: cannot unmarshal string into Go struct field Weights.Weights.Passing of type int",
        ),
        (
            r#"{"TaggedAddresses":{"lan":1}}"#,
            "json: cannot unmarshal number into Go struct field .TaggedAddresses of type structs.ServiceAddress",
        ),
        (
            r#"{"EnableTagOverride":"y"}"#,
            "json: cannot unmarshal string into Go struct field .EnableTagOverride of type bool",
        ),
        (
            r#"{"Check":{"TTL":"10"}}"#,
            "time: missing unit in duration \"10\"",
        ),
        (r#"{"Check":{"Foo":1}}"#, "json: unknown field \"Foo\""),
        (
            r#"{"Check":{"OutputMaxSize":"x"}}"#,
            "json: cannot unmarshal string into Go struct field .Check of type int",
        ),
        (
            r#"{"Check":{"Header":{"a":"b"}}}"#,
            "json: cannot unmarshal string into Go struct field .Check of type []string",
        ),
        (
            r#"{"Checks":{"Foo":1}}"#,
            "json: cannot unmarshal object into Go struct field .Checks of type structs.CheckTypes",
        ),
    ];
    for (body, text) in table {
        let error = service_registration(body.as_bytes()).expect_err(body);
        assert_eq!(
            error.to_string(),
            format!("Request decode failed: {text}"),
            "{body}"
        );
    }
    let list = service_registration(b"[]").expect_err("a list");
    assert!(
        list.0
            .starts_with("json: cannot unmarshal array into Go value of type struct { ")
    );
}

#[test]
fn spellings_and_nulls_that_consul_takes() {
    let body = br#"{"name":"web","TAGS":null,"enable_tag_override":true,"Weights":{"Passing":3},
        "tagged_addresses":{"lan":{"address":"10.0.0.1","Port":1}},
        "check":{"http":"http://x","interval":10000000000,"args":null,"Deregister_Critical_Service_After":"1m",
                 "tlsservername":"new","FailuresBeforeWarning":2}} trailing"#;
    let read = service_registration(body).expect("Consul takes it");
    assert_eq!(&*read.instance.name, "web");
    assert!(read.instance.enable_tag_override && read.instance.tags.is_empty());
    assert_eq!(
        (read.instance.weights.passing, read.instance.weights.warning),
        (3, 0)
    );
    assert_eq!(
        read.instance.tagged_addresses["lan"],
        ("10.0.0.1".into(), 1)
    );
    assert_eq!(read.check.interval, 10_000_000_000);
    assert_eq!(read.check.deregister_after, 60_000_000_000);
    let odd = service_registration(br#"{"Name":"x","Check":{"TTL":true}}"#).expect("ignored");
    assert!(odd.check.is_empty());
    assert!(service_registration(b"null").is_ok());
}

#[test]
fn check_bodies() {
    let refused = |body: &str| check_registration(body.as_bytes()).expect_err(body).0;
    assert_eq!(
        refused(r#"{"Name":"x","CheckID":"y"}"#),
        "json: unknown field \"CheckID\""
    );
    let read = check_registration(br#"{"ID":"a","Name":"x","TTL":"10s","service_id":"s"}"#);
    let read = read.expect("valid");
    assert_eq!(
        (read.id.as_str(), read.service_id.as_str(), read.ttl),
        ("a", "s", 10_000_000_000)
    );
    let unknown = check_update(br#"{"Name":"x"}"#).expect_err("unknown");
    assert_eq!(unknown.0, "json: unknown field \"Name\"");
}

#[test]
fn catalog_bodies() {
    let wrong = registration(br#"{"Node":1}"#).expect_err("a number");
    let text =
        "json: cannot unmarshal number into Go struct field RegisterRequest.Node of type string";
    assert_eq!(wrong.0, text);
    let write = registration(
        br#"{"Node":"ext","Address":"1.2.3.4","Service":{"Service":"db"},"Check":{"Name":"c1","Status":"odd",
        "Definition":{"HTTP":"http://x","Interval":"10s","DeregisterCriticalServiceAfter":"1m"}}}"#,
    )
    .expect("valid");
    let check = &write.checks[0].check;
    assert_eq!(&*check.kind, "http");
    let echo = serde_json::json!(
        {"Interval": "10s", "DeregisterCriticalServiceAfter": "1m0s", "HTTP": "http://x"});
    assert_eq!(check.definition.as_deref(), Some(&echo));
    assert!(removal(br#"{"Node":"x","ServiceID":"y"}"#).is_ok());
}
