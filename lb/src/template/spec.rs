//! One template on the command line: `IN:OUT[:COMMAND]`.

use std::path::PathBuf;
use std::str::FromStr;

use super::TemplateError;

/// What to render, where to, and what to do then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSpec {
    /// The template (Handlebars).
    pub source: PathBuf,
    /// The file that is written.
    pub target: PathBuf,
    /// Run by `sh -c` after the file has changed.
    pub command: Option<String>,
}

impl FromStr for TemplateSpec {
    type Err = TemplateError;

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
        // The rest is the command, colons and all.
        let command = parts
            .next()
            .filter(|part| !part.trim().is_empty())
            .map(str::to_owned);
        Ok(Self {
            source: source.into(),
            target: target.into(),
            command,
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
        assert_eq!(spec.command.as_deref(), Some("curl http://x:1/ -d a"));
        let spec: TemplateSpec = "a.hbs:a.cfg".parse().expect("a spec");
        assert_eq!(
            (spec.source, spec.target, spec.command),
            ("a.hbs".into(), "a.cfg".into(), None)
        );
        for text in ["", "a.hbs", "a.hbs:", ":out"] {
            assert!(text.parse::<TemplateSpec>().is_err(), "{text}");
        }
    }
}
