//! Which tokens there are, what may be done without one, and what is refused at the start.

use super::*;

/// A folder with files for one test.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a folder"))
    }

    fn with(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text).expect("a token")
}

fn level(access: &Access, token: Option<&str>) -> Option<Level> {
    let rights = access.rights(token).ok()?;
    let levels = [Level::Write, Level::Read, Level::Deny];
    levels
        .into_iter()
        .find(|level| rights.allow(Kind::Key, "some/key", *level))
}

#[test]
fn what_is_allowed_where_no_rule_says_anything() {
    use Level::{Deny, Read, Write};
    let files = Files::new();
    let read_file = files.with("reader", "r34der\nnot this\n");
    let config = |token: bool, reader: bool, otherwise| AccessConfig {
        tokens: if token { vec![secret("t0p")] } else { vec![] },
        read_token_files: if reader {
            vec![read_file.clone()]
        } else {
            vec![]
        },
        otherwise,
        ..AccessConfig::default()
    };
    // Without a token, with the one for everything, with one for reading, with one that nobody has.
    let table = [
        (
            config(false, false, None),
            [Some(Write), Some(Write), Some(Write), Some(Write)],
        ),
        (
            config(true, false, None),
            [Some(Read), Some(Write), None, None],
        ),
        (
            config(true, true, None),
            [Some(Deny), Some(Write), Some(Read), None],
        ),
        (
            config(true, false, Some(Otherwise::Deny)),
            [Some(Deny), Some(Write), None, None],
        ),
        (
            config(true, true, Some(Otherwise::Read)),
            [Some(Read), Some(Write), Some(Read), None],
        ),
        (
            config(false, true, None),
            [Some(Deny), None, Some(Read), None],
        ),
    ];
    for (config, expected) in table {
        let access = Access::load(config.clone()).expect("good tokens");
        let tokens = [None, Some("t0p"), Some("r34der"), Some("n0body")];
        let got = tokens.map(|token| level(&access, token));
        assert_eq!(got, expected, "{config:?}");
        let own = access.own().expose().to_owned();
        assert_eq!(level(&access, Some(&own)), Some(Write));
    }
}

#[test]
fn what_cannot_be_used_is_refused_and_named() {
    let files = Files::new();
    let rules = "token \"a\" { secret = \"s3cret\" }";
    let config = |name: &str, text: &str| AccessConfig {
        files: vec![files.with(name, text)],
        ..AccessConfig::default()
    };
    let empty = files.with("empty", "\n");
    let table = [
        (
            AccessConfig {
                token_files: vec!["/nowhere/token".into()],
                ..AccessConfig::default()
            },
            "cannot read the token file /nowhere/token",
        ),
        (
            AccessConfig {
                token_files: vec![empty],
                ..AccessConfig::default()
            },
            "empty is no token",
        ),
        (
            config("bad.hcl", "token \"a\" { }"),
            "bad.hcl:1:7: token \"a\" needs a secret",
        ),
        (config("none.hcl", ""), "no token"),
        (
            AccessConfig {
                otherwise: Some(Otherwise::Deny),
                ..AccessConfig::default()
            },
            "no token",
        ),
        (
            AccessConfig {
                tokens: vec![secret("s3cret")],
                ..config("a.hcl", rules)
            },
            "the tokens \"everything\" and \"a\" have the same secret",
        ),
        (
            AccessConfig {
                files: vec![files.with("b.hcl", rules), files.with("c.hcl", rules)],
                ..AccessConfig::default()
            },
            "there are two tokens \"a\"",
        ),
    ];
    for (config, part) in table {
        let shown = format!("{config:?}");
        let said = Access::load(config).expect_err(part).to_string();
        assert!(said.contains(part), "{said}");
        assert!(
            !said.contains("s3cret") && !shown.contains("s3cret"),
            "{said} {shown}"
        );
    }
}

#[test]
fn tokens_are_read_again_and_a_mistake_changes_nothing() {
    let files = Files::new();
    let with_secret = |text: &str| files.with("secret", text);
    with_secret("one");
    let rules = "token \"a\" { secret_file = \"secret\"\n key_prefix \"\" { policy = \"write\" } }";
    let path = files.with("rules.hcl", rules);
    let access = Access::load(AccessConfig {
        files: vec![path.clone()],
        ..AccessConfig::default()
    });
    let access = access.expect("good tokens");
    let before = access.rights(Some("one")).expect("known").id();
    with_secret("two");
    access.reload().expect("good tokens");
    assert!(access.rights(Some("one")).is_err());
    let after = access.rights(Some("two")).expect("known").id();
    assert_ne!(
        before, after,
        "answers made for the old rights are not shown to the new"
    );
    files.with("rules.hcl", "token {");
    assert!(access.reload().is_err());
    assert_eq!(level(&access, Some("two")), Some(Level::Write));
}

#[test]
fn a_file_that_would_be_cut_short_is_refused() {
    let files = Files::new();
    let mut text =
        "token \"a\" { secret = \"a\" key_prefix \"\" { policy = \"write\" } }\n".to_owned();
    text.push_str(&" ".repeat(FILE_LIMIT as usize));
    // What a reader of the beginning alone would never see.
    text.push_str("token \"anonymous\" { key_prefix \"\" { policy = \"deny\" } }");
    let config = AccessConfig {
        files: vec![files.with("rules", &text)],
        otherwise: Some(Otherwise::Read),
        ..AccessConfig::default()
    };
    let error = Access::load(config)
        .expect_err("it is too long")
        .to_string();
    assert!(error.contains("it is longer than 1048576 bytes"), "{error}");
}
