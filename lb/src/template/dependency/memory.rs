//! What to believe of an answer that comes after the registry was away. Pure: time is an argument.
//!
//! The same rules as the balancer's (see docs/adr/0007): an error takes nothing away, and what a registry that has started
//! over does not speak of is held for a while. Here they hold for services, nodes and keys as well.

use std::time::{Duration, Instant};

use super::Reply;

/// The last good answer to one question.
#[derive(Debug, Default)]
pub(super) struct Memory {
    believed: Option<Reply>,
    index: u64,
    failed: bool,
    doubt: Option<Doubt>,
}

/// What a forgetful answer lacked.
#[derive(Debug)]
struct Doubt {
    held: Reply,
    /// The answer itself, for when the doubt is over.
    answer: Reply,
    until: Instant,
}

impl Memory {
    /// No answer.
    pub(super) fn failed(&mut self) {
        self.failed = true;
    }

    /// The same answer again.
    pub(super) fn unchanged(&mut self, index: u64) {
        self.failed = false;
        self.index = index;
    }

    /// Whether an empty answer would take something away.
    pub(super) fn would_empty(&self, answer: &Reply) -> bool {
        answer.is_empty() && self.believed.as_ref().is_some_and(|last| !last.is_empty())
    }

    /// An answer came at `now`. Returns what to believe.
    pub(super) fn answer(
        &mut self,
        answer: Reply,
        index: u64,
        now: Instant,
        settle: Duration,
    ) -> Reply {
        let started_over = index < self.index || answer.is_empty();
        if self.failed
            && let Some(believed) = &self.believed
        {
            let mut held = believed.clone();
            if held.keep_doubtful(&answer, started_over) > 0 {
                // A second restart while in doubt does not hold what was held already for longer.
                let until = self
                    .doubt
                    .as_ref()
                    .map_or(now + settle, |doubt| doubt.until);
                self.doubt = Some(Doubt {
                    held,
                    answer: answer.clone(),
                    until,
                });
            }
        } else if let Some(doubt) = &mut self.doubt {
            doubt.answer = answer.clone();
            if doubt.held.keep_doubtful(&answer, true) == 0 {
                self.doubt = None;
            }
        }
        self.failed = false;
        self.index = index;
        if self.doubt.as_ref().is_some_and(|doubt| doubt.until <= now) {
            self.doubt = None;
        }
        let mut believed = answer;
        if let Some(doubt) = &self.doubt {
            believed.fill_in(&doubt.held);
        }
        self.believed = Some(believed.clone());
        believed
    }

    /// When the doubt is over.
    pub(super) fn until(&self) -> Option<Instant> {
        self.doubt.as_ref().map(|doubt| doubt.until)
    }

    /// Ends the doubt if it is time. Returns what to believe then.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Reply> {
        let doubt = self.doubt.take_if(|doubt| doubt.until <= now)?;
        self.believed = Some(doubt.answer.clone());
        Some(doubt.answer)
    }

    /// Whether something is held that the registry has not confirmed.
    pub(super) fn is_holding(&self) -> bool {
        self.doubt.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::tests::entry;
    use super::*;

    const SETTLE: Duration = Duration::from_secs(30);

    /// `a` passing, `a?` not checked yet, `a!` critical.
    fn reply(text: &str) -> Reply {
        let entries = text.split_whitespace().map(|word| {
            let status = match word.chars().last() {
                Some('?' | '!') => "critical",
                _ => "passing",
            };
            let mut entry = entry("n", word.trim_end_matches(['?', '!']), 1, status);
            if word.ends_with('?') {
                entry.checks[0].output.clear();
            }
            entry
        });
        Reply::instances(entries.collect(), false)
    }

    fn words(reply: &Reply) -> String {
        let Reply::Instances(entries) = reply else {
            panic!("not instances")
        };
        let word = |e: &consul::types::ServiceEntry| {
            let mark = if e.status() == consul::types::Status::Passing {
                ""
            } else {
                "!"
            };
            format!("{}{mark}", e.service.id)
        };
        entries.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// Each step is `FAIL`, or `INDEX: what the registry says`; then what is believed.
    fn story(steps: &[(&str, &str)]) {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for (step, expected) in steps {
            match step.split_once(':') {
                None => memory.failed(),
                Some((index, said)) => {
                    let index = index.parse().expect("an index");
                    memory.answer(reply(said), index, now, SETTLE);
                }
            }
            let believed = memory.believed.as_ref().map(words).unwrap_or_default();
            assert_eq!(believed, *expected, "after {step} of {steps:?}");
        }
    }

    #[test]
    fn what_is_believed() {
        story(&[
            ("5: a b", "a b"),
            ("6: a b!", "a b!"),
            ("7: a", "a"),
            ("8:", ""),
        ]);
        story(&[("5: a b", "a b"), ("FAIL", "a b"), ("6: a", "a")]);
        story(&[
            ("50: a b", "a b"),
            ("FAIL", "a b"),
            ("3:", "a b"),
            ("4: a?", "a b"),
            ("5: a", "a b"),
        ]);
        story(&[
            ("50: a b", "a b"),
            ("FAIL", "a b"),
            ("3: a!", "a! b"),
            ("4: a c", "a b c"),
        ]);
        story(&[
            ("50: a", "a"),
            ("FAIL", "a"),
            ("3:", "a"),
            ("FAIL", "a"),
            ("2:", "a"),
        ]);
        story(&[
            ("50: a b", "a b"),
            ("FAIL", "a b"),
            ("3: a b", "a b"),
            ("4: a", "a"),
        ]);
    }

    #[test]
    fn what_is_held_is_let_go_in_the_end() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.answer(reply("a b"), 50, now, SETTLE);
        memory.failed();
        assert_eq!(words(&memory.answer(reply("a"), 3, now, SETTLE)), "a b");
        assert_eq!(memory.until(), Some(now + SETTLE));
        assert!(memory.expire(now).is_none());
        assert_eq!(
            memory.expire(now + SETTLE).as_ref().map(words),
            Some("a".to_owned())
        );
        assert!(!memory.is_holding());
    }

    #[test]
    fn keys_and_services_are_held_as_well() {
        let services = |names: &[&str]| {
            Reply::Services(
                names
                    .iter()
                    .map(|n| ((*n).to_owned(), Vec::new()))
                    .collect(),
            )
        };
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.answer(services(&["a", "b"]), 9, now, SETTLE);
        memory.failed();
        assert_eq!(
            memory.answer(services(&["b"]), 2, now, SETTLE),
            services(&["a", "b"])
        );
        assert_eq!(
            memory.answer(services(&["a"]), 3, now, SETTLE),
            services(&["a"])
        );
    }
}
