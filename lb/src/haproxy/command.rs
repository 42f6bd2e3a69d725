//! Commands of HAProxy's runtime API, as values; and what its answers mean.
//!
//! A command is made of words, addresses and numbers only, so that nothing a stranger registers can add a second one. From
//! the management guide of HAProxy 2.6, §9.3 "Unix Socket commands", and measured on 2.6.12.

use std::fmt;
use std::net::SocketAddr;

use super::word::Word;

/// One `set server` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) backend: Word,
    pub(super) server: Word,
    pub(super) set: Set,
}

/// What is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Address(SocketAddr),
    /// 0..=256.
    Weight(u16),
    State(State),
}

/// A server's administrative state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It gets requests.
    Ready,
    /// No new requests; those in flight finish. Its checks go on.
    Drain,
    /// The same, and nothing is known of it: no checks, no idle connections.
    Maint,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set server {}/{} ", self.backend, self.server)?;
        match self.set {
            Set::Address(address) => write!(f, "addr {} port {}", address.ip(), address.port()),
            Set::Weight(weight) => write!(f, "weight {weight}"),
            Set::State(State::Ready) => f.write_str("state ready"),
            Set::State(State::Drain) => f.write_str("state drain"),
            Set::State(State::Maint) => f.write_str("state maint"),
        }
    }
}

impl Command {
    /// Whether `answer` says that it was done. A new address is answered with what was changed, all else with nothing.
    fn is_done(&self, answer: &str) -> bool {
        match self.set {
            Set::Address(_) => {
                answer.starts_with("IP changed") || answer.starts_with("no need to change the addr")
            }
            Set::Weight(_) | Set::State(_) => answer.is_empty(),
        }
    }
}

/// A command that was not done, and what HAProxy said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HAProxy refused {command:?}: {answer}")]
pub struct Refused {
    command: String,
    answer: String,
}

/// Which of `commands` were not done, by the `text` that they were answered with.
pub(super) fn refused(commands: &[Command], text: &str) -> Vec<Refused> {
    let answers = answers(text);
    let missing = "no answer".to_owned();
    commands
        .iter()
        .enumerate()
        .filter_map(|(i, command)| {
            let answer = answers.get(i).unwrap_or(&missing);
            (!command.is_done(answer)).then(|| Refused {
                command: command.to_string(),
                answer: answer.clone(),
            })
        })
        .collect()
}

/// The answers to a line of commands: each is some lines, or none, and then an empty one.
fn answers(text: &str) -> Vec<String> {
    let mut answers = Vec::new();
    let mut answer = Vec::new();
    for line in text.lines() {
        if line.is_empty() {
            answers.push(answer.join(" "));
            answer.clear();
        } else {
            answer.push(line.trim());
        }
    }
    answers
}

/// The longest line sent: HAProxy reads a line of commands into one buffer, of 16 KiB unless told otherwise
/// (`tune.bufsize`), and people make that smaller.
const LINE_LIMIT: usize = 4 * 1024;

/// `commands` joined by `;` to lines that HAProxy takes, each with the commands in it.
pub(super) fn lines<C: fmt::Display>(commands: &[C]) -> Vec<(String, &[C])> {
    let mut lines = Vec::new();
    let (mut line, mut first) = (String::new(), 0);
    for (i, command) in commands.iter().enumerate() {
        let text = command.to_string();
        if !line.is_empty() && line.len() + 1 + text.len() > LINE_LIMIT {
            lines.push((std::mem::take(&mut line), &commands[first..i]));
            first = i;
        }
        if !line.is_empty() {
            line.push(';');
        }
        line.push_str(&text);
    }
    if !line.is_empty() {
        lines.push((line, &commands[first..]));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(set: Set) -> Command {
        Command {
            backend: Word::of("web"),
            server: Word::slot(1),
            set,
        }
    }

    #[test]
    fn commands_as_haproxy_reads_them() {
        let v6: SocketAddr = "[::1]:81".parse().expect("a literal");
        for (set, expected) in [
            (
                Set::Address(([127, 0, 0, 1], 80).into()),
                "set server web/s2 addr 127.0.0.1 port 80",
            ),
            (Set::Address(v6), "set server web/s2 addr ::1 port 81"),
            (Set::Weight(256), "set server web/s2 weight 256"),
            (Set::State(State::Drain), "set server web/s2 state drain"),
        ] {
            assert_eq!(command(set).to_string(), expected);
        }
    }

    #[test]
    fn a_refused_command_is_found_by_its_place() {
        // As HAProxy 2.6.12 answered.
        let text = "no need to change the addr, port changed from '1' to '2' by 'stats socket command'\n\n\
                    No such server.\n\n\nAbsolute weight can only be between 0 and 256 inclusive.\n\n";
        let commands = [
            command(Set::Address(([127, 0, 0, 1], 2).into())),
            command(Set::State(State::Ready)),
            command(Set::Weight(1)),
            command(Set::Weight(999)),
            command(Set::State(State::Maint)),
        ];
        let said: Vec<_> = refused(&commands, text)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            said,
            [
                "HAProxy refused \"set server web/s2 state ready\": No such server.",
                "HAProxy refused \"set server web/s2 weight 999\": Absolute weight can only be between 0 and 256 inclusive.",
                "HAProxy refused \"set server web/s2 state maint\": no answer",
            ]
        );
    }

    #[test]
    fn many_commands_become_lines_that_fit() {
        let commands = vec![command(Set::State(State::Ready)); 500];
        let lines = lines(&commands);
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|(line, _)| line.len() <= LINE_LIMIT));
        assert!(
            lines
                .iter()
                .all(|(line, of)| line.split(';').count() == of.len())
        );
        assert_eq!(lines.iter().map(|(_, of)| of.len()).sum::<usize>(), 500);
        assert!(super::lines::<Command>(&[]).is_empty());
    }
}
