//! Random bytes, valid inputs with changes, and nesting: a moment of each, every time the tests run.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::catalog::{Command, HowToSet};
use crate::durable::Journal;

/// As deep as anybody would try.
const DEEP: usize = 100_000;

/// A change of an input.
#[derive(Debug, Clone)]
enum Change {
    Byte(Index, u8),
    Remove(Index, u8),
    Repeat(Index, u8),
    Insert(Index, &'static str),
}

fn change(pieces: &'static [&'static str]) -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (any::<Index>(), 1..40_u8).prop_map(|(at, count)| Change::Remove(at, count)),
        (any::<Index>(), 1..40_u8).prop_map(|(at, count)| Change::Repeat(at, count)),
        (any::<Index>(), select(pieces)).prop_map(|(at, piece)| Change::Insert(at, piece)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let span = |at: &Index, count: u8| {
            let at = at.index(bytes.len() + 1);
            at..bytes.len().min(at + usize::from(count))
        };
        match change {
            Change::Byte(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Change::Byte(..) => {}
            Change::Remove(at, count) => drop(bytes.drain(span(at, *count))),
            Change::Repeat(at, count) => {
                let span = span(at, *count);
                let again = bytes[span.clone()].to_vec();
                bytes.splice(span.end..span.end, again);
            }
            Change::Insert(at, piece) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
    bytes
}

/// Anything at all, or one of these with some changes.
fn input(
    seeds: &[&[u8]],
    pieces: &'static [&'static str],
) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => prop::collection::vec(select(pieces), 0..60).prop_map(|pieces| pieces.concat().into_bytes()),
        4 => (select(seeds), prop::collection::vec(change(pieces), 0..8))
            .prop_map(|(seed, changes)| changed(seed, &changes)),
    ]
}

