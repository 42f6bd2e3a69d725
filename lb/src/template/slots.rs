//! Small numbers for instances, the same for as long as they are there: `(slot "web" s.ID)`.
//!
//! A name gets the lowest number that is free in its group, and keeps it until a rendering does without it. What was given
//! is remembered in a file beside the target, so that a restart changes nothing. It knows nothing of templates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The most numbers of one group: more instances than any balancer takes.
const LIMIT: usize = 65_536;

/// Who has which number, by group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slots {
    given: BTreeMap<String, BTreeMap<String, usize>>,
    asked: BTreeSet<(String, String)>,
}

impl Slots {
    /// The number of `name` in `group`, from 0. `None`: the group is full.
    pub(crate) fn number(&mut self, group: &str, name: &str) -> Option<usize> {
        self.asked.insert((group.to_owned(), name.to_owned()));
        let group = self.given.entry(group.to_owned()).or_default();
        if let Some(number) = group.get(name) {
            return Some(*number);
        }
        let taken: BTreeSet<usize> = group.values().copied().collect();
        let number = (0..LIMIT).find(|number| !taken.contains(number))?;
        group.insert(name.to_owned(), number);
        Some(number)
    }

    /// A rendering begins.
    pub(crate) fn begin(&mut self) {
        self.asked.clear();
    }

    /// A rendering is complete: whoever was not asked for gives the number back.
    pub(crate) fn complete(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        for (group, given) in &mut self.given {
            given.retain(|name, _| asked.contains(&(group.clone(), name.clone())));
        }
        self.given.retain(|_, given| !given.is_empty());
    }

    /// What is remembered beside `target`; nothing, if that cannot be read.
    pub(crate) fn load(target: &Path) -> Self {
        let path = beside(target);
        let given = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::warn!("{} is not understood and not used: {error}", path.display());
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self {
            given,
            asked: BTreeSet::new(),
        }
    }

    /// The file beside `target`, and the text it should have; `None`: there is nothing to remember.
    pub(crate) fn note(&self, target: &Path) -> Option<(PathBuf, String)> {
        let path = beside(target);
        if self.given.is_empty() && !path.exists() {
            return None;
        }
        let text = serde_json::to_string_pretty(&self.given).ok()?;
        Some((path, text))
    }
}

/// `FILE.numbers.json`.
fn beside(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".numbers.json");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renders with `names`, and shows the numbers they get.
    fn rendered(slots: &mut Slots, names: &str) -> String {
        slots.begin();
        let mut number = |name| slots.number("web", name).expect("there is room");
        let numbers: Vec<String> = names
            .split_whitespace()
            .map(|name| format!("{name}{}", number(name)))
            .collect();
        slots.complete();
        numbers.join(" ")
    }

    #[test]
    fn a_name_keeps_its_number_and_the_lowest_free_one_is_given() {
        let mut slots = Slots::default();
        for (names, expected) in [
            ("a b c", "a0 b1 c2"),
            ("c a", "c2 a0"),
            ("d c a", "d1 c2 a0"),
            ("d d", "d1 d1"),
            // What is given back can be had from the next rendering on.
            ("e", "e0"),
            ("", ""),
            ("x", "x0"),
        ] {
            assert_eq!(rendered(&mut slots, names), expected);
        }
        assert_eq!(slots.number("api", "x"), Some(0), "groups are apart");
    }

    #[test]
    fn what_is_remembered_survives() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out.cfg");
        let mut slots = Slots::load(&target);
        assert_eq!(slots.note(&target), None, "nothing to remember, no file");
        rendered(&mut slots, "a b");
        rendered(&mut slots, "b");
        let (path, text) = slots.note(&target).expect("something to remember");
        std::fs::write(&path, text).expect("written");
        assert_eq!(rendered(&mut Slots::load(&target), "c b"), "c0 b1");
        std::fs::write(&path, "{").expect("written");
        assert_eq!(rendered(&mut Slots::load(&target), "b"), "b0");
    }
}
