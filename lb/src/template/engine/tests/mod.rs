//! Renderings: what is asked, when something comes out, and what is remembered. `language` has what a template can say.

mod language;

use consul::types::{KvEntry, ServiceEntry};

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