const BODIES: &[&[u8]] = &[
    br#"{"ID":"a","Name":"web","Tags":["t"],"Port":80,"Meta":{"k":"v"},"TaggedAddresses":{"lan":{"Address":"a","Port":1}},
       "Check":{"HTTP":"http://a/","Interval":"10s","Timeout":1000000000},"Checks":[{"TTL":"5s"},{"AliasService":"b"}],
       "Weights":{"Passing":1,"Warning":1},"Proxy":{"a":[1,{}]},"Connect":{"Native":true},"EnableTagOverride":false}"#,
    br#"{"Name":"c","ID":"c","ServiceID":"web-1","TCP":"a:1","Interval":"1s","DeregisterCriticalServiceAfter":"1m",
       "Header":{"x":["y"]},"SuccessBeforePassing":2,"OutputMaxSize":10}"#,
    br#"{"Node":"n","Address":"a","ID":"00000000-0000-0000-0000-000000000009","NodeMeta":{"a":"b"},"SkipNodeUpdate":false,
       "Service":{"ID":"s","Service":"web","Port":1},"Check":{"CheckID":"c","Name":"c","ServiceID":"s","Status":"passing"},
       "Checks":[{"Name":"d","Status":"critical","Definition":{"HTTP":"x","Interval":"1s"}}]}"#,
    br#"{"Node":"far","ServiceID":"web","CheckID":"","Datacenter":"dc1"}"#,
    br#"[{"KV":{"Verb":"set","Key":"a","Value":"YQ==","Flags":1}},{"Node":{"Verb":"set","Node":{"Node":"x","Address":"y"}}},
        {"Service":{"Verb":"delete","Node":"far","Service":{"ID":"web"}}},
        {"Check":{"Verb":"cas","Check":{"Node":"far","CheckID":"c","Status":"critical","ModifyIndex":2}}}]"#,
    br#"{"Name":"q","Service":{"Service":"web","Failover":{"NearestN":1},"OnlyPassing":true,"Near":"_agent","Tags":["!a"],
       "NodeMeta":{"a":"b"}},"DNS":{"TTL":"10s"},"Template":{"Type":"name_prefix_match","Regexp":"^a(.*)$"}}"#,
    br#"{"Name":"s","TTL":"10s","LockDelay":"15s","Behavior":"delete","NodeChecks":["serfHealth"],
       "ServiceChecks":[{"ID":"c","Namespace":""}]}"#,
    br#"{"Status":"warning","Output":"words"}"#,
];
const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e999",
    "99999999999999999999",
    "\"Name\":",
    "\"ID\":",
    "\"Check\":{",
    "\"TTL\":\"1s\"",
    "\"Interval\":\"-1s\"",
    "é",
    " ",
];
const FILTERS: &[&[u8]] = &[
    br#"Service.Meta.k == "v" and "a" in Service.Tags"#,
    br#"not (Node.Node matches "^h.*" or Checks is not empty)"#,
    br#"ServiceTags contains a and ServicePort != 80"#,
    br#"Status == passing or Meta["a b"] is empty"#,
    br#"Node.Meta contains `x` and Service.Port not in 3"#,
];
const WORDS: &[&str] = &[
    "(",
    ")",
    "not ",
    " and ",
    " or ",
    " is empty",
    " == ",
    " != ",
    " matches ",
    " contains ",
    " in ",
    "\"",
    "`",
    "[",
    "]",
    ".",
    "-1",
    "Service",
    "Node",
    "Checks",
    "Meta",
    "(\\w{90}){90}",
    "(((",
    "é",
    " ",
];
const QUERIES: &[&[u8]] = &[
    b"/v1/health/service/web?passing&index=7&wait=10s&tag=a&tag=b&near=_agent&node-meta=a:b&dc=dc1&stale",
    b"/v1/kv/a/b%20c?recurse&separator=/&keys&cas=0&flags=18446744073709551615&raw",
    b"/v1/agent/check/pass/service:web?note=a+b%2Bc",
    b"/v1/catalog/services?filter=%22a%22+in+ServiceTags&pretty&cached",
    b"1h2m3.5s",
];
const MARKS: &[&str] = &[
    "%",
    "%zz",
    "%00",
    "%ff",
    "&",
    "=",
    "?",
    "/",
    "//",
    "..",
    "+",
    "index=",
    "wait=",
    "-",
    "9223372036854775808",
    "ns",
    "99999999999999999999h",
    "0.0000000001ns",
    ".",
    "ns=a",
];
const DEFINITIONS: &[&[u8]] = &[
    br#"{"services":[{"name":"web","port":80,"tags":["a"],"check":{"http":"http://a/","interval":"10s"}}],
        "check":{"id":"m","name":"m","args":["true"],"interval":"1m"}}"#,
    b"service {\n  name = \"web\"\n  port = 0x50\n  meta { a = \"b\" }\n  check { tcp = \"a:1\" interval = \"1s\" }\n}\n",
    b"services = [{ name = \"a\" weights = { passing = 3 warning = 1 } }]\ncheck \"x\" { ttl = \"1s\" }\n",
    b"service { name = <<-EOF\n  a\n  EOF\n token = \"${x}\" }",
];
const HCL: &[&str] = &[
    "{", "}", "[", "]", "=", ",", ":", "\"", "\\", "${", "}", "<<E\n", "\nE\n", "#", "/*", "*/",
    "//", "service", "check", "name", "0x", "1e9", "-", "\u{feff}", "\n", " ",
];
const PACKETS: &[&[u8]] = &[
    b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x07service\x06consul\x00\x00\x21\x00\x01",
    b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x04here\x04node\x03dc1\x06consul\x00\x00\x01\x00\x01\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00",
    b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x011\x010\x010\x0210\x07in-addr\x04arpa\x00\x00\x0c\x00\x01",
];
const LABELS: &[&str] = &[
    "\0",
    "\u{1}",
    "\u{3}web",
    "\u{4}node",
    "\u{7}service",
    "\u{6}consul",
    "\u{5}query",
    "\u{4}addr",
    "\u{4}_web",
    "\u{4}_tcp",
    "\u{3f}",
    "\u{40}",
    "é",
    "\u{7f}",
];
const ANSWERS: &[&[u8]] = &[
    br#"[{"Node":{"ID":"a","Node":"n","Address":"a","Meta":null},"Service":{"ID":"s","Service":"web","Tags":null,"Port":80,
        "Weights":{"Passing":1,"Warning":1}},"Checks":[{"CheckID":"c","Status":"passing","ServiceTags":[]}]}]"#,
    br#"{"a":{"ID":"a","Service":"web","Port":1,"Meta":{},"TaggedAddresses":{"lan":{"Address":"a","Port":1}}}}"#,
    br#"[{"Key":"a","Value":"YQ==","Flags":0,"LockIndex":1,"Session":"s","CreateIndex":1,"ModifyIndex":2}]"#,
    br#"{"Config":{"Datacenter":"dc1","NodeName":"n"},"Member":{"Name":"n","Addr":"a"}}"#,
    b"1h2m3.5s",
];

