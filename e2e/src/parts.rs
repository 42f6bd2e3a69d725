//! Finds the real programs that tests run against.
//!
//! A part is looked for in an environment variable (`TURNO_CONSUL=/path/to/consul`), then where `scripts/real-parts` unpacks
//! it, then on the PATH. A test that needs a missing part is skipped out loud on a user's machine, and fails in CI, where the
//! script has run and a skipped test would be a lie.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A program that turno's tests need and that is not part of turno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The browser, or its headless shell under that name.
    Chromium,
    /// The registry of HashiCorp, 1.8 or newer.
    Consul,
    /// Any version since 7.75 (`--fail-with-body` is not used; `-X` and `-sS` are).
    Curl,
    /// HAProxy 2.6 or newer.
    Haproxy,
    /// nginx 1.18 or newer.
    Nginx,
    /// Node.js, with the module zeromq beside the other parts.
    Node,
    /// 2.24 or newer.
    Prometheus,
    /// Python 3, only its standard library.
    Python,
    /// The load generator.
    Wrk,
}

impl Part {
    /// The name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Part::Chromium => "chromium",
            Part::Consul => "consul",
            Part::Curl => "curl",
            Part::Haproxy => "haproxy",
            Part::Nginx => "nginx",
            Part::Node => "node",
            Part::Prometheus => "prometheus",
            Part::Python => "python3",
            Part::Wrk => "wrk",
        }
    }

    /// The environment variable that overrides where it is looked for.
    fn variable(self) -> String {
        format!(
            "TURNO_{}",
            self.program().trim_end_matches('3').to_uppercase()
        )
    }

    /// Where the program is, or `None` if it is nowhere.
    pub fn find(self) -> Option<PathBuf> {
        if let Some(path) = env::var_os(self.variable()) {
            return Some(PathBuf::from(path));
        }
        let unpacked = checkout().join(".real-parts/bin").join(self.program());
        if unpacked.is_file() {
            return Some(unpacked);
        }
        on_path(self.program())
    }

    /// Where the program is.
    ///
    /// # Panics
    /// If it is nowhere: to be called by tests that have passed [`available`].
    pub fn path(self) -> PathBuf {
        self.find().unwrap_or_else(|| panic!("{}", self.missing()))
    }

    fn missing(self) -> String {
        format!(
            "{} is not installed; `scripts/real-parts` would install it, or {} may name it",
            self.program(),
            self.variable()
        )
    }
}

/// Whether all of `parts` are there. A test that gets `false` returns at once; what is missing has been said.
///
/// # Panics
/// In CI (`CI=true`), if one is missing.
pub fn available(parts: &[Part]) -> bool {
    let missing: Vec<Part> = parts
        .iter()
        .copied()
        .filter(|part| part.find().is_none())
        .collect();
    for part in &missing {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        assert!(!in_ci(), "{test}: {}", part.missing());
        say(&format!("SKIPPED {test}: {}", part.missing()));
    }
    missing.is_empty()
}

/// Whether Node.js is there, with its zeromq. Not every machine has Node.js, so a test that gets `false` is skipped out loud
/// even in CI; but where it is, the module has to be there too.
///
/// # Panics
/// In CI, if there is Node.js and not the module.
pub fn node_available() -> bool {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let missing = if Part::Node.find().is_none() {
        "node is not installed; install Node.js and npm, then run `scripts/real-parts`"
    } else if !node_modules().join("zeromq").is_dir() {
        assert!(
            !in_ci(),
            "{test}: Node's zeromq is missing: run `scripts/real-parts`"
        );
        "Node's zeromq is missing; `scripts/real-parts` would fetch it"
    } else {
        return true;
    };
    say(&format!("SKIPPED {test}: {missing}"));
    false
}

/// Where `scripts/real-parts` puts Node's modules.
pub fn node_modules() -> PathBuf {
    checkout().join(".real-parts/node/node_modules")
}

/// Prints a line where a person sees it. The test runner keeps what `eprintln!` says to itself when a test passes, but not
/// what is written to stderr itself.
pub fn say(line: &str) {
    // Whoever closed stderr does not want to read it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether this is a run of CI, where nothing may be skipped.
pub fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// The root of the checkout this was built from.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace's root")
}

/// A user's PATH may lack the folders where Debian keeps daemons.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_named_after_the_program() {
        assert_eq!(Part::Consul.variable(), "TURNO_CONSUL");
        assert_eq!(Part::Python.variable(), "TURNO_PYTHON");
    }

    #[test]
    fn a_program_is_found_on_the_path_and_a_missing_one_is_not() {
        assert!(on_path("sh").is_some());
        assert_eq!(on_path("no-such-program-anywhere"), None);
    }
}
