//! What is said of what is wrong, by tables: file, line, column, key, and what was expected.

use super::{hcl, json};

/// A mistake in the service `web`, and what is said of it after the file's name.
#[test]
fn mistakes_of_services() {
    for (inside, want) in [
        (
            "prot = 80",
            "1:26: service.prot: unknown key; expected one of id, name, tags, address",
        ),
        (
            "EnableTagOverride = true",
            "1:26: service.EnableTagOverride: unknown key",
        ),
        (
            "port = \"80\"",
            "1:33: service.port: expected a whole number, found a text",
        ),
        (
            "port = 70000",
            "1:33: service.port: expected a number from 0 to 65535, found 70000",
        ),
        (
            "port = 80.5",
            "1:33: service.port: expected a whole number, found a number",
        ),
        (
            "tags = \"a\"",
            "1:33: service.tags: expected a list of texts, found a text",
        ),
        (
            "tags = [\"a\", 2]",
            "1:39: service.tags[1]: expected a text, found a number",
        ),
        (
            "name = \"b\"",
            "1:33: service.name: given twice, first at 1:18",
        ),
        (
            "address = \"0.0.0.0\"",
            "1:36: service.address: an address that others can connect to",
        ),
        (
            "meta { \"a b\" = \"c\" }",
            "1:33: service.meta.a b: a key consists of letters",
        ),
        (
            "meta { consul-x = \"c\" }",
            "1:33: service.meta.consul-x: keys that begin with consul-",
        ),
        (
            "meta { turno-x = \"c\" }",
            "1:33: service.meta.turno-x: keys that begin with turno-",
        ),
        (
            "meta { a = 1 }",
            "1:37: service.meta.a: expected a text, found a number",
        ),
        (
            "meta = [1]",
            "1:34: service.meta: expected an object, found a number",
        ),
        (
            "weights { passing = 0 }",
            "1:46: service.weights.passing: expected a number from 1 to 65535, found 0",
        ),
        (
            "weights { warning = 65536 }",
            "1:46: service.weights.warning: expected a number from 0 to 65535",
        ),
        (
            "weights { warn = 1 }",
            "1:36: service.weights.warn: unknown key; expected one of passing, warning",
        ),
        (
            "tagged_addresses { lan { addr = \"x\" } }",
            "1:51: service.tagged_addresses.lan.addr: unknown key",
        ),
        (
            "connect { }",
            "1:34: service.connect: the service mesh is not supported",
        ),
        (
            "check = \"x\"",
            "1:34: service.check: expected an object or a list of objects, found a text",
        ),
        (
            "enable_tag_override = 1",
            "1:48: service.enable_tag_override: expected true or false, found a number",
        ),
        (
            "check { ttl=\"1s\" id=\"x\" } check { ttl=\"1s\" id=\"x\" }",
            "1:9: service: two checks have the id \"x\"",
        ),
    ] {
        let text = format!("service {{ name = \"web\"   {inside} }}");
        let problems = hcl(&text).expect_err(inside);
        let said = problems[0].to_string();
        assert!(
            said.starts_with(&format!("web.hcl:{want}")),
            "{inside}\n{said}"
        );
        assert_eq!(problems.len(), 1, "{inside}: {problems:?}");
    }
    assert_eq!(
        hcl("service { port = 1 }").expect_err("no name")[0].to_string(),
        "web.hcl:1:9: service.name: missing: a service needs a name"
    );
    let long = format!(
        "service {{ name = \"a\" meta {{ k = \"{}\" }} }}",
        "x".repeat(513)
    );
    assert!(
        hcl(&long).expect_err("too long")[0]
            .text
            .contains("at most 512 bytes")
    );
    let pairs: String = (0..63).map(|n| format!("k{n} = \"x\"\n")).collect();
    let many = format!("service {{ name = \"a\" meta {{ {pairs} }} }}");
    assert!(
        hcl(&many).expect_err("too many")[0]
            .text
            .contains("at most 62 pairs")
    );
}

