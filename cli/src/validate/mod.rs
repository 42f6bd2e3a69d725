//! `turno validate`: says everything that is wrong with definition files, and changes nothing.
//!
//! It also reads files for the commands that register what they say.

use std::path::{Path, PathBuf};

use clap::Args;
use registrar::definition::{Definitions, Joined, files, join, parse};

use crate::{failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno validate web.hcl
  turno validate /etc/consul.d
  turno validate --quiet web.json && turno register web.json";

/// Says what is wrong with definition files
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ValidateArgs {
    /// Files, or folders with .json and .hcl files
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Print nothing when all is well
    #[arg(long)]
    quiet: bool,
}

/// Prints each problem in a line of its own on standard error.
pub(crate) fn run(args: &ValidateArgs) -> Result<(), Failure> {
    let read = Read::of(&args.paths);
    for skipped in &read.skipped {
        output::complain(&format!(
            "{}: skipped: definitions are in .json and .hcl files",
            skipped.display()
        ));
    }
    for problem in &read.problems {
        output::complain(&output::printable(problem));
    }
    match read.problems.len() {
        0 if args.quiet => Ok(()),
        0 => output::line(&format!(
            "valid: {} in {}",
            read.contents(),
            counted(read.files, "file", "files")
        )),
        n => Err(Failure::failed(format!(
            "not valid: {}",
            counted(n, "problem", "problems")
        ))),
    }
}

/// Definition files, read whole.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) joined: Joined,
    pub(crate) problems: Vec<String>,
    skipped: Vec<PathBuf>,
    files: usize,
}

impl Read {
    /// Reads files, and the files of folders.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        let (folders, names): (Vec<_>, Vec<_>) =
            paths.iter().cloned().partition(|path| path.is_dir());
        let found = files::read(&names, &folders);
        let mut read = Self::default();
        // A file that was asked for by name and has another extension is a mistake, not a bystander.
        let (mistakes, skipped) = found
            .skipped
            .into_iter()
            .partition(|path| names.contains(path));
        read.skipped = skipped;
        let by_name: Vec<PathBuf> = mistakes;
        read.problems
            .extend(by_name.iter().map(|path| not_one(path)));
        read.problems.extend(
            found
                .unreadable
                .iter()
                .map(|(path, reason)| format!("{}: cannot list it: {reason}", path.display())),
        );
        read.files = found.files.len();
        let mut good: Vec<(String, Definitions)> = Vec::new();
        for file in found.files {
            let name = file.path.display().to_string();
            match file.text.map(|text| parse(&name, &text, file.format)) {
                Ok(Ok(definitions)) => good.push((name, definitions)),
                Ok(Err(problems)) => read
                    .problems
                    .extend(problems.iter().map(ToString::to_string)),
                Err(reason) => read.problems.push(format!("{name}: {reason}")),
            }
        }
        let (joined, problems) = join(
            good.iter()
                .map(|(name, definitions)| (name.as_str(), definitions)),
        );
        read.problems
            .extend(problems.iter().map(ToString::to_string));
        read.joined = joined;
        read
    }

    /// What they define, unless anything is wrong with them.
    pub(crate) fn good(self) -> Result<Joined, Failure> {
        match self.problems.split_first() {
            None => Ok(self.joined),
            Some((first, [])) => Err(Failure::failed(first)),
            Some((first, more)) => Err(Failure::failed(format!(
                "{first} (and {} more; see turno validate)",
                more.len()
            ))),
        }
    }

    fn contents(&self) -> String {
        let instances = counted(self.joined.services.len(), "instance", "instances");
        match self.joined.checks.len() {
            0 => instances,
            n => format!(
                "{instances} and {}",
                counted(n, "check of its own", "checks of their own")
            ),
        }
    }
}

/// Why something that was asked for by name is no definition file.
fn not_one(path: &Path) -> String {
    let reason = match path.metadata() {
        Ok(_) => "a definition file is named .json or .hcl".to_owned(),
        Err(error) => format!("cannot read it: {error}"),
    };
    format!("{}: {reason}", path.display())
}

/// A number and what is counted.
pub(crate) fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
