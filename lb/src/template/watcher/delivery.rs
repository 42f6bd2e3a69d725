//! Brings renderings into their files, and runs one command for all that share it.

use std::path::PathBuf;
use std::time::Duration;

use crate::template::TemplateError;
use crate::template::output::{Output, Written, command};

/// A text on its way.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) output: Output,
    pub(super) text: String,
    /// A file that remembers something for the next start, and its text.
    pub(super) note: Option<(PathBuf, String)>,
}

/// What became of it, by target.
pub(super) type Outcome = (PathBuf, Result<Written, TemplateError>);

/// Texts whose command is the same, and what became of them.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) command: Option<String>,
    /// Whether the command was run.
    pub(super) ran: bool,
    pub(super) outcomes: Vec<Outcome>,
}

/// Writes all `pieces`, runs their `command` once if any has changed, and takes all back if that fails.
pub(super) async fn deliver(command: Option<String>, pieces: Vec<Piece>) -> Delivered {
    let mut outcomes = Vec::with_capacity(pieces.len());
    let mut changed = Vec::new();
    for Piece { output, text, note } in pieces {
        if let Some((path, text)) = note {
            // Before the file: a number that was seen must not be given to another.
            if let Err(error) = Output::plain(path).write(&text).await {
                tracing::warn!("{error}");
            }
        }
        match output.prepare(&text).await {
            Ok(None) => outcomes.push((output.target, Ok(Written::Same))),
            Err(error) => outcomes.push((output.target, Err(error))),
            Ok(Some(candidate)) => match output.swap_in(candidate) {
                Ok(replaced) => changed.push((output, replaced)),
                Err(error) => outcomes.push((output.target, Err(error))),
            },
        }
    }
    let limit = changed.iter().map(|(output, _)| output.command_limit).max();
    let ran = command.as_deref().zip(limit);
    let failure = match ran {
        Some((command, limit)) => command::run_within(command, limit).await.err(),
        None => None,
    };
    let ran = ran.is_some();
    for (output, replaced) in changed {
        let outcome = match &failure {
            None => Ok(Written::Changed),
            Some(reason) => match output.take_back(replaced) {
                Ok(()) => Err(output.command_failed(reason.clone())),
                // Worse than the failed command: the file is not what is in use.
                Err(error) => Err(error),
            },
        };
        outcomes.push((output.target, outcome));
    }
    Delivered {
        command,
        ran,
        outcomes,
    }
}

/// How long a stop waits for what is on its way.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn piece(folder: &Path, name: &str, check: Option<&str>, text: &str) -> Piece {
        Piece {
            output: Output {
                check: check.map(str::to_owned),
                ..Output::plain(folder.join(name))
            },
            text: text.to_owned(),
            note: None,
        }
    }

    #[tokio::test]
    async fn one_command_for_all_and_all_are_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let count = format!(
            "echo x >> {}; test ! -e {}",
            folder.join("ran").display(),
            folder.join("bad").display()
        );
        let pieces = || {
            vec![
                piece(folder, "a", None, "a1"),
                piece(folder, "b", None, "b1"),
                piece(folder, "c", Some("false"), "c1"),
            ]
        };
        let done = deliver(Some(count.clone()), pieces()).await;
        assert_eq!(
            (read("a"), read("b"), read("c"), read("ran")),
            ("a1".into(), "b1".into(), String::new(), "x\n".into())
        );
        let failed = done.outcomes.iter().filter(|(_, outcome)| outcome.is_err());
        assert_eq!((failed.count(), done.ran), (1, true));
        let again = deliver(Some(count.clone()), pieces()).await;
        assert!(!again.ran, "nothing has changed");

        std::fs::write(folder.join("bad"), "").expect("written");
        let pieces = vec![
            piece(folder, "a", None, "a2"),
            piece(folder, "d", None, "d1"),
        ];
        let done = deliver(Some(count), pieces).await;
        assert!(
            done.outcomes
                .iter()
                .all(|(_, outcome)| matches!(outcome, Err(TemplateError::Command { .. })))
        );
        assert_eq!(read("a"), "a1");
        assert!(!folder.join("d").exists());
    }
}
