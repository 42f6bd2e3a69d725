//! Which process is it, and is it still there? What is known of a process without asking it anything.
//!
//! A process id alone is soon another's; with the moment it started, the start of the machine and the name space that the
//! number belongs to, it names one process for good. It knows nothing of keys and nodes.

use std::fs;

use serde::{Deserialize, Serialize};

/// One process of one start of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    /// Where `pid` means this process: the start of the machine, and the name space.
    place: String,
    pub(super) pid: u32,
    /// When it started, in ticks of the kernel's clock.
    started: u64,
}

impl Life {
    /// This process; `None` where the kernel does not tell.
    pub(super) fn ours() -> Option<Self> {
        let pid = std::process::id();
        Some(Self {
            place: place()?,
            pid,
            started: started(pid)?,
        })
    }

    /// Whether it is still there. `None` if that cannot be seen from here: it may be in another container.
    pub(super) fn goes_on(&self) -> Option<bool> {
        (place()? == self.place).then(|| started(self.pid) == Some(self.started))
    }
}

fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let name_space = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), name_space.display()))
}

fn started(pid: u32) -> Option<u64> {
    start_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The 22nd field of `/proc/PID/stat`, of a process that has not ended (see proc_pid_stat(5)).
fn start_in(stat: &str) -> Option<u64> {
    // The second field is a name in brackets, which may have blanks and brackets of its own.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    // Ended, and not yet buried: it does nothing any more.
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = |name: &str, state: &str| {
            format!(
                "17 ({name}) {state} 1 17 17 0 -1 4194304 9 0 0 0 1 2 0 0 20 0 3 0 123456 4096 77 18446744073709551615"
            )
        };
        for (text, want) in [
            (stat("turno", "S"), Some(123_456)),
            (stat("a) S 1 (b", "R"), Some(123_456)),
            (stat("turno", "Z"), None),
            ("17 (turno) S 1 17".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(start_in(&text), want, "{text}");
        }
    }

    #[test]
    fn who_lives_and_who_does_not() {
        let ours = Life::ours().expect("there is a /proc");
        assert_eq!(ours.goes_on(), Some(true));
        let earlier = Life {
            started: ours.started - 1,
            ..ours.clone()
        };
        assert_eq!(earlier.goes_on(), Some(false), "the number is another's");
        let elsewhere = Life {
            place: "another".to_owned(),
            ..ours
        };
        assert_eq!(elsewhere.goes_on(), None);
    }
}
