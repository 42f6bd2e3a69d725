//! What would change in a file, as a unified diff.

use std::path::Path;

use similar::TextDiff;

/// Lines around a change.
const CONTEXT: usize = 3;

/// The difference of two texts; empty if there is none.
pub(in crate::template) fn diff(target: &Path, old: &str, new: &str) -> String {
    let name = target.display().to_string();
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(CONTEXT)
        .header(&name, &format!("{name} (rendered)"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unified() {
        let text = diff(Path::new("f"), "a\nb\nc\n", "a\nB\nc\n");
        assert_eq!(
            text,
            "--- f\n+++ f (rendered)\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
        );
        assert_eq!(diff(Path::new("f"), "a\n", "a\n"), "");
    }
}
