//! Renderings by tables: what is asked, what comes out, what is wrong and where.

use std::time::Duration;

use consul::types::{KvEntry, ServiceEntry};
use serde_json::Value;

use super::*;
use crate::template::dependency::{Dependency, Health, News, Reply, View};

fn service(name: &str) -> Question {
    Question::Service {
        name: name.into(),
        tag: None,
        datacenter: None,
        near: None,
        filter: None,
    }
}

fn passing(name: &str) -> Dependency {
    Dependency {
        question: service(name),
        view: View::Healthy(Health::default()),
    }
}

fn entry(id: &str, port: u16, status: &str) -> ServiceEntry {
    let text = format!(
        r#"{{"Node":{{"Node":"n1","Address":"10.0.0.1"}},
            "Service":{{"ID":"{id}","Service":"web","Port":{port},"Tags":["v2","v1"],
                "Meta":{{"zone":"a/b","shard":"7"}},"Weights":{{"Passing":300,"Warning":1}}}},
            "Checks":[{{"CheckID":"c","Status":"{status}","Output":"x"}}]}}"#
    );
    serde_json::from_str(&text).expect("an entry as Consul writes it")
}

fn learn(known: &mut Knowledge, question: Question, reply: Reply) -> bool {
    known.learn(News { question, reply })
}

/// What the registry of these tests says.
fn registry(question: &Question) -> Reply {
    let key = |key: &str, value: &str| KvEntry {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
        ..KvEntry::default()
    };
    match question {
        Question::Service { name, .. } if name == "web" => Reply::Instances(vec![
            entry("<w1>", 80, "passing"),
            entry("w2", 81, "warning"),
        ]),
        Question::Service { .. } => Reply::Instances(Vec::new()),
        Question::Services { .. } => Reply::Services(
            ["web", "api"]
                .map(|name| (name.to_owned(), vec!["b".to_owned(), "a".to_owned()]))
                .into(),
        ),
        Question::Nodes { .. } => Reply::Nodes(Vec::new()),
        Question::Node { .. } => Reply::Node(None),
        Question::Datacenters => Reply::Datacenters(vec!["dc2".into(), "dc1".into()]),
        Question::Key { path, .. } if path == "a/b" => {
            Reply::Keys([("a/b".to_owned(), key("a/b", "hi"))].into())
        }
        Question::Key { .. } => Reply::Keys(Default::default()),
        Question::Keys { prefix, .. } if prefix == "a/" => {
            let keys = [key("a/b", "hi"), key("a/c/d", "deep")];
            Reply::Keys(keys.into_iter().map(|e| (e.key.clone(), e)).collect())
        }
        Question::Keys { .. } => Reply::Keys(Default::default()),
        Question::File { .. } => Reply::File(Some("text".into())),
    }
}

/// Renders until everything asked for is known.
fn rendered(template: &str) -> Result<Rendering, TemplateError> {
    let engine = Engine::new(Path::new("t.hbs"), template)?;
    let mut known = Knowledge::default();
    loop {
        let rendering = engine.render(&known, SystemTime::UNIX_EPOCH)?;
        known.show(&rendering.asked);
        if rendering.missing.is_empty() {
            return Ok(rendering);
        }
        for question in &rendering.missing {
            learn(&mut known, question.clone(), registry(question));
        }
    }
}

