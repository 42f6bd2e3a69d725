//! Writes what a command was asked to print.
//!
//! A reader that went away (`turno services | head -1`) is no failure, and never a panic. Tables
//! are aligned here; what stands in them is the commands' business.

use std::io::{self, Write};

use daemon::systemd::{self, State};
use serde::Serialize;

use crate::failure::Failure;

/// Prints one line on standard output and flushes it, so that a script can wait for it.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Says that everything works: to people and scripts by the line that ends a start, and to systemd.
pub(crate) fn ready() -> Result<(), Failure> {
    line("turno: ready")?;
    systemd::notify(State::Ready);
    Ok(())
}

/// Prints text that brings its own line ends.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::of("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON that people can read too.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value)?)
}

/// One line on standard error. There is nowhere to complain if that fails.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Rows as aligned columns, two spaces apart, without blanks at the end of a line.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let mut widths = head.each_ref().map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(printable(cell).chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(widths);
        let line: String = cells
            .map(|(cell, width)| format!("{:width$}  ", printable(cell)))
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text of others (tags, check output) without what would steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_end_clean() {
        let rows = [
            ["web".into(), "1".into()],
            ["a-long-name".into(), String::new()],
        ];
        let want = "service      n\nweb          1\na-long-name\n";
        assert_eq!(table(["service", "n"], &rows), want);
    }

    #[test]
    fn a_stranger_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mred\n"), "a [31mred ");
    }
}
