//! Token files: who may do what, in HCL or JSON, with rules written as Consul's policies are.
//!
//! ```hcl
//! token "deploy" {
//!   secret = "…"                       # or secret_file = "/run/secrets/deploy"
//!   service_prefix "web" { policy = "write" }
//!   node_prefix ""       { policy = "read" }
//! }
//! token "anonymous" {                  # has no secret: whoever sends no token
//!   key_prefix "public/" { policy = "read" }
//! }
//! ```
//!
//! A file is read whole or refused, and what is said about it never shows a secret.

use std::path::{Path, PathBuf};

use super::rules::{Kind, Level, NAMED, Rules};
use super::secret::Secret;
use crate::definition::syntax::{self, Entry, Node, Value};
use crate::definition::{Format, Position};

/// The token of those who send none.
pub(super) const ANONYMOUS: &str = "anonymous";
/// Most rules of one token; each request of its bearer looks through them.
const MOST_RULES: usize = 1000;

/// A token as a file has it.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) name: String,
    /// None for the anonymous one, and only there.
    pub(super) secret: Option<Source>,
    pub(super) rules: Rules,
}

/// Where a secret is.
#[derive(Debug)]
pub(super) enum Source {
    Here(Secret),
    File(PathBuf),
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {text}")]
pub(super) struct Mistake {
    at: Position,
    text: String,
}

type Result<T> = std::result::Result<T, Mistake>;

fn wrong<T>(at: Position, text: impl Into<String>) -> Result<T> {
    let text = text.into();
    Err(Mistake { at, text })
}

/// Reads a file's text. `.json` is JSON, everything else HCL, which may begin with a brace and then is JSON as well.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Token>> {
    let json = path
        .extension()
        .is_some_and(|extension| extension == "json");
    let format = if json { Format::Json } else { Format::Hcl };
    let entries = syntax::read(text, format).or_else(|error| {
        // The reader's own words show the text it stumbled over, which may be a secret.
        wrong(error.at, "this is not HCL (or JSON); the text is not shown")
    })?;
    let mut tokens: Vec<Token> = Vec::new();
    for entry in entries {
        if entry.key != "token" {
            return wrong(entry.at, "unknown key; expected token \"NAME\" { … }");
        }
        for named in object(entry.node)? {
            let at = named.at;
            let token = token(named)?;
            if tokens.iter().any(|other| other.name == token.name) {
                return wrong(at, format!("token {:?} is there twice", token.name));
            }
            tokens.push(token);
        }
    }
    Ok(tokens)
}

fn token(named: Entry) -> Result<Token> {
    let (at, name) = (named.at, named.key);
    let mut token = Token {
        name,
        secret: None,
        rules: Rules::default(),
    };
    for entry in object(named.node)? {
        match entry.key.as_str() {
            "secret" | "secret_file" if token.secret.is_some() => {
                return wrong(entry.at, "a token has one secret or one secret_file");
            }
            "secret" => {
                let secret = Secret::new(&text(&entry.node)?);
                token.secret = match secret {
                    Ok(secret) => Some(Source::Here(secret)),
                    Err(error) => return wrong(entry.node.at, error.to_string()),
                };
            }
            "secret_file" => token.secret = Some(Source::File(text(&entry.node)?.into())),
            "description" => drop(text(&entry.node)?),
            "operator" => {
                let level = level(&entry.node)?;
                add(&mut token.rules, entry.at, Kind::Operator, "", false, level)?;
            }
            _ => rules(&mut token.rules, entry)?,
        }
    }
    match (&token.secret, token.name.as_str()) {
        (Some(_), ANONYMOUS) => wrong(
            at,
            "token \"anonymous\" is whoever sends no token: it has no secret",
        ),
        (None, name) if name != ANONYMOUS => wrong(
            at,
            format!("token {name:?} needs a secret or a secret_file"),
        ),
        _ => Ok(token),
    }
}

/// `service_prefix "web" { policy = "write" }`, for each name under the key.
fn rules(rules: &mut Rules, entry: Entry) -> Result<()> {
    let (word, is_prefix) = match entry.key.strip_suffix("_prefix") {
        Some(word) => (word, true),
        None => (entry.key.as_str(), false),
    };
    let Some((_, kind)) = NAMED.iter().find(|(known, _)| *known == word) else {
        let known: Vec<&str> = NAMED.iter().map(|(known, _)| *known).collect();
        return wrong(
            entry.at,
            format!(
                "unknown key; expected secret, secret_file, description, operator, or one of {} (with or without \
                 _prefix)",
                known.join(", ")
            ),
        );
    };
    for named in object(entry.node)? {
        let mut found = None;
        for inner in object(named.node)? {
            if inner.key != "policy" {
                return wrong(inner.at, "unknown key; expected policy");
            }
            found = Some(level(&inner.node)?);
        }
        let Some(level) = found else {
            return wrong(named.at, "a rule needs a policy");
        };
        add(rules, named.at, *kind, &named.key, is_prefix, level)?;
    }
    Ok(())
}

