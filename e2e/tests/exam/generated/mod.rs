//! Generated exchanges: steps chosen by a seeded chance out of a small universe, so that they collide, sent to both and
//! compared after each. A failure prints the seed and the shortest list of steps found that still fails.
//!
//! `TURNO_EXAM_STEPS` says how many steps (10000 is the full exam), `TURNO_EXAM_SEED` where to begin; without it
//! each run begins elsewhere.

mod reads;
mod run;
mod writes;

use std::env;

use e2e::parts::{self, Part};

use crate::intended::{Intended, ShownBy};
use crate::pair::{Pair, Request};

/// Steps where nobody says how many: seconds' worth. Every run begins elsewhere, so that many runs add up.
const STEPS: usize = 250;

/// Steps between two cleanings: long enough for things to pile up, short enough to be made shorter when they fail.
const EPISODE: usize = 100;

/// Seeds are below this, so that they are easily typed again.
const SEEDS: u64 = 1_000_000;

/// The full exam: from here on every difference on the list must be seen.
const FULL: usize = 10_000;

/// Once a minute Consul's agent compares all it has with its catalog, whatever else is going on. A difference that does
/// not come again is taken for that, is said, and may come so many times.
const ONCE: usize = 1;

/// What is done to both, and what is then read from both.
#[derive(Clone, Debug)]
struct Step {
    action: Action,
    reads: Vec<Request>,
}

#[derive(Clone, Debug)]
enum Action {
    Do(Request),
    /// The same, and a field of the answer is kept under a name.
    Take(&'static str, &'static str, Request),
    /// A query waits from now on.
    Watch(String),
}

fn number(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

#[test]
fn whatever_is_done_both_answer_alike() {
    if !parts::available(&[Part::Consul]) {
        return;
    }
    let steps = usize::try_from(number("TURNO_EXAM_STEPS", STEPS as u64)).expect("a count fits");
    let seed = number("TURNO_EXAM_SEED", fastrand::u64(..SEEDS));
    parts::say(&format!(
        "exam: {steps} generated steps; again: TURNO_EXAM_STEPS={steps} TURNO_EXAM_SEED={seed}"
    ));
    let intended = Intended::default();
    let mut pair = Pair::start();
    let (mut done, mut episode, mut once) = (0, 0, 0);
    while done < steps {
        // Each episode has a seed of its own, so that a failing one can be run by itself.
        let its_seed = seed.wrapping_mul(1_000_000) + episode;
        let script = script(its_seed, EPISODE.min(steps - done));
        if let Err(failure) = run::run(&mut pair, &script, &intended) {
            let failure = format!("seed {seed}, episode {episode} (seed {its_seed}): {failure}");
            if let Some(shortest) = run::shortest(&mut pair, &script, &intended) {
                panic!("{failure}\nshortest:\n{shortest}");
            }
            parts::say(&format!("exam: seen once and not again: {failure}"));
            once += 1;
        }
        done += script.len();
        episode += 1;
    }
    parts::say(&format!(
        "exam: {done} generated steps from seed {seed}, {} exchanges, no difference that is not intended ({once} seen once \
         and not again); needed: {}",
        pair.exchanges,
        intended.needed()
    ));
    assert!(once <= ONCE, "{once} differences seen once and not again");
    if done >= FULL {
        let unused = intended.unused(ShownBy::Generated);
        assert!(
            unused.is_empty(),
            "no exchange differs any more as the list says: {unused:?}"
        );
    }
}

/// The steps of an episode.
fn script(seed: u64, length: usize) -> Vec<Step> {
    let mut chance = fastrand::Rng::with_seed(seed);
    (0..length)
        .map(|_| Step {
            action: writes::action(&mut chance),
            reads: (0..3).map(|_| reads::read(&mut chance)).collect(),
        })
        .collect()
}

/// One of several.
fn one<'a>(chance: &mut fastrand::Rng, of: &[&'a str]) -> &'a str {
    of[chance.usize(..of.len())]
}

/// True in so many of a hundred cases.
fn percent(chance: &mut fastrand::Rng, of_a_hundred: u32) -> bool {
    chance.u32(..100) < of_a_hundred
}
