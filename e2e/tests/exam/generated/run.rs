//! Runs a list of steps on both registries, and finds a shorter one that fails as well.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::{Action, Step};
use crate::intended::Intended;
use crate::pair::{Pair, Request};
use crate::waiting::Waiting;

/// Most queries that wait at once; the oldest are given up for newer ones.
const WATCHES: usize = 4;

/// Consul wakes its queries within milliseconds of a write; a machine that is busy may take longer, and only then do we.
const ALIKE: Duration = Duration::from_secs(5);

/// A difference that does not come again in so many runs was chance.
const REPEATS: usize = 3;

/// Most attempts at a shorter list.
const ATTEMPTS: usize = 250;

/// Runs the steps from two empty registries.
///
/// # Errors
/// What differs that is not intended, and after which step.
pub(super) fn run(pair: &mut Pair, steps: &[Step], intended: &Intended) -> Result<(), String> {
    pair.clean();
    let mut watches: Vec<Waiting> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let failed = |what: String| format!("step {at} ({:?}): {what}", step.action);
        match &step.action {
            Action::Do(request) => {
                exchange(pair, request, intended).map_err(failed)?;
            }
            Action::Take(name, field, request) => {
                let answers = exchange(pair, request, intended).map_err(failed)?;
                pair.consul
                    .memory
                    .taken
                    .insert((*name).to_owned(), answers.0.field(field));
                pair.ours
                    .memory
                    .taken
                    .insert((*name).to_owned(), answers.1.field(field));
            }
            Action::Watch(path) => {
                exchange(pair, &Request::get(path.as_str()), intended).map_err(failed)?;
                if watches.len() == WATCHES {
                    watches.remove(0);
                }
                watches.push(pair.watch(path));
            }
        }
        look(pair, &mut watches, intended).map_err(failed)?;
        for read in &step.reads {
            exchange(pair, read, intended).map_err(failed)?;
        }
    }
    look(pair, &mut watches, intended).map_err(|what| format!("at the end: {what}"))
}

/// What an answer holds, for later steps.
struct Told(Value);

impl Told {
    fn field(&self, path: &str) -> String {
        match self.0.pointer(&format!("/{}", path.replace('.', "/"))) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }
}

fn exchange(
    pair: &mut Pair,
    request: &Request,
    intended: &Intended,
) -> Result<(Told, Told), String> {
    let outcome = pair.exchange(request, intended);
    if !outcome.unintended.is_empty() {
        let all: Vec<String> = outcome.unintended.iter().map(ToString::to_string).collect();
        return Err(format!("{}: {}", request.line(), all.join("; ")));
    }
    let told =
        |answer: &e2e::http::Answer| Told(serde_json::from_slice(&answer.body).unwrap_or_default());
    Ok((told(&outcome.answers.0), told(&outcome.answers.1)))
}

/// Looks at the queries that wait: they must end on both or on neither. Those that ended are taken off the list.
fn look(pair: &mut Pair, watches: &mut Vec<Waiting>, intended: &Intended) -> Result<(), String> {
    let mut kept = Vec::new();
    for mut watch in watches.drain(..) {
        let request = Request::get(watch.path.as_str());
        let woken = match watch.woken() {
            // An end without news is Consul's alone; one with news comes on ours too.
            (true, false) if watch.news(pair, &request).is_none() => (true, false),
            _ => watch.await_alike(ALIKE),
        };
        match woken {
            (false, false) => kept.push(watch),
            (true, true) => {
                exchange(pair, &request, intended)?;
            }
            _ if watch.news(pair, &request).is_none() => intended.idle(),
            woken if intended.excuses_wake(&watch.path, woken, &watch.told_by_ours()) => {}
            woken => return Err(format!("{} woken (Consul, ours): {woken:?}", watch.path)),
        }
    }
    *watches = kept;
    Ok(())
}

/// The shortest list of steps found that fails, and how; `None` if they do not fail again.
pub(super) fn shortest(pair: &mut Pair, steps: &[Step], intended: &Intended) -> Option<String> {
    let mut failure = (0..REPEATS).find_map(|_| run(pair, steps, intended).err())?;
    let mut steps = steps.to_vec();
    let mut attempts = 0;
    let mut size = steps.len();
    while size > 0 && attempts < ATTEMPTS {
        let mut from = 0;
        while from < steps.len() && attempts < ATTEMPTS {
            attempts += 1;
            let mut fewer = steps.clone();
            fewer.drain(from..steps.len().min(from + size));
            match run(pair, &fewer, intended) {
                Err(found) => {
                    failure = found;
                    steps = fewer;
                }
                Ok(()) => from += size,
            }
        }
        size /= 2;
    }
    let mut text = String::new();
    for step in &steps {
        let reads: Vec<&str> = step.reads.iter().map(|read| read.path.as_str()).collect();
        let action = match &step.action {
            Action::Do(request) => request.line(),
            Action::Take(name, field, request) => format!("{name}:{field} <- {}", request.line()),
            Action::Watch(path) => format!("watch {path}"),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {action}\n      then {}", reads.join("  "));
    }
    Some(format!("{text}  {failure}"))
}