fn records() -> Vec<Vec<u8>> {
    let commands = [
        Command::Tick,
        Command::KvSet {
            key: "a".into(),
            value: "b".into(),
            flags: 1,
            how: HowToSet::If(3),
        },
        Command::DeregisterService("web-1".into()),
    ];
    let encoded = commands.iter().map(|command| {
        let mut record = vec![0; 20];
        record.extend(Journal::encode(command).expect("commands can be written"));
        record
    });
    encoded.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn bodies(bytes in input(BODIES, JSON)) {
        body(&bytes);
    }

    #[test]
    fn filters(bytes in input(FILTERS, WORDS)) {
        filter(&bytes);
    }

    #[test]
    fn queries(bytes in input(QUERIES, MARKS)) {
        query(&bytes);
    }

    #[test]
    fn definitions(bytes in input(DEFINITIONS, HCL)) {
        definition(&bytes);
    }

    #[test]
    fn packets(bytes in input(PACKETS, LABELS)) {
        packet(&bytes);
    }

    #[test]
    fn answers(bytes in input(ANSWERS, JSON)) {
        answer(&bytes);
    }

    #[test]
    fn logs(bytes in input(&records().iter().map(Vec::as_slice).collect::<Vec<_>>(), JSON)) {
        log(&bytes);
    }
}

#[test]
fn seeds_are_what_they_are_taken_for() {
    use crate::registry::fuzzing::is_body;
    for seed in BODIES {
        assert!(is_body(seed), "{}", String::from_utf8_lossy(seed));
    }
    for record in records() {
        log(&record);
    }
}

#[test]
fn no_depth_overflows_the_stack() {
    let nested = |open: &str, middle: &str, close: &str| {
        format!("{}{middle}{}", open.repeat(DEEP), close.repeat(DEEP)).into_bytes()
    };
    for (open, middle, close) in [
        ("[", "", "]"),
        ("{\"a\":", "1", "}"),
        ("[", "", ""),
        ("{\"Check\":", "", ""),
    ] {
        body(&nested(open, middle, close));
        answer(&nested(open, middle, close));
        definition(&nested(open, middle, close));
    }
    let inside = nested("[", "", "]");
    body(&[br#"{"Name":"web","Proxy":"#, &inside[..], b"}"].concat());
    for (open, middle, close) in [
        ("(", "Node.Node == a", ")"),
        ("not ", "Node.Node == a", ""),
        ("(not ", "", ""),
    ] {
        filter(&nested(open, middle, close));
    }
    filter(&nested("Node.", "Node == a", ""));
    filter(format!("Node.Node matches `{}`", "(".repeat(DEEP)).as_bytes());
    for (open, middle, close) in [
        ("a {", "", "}"),
        ("a = [", "", "]"),
        ("a ", "", ""),
        ("\"${", "", ""),
    ] {
        definition(&nested(open, middle, close));
    }
    for marker in [0x91_u8, 0x81, 0xdd, 0xdf, 0xc7] {
        log(&[&[0; 20][..], &vec![marker; DEEP]].concat());
        log(&vec![marker; DEEP]);
    }
}
