//! The definition files as they stand: the last good contents of each, and what is wrong with the present ones.
//!
//! Pure: it is handed what was found on disk and says what is to be registered. A file that is broken keeps what it
//! last said well; a file that is gone says nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::definition::files::{File, Found};
use crate::definition::{Definitions, Joined, Problem, join, parse};

/// What is known of one file.
#[derive(Debug, Default)]
struct Known {
    /// As last read; `None` when it could not be.
    text: Option<String>,
    /// The name in messages.
    name: String,
    good: Option<Definitions>,
    problems: Vec<Problem>,
}

/// All files of an agent.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: BTreeMap<PathBuf, Known>,
    order: Vec<PathBuf>,
    skipped: BTreeSet<PathBuf>,
    unreadable: BTreeMap<PathBuf, String>,
    last_problems: Vec<Problem>,
}

/// What the files come to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Taken {
    /// What is to be registered.
    pub(super) joined: Joined,
    /// Everything that is wrong.
    pub(super) problems: Vec<Problem>,
    /// What of it was not wrong the last time.
    pub(super) news: Vec<Problem>,
    /// Files passed over, named once.
    pub(super) skipped: Vec<PathBuf>,
    /// Something registered in an earlier life may stand in a file that cannot be read now: take nothing out.
    pub(super) hold: bool,
}

impl Sources {
    /// Takes over what was found.
    pub(super) fn take(&mut self, found: Found) -> Taken {
        self.unreadable = found.unreadable.into_iter().collect();
        let mut order: Vec<PathBuf> = Vec::new();
        for file in found.files {
            order.push(file.path.clone());
            self.file(file);
        }
        // Files of a folder that cannot be listed are not gone.
        let unlisted = |path: &Path| {
            path.parent()
                .is_some_and(|folder| self.unreadable.contains_key(folder))
        };
        order.extend(
            self.order
                .iter()
                .filter(|path| unlisted(path) && !order.contains(path))
                .cloned()
                .collect::<Vec<_>>(),
        );
        self.files.retain(|path, _| order.contains(path));
        self.order = order;
        let skipped = found
            .skipped
            .into_iter()
            .filter(|path| self.skipped.insert(path.clone()))
            .collect();
        self.outcome(skipped)
    }

    fn file(&mut self, file: File) {
        let name = file.path.display().to_string();
        let known = self.files.entry(file.path).or_default();
        known.name.clone_from(&name);
        match file.text {
            Ok(text) if known.text.as_ref() == Some(&text) => {}
            Ok(text) => {
                match parse(&name, &text, file.format) {
                    Ok(good) => {
                        known.good = Some(good);
                        known.problems.clear();
                    }
                    Err(problems) => known.problems = problems,
                }
                known.text = Some(text);
            }
            Err(reason) => {
                known.text = None;
                known.problems = vec![whole(name, reason)];
            }
        }
    }

    fn outcome(&mut self, skipped: Vec<PathBuf>) -> Taken {
        let known: Vec<&Known> = self
            .order
            .iter()
            .filter_map(|path| self.files.get(path))
            .collect();
        let good = known
            .iter()
            .filter_map(|file| Some((file.name.as_str(), file.good.as_ref()?)));
        let (joined, taken) = join(good);
        let unread = self.unreadable.iter().map(|(folder, reason)| {
            whole(
                folder.display().to_string(),
                format!("cannot list this folder: {reason}"),
            )
        });
        let mut problems: Vec<Problem> = unread.collect();
        problems.extend(known.iter().flat_map(|file| file.problems.iter().cloned()));
        problems.extend(taken);
        let hold = !self.unreadable.is_empty() || known.iter().any(|file| file.good.is_none());
        let news = problems
            .iter()
            .filter(|problem| !self.last_problems.contains(problem))
            .cloned()
            .collect();
        self.last_problems.clone_from(&problems);
        Taken {
            joined,
            problems,
            news,
            skipped,
            hold,
        }
    }
}

fn whole(file: String, text: String) -> Problem {
    Problem {
        file,
        at: None,
        key: String::new(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Format;

    fn file(name: &str, text: Result<&str, &str>) -> File {
        File {
            path: PathBuf::from("d").join(name),
            format: Format::Hcl,
            text: text.map(str::to_owned).map_err(str::to_owned),
        }
    }

    fn found(files: Vec<File>) -> Found {
        Found {
            files,
            ..Found::default()
        }
    }

    fn ids(taken: &Taken) -> Vec<&str> {
        taken.joined.services.keys().map(String::as_str).collect()
    }

    const A: &str = "service { name = \"a\" }";
    const B: &str = "service { name = \"b\" }";

    #[test]
    fn a_broken_file_keeps_what_it_said_and_the_others_go_on() {
        let mut sources = Sources::default();
        let taken = sources.take(found(vec![file("1.hcl", Ok(A)), file("2.hcl", Ok(B))]));
        assert_eq!((ids(&taken), taken.hold), (vec!["a", "b"], false));

        let more = "service { name = \"b\" } service { name = \"c\" }";
        let files = || vec![file("1.hcl", Ok("service {")), file("2.hcl", Ok(more))];
        let taken = sources.take(found(files()));
        assert_eq!(ids(&taken), ["a", "b", "c"]);
        assert_eq!((taken.news.len(), taken.hold), (1, false));
        assert!(
            taken.news[0]
                .to_string()
                .starts_with("d/1.hcl:1:10: the text ends"),
            "{}",
            taken.news[0]
        );

        let taken = sources.take(found(files()));
        assert_eq!(
            (taken.problems.len(), taken.news.len()),
            (1, 0),
            "said once"
        );
        let taken = sources.take(found(vec![
            file("1.hcl", Err("cannot read it: denied")),
            file("2.hcl", Ok(more)),
        ]));
        assert_eq!((ids(&taken), taken.news.len()), (vec!["a", "b", "c"], 1));
        let taken = sources.take(found(vec![file("1.hcl", Ok("")), file("2.hcl", Ok(more))]));
        assert_eq!((ids(&taken), taken.problems.len()), (vec!["b", "c"], 0));
        let taken = sources.take(found(vec![file("2.hcl", Ok(B))]));
        assert_eq!(ids(&taken), ["b"]);
    }

    #[test]
    fn nothing_is_taken_out_while_something_was_never_understood() {
        let mut sources = Sources::default();
        assert!(
            sources
                .take(found(vec![
                    file("1.hcl", Ok("service {")),
                    file("2.hcl", Ok(B))
                ]))
                .hold
        );
        assert!(
            !sources
                .take(found(vec![file("1.hcl", Ok(A)), file("2.hcl", Ok(B))]))
                .hold
        );
        let gone = Found {
            unreadable: vec![(PathBuf::from("d"), "denied".to_owned())],
            ..Found::default()
        };
        let taken = sources.take(gone);
        assert_eq!(
            (ids(&taken), taken.hold),
            (vec!["a", "b"], true),
            "a folder that cannot be listed is not empty"
        );
        assert_eq!(
            taken.news[0].to_string(),
            "d: cannot list this folder: denied"
        );
    }

    #[test]
    fn what_is_skipped_is_said_once() {
        let mut sources = Sources::default();
        let with = || Found {
            skipped: vec![PathBuf::from("d/readme.txt")],
            ..Found::default()
        };
        assert_eq!(sources.take(with()).skipped.len(), 1);
        assert_eq!(sources.take(with()).skipped.len(), 0);
    }
}
