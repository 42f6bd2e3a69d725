//! A whole file, and what is wrong with others.

use super::*;

fn loaded(text: &str) -> Result<TemplateFile, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.toml");
    std::fs::write(&path, text).expect("written");
    TemplateFile::load(&path).map_err(|error| {
        error
            .to_string()
            .replace(&format!("{}: ", path.display()), "")
    })
}

#[test]
fn a_whole_file() {
    let file = loaded(
        r#"
        admin = "127.0.0.1:0"
        wait = "1s:5s"
        check = "true {candidate}"
        deny = ["env"]
        sandbox = "."
        [consul]
        address = "http://consul.example:8500"
        token = "s3cret"
        [[template]]
        source = "a.hbs"
        target = "/etc/a.cfg"
        command = "reload"
        command_timeout = "5s"
        wait = "10ms:20ms"
        mode = "0640"
        user = "root"
        group = "0"
        backup = true
        make_folders = false
        [[template]]
        contents = "{{len (services)}}"
        target = "b.cfg"
        check = ""
        "#,
    )
    .expect("a good file");
    assert!(!format!("{file:?}").contains("s3cret"));
    let [a, b] = file.templates.as_slice() else {
        panic!("two templates")
    };
    assert!(a.source.name().is_absolute() && a.source.name().ends_with("a.hbs"));
    assert_eq!(
        (a.output.mode, a.output.owner),
        (Some(0o640), (Some(0), Some(0)))
    );
    assert_eq!(a.output.command_limit, Duration::from_secs(5));
    assert_eq!(a.output.check.as_deref(), Some("true {candidate}"));
    assert!(a.output.backup && !a.output.make_folders && b.output.make_folders);
    assert_eq!((a.wait.min, b.wait.min).1, Duration::from_secs(1));
    assert_eq!(b.output.check, None, "an empty check is none");
    let consul = file.consul(consul::Config::new("http://other:1"));
    assert!(format!("{consul:?}").contains("consul.example"));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_field() {
    let template = "[[template]]\nsource = \"a\"\ntarget = \"b\"\n";
    for (text, expected) in [
        (
            String::new(),
            "line 1: template: expected at least one [[template]]",
        ),
        (
            format!("tempalte = 1\n{template}"),
            "line 1: unknown field `tempalte`",
        ),
        (
            format!("{template}mode = \"rw\""),
            "line 4: template.mode: expected an octal mode, as \"0640\", found \"rw\"",
        ),
        (
            format!("{template}wait = \"5s:1s\""),
            "line 4: template.wait: expected MIN[:MAX]",
        ),
        (
            format!("{template}command_timeout = \"1h\""),
            "line 4: template.command_timeout: expected 1ms to 10m",
        ),
        (
            format!("{template}user = \"no such user\""),
            "line 4: template.user: expected a user of /etc/passwd or a number",
        ),
        (
            format!("\n\nadmin = \"8080\"\n{template}"),
            "line 3: admin: expected ADDRESS:PORT",
        ),
        (
            format!("deny = [\n\"env\",\n\"flie\"]\n{template}"),
            "line 3: deny: expected the name of a helper",
        ),
        (
            format!("sandbox = \"nowhere\"\n{template}"),
            "line 1: sandbox: expected a folder",
        ),
        (
            "\n[[template]]\ntarget = \"b\"\n".to_owned(),
            "line 2: template: expected either source or contents",
        ),
        (
            "[[template]]\nsource = 1\ntarget = \"b\"".to_owned(),
            "line 2: invalid type: integer `1`",
        ),
        (
            "[[template]]\nsource = \"a\"".to_owned(),
            "missing field `target`",
        ),
        (
            format!("[consul]\nclient_key = \"k\"\n{template}"),
            "client_cert and client_key need each other",
        ),
    ] {
        let error = loaded(&text).expect_err(&text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}
