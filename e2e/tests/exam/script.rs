//! The written exchanges are text: this reads it. One file for each subject under `cases/`.
//!
//! ```text
//! == a name for the sequence, which starts with both registries empty
//! # a comment
//! PUT /v1/agent/service/register {"Name":"web"}
//! GET [Accept: text/plain] /v1/agent/health/service/id/web
//! S:ID <- PUT /v1/session/create {}        takes a field (or @header) of each answer for later: $S
//! watch w /v1/health/service/web           waits on both, from the index each has now
//! woken w                                  it ended, and both answered alike
//! asleep w                                 neither ended
//! idle w                                   ended on Consul with nothing new to tell, not on ours
//! until "passing" GET /v1/health/checks/x  asks until both answers contain it, then compares
//! ours "refused" GET /v1/agent/checks      asks ours alone until it contains it, then compares both
//! ```
//!
//! `{{x*600}}` in a request stands for 600 times x, `{{"k#":1*65|,}}` for 65 numbered pairs with commas between. `$WEB` is the
//! address of the server that checks look at.

use crate::pair::Request;

/// A named sequence of steps.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Exchange(Request),
    Take {
        name: String,
        from: String,
        request: Request,
    },
    Watch(String, String),
    Woken(String),
    Asleep(String),
    Idle(String),
    Until(String, Request),
    Ours(String, Request),
}

/// Reads a file of sequences.
///
/// # Panics
/// If a line is not understood, naming it.
pub(crate) fn read(text: &str) -> Vec<Sequence> {
    let mut sequences: Vec<Sequence> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            sequences.push(Sequence {
                name: name.to_owned(),
                steps: Vec::new(),
            });
            continue;
        }
        let step = step(line).unwrap_or_else(|| panic!("not understood: {line}"));
        let sequence = sequences.last_mut();
        sequence
            .unwrap_or_else(|| panic!("before any sequence: {line}"))
            .steps
            .push(step);
    }
    sequences
}

fn step(line: &str) -> Option<Step> {
    if let Some((take, rest)) = line.split_once(" <- ")
        && let Some((name, from)) = take.split_once(':')
        && !take.contains(' ')
    {
        return Some(Step::Take {
            name: name.to_owned(),
            from: from.to_owned(),
            request: request(rest)?,
        });
    }
    let (word, rest) = line.split_once(' ')?;
    Some(match word {
        "watch" => {
            let (name, path) = rest.split_once(' ')?;
            Step::Watch(name.to_owned(), path.to_owned())
        }
        "woken" => Step::Woken(rest.to_owned()),
        "asleep" => Step::Asleep(rest.to_owned()),
        "idle" => Step::Idle(rest.to_owned()),
        "until" | "ours" => {
            let (text, rest) = rest.strip_prefix('"')?.split_once("\" ")?;
            let step = if word == "ours" {
                Step::Ours
            } else {
                Step::Until
            };
            step(text.to_owned(), request(rest)?)
        }
        _ => Step::Exchange(request(line)?),
    })
}

fn request(text: &str) -> Option<Request> {
    let (method, mut rest) = text.split_once(' ')?;
    if !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut headers = Vec::new();
    while let Some((header, after)) = rest
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        let (name, value) = header.split_once(": ")?;
        headers.push((name.to_owned(), value.to_owned()));
        rest = after;
    }
    let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(Request {
        method: method.to_owned(),
        headers,
        path: expand(path)?,
        body: expand(body)?,
    })
}

/// Writes out `{{text*count|separator}}`.
fn expand(text: &str) -> Option<String> {
    let Some((before, rest)) = text.split_once("{{") else {
        return Some(text.to_owned());
    };
    // JSON ends in braces too: the end is where a count stands before it.
    let found = rest.match_indices("}}").find_map(|(at, _)| {
        let (repeated, count) = rest[..at].rsplit_once('*')?;
        let (count, separator) = count.split_once('|').unwrap_or((count, ""));
        Some((repeated, count.parse::<usize>().ok()?, separator, at))
    });
    let (repeated, count, separator, end) = found?;
    let all: Vec<String> = (0..count)
        .map(|at| repeated.replace('#', &at.to_string()))
        .collect();
    let after = expand(&rest[end + 2..])?;
    Some(format!("{before}{}{after}", all.join(separator)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line() {
        let text = "== one\n# no\nPUT /a {\"b\": 1}\nGET [Accept: x/y] /c\nS:0.ID <- GET /s\nwatch w /h?x\nuntil \"ok\" GET /z\n== two\nGET /{{ab*2}}?{{k#*2|&}}\n";
        let read = read(text);
        assert_eq!((read.len(), read[0].steps.len()), (2, 5));
        assert_eq!(
            read[0].steps[0],
            Step::Exchange(Request::new("PUT", "/a", "{\"b\": 1}"))
        );
        assert_eq!(
            read[1].steps[0],
            Step::Exchange(Request::get("/abab?k0&k1"))
        );
        assert!(matches!(&read[0].steps[2], Step::Take { from, .. } if from == "0.ID"));
    }
}
