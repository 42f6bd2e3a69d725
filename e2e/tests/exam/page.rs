//! The list of intended differences as users read it, in `docs/differences.md`: written from the list itself, so that the
//! two cannot say different things. It does not know what the page says around it.

use std::fmt::Write as _;
use std::fs;

use e2e::parts;

use crate::intended::LIST;

/// Between these two lines of the page stands the list.
const BEGIN: &str =
    "<!-- written by the exam: TURNO_EXAM_PAGE=write cargo test -p e2e --test exam page -->\n";
const END: &str = "<!-- end -->\n";

/// `write` puts the list into the page instead of comparing the two.
const MODE: &str = "TURNO_EXAM_PAGE";

#[test]
fn the_page_says_what_the_list_says() {
    let path = parts::checkout().join("docs/differences.md");
    let page = fs::read_to_string(&path).expect("the page can be read");
    let (before, rest) = page.split_once(BEGIN).expect("the list begins");
    let (_, after) = rest.split_once(END).expect("the list ends");
    let right = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var(MODE).is_ok_and(|mode| mode == "write") {
        fs::write(&path, right).expect("the page can be written");
    } else {
        assert_eq!(
            page, right,
            "{MODE}=write cargo test -p e2e --test exam page"
        );
    }
}

fn table() -> String {
    let mut text =
        "| what | Consul 1.8.7 | the embedded registry | why |\n|---|---|---|---|\n".to_owned();
    for entry in LIST {
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            entry.what, entry.consul, entry.ours, entry.reason
        );
    }
    text
}
