//! consul-template's packed query strings: `[tag.]name[?k=v][@dc][~near][|filter,filter]`.
//!
//! What cannot be said in that grammar (a service name with a dot, a key with `@`) is said by named arguments instead.

use std::collections::BTreeSet;

use super::Health;

/// The words that `health` and the part after `|` may be made of.
const STATUSES: [&str; 4] = ["passing", "warning", "critical", "maintenance"];

/// A packed query, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) tag: Option<String>,
    pub(crate) name: String,
    pub(crate) datacenter: Option<String>,
    pub(crate) near: Option<String>,
    pub(crate) health: Option<Health>,
}

/// Reads what `service` takes.
pub(crate) fn parse_service(text: &str) -> Result<Packed, String> {
    let (rest, health) = match text.split_once('|') {
        Some((rest, health)) => (rest, Some(parse_health(health)?)),
        None => (text, None),
    };
    let place = parse_place(rest)?;
    // A name has no dot in this grammar, a tag may have some.
    let (tag, name) = match place.name.rsplit_once('.') {
        Some((tag, name)) => (Some(tag.to_owned()), name.to_owned()),
        None => (None, place.name),
    };
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || !name.chars().all(plain) || tag.as_deref() == Some("") {
        return Err(format!(
            "{text:?}: expected [TAG.]NAME[@DATACENTER][~NEAR][|STATUS,STATUS]; a name with other characters goes \
             into name=\"…\""
        ));
    }
    Ok(Packed {
        tag,
        name,
        health,
        ..place
    })
}

/// Reads what `services`, `node`, `nodes`, `key`, `ls` and `tree` take: `NAME[@dc][~near]`. The name may be empty.
pub(crate) fn parse_place(text: &str) -> Result<Packed, String> {
    let (rest, near) = cut(text, '~')?;
    let (rest, datacenter) = cut(rest, '@')?;
    if let Some((_, query)) = rest.split_once('?') {
        return Err(format!(
            "{text:?}: ?{query} (namespaces, partitions, peers) is not there; the rest of the query is"
        ));
    }
    Ok(Packed {
        name: rest.to_owned(),
        datacenter,
        near,
        ..Packed::default()
    })
}

/// Reads `passing`, `usable`, `any`, or several statuses with commas.
pub(crate) fn parse_health(text: &str) -> Result<Health, String> {
    let words: BTreeSet<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
    if words.contains("any") {
        return Ok(Health::Any);
    }
    if words.len() == 1 && words.contains("usable") {
        return Ok(Health::Usable);
    }
    if words.iter().all(|word| STATUSES.contains(&word.as_str())) {
        return Ok(Health::Status(words));
    }
    Err(format!(
        "expected passing, usable or any, or some of passing, warning, critical and maintenance; found {text:?}"
    ))
}

fn cut(text: &str, mark: char) -> Result<(&str, Option<String>), String> {
    let Some((rest, part)) = text.rsplit_once(mark) else {
        return Ok((text, None));
    };
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if part.is_empty() || !part.chars().all(plain) {
        return Err(format!(
            "{text:?}: expected letters, digits, _, - and . after {mark}"
        ));
    }
    Ok((rest, Some(part.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_queries() {
        let show = |text: &str| match parse_service(text) {
            Ok(p) => format!(
                "{:?} {} {:?} {:?} {:?}",
                p.tag, p.name, p.datacenter, p.near, p.health
            )
            .replace("Some(", "(")
            .replace("None", "-"),
            Err(error) => format!("! {error}"),
        };
        for (text, expected) in [
            ("web", "- web - - -"),
            ("v2.web", "(\"v2\") web - - -"),
            ("a.b=c:d.web", "(\"a.b=c:d\") web - - -"),
            ("web@dc2", "- web (\"dc2\") - -"),
            ("web~_agent", "- web - (\"_agent\") -"),
            ("web|any", "- web - - (Any)"),
            (
                "tag.web@dc-1~n.1|warning,passing",
                "(\"tag\") web (\"dc-1\") (\"n.1\") (Status({\"passing\", \"warning\"}))",
            ),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
        for text in [
            "", ".web", "a/b", "web@", "web@a b", "web|good", "web?ns=x", "web|",
        ] {
            assert!(show(text).starts_with('!'), "{text}: {}", show(text));
        }
    }

    #[test]
    fn places() {
        let place = parse_place("a/b.c/d@dc2").expect("a place");
        assert_eq!(
            (place.name.as_str(), place.datacenter.as_deref()),
            ("a/b.c/d", Some("dc2"))
        );
        assert_eq!(parse_place("").expect("nothing").name, "");
        assert!(parse_place("a@b@c/d").is_err());
    }
}
