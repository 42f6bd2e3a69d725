//! Definition files by tables: what they come to, and what is said of what is wrong.

mod mistakes;

use std::path::PathBuf;

use consul::types::{ServiceRegistration, Status, Weights};
use proptest::prelude::*;

use super::*;

fn hcl(text: &str) -> Result<Definitions, Vec<Problem>> {
    parse("web.hcl", text, Format::Hcl)
}

fn json(text: &str) -> Result<Definitions, Vec<Problem>> {
    parse("web.json", text, Format::Json)
}

fn services(found: Definitions) -> Vec<ServiceRegistration> {
    found
        .services
        .into_iter()
        .map(|service| service.what)
        .collect()
}

const FULL_HCL: &str = r#"
# What the web servers are.
service {
  id   = "web-1"
  name = "web"
  tags = ["v2", "edge"]
  address = "10.0.0.7"
  port = 8080
  meta { version = "2.1", "owner-team" = "shop" }
  tagged_addresses { lan { address = "10.0.0.7" port = 8080 } }
  weights { passing = 3 }
  enable_tag_override = true
  token = "s3cret"
  check {
    id = "web-alive"
    http = "http://10.0.0.7:8080/health"
    method = "POST"
    header { Authorization = ["Basic x"] }
    interval = "1m30s"
    timeout = "500ms"
    status = "passing"
    success_before_passing = 2
    deregister_critical_service_after = "5m"
  }
  checks = [{ tcp = "10.0.0.7:8080" interval = "5s" }]
}
"#;

const FULL_JSON: &str = r#"{ "service": {
  "id": "web-1", "name": "web", "tags": ["v2", "edge"], "address": "10.0.0.7", "port": 8080,
  "meta": { "version": "2.1", "owner-team": "shop" },
  "tagged_addresses": { "lan": { "address": "10.0.0.7", "port": 8080.0 } },
  "weights": { "passing": 3 }, "enable_tag_override": true, "token": "s3cret",
  "check": { "id": "web-alive", "http": "http://10.0.0.7:8080/health", "method": "POST",
    "header": { "Authorization": ["Basic x"] }, "interval": "90s", "timeout": "0.5s", "status": "passing",
    "success_before_passing": 2, "deregister_critical_service_after": "300s" },
  "checks": [{ "tcp": "10.0.0.7:8080", "interval": "5s", "notes": null }]
} }"#;

#[test]
fn both_languages_say_the_same() {
    let found = services(hcl(FULL_HCL).expect("it is good"));
    assert_eq!(found, services(json(FULL_JSON).expect("it is good")));
    let web = &found[0];
    assert_eq!(
        (web.effective_id(), web.name.as_str(), web.port),
        ("web-1", "web", 8080)
    );
    assert_eq!(web.tags, ["v2", "edge"]);
    assert_eq!(web.meta["owner-team"], "shop");
    assert_eq!(
        web.weights,
        Some(Weights {
            passing: 3,
            warning: 1
        })
    );
    assert_eq!(web.tagged_addresses["lan"].port, 8080);
    assert_eq!(web.check_ids(), ["web-alive", "service:web-1:2"]);
    let check = &web.checks[0];
    assert_eq!(check.interval.as_deref(), Some("90s"));
    assert_eq!(check.timeout.as_deref(), Some("500ms"));
    assert_eq!(
        check.deregister_critical_service_after.as_deref(),
        Some("300s")
    );
    assert_eq!(check.status, Some(Status::Passing));
    assert_eq!(check.header["Authorization"], ["Basic x"]);
    assert!(web.token.is_some() && !format!("{web:?}").contains("s3cret"));
}

#[test]
fn one_or_many_services_and_checks() {
    for (text, names, checks) in [
        ("", 0, 0),
        ("service { name = \"a\" } service { name = \"b\" }", 2, 0),
        ("services = [{ name = \"a\" }, { name = \"b\" }]", 2, 0),
        (
            "services { name = \"a\" } services { name = \"b\" } check { name = \"c\" ttl = \"9s\" }",
            2,
            1,
        ),
        ("SERVICE { Name = \"a\" }", 1, 0),
        (
            "{\"services\": [{\"name\":\"a\"}], \"checks\": [{\"name\":\"c\",\"ttl\":\"9s\"}], \"check\": null}",
            1,
            1,
        ),
    ] {
        let found = hcl(text).expect(text);
        assert_eq!(
            (found.services.len(), found.checks.len()),
            (names, checks),
            "{text}"
        );
    }
    let kinds = r#"
        check { name = "1" args = ["/bin/true", "-x"] interval = "9s" }
        check { name = "2" script_args = ["/bin/true"] interval = "9s" }
        check { name = "3" grpc = "h:1/s" grpc_use_tls = true interval = "9s" }
        check { name = "4" udp = "h:1" interval = "9s" }
        check { name = "5" alias_service = "web" }
        check { name = "6" docker_container_id = "f" shell = "/bin/sh" args = ["x"] interval = "9s" token = "t" }
        check { name = "7" check_id = "seven" h2ping = "h:1" interval = "9s" service_id = "web" }
    "#;
    let found = hcl(kinds).expect("all kinds");
    assert_eq!(found.checks.len(), 7);
    assert_eq!(found.checks[1].what.args, ["/bin/true"]);
    assert_eq!(found.checks[6].what.check_id.as_deref(), Some("seven"));
    assert_eq!(found.checks[6].what.service_id.as_deref(), Some("web"));
}

