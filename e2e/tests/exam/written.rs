//! The written exchanges: every file under `cases/`, each sequence from two empty registries.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use e2e::http::Answer;
use e2e::parts::{self, Part};
use e2e::wait;
use serde_json::Value;

use crate::intended::{Intended, ShownBy};
use crate::pair::{Pair, Request};
use crate::script::{self, Sequence, Step};
use crate::target;
use crate::waiting::Waiting;

/// A query that should stay asleep is watched for this long. A busy machine can only hide a mistake here, not make one up.
const ASLEEP: Duration = Duration::from_millis(150);

macro_rules! cases {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("cases/", $name, ".txt")))),+]
    };
}

const CASES: &[(&str, &str)] = cases![
    "agent_service",
    "agent_service_bad",
    "agent_check",
    "maintenance",
    "health",
    "catalog",
    "filter",
    "kv",
    "session",
    "txn",
    "event",
    "query",
    "status",
    "parameters",
    "blocking",
    "surface",
    "odd",
    "traces",
];

/// Asks for fewer while one works on them: `TURNO_EXAM=kv` runs the files whose name contains it.
const FILTER: &str = "TURNO_EXAM";

#[test]
fn consul_and_the_embedded_registry_answer_alike() {
    if !parts::available(&[Part::Consul]) {
        return;
    }
    let filter = std::env::var(FILTER).unwrap_or_default();
    let web = target::start();
    let intended = Intended::default();
    let (mut failures, mut sequences, mut exchanges) = (Vec::new(), 0, 0);
    for (subject, text) in CASES.iter().filter(|(name, _)| name.contains(&filter)) {
        let mut pair = Pair::start();
        for sequence in script::read(text) {
            sequences += 1;
            pair.clean();
            failures.extend(
                run(&mut pair, &sequence, web, &intended)
                    .into_iter()
                    .map(|failure| format!("{subject}: {}: {failure}", sequence.name)),
            );
        }
        exchanges += pair.exchanges;
    }
    let failed = failures.len();
    parts::say(&format!(
        "exam: {exchanges} exchanges in {sequences} sequences, {failed} with differences that are not intended; \
         needed: {}",
        intended.needed()
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    if filter.is_empty() {
        let unused = intended.unused(ShownBy::Written);
        assert!(
            unused.is_empty(),
            "no exchange differs any more as the list says: {unused:?}"
        );
    }
}

/// Runs a sequence on both. Returns what failed, a line each.
fn run(pair: &mut Pair, sequence: &Sequence, web: SocketAddr, intended: &Intended) -> Vec<String> {
    let mut failures = Vec::new();
    let mut watches: BTreeMap<String, Waiting> = BTreeMap::new();
    for side in [&mut pair.consul, &mut pair.ours] {
        side.memory.taken.insert("WEB".to_owned(), web.to_string());
    }
    let mut rested = false;
    for step in &sequence.steps {
        rested &= matches!(step, Step::Asleep(_) | Step::Woken(_) | Step::Idle(_));
        match step {
            Step::Exchange(request) => {
                failures.extend(exchange(pair, request, intended).1);
            }
            Step::Take {
                name,
                from,
                request,
            } => {
                let (answers, failed) = exchange(pair, request, intended);
                failures.extend(failed);
                pair.consul
                    .memory
                    .taken
                    .insert(name.clone(), take(&answers.0, from));
                pair.ours
                    .memory
                    .taken
                    .insert(name.clone(), take(&answers.1, from));
            }
            Step::Watch(name, path) => {
                watches.insert(name.clone(), pair.watch(path));
            }
            Step::Woken(name) => {
                let watch = watches
                    .get_mut(name)
                    .unwrap_or_else(|| panic!("no watch {name}"));
                match watch.await_both(wait::SOON) {
                    (true, true) => failures.extend(
                        pair.judge_woken(watch, intended)
                            .iter()
                            .map(|difference| format!("woken {name} {}: {difference}", watch.path)),
                    ),
                    woken => failures.push(format!(
                        "{name} {}: woken (Consul, ours): {woken:?}",
                        watch.path
                    )),
                }
            }
            Step::Asleep(name) => {
                let watch = watches
                    .get_mut(name)
                    .unwrap_or_else(|| panic!("no watch {name}"));
                // One rest is enough for all that should still be asleep after the same change.
                if !std::mem::replace(&mut rested, true) {
                    thread::sleep(ASLEEP);
                }
                let woken = watch.woken();
                if woken != (false, false) {
                    failures.push(format!(
                        "{name} {}: not asleep (Consul, ours): {woken:?}",
                        watch.path
                    ));
                }
                pair.exchanges += 1;
            }
            Step::Idle(name) => {
                let watch = watches
                    .get_mut(name)
                    .unwrap_or_else(|| panic!("no watch {name}"));
                failures.extend(
                    idle(pair, watch, intended)
                        .map(|what| format!("idle {name} {}: {what}", watch.path)),
                );
            }
            Step::Until(text, request) => {
                failures.extend(until(pair, text, request, intended, true));
            }
            Step::Ours(text, request) => {
                failures.extend(until(pair, text, request, intended, false));
            }
        }
    }
    failures
}

fn exchange(
    pair: &mut Pair,
    request: &Request,
    intended: &Intended,
) -> ((Answer, Answer), Vec<String>) {
    let outcome = pair.exchange(request, intended);
    let failures = outcome
        .unintended
        .iter()
        .map(|difference| format!("{}: {difference}", request.line()))
        .collect();
    (outcome.answers, failures)
}

/// A query that Consul ends although it has nothing new to tell, and ours does not. Returns what is wrong with that.
fn idle(pair: &mut Pair, watch: &mut Waiting, intended: &Intended) -> Option<String> {
    let woken = watch.await_consul(ASLEEP);
    if woken != (true, false) {
        return (woken != (false, false)).then(|| format!("woken (Consul, ours): {woken:?}"));
    }
    intended.idle();
    let request = Request::get(watch.path.as_str());
    watch
        .news(pair, &request)
        .map(|difference| format!("it was news: {difference}"))
}

/// Asks both, or ours alone, until each asked has said `text`, then compares.
fn until(
    pair: &mut Pair,
    text: &str,
    request: &Request,
    intended: &Intended,
    both: bool,
) -> Vec<String> {
    let started = Instant::now();
    loop {
        let says = |answer: Answer| answer.text().contains(text);
        let said = (
            !both || says(pair.consul.send(request)),
            says(pair.ours.send(request)),
        );
        if said == (true, true) {
            return exchange(pair, request, intended).1;
        }
        if started.elapsed() > wait::SOON {
            return vec![format!(
                "{}: {text:?} came (Consul, ours): {said:?}",
                request.line()
            )];
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A field of a JSON body (`0.ID`), or a header (`@x-consul-index`).
fn take(answer: &Answer, from: &str) -> String {
    if let Some(header) = from.strip_prefix('@') {
        return answer.header(header).unwrap_or_default().to_owned();
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let pointer = format!("/{}", from.replace('.', "/"));
    match body.pointer(&pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}