pub(in crate::template) fn text(template: &str) -> String {
    match rendered(template) {
        Ok(Rendering {
            text: Some(text), ..
        }) => text,
        Ok(rendering) => format!("absent: {:?}", rendering.absent),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn nothing_is_rendered_before_everything_is_known() {
    let template = r#"{{#each (service "web") as |s|}}{{s.ID}} {{/each}}{{#each (service "api") as |s|}}{{s.ID}}{{/each}}"#;
    let engine = Engine::new(Path::new("t"), template).expect("a template");
    let mut known = Knowledge::default();
    let first = engine
        .render(&known, SystemTime::UNIX_EPOCH)
        .expect("a template");
    assert_eq!((first.text, first.missing.len()), (None, 2));
    known.show(&first.asked);
    learn(&mut known, service("web"), registry(&service("web")));
    let second = engine
        .render(&known, SystemTime::UNIX_EPOCH)
        .expect("a template");
    assert_eq!(
        (second.text, second.missing),
        (None, BTreeSet::from([service("api")]))
    );
    learn(&mut known, service("api"), registry(&service("api")));
    let third = engine
        .render(&known, SystemTime::UNIX_EPOCH)
        .expect("a template");
    assert_eq!(
        third.text.as_deref(),
        Some("<w1> "),
        "and nothing is escaped"
    );
}

#[test]
fn what_is_read_through_what_was_read() {
    let all = r#"{{#each (services) as |e|}}{{e.Name}}{{#each (service e.Name health="any") as |s|}} {{s.Port}}{{/each}};{{/each}}"#;
    assert_eq!(text(all), "api;web 80 81;");
}

#[test]
fn two_forms_of_one_question_are_one() {
    let asked = |template: &str| {
        let engine = Engine::new(Path::new("t"), template).expect("a template");
        let known = Knowledge::default();
        engine
            .render(&known, SystemTime::UNIX_EPOCH)
            .expect("a template")
            .asked
            .dependencies
    };
    let packed = asked(r#"{{#each (service "v2.web@dc2~n1|passing,warning")}}{{/each}}"#);
    let named = asked(
        r#"{{#each (service "web" tag="v2" dc="dc2" near="n1" health="warning,passing")}}{{/each}}"#,
    );
    assert_eq!(packed, named);
    assert_eq!(
        asked(r#"{{len (service name="web")}}"#),
        BTreeSet::from([passing("web")])
    );
    let three = asked(r#"{{key "x"}}{{keyExists "x"}}{{keyOrDefault "/x" "d"}}"#);
    assert_eq!(three.len(), 1, "one key, one question");
    let questions = asked(r#"{{len (ls "a")}}{{len (tree "/a/")}}{{len (safeTree "a")}}"#);
    let questions: BTreeSet<_> = questions.into_iter().map(|d| d.question).collect();
    assert_eq!(questions.len(), 1, "one prefix, one question");
}

#[test]
fn keys_files_and_what_is_not_there() {
    for (template, expected) in [
        (r#"{{key "a/b"}}"#, "hi"),
        (
            r#"{{key path="a/b"}} {{keyExists "a/b"}} {{keyExists "x"}}"#,
            "hi true false",
        ),
        (
            r#"{{keyOrDefault "x" "d"}} {{keyOrDefault "a/b" "d"}}"#,
            "d hi",
        ),
        (
            r#"{{key "x"}}"#,
            r#"absent: {"key x does not exist (see keyOrDefault)"}"#,
        ),
        (
            r#"{{#each (ls "a") as |p|}}{{p.Key}}={{p.Value}}{{/each}}"#,
            "b=hi",
        ),
        (
            r#"{{#each (tree "a") as |p|}}{{p.Key}}={{p.Value}} {{/each}}"#,
            "b=hi c/d=deep ",
        ),
        (
            r#"{{#each (ls "none") as |p|}}{{else}}nothing{{/each}}"#,
            "nothing",
        ),
        (
            r#"{{#each (safeLs "none") as |p|}}{{/each}}"#,
            r#"absent: {"keys none/: there are none"}"#,
        ),
        (r#"{{file "/x"}}"#, "text"),
        (r#"{{join (datacenters) ","}}"#, "dc1,dc2"),
        (
            r#"{{#with (node "x") as |n|}}{{n.Node}}{{else}}no node{{/with}}"#,
            "no node",
        ),
        (
            r#"{{#each (byKey (tree "a")) as |m top|}}{{top}}{{#each m as |p|}}.{{p.Value}}{{/each}};{{/each}}"#,
            "b.hi;c.deep;",
        ),
        (
            r#"{{toJSON (explode (tree "a"))}}"#,
            r#"{"b":"hi","c":{"d":"deep"}}"#,
        ),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
}

#[test]
fn a_guarded_service_keeps_its_last_set() {
    let template = r#"{{#each (safeService "web" min=2 health="any") as |s|}}{{s.ID}} {{/each}}"#;
    let engine = Engine::new(Path::new("t"), template).expect("a template");
    let mut known = Knowledge::default();
    let mut render = |list: &[&str]| {
        let entries = list.iter().map(|id| entry(id, 1, "passing")).collect();
        learn(&mut known, service("web"), Reply::Instances(entries));
        let rendering = engine
            .render(&known, SystemTime::UNIX_EPOCH)
            .expect("a template");
        let rendering = if known.show(&rendering.asked) {
            engine
                .render(&known, SystemTime::UNIX_EPOCH)
                .expect("a template")
        } else {
            rendering
        };
        rendering
            .text
            .unwrap_or_else(|| rendering.absent.into_iter().collect())
    };
    assert_eq!(
        render(&["a"]),
        "service web has 1 of at least 2 instances, and there is no earlier set to keep"
    );
    assert_eq!(render(&["a", "b"]), "a b ");
    assert_eq!(render(&["b"]), "a b ");
    assert_eq!(render(&[]), "a b ");
    assert_eq!(render(&["b", "c"]), "b c ");
    assert_eq!(render(&["c"]), "b c ");
}

#[test]
fn what_nobody_reads_is_forgotten() {
    let mut known = Knowledge::default();
    let asked = Asked {
        dependencies: BTreeSet::from([passing("web"), passing("api")]),
        ..Asked::default()
    };
    known.show(&asked);
    for name in ["web", "api"] {
        learn(&mut known, service(name), registry(&service(name)));
    }
    known.forget_all_but(&Asked {
        dependencies: BTreeSet::from([passing("web")]),
        ..Asked::default()
    });
    let names: Vec<&String> = known
        .context()
        .data()
        .as_object()
        .expect("a map")
        .keys()
        .collect();
    assert_eq!(names, ["service web|passing"]);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (template, expected) in [
        ("a\n{{#each x}}", "t.hbs: line 2"),
        (
            "{{#each (service \"web\") as |s|}}\n{{s.Adress}}{{/each}}",
            "t.hbs: line 2, column 1: there is no s.Adress",
        ),
        ("{{nonsense \"x\"}}", "nonsense"),
        (
            "{{#each (service)}}{{/each}}",
            "expected the name of a service",
        ),
        (
            "{{#each (service \"web\" health=\"good\")}}{{/each}}",
            "expected passing, usable or any",
        ),
        (
            "{{#each (service \"web\" helth=\"any\")}}{{/each}}",
            "helth= is not known",
        ),
        ("{{#each (service \"web?ns=x\")}}{{/each}}", "namespaces"),
        (
            "{{toUpper 1}}",
            "toUpper: expected a text as argument 1, found 1; it is (toUpper TEXT)",
        ),
        ("{{divide 1 0}}", "division by 0"),
        ("{{toUpper nope}}", "toUpper: there is no nope"),
        ("{{fail \"no\"}}", "fail: no"),
    ] {
        let error = rendered(template).expect_err(template).to_string();
        assert!(error.contains(expected), "{template}: {error}");
    }
}

#[test]
fn what_is_true() {
    for (value, expected) in [
        ("0", "no"),
        ("0.0", "no"),
        ("1", "yes"),
        ("-1", "yes"),
        ("\"\"", "no"),
        ("\"0\"", "yes"),
        ("\"false\"", "yes"),
        ("false", "no"),
        ("true", "yes"),
        ("null", "no"),
        ("(list)", "no"),
        ("(list 0)", "yes"),
        ("(parseJSON \"{}\")", "no"),
        ("(dict \"a\" 0)", "yes"),
        ("nowhere", "no"),
    ] {
        let template = format!("{{{{#if {value}}}}}yes{{{{else}}}}no{{{{/if}}}}");
        assert_eq!(text(&template), expected, "{value}");
        let template = format!("{{{{#if (not {value})}}}}no{{{{else}}}}yes{{{{/if}}}}");
        assert_eq!(text(&template), expected, "not {value}");
    }
}

#[test]
fn what_is_switched_off_says_so() {
    let permissions = Permissions::default()
        .deny(["env".to_owned(), "file".to_owned()])
        .expect("helpers");
    for template in [
        "{{env \"HOME\"}}",
        "{{mustEnv \"HOME\"}}",
        "{{file \"/etc/hosts\"}}",
    ] {
        let engine =
            Engine::restricted(Path::new("t"), template, &permissions).expect("a template");
        let error = engine
            .render(&Knowledge::default(), SystemTime::now())
            .expect_err(template);
        assert!(error.to_string().contains("is switched off"), "{error}");
    }
    assert!(Permissions::default().deny(["flie".to_owned()]).is_err());
    let folder = tempfile::tempdir().expect("a folder");
    let permissions = Permissions::default()
        .sandbox(folder.path().to_owned())
        .expect("a folder");
    let outside = format!("{{{{file \"{}/../x\"}}}}", folder.path().display());
    for template in ["{{file \"/etc/hosts\"}}", &outside] {
        let engine =
            Engine::restricted(Path::new("t"), template, &permissions).expect("a template");
        let error = engine
            .render(&Knowledge::default(), SystemTime::now())
            .expect_err(template);
        assert!(error.to_string().contains("is not in"), "{error}");
    }
}

#[test]
fn the_time_is_that_of_the_rendering() {
    let engine = Engine::new(
        Path::new("t"),
        "{{timestamp}} {{timestamp \"unix\"}} {{timestamp \"%d.%m.%Y\"}}",
    )
    .expect("a template");
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let rendering = engine
        .render(&Knowledge::default(), at)
        .expect("a template");
    assert_eq!(
        rendering.text.as_deref(),
        Some("2001-09-09T01:46:40Z 1000000000 09.09.2001")
    );
    assert!(rendering.used_time);
}

#[test]
fn data_of_its_own() {
    let engine = Engine::new(Path::new("t"), "{{#*inline \"row\"}}<{{name}}>{{/inline}}{{#each rows}}{{> row}}{{/each}}{{> row name=\"x\"}}").expect("a template");
    let data = json!({ "rows": [{ "name": "a" }, { "name": "b" }], "name": "" });
    let rendering = engine
        .render_with(&Knowledge::default(), &data, SystemTime::now())
        .expect("a template");
    assert_eq!(rendering.text.as_deref(), Some("<a><b><x>"));
    let _: Value = data;
}

#[test]
fn a_slot_is_kept_while_its_instance_is_there() {
    let template = r#"{{#each (service "web") as |s|}}{{s.ID}}:{{slot "web" s.ID}} {{/each}}{{slot "web" "x"}}"#;
    let engine = Engine::new(Path::new("t"), template).expect("a template");
    let with = |ids: &[&str]| {
        let mut known = Knowledge::default();
        let first = engine.render(&known, SystemTime::UNIX_EPOCH);
        known.show(&first.expect("a template").asked);
        let entries = ids.iter().map(|id| entry(id, 80, "passing"));
        let reply = Reply::instances(entries.collect(), false);
        learn(&mut known, service("web"), reply);
        let rendering = engine.render(&known, SystemTime::UNIX_EPOCH);
        rendering.expect("a template").text.expect("complete")
    };
    assert_eq!(with(&["b", "c"]), "b:1 c:2 3");
    // What is given back can be had from the next rendering on.
    assert_eq!(with(&["a", "c"]), "a:4 c:2 3");
    assert_eq!(with(&["a", "b", "c"]), "a:4 b:1 c:2 3");
    let error = text("{{slot 1}}");
    assert!(error.contains("it is (slot GROUP NAME)"), "{error}");
}

#[test]
fn a_template_that_ends_too_soon_is_told_so_in_words() {
    for template in ["{{#each rows}}x", "{{name", "{{ = }}"] {
        let error = Engine::new(Path::new("t"), template).expect_err(template);
        let error = error.to_string();
        assert!(
            error.contains("a block {{#…}} has no {{/…}}"),
            "{template}: {error}"
        );
    }
}
