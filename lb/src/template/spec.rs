//! One template: where its text comes from, where the rendering goes, and what is done with it.

use std::path::PathBuf;
use std::str::FromStr;

use super::output::Output;
use super::{TemplateError, Wait};

/// Where a template's text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file, which is watched.
    File(PathBuf),
    /// The configuration itself.
    Contents { text: String, name: PathBuf },
}

impl Source {
    /// What it is called in messages.
    pub(super) fn name(&self) -> &PathBuf {
        match self {
            Self::File(path) => path,
            Self::Contents { name, .. } => name,
        }
    }

    pub(super) fn read(&self) -> Result<String, TemplateError> {
        match self {
            Self::Contents { text, .. } => Ok(text.clone()),
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|source| TemplateError::File {
                    what: "read",
                    path: path.clone(),
                    source,
                })
            }
        }
    }
}

/// What to render, where to, and what to do then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSpec {
    pub(super) source: Source,
    pub(super) output: Output,
    pub(super) wait: Wait,
}

impl TemplateSpec {
    /// A check to run on each candidate by `sh -c`; `{candidate}` stands for its path.
    #[must_use]
    pub fn with_check(mut self, check: Option<String>) -> Self {
        self.output.check = check;
        self
    }

    /// How long additions wait for more of them.
    #[must_use]
    pub fn with_wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }
}

impl FromStr for TemplateSpec {
    type Err = TemplateError;

    /// `IN:OUT[:COMMAND]`. The command is the rest, colons and all.
    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let error = |reason| TemplateError::Spec {
            text: text.to_owned(),
            reason,
        };
        let mut parts = text.splitn(3, ':');
        let source = parts
            .next()
            .filter(|part| !part.is_empty())
            .ok_or_else(|| error("no template"))?;
        let target = parts
            .next()
            .filter(|part| !part.is_empty())
            .ok_or_else(|| error("no target"))?;
        let command = parts
            .next()
            .filter(|part| !part.trim().is_empty())
            .map(str::to_owned);
        Ok(Self {
            source: Source::File(source.into()),
            output: Output {
                command,
                ..Output::plain(target)
            },
            wait: Wait::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        let spec: TemplateSpec = "a.hbs:/etc/a.cfg:curl http://x:1/ -d a"
            .parse()
            .expect("a spec");
        assert_eq!(
            spec.output.command.as_deref(),
            Some("curl http://x:1/ -d a")
        );
        let spec: TemplateSpec = "a.hbs:a.cfg".parse().expect("a spec");
        assert_eq!(
            (spec.source.name(), &spec.output.target, spec.output.command),
            (&"a.hbs".into(), &"a.cfg".into(), None)
        );
        for text in ["", "a.hbs", "a.hbs:", ":out"] {
            assert!(text.parse::<TemplateSpec>().is_err(), "{text}");
        }
    }
}