#[test]
fn files_are_joined_by_ids() {
    let one = hcl("service { name = \"web\" check { ttl = \"9s\" } }").expect("good");
    let two = hcl(
        "check { name = \"disk\" service_id = \"web\" args = [\"df\"] interval = \"9s\" token = \"t\" }
         check { name = \"load\" args = [\"uptime\"] interval = \"9s\" }
         check { name = \"far\" service_id = \"db\" ttl = \"9s\" }",
    )
    .expect("good");
    let (joined, problems) = join([("1.hcl", &one), ("2.hcl", &two)]);
    assert_eq!(problems, []);
    let web = &joined.services["web"];
    assert_eq!(
        web.check_ids(),
        ["service:web", "disk"],
        "its own check keeps its id"
    );
    assert_eq!(
        (web.checks[1].service_id.as_deref(), &web.checks[1].token),
        (None, &None)
    );
    assert_eq!(joined.checks.keys().collect::<Vec<_>>(), ["far", "load"]);

    let again =
        hcl("service { id = \"web\" name = \"other\" } check { name = \"load\" ttl = \"1s\" }")
            .expect("good");
    let thief =
        hcl("service { name = \"x\" check { id = \"service:web\" ttl = \"1s\" } }").expect("good");
    let (joined, problems) = join([
        ("1.hcl", &one),
        ("2.hcl", &two),
        ("3.hcl", &again),
        ("4.hcl", &thief),
    ]);
    let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].starts_with("3.hcl:1:9: service.id: \"web\" is taken already by 1.hcl:1:9"),
        "{}",
        said[0]
    );
    assert!(
        said[1].starts_with("4.hcl:1:9: service.check.id: \"service:web\" is taken"),
        "{}",
        said[1]
    );
    assert!(
        said[2].starts_with("3.hcl:1:45: check.id: \"load\" is taken already by 2.hcl:2:16"),
        "{}",
        said[2]
    );
    assert_eq!(joined.services["web"].name, "web");
}

#[test]
fn a_folder_is_read_in_order_and_not_below() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["b.json", "a.hcl", "c.txt", "d.HCL", ".hidden.json"] {
        std::fs::write(at(name), name).expect("written");
    }
    std::fs::create_dir(at("sub.json")).expect("made");
    std::fs::write(at("sub.json").join("x.json"), "").expect("written");
    std::fs::write(at("e.json"), [0xff, 0xfe]).expect("written");
    let found = files::read(&[at("b.json")], &[folder.path().to_owned(), at("nowhere")]);
    let names = |paths: Vec<PathBuf>| -> Vec<String> {
        let name = |path: PathBuf| {
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        };
        paths.into_iter().map(name).collect()
    };
    assert_eq!(names(found.skipped), ["c.txt", "d.HCL"]);
    assert_eq!(found.unreadable.len(), 1);
    let texts: Vec<_> = found.files.iter().map(|file| file.text.is_ok()).collect();
    assert_eq!(texts, [true, true, true, false], "e.json is no text");
    assert_eq!(
        names(found.files.into_iter().map(|file| file.path).collect()),
        ["b.json", ".hidden.json", "a.hcl", "e.json"]
    );
}

/// Texts made of what definitions are made of.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "service",
        "services",
        "check",
        "checks",
        "name",
        "id",
        "meta",
        "weights",
        "ttl",
        "interval",
        "port",
        "header",
        " = ",
        " { ",
        " } ",
        "[",
        "]",
        ",",
        "\"web\"",
        "\"9s\"",
        "\"\"",
        "80",
        "-1",
        "1.5",
        "true",
        "null",
        "\n",
        "tags",
        "tagged_addresses",
        "passing",
        "args",
        "http",
    ]);
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn no_text_makes_it_panic_and_no_mistake_goes_unnamed(text in prop_oneof![any::<String>(), pieces()]) {
        for format in [Format::Hcl, Format::Json] {
            match parse("x", &text, format) {
                Ok(found) => {
                    let (joined, _) = join([("x", &found)]);
                    prop_assert!(joined.services.values().all(|service| !service.name.is_empty()));
                }
                Err(problems) => prop_assert!(!problems.is_empty()),
            }
        }
    }
}
