//! The places in a prepared query's template: `${name.full}`, `${name.prefix}`, `${name.suffix}`, `${agent.segment}` and
//! `${match(N)}` within text, `$${` for `${` itself. Faults are told in Consul's words. It does not know what the text is
//! for.
//!
//! Consul reads these with a language of its own (HIL) that can do more, arithmetic among it; no query is known that does.

/// What places are filled with.
pub(super) struct Filling<'a> {
    /// The name the query was asked by.
    pub(super) full: &'a str,
    /// The name of the query.
    pub(super) prefix: &'a str,
    /// The groups of the expression, the whole first; empty if it did not match.
    pub(super) groups: &'a [&'a str],
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It cannot be read.
    Format,
    /// It can be read, but not filled; why, as Consul says it.
    Evaluation(String),
}

impl Filling<'_> {
    /// The text with its places filled.
    ///
    /// # Errors
    /// A place that is not closed, or names nothing there is.
    pub(super) fn fill(&self, text: &str) -> Result<String, Fault> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(escaped) = before.strip_suffix('$') {
                filled.push_str(escaped);
                filled.push_str("${");
                rest = &from[2..];
                continue;
            }
            filled.push_str(before);
            let (place, after) = from[2..].split_once('}').ok_or(Fault::Format)?;
            let column = text.len() - rest.len() + at + 2;
            filled.push_str(self.value(place, column)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// The value of one place, whose first letter is at `column` of the text, counted from 0.
    fn value(&self, place: &str, column: usize) -> Result<&str, Fault> {
        let start = |part: &str| column + place.find(part).unwrap_or(0) + 1;
        let name = place.trim();
        if let Some((function, argument)) =
            name.strip_suffix(')').and_then(|call| call.split_once('('))
        {
            let argument = argument.trim();
            if !is_name(function) || argument.is_empty() {
                return Err(Fault::Format);
            }
            if function != "match" {
                let at = start(function);
                return Err(Fault::Evaluation(format!(
                    "1:{at}: unknown function called: {function}"
                )));
            }
            if let Ok(group) = argument.parse::<usize>() {
                return Ok(self.groups.get(group).copied().unwrap_or(""));
            }
            return Err(unknown(argument, start(argument)));
        }
        match name {
            "name.full" => Ok(self.full),
            "name.prefix" => Ok(self.prefix),
            "name.suffix" => Ok(self.full.strip_prefix(self.prefix).unwrap_or("")),
            // Segments of the gossip are of Consul's Enterprise edition: there is never one.
            "agent.segment" => Ok(""),
            _ => Err(unknown(name, start(name))),
        }
    }
}

fn is_name(word: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(letter)
}

fn unknown(name: &str, at: usize) -> Fault {
    if is_name(name) {
        Fault::Evaluation(format!("1:{at}: unknown variable accessed: {name}"))
    } else {
        Fault::Format
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_or_refused() {
        let filling = Filling {
            full: "geo-web",
            prefix: "geo-",
            groups: &["geo-web", "web"],
        };
        let evaluation = |text: &str| Err(Fault::Evaluation(text.to_owned()));
        let table = [
            ("plain $ {}", Ok("plain $ {}")),
            (
                "${name.full}/${ name.prefix }/${name.suffix}",
                Ok("geo-web/geo-/web"),
            ),
            (
                "${match(1)}-${match( 0 )}-${match(7)}${agent.segment}",
                Ok("web-geo-web-"),
            ),
            ("$${name.full} é ${match(1)}", Ok("${name.full} é web")),
            ("${name", Err(Fault::Format)),
            ("${}", Err(Fault::Format)),
            ("${match()}", Err(Fault::Format)),
            ("${1 +}", Err(Fault::Format)),
            (
                "${name.never}",
                evaluation("1:3: unknown variable accessed: name.never"),
            ),
            (
                "${match(x)}",
                evaluation("1:9: unknown variable accessed: x"),
            ),
            (
                "a ${nosuch(1)}",
                evaluation("1:5: unknown function called: nosuch"),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(filling.fill(text), expected.map(str::to_owned), "{text}");
        }
    }
}
