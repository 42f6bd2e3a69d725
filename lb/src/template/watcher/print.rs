//! What a dry run prints.

use std::io::Write;

use crate::template::output::{Output, diff};

/// Prints what would be written, and as a difference to what is there.
pub(super) fn dry(output: &Output, text: &str) {
    let old = output.present().ok().flatten();
    let mut out = std::io::stdout().lock();
    let target = output.target.display();
    let end = if text.ends_with('\n') || text.is_empty() {
        ""
    } else {
        "\n"
    };
    // A reader who has gone away is no error.
    let _ = write!(out, "> {target}\n{text}{end}");
    let _ = match old {
        None => Ok(()),
        Some(old) if old == text.as_bytes() => writeln!(out, "= {target} says this already"),
        Some(old) => {
            let old = String::from_utf8_lossy(&old);
            write!(out, "{}", diff(&output.target, &old, text))
        }
    };
    let _ = out.flush();
}
