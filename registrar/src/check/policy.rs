//! Which checks may run a program of the caller's choice.
//!
//! A check that runs a program is a way to run programs on this machine, so it is off unless whoever starts the registry
//! says otherwise, and saying so for definitions on this machine does not say so for the network. Pure; texts are Consul's.

/// Whether script checks run. The default is [`Scripts::Off`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scripts {
    /// None.
    #[default]
    Off,
    /// Those defined by a file on this machine; what comes over the network is refused.
    Local,
    /// All.
    All,
}

/// Who asked for a check. The default is the one that may do less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A definition file on this machine.
    Local,
    /// A request.
    #[default]
    Remote,
}

/// A script check that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptRefused {
    /// Asked for by a request; Consul answers 500 with this text.
    #[error(
        "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"
    )]
    Remote,
    /// Asked for by a file.
    #[error(
        "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or 'enable_local_script_checks' to true"
    )]
    Local,
}

impl Scripts {
    /// Whether a script check from `source` may run.
    ///
    /// # Errors
    /// It may not; the text says what would allow it.
    pub fn permit(self, source: Source) -> Result<(), ScriptRefused> {
        match (self, source) {
            (Scripts::All, _) | (Scripts::Local, Source::Local) => Ok(()),
            (Scripts::Off | Scripts::Local, Source::Remote) => Err(ScriptRefused::Remote),
            (Scripts::Off, Source::Local) => Err(ScriptRefused::Local),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_never_runs_a_script_unless_all_may() {
        let table = [
            (Scripts::Off, Source::Remote, Err(ScriptRefused::Remote)),
            (Scripts::Off, Source::Local, Err(ScriptRefused::Local)),
            (Scripts::Local, Source::Remote, Err(ScriptRefused::Remote)),
            (Scripts::Local, Source::Local, Ok(())),
            (Scripts::All, Source::Remote, Ok(())),
            (Scripts::All, Source::Local, Ok(())),
        ];
        for (scripts, source, expected) in table {
            assert_eq!(scripts.permit(source), expected, "{scripts:?} {source:?}");
        }
        assert_eq!(Scripts::default(), Scripts::Off);
    }
}