#[test]
fn mistakes_of_checks() {
    for (inside, want) in [
        (
            "",
            "check: a check of no kind; expected one of http, tcp, udp, grpc",
        ),
        (
            "tcp = \"h:1\"",
            "check.interval: missing: how often the check runs",
        ),
        (
            "tcp = \"h:1\" ttl = \"1s\" interval = \"1s\"",
            "check: a check is of one kind, this one has tcp and ttl",
        ),
        (
            "ttl = \"1s\" interval = \"1s\"",
            "check.interval: a ttl check has no interval",
        ),
        (
            "alias_service = \"a\" interval = \"1s\"",
            "check.interval: an alias check has no interval",
        ),
        ("ttl = \"0s\"", "check.ttl: expected more than 0s"),
        ("ttl = \"5\"", "check.ttl: missing unit in duration \"5\""),
        (
            "ttl = 5000",
            "check.ttl: expected a duration as text, like \"10s\", found a number",
        ),
        ("ttl = \"-5s\"", "check.ttl: negative duration"),
        (
            "tcp = \"h:1\" interval = \"0s\"",
            "check.interval: expected more than 0s",
        ),
        (
            "ttl = \"1s\" status = \"good\"",
            "check.status: expected passing, warning or critical",
        ),
        (
            "ttl = \"1s\" status = \"maintenance\"",
            "check.status: expected passing, warning or critical",
        ),
        (
            "http = \"h:1\" interval = \"1s\"",
            "check.http: expected a URL that begins with http://",
        ),
        (
            "ttl = \"1s\" output_max_size = 0",
            "check.output_max_size: expected a number from 1",
        ),
        (
            "ttl = \"1s\" success_before_passing = -1",
            "check.success_before_passing: expected a number from 0",
        ),
        (
            "ttl = \"1s\" header { a = \"b\" }",
            "check.header.a: expected a list of texts, found a text",
        ),
        (
            "ttl = \"1s\" args = \"x\"",
            "check.args: expected a list of texts, found a text",
        ),
        (
            "ttl = \"1s\" service = \"x\"",
            "check.service: unknown key; expected one of id, check_id",
        ),
    ] {
        let text = format!("check {{ name = \"a\"     {inside} }}");
        let problems = hcl(&text).expect_err(inside);
        let said = problems[0].to_string();
        assert!(
            said.starts_with("web.hcl:1:") && said.contains(&format!(": {want}")),
            "{inside}\n{said}"
        );
        assert_eq!(problems.len(), 1, "{inside}: {problems:?}");
    }
    let alone = hcl("check { ttl = \"1s\" }").expect_err("no name");
    assert_eq!(
        alone[0].to_string(),
        "web.hcl:1:7: check.name: missing: a check that stands alone needs a name"
    );
    let within = "service { name = \"a\" check { ttl = \"1s\" service_id = \"b\" } }";
    assert!(
        hcl(within).expect_err("it belongs")[0]
            .text
            .contains("leave service_id out")
    );
}

#[test]
fn all_mistakes_are_named_and_in_order() {
    let text = "{\n \"service\": {\n  \"prot\": 80\n },\n \"check\": {\"name\": \"x\", \"ttl\": \"soon\"},\n \"datacenter\": \"dc1\"\n}";
    let said: Vec<_> = json(text)
        .expect_err("three mistakes")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(said.len(), 4, "{said:#?}");
    for (said, want) in said.iter().zip([
        "web.json:2:13: service.name: missing",
        "web.json:3:3: service.prot: unknown key",
        "web.json:5:32: check.ttl: invalid duration \"soon\"",
        "web.json:6:2: datacenter: unknown key; expected one of service, services, check, checks",
    ]) {
        assert!(said.starts_with(want), "{said}\n{want}");
    }
    let syntax = hcl("service {\n  name = web\n}").expect_err("no quotes");
    assert!(
        syntax[0]
            .to_string()
            .starts_with("web.hcl:2:10: web is no value"),
        "{}",
        syntax[0]
    );
}
