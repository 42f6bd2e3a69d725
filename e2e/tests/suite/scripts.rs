//! What is in `scripts/` tells a newcomer what it does, before it does anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::parts::{self, Part};
use e2e::process::{self, Ended};

/// Longer than a shell takes to print a page, on a busy machine as well.
const LIMIT: Duration = Duration::from_secs(20);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts")
}

/// The names of all that can be run.
fn scripts() -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder()).expect("there are scripts") {
        let entry = entry.expect("it can be listed");
        let about = entry.metadata().expect("it was listed");
        if about.is_file() && about.permissions().mode() & 0o111 != 0 {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    names
}

/// Runs it from another folder. `None` if what it is written in is missing.
fn run(name: &str, argument: &str) -> Option<Ended> {
    let path = folder().join(name);
    let text = fs::read_to_string(&path).expect("a script is text");
    let mut command = if text.starts_with("#!/usr/bin/env python3") {
        if !parts::available(&[Part::Python]) {
            return None;
        }
        let mut python = Command::new(Part::Python.find().expect("it is available"));
        python.arg(path);
        python
    } else {
        Command::new(path)
    };
    command.arg(argument).current_dir("/");
    Some(process::run(command, LIMIT).expect("it can be started"))
}

#[test]
fn each_says_what_it_does_with_examples_and_exit_codes() {
    let names = scripts();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        for argument in ["--help", "-h"] {
            let Some(ended) = run(&name, argument) else {
                continue;
            };
            let text = ended.stdout;
            assert_eq!((ended.code, &*ended.stderr), (0, ""), "{name} {argument}");
            for needed in [&*format!("\n  scripts/{name} "), "\nExit status: 0 "] {
                assert!(text.contains(needed), "{name}: no {needed:?} in\n{text}");
            }
            assert!(!text.contains("set -e"), "{name}: more than help:\n{text}");
        }
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_told_so() {
    let strict = [
        "real-parts",
        "test-clients",
        "test-compose",
        "test-provision",
        "test-systemd",
    ];
    for name in strict {
        if let Some(ended) = run(name, "--nonsense") {
            let said = ended.stderr;
            assert_eq!(ended.code, 2, "{name}: {said}");
            assert!(
                said.contains("nonsense") && said.contains("--help"),
                "{name}: {said}"
            );
        }
    }
}
