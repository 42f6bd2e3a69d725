//! What a template can say, by tables: what comes out, what is true, and what is wrong and where.

use std::time::Duration;

use serde_json::Value;

use super::*;

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