fn add(
    rules: &mut Rules,
    at: Position,
    kind: Kind,
    name: &str,
    is_prefix: bool,
    level: Level,
) -> Result<()> {
    if !rules.add(kind, name, is_prefix, level) {
        return wrong(at, "there is a rule about this already");
    }
    if rules.count() > MOST_RULES {
        return wrong(at, format!("a token has at most {MOST_RULES} rules"));
    }
    Ok(())
}

fn level(node: &Node) -> Result<Level> {
    let known = Level::of(&text(node)?);
    known.map_or_else(|| wrong(node.at, "expected read, write, deny or list"), Ok)
}

fn text(node: &Node) -> Result<String> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        other => wrong(node.at, format!("expected a text, found {}", other.kind())),
    }
}

/// An object, or the list of one that a JSON file may have in its place.
fn object(node: Node) -> Result<Vec<Entry>> {
    match node.value {
        Value::Object(entries) => Ok(entries),
        Value::List(mut list) if list.len() == 1 => object(list.remove(0)),
        other => wrong(node.at, format!("expected {{ … }}, found {}", other.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Token>> {
        parse(Path::new("tokens.hcl"), text)
    }

    #[test]
    fn tokens_are_read_from_hcl_and_json() {
        let hcl = "token \"web\" {\n  secret = \"a\"\n  service_prefix \"web\" { policy = \"write\" }\n  \
                   service \"db\" { policy = \"read\" } operator = \"read\"\n}\ntoken \"anonymous\" { key_prefix \"\" { \
                   policy = \"list\" } }";
        let json = r#"{"token": {"web": {"secret": "a", "service_prefix": {"web": {"policy": "write"}},
            "service": {"db": {"policy": "read"}}, "operator": "read"},
            "anonymous": {"key_prefix": {"": {"policy": "list"}}}}}"#;
        for text in [hcl, json] {
            let tokens = read(text).expect("a good file");
            assert_eq!((tokens[0].name.as_str(), tokens.len()), ("web", 2));
            let rules = &tokens[0].rules;
            assert_eq!(rules.level(Kind::Service, "website"), Some(Level::Write));
            assert_eq!(rules.level(Kind::Service, "db"), Some(Level::Read));
            assert_eq!(rules.level(Kind::Service, "dbx"), None);
            assert_eq!(rules.level(Kind::Operator, ""), Some(Level::Read));
            assert!(tokens[1].secret.is_none());
            assert_eq!(tokens[1].rules.level(Kind::Key, "x"), Some(Level::Read));
        }
    }

    #[test]
    fn mistakes_say_where_and_never_show_a_secret() {
        let table = [
            ("token \"a\" { secret \"s3cret\" }", "1:"),
            ("token \"a\" {\n  secret = s3cret! }", "2:"),
            (
                "token \"a\" { secret = \"s3cret s3cret\" }",
                "1:22: a token is one word",
            ),
            (
                "token \"a\" { secret = 5 }",
                "expected a text, found a number",
            ),
            ("token \"a\" { }", "1:7: token \"a\" needs a secret"),
            (
                "token \"anonymous\" { secret = \"s3cret\" }",
                "has no secret",
            ),
            ("tokens { }", "1:1: unknown key; expected token"),
            (
                "token \"a\" { secret = \"s3cret\"\n acl = \"write\" }",
                "2:2: unknown key",
            ),
            (
                "token \"a\" { secret = \"s3cret\"\n key \"x\" { policy = \"all\" } }",
                "expected read, write",
            ),
            (
                "token \"a\" { secret = \"s3cret\"\n key \"x\" { } }",
                "a rule needs a policy",
            ),
            (
                "token \"a\" { secret = \"s3cret\"\n key \"x\" { policy = \"read\" }\n key \"x\" { policy = \"write\" } }",
                "3:6: there is a rule about this already",
            ),
            (
                "token \"a\" { secret = \"s3cret\" }\ntoken \"a\" { secret = \"s3cret2\" }",
                "2:7: token \"a\" is there twice",
            ),
        ];
        for (text, part) in table {
            let said = read(text).expect_err(text).to_string();
            assert!(said.contains(part), "{said:?} for {text}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
