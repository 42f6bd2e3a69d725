//! Both grammars by tables, and that no text at all makes the reader panic.

use proptest::prelude::*;

use super::*;

fn hcl(text: &str) -> Result<String, String> {
    read(text, Format::Hcl)
        .map(shown_all)
        .map_err(|e| format!("{} {}", e.at, e.text))
}

fn json(text: &str) -> Result<String, String> {
    read(text, Format::Json)
        .map(shown_all)
        .map_err(|e| format!("{} {}", e.at, e.text))
}

fn shown_all(entries: Vec<Entry>) -> String {
    let one = |entry: &Entry| format!("{}={}", entry.key, shown(&entry.node));
    entries.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn shown(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::List(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::Object(entries) => format!("{{{}}}", shown_all(entries.clone())),
    }
}

#[test]
fn hcl_as_consuls_files_are_written() {
    for (text, want) in [
        ("", ""),
        ("# a\n// b\n/* c\n */ a = 1", "a=1"),
        ("a = 1 b = 2, c = true", "a=1 b=2 c=true"),
        (
            "service { name = \"web\" port = 80 check { tcp = \"h:1\" } }",
            "service={name=\"web\" port=80 check={tcp=\"h:1\"}}",
        ),
        (
            "service = {\n \"name\" = \"a\", \"meta\" { \"a-b\" = \"c\" } }",
            "service={name=\"a\" meta={a-b=\"c\"}}",
        ),
        ("a { x = 1 }\na { x = 2 }", "a={x=1} a={x=2}"),
        ("service \"web\" { port = 1 }", "service={web={port=1}}"),
        ("a = [\"x\", \"y\",]\nb = []", "a=[\"x\",\"y\"] b=[]"),
        ("a = [{ x = 1 }, { x = 2 }]", "a=[{x=1},{x=2}]"),
        (
            "a = 0x50 b = 010 c = -3 d = 1.5 e = 1e3 f = 0",
            "a=80 b=8 c=-3 d=1.5 e=1000.0 f=0",
        ),
        (
            r#"a = "q\"\\\n\t\u00e9\x41""#,
            r#"a="q\"\\\n\té\u{41}""#.replace(r"\u{41}", "A").as_str(),
        ),
        (r#"a = "${b["x"]}-${{}}""#, r#"a="${b[\"x\"]}-${{}}""#),
        ("a = <<EOF\nx\n  y\nEOF\nb = 1", "a=\"x\\n  y\\n\" b=1"),
        ("a = <<-E\n    x\n      y\n    E\n", "a=\"x\\n  y\\n\""),
        ("{\"a\": {\"b\": [1, null]}}", "a={b=[1,null]}"),
        ("\u{feff}a-b.c = 1", "a-b.c=1"),
    ] {
        assert_eq!(hcl(text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn json_is_strict() {
    assert_eq!(
        json(r#"{"a":"\ud83d\ude00\/","b":[1,-2.5,true,null],"a":{}}"#).as_deref(),
        Ok("a=\"😀/\" b=[1,-2.5,true,null] a={}")
    );
    for (text, want) in [
        ("", "1:1 not JSON: EOF while parsing a value"),
        ("{\n \"a\": [1,]\n}", "2:10 not JSON: expected value"),
        ("{\"a\":1} x", "1:9 not JSON: trailing characters"),
        (
            "[]",
            "1:1 expected an object with service, services, check or checks, found a list",
        ),
        ("{\"a\" = 1}", "1:6 not JSON: expected `:`"),
    ] {
        assert_eq!(json(text).expect_err(text), want);
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, want) in [
        ("a", "1:2 expected = or { after \"a\", found the end"),
        (
            "a = web",
            "1:5 web is no value; a text stands in quotes: \"web\"",
        ),
        (
            "service {\n  name = \"a\"\n",
            "3:1 the text ends within the block opened at 1:9",
        ),
        ("a = [1 2]", "1:8 expected , or ] in a list, found '2'"),
        ("a = [1,", "1:8 the text ends within the list opened at 1:5"),
        ("a = \"x\n\"", "1:5 this text does not end on its line"),
        (
            "a = \"\\q\"",
            "1:7 no such escape in a text: use \\n \\t \\r \\\" \\\\ \\xNN \\uNNNN or \\UNNNNNNNN",
        ),
        ("a = 1z", "1:5 \"1z\" is no number"),
        (
            "a = <<\nx",
            "1:5 a heredoc begins with << or <<- and a mark, which ends the line",
        ),
        (
            "a = <<X\nx",
            "1:5 this heredoc does not end: its mark must stand alone on a line",
        ),
        ("/* a", "1:1 this comment does not end"),
        ("}", "1:1 expected a key, found '}'"),
        (
            "a = 9223372036854775808000000000000x",
            "1:5 \"9223372036854775808000000000000x\" is no number",
        ),
    ] {
        assert_eq!(hcl(text).expect_err(text), want, "{text}");
    }
}

#[test]
fn depth_and_size_are_limited() {
    for open in ["[", "{ a = "] {
        let text = format!("a = {}", open.repeat(100_000));
        assert!(
            hcl(&text)
                .expect_err("too deep")
                .contains("more than 32 levels")
        );
    }
    assert!(
        hcl(&"a ".repeat(50_000))
            .expect_err("too deep")
            .contains("more than 32 levels")
    );
    assert!(
        hcl(&" ".repeat(FILE_LIMIT + 1))
            .expect_err("too large")
            .contains("at most")
    );
    let nested = format!(
        "{}{}",
        "{\"a\":".repeat(100),
        "1".to_owned() + &"}".repeat(100)
    );
    assert!(
        json(&nested)
            .expect_err("too deep")
            .contains("more than 32 levels")
    );
}

/// Texts made of what the grammar is made of, which get further than chance would.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "service", "check", " = ", "{", "}", "[", "]", ",", "\"", "\\", "${", "<<EOF\n", "EOF\n",
        "\n", "/*", "*/", "#", "0x", "-", "1", ".5", "true", "null", ":", "\\u12", "é", "\u{feff}",
        " ",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), pieces()]) {
        let _ = hcl(&text);
        let _ = json(&text);
    }

    #[test]
    fn every_json_object_is_read_as_serde_json_reads_it(
        keys in prop::collection::vec((any::<String>(), any::<i64>(), any::<String>()), 0..8)
    ) {
        let object: serde_json::Map<_, _> =
            keys.into_iter().map(|(key, n, text)| (key, serde_json::json!([n, text]))).collect();
        let text = serde_json::to_string_pretty(&object).expect("JSON");
        let entries = read(&text, Format::Json).expect("it is JSON");
        prop_assert_eq!(entries.len(), object.len());
        for entry in entries {
            let Value::List(list) = &entry.node.value else { panic!("a list") };
            let want = &object[&entry.key];
            prop_assert_eq!(&list[0].value, &Value::Integer(want[0].as_i64().expect("a number")));
            prop_assert_eq!(&list[1].value, &Value::Text(want[1].as_str().expect("a text").to_owned()));
        }
    }
}
