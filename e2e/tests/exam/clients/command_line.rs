//! The `consul` command line as a client: the same commands against both registries must print the same and end with the
//! same status. Watches and locks, which go on, are held against what they do.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::http::{self, Answer};
use e2e::parts::{self, Part};
use e2e::process::{self, Ended, Process};
use e2e::registry::{Kind, Registry};
use e2e::wait;
use serde_json::Value;

use super::put;
use crate::answer::Memory;
use crate::compare::differences;

/// A command takes tenths of a second; this is for a machine that is busy.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// The commands, in their order: `cases/command_line.txt` says what the marks mean.
const COMMANDS: &str = include_str!("../cases/command_line.txt");

/// One of the two registries, and a folder to run commands in.
struct Side {
    registry: Registry,
    /// What an answer is compared by.
    memory: Memory,
    folder: tempfile::TempDir,
}

impl Side {
    fn start(kind: Kind) -> Side {
        let registry = Registry::start(kind);
        // Consul's agent writes its node once more with the first service.
        put(
            registry.address,
            "/v1/agent/service/register",
            "{\"Name\":\"first\"}",
        );
        put(registry.address, "/v1/agent/service/deregister/first", "");
        let answer = http::get(registry.address, "/v1/health/service/first");
        let index = answer
            .ok()
            .and_then(|answer| answer.header("x-consul-index")?.parse().ok());
        let mut memory = Memory::default();
        memory.beginning = index.expect("a registry has an index");
        let side = Side {
            registry,
            memory,
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        };
        for (name, text) in FILES {
            fs::write(side.path().join(name), text).expect("the folder was just made");
        }
        side
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A line for the shell, in which `consul` speaks to this registry.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let consul = Part::Consul.path();
        command
            .arg("-c")
            .arg(format!(
                "consul() {{ {} \"$@\"; }}; {line}",
                consul.display()
            ))
            .current_dir(self.path())
            .env("CONSUL_HTTP_ADDR", self.registry.address.to_string());
        command
    }

    fn run(&self, line: &str) -> Ended {
        process::run(self.command(line), COMMAND_LIMIT).expect("sh starts")
    }

    /// What a file in the folder holds; empty if there is none.
    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }
}

/// What commands read.
const FILES: [(&str, &str); 3] = [
    (
        "web.json",
        r#"{"service":{"id":"web-1","name":"web","tags":["v1"],"address":"10.0.0.1","port":80,
            "meta":{"a":"b"},"check":{"ttl":"1h","status":"passing"}}}"#,
    ),
    (
        "two.hcl",
        "services { name = \"db\" port = 5432 }\nservices { name = \"cache\" port = 6379 tags = [\"x\"] \
         checks = [{ id = \"up\" ttl = \"1h\" status = \"warning\" }] }\n",
    ),
    ("value", "from a file\n"),
];

/// Does the same with both kinds of registry at once.
fn on_both(test: impl Fn(Kind) + Sync) {
    std::thread::scope(|scope| {
        for kind in [Kind::Consul, Kind::Embedded] {
            let test = &test;
            scope.spawn(move || test(kind));
        }
    });
}

/// What a command said, in the form in which two are compared.
fn comparable(ended: &Ended, side: &Side, marks: &str) -> Value {
    let plain = |text: &str| {
        let text = text.replace(&side.registry.address.to_string(), "<registry>");
        let lines: Vec<String> = text.lines().map(without_chance).collect();
        lines.join("\n")
    };
    let said = |text: &str| {
        let text = if serde_json::from_str::<Value>(text).is_ok() {
            text.to_owned()
        } else {
            plain(text)
        };
        let answer = Answer {
            status: u16::try_from(ended.code).unwrap_or(u16::MAX),
            headers: Vec::new(),
            body: text.into_bytes(),
        };
        side.memory.comparable("", &answer, "")
    };
    if marks.contains('~') {
        return said("");
    }
    serde_json::json!([said(&ended.stdout), said(&ended.stderr)])
}

/// A line of output with what any two registries say differently replaced: indexes, ports, times; and the spaces that fill
/// its columns.
fn without_chance(line: &str) -> String {
    const INDEXES: [&str; 2] = ["CreateIndex", "ModifyIndex"];
    // The log that some commands write begins with a time.
    let line = line
        .split_once(" [")
        .filter(|(time, _)| time.len() == "2006/01/02 15:04:05".len() && time.contains(':'))
        .map_or(line, |(_, rest)| rest);
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let index = words
            .last()
            .is_some_and(|last| INDEXES.contains(&last.as_str()));
        let port = word
            .rsplit_once(':')
            .filter(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        words.push(match port {
            _ if index => "<index>".to_owned(),
            Some((host, _)) if host.starts_with("127.") => format!("{host}:<port>"),
            _ => word.to_owned(),
        });
    }
    words.join(" ")
}

#[test]
fn the_command_line_says_the_same() {
    if !parts::available(&[Part::Consul]) {
        return;
    }
    let sides = [Kind::Consul, Kind::Embedded].map(Side::start);
    let (mut failures, mut count) = (Vec::new(), 0);
    for line in COMMANDS.lines() {
        let (marks, line) = line.split_once(' ').unwrap_or_default();
        if !marks.starts_with(['$', '~', '>']) {
            continue;
        }
        count += 1;
        let ended = std::thread::scope(|scope| {
            let runs = [0, 1].map(|at| {
                scope.spawn({
                    let side = &sides[at];
                    move || side.run(line)
                })
            });
            runs.map(|run| run.join().expect("it ends within its limit"))
        });
        let [consul, ours] = [0, 1].map(|at| comparable(&ended[at], &sides[at], marks));
        failures.extend(
            differences(&consul, &ours)
                .iter()
                .map(|difference| format!("{line}: {difference}")),
        );
        if marks.starts_with('>') && ended[0].code == 0 {
            failures.push(format!("{line}: should be refused, and is not"));
        } else if marks.starts_with(['$', '~']) && ended[0].code != 0 {
            failures.push(format!("{line}: Consul itself refuses it: {:?}", ended[0]));
        }
    }
    parts::say(&format!(
        "exam: {count} commands of the consul command line on both"
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_watch_of_the_command_line_calls_its_handler() {
    if !parts::available(&[Part::Consul]) {
        return;
    }
    // A watch, what changes it, and what its handler must then have been told.
    let table = [
        ("-type=key -key=w/k", "consul kv put w/k one", "b25l"),
        (
            "-type=keyprefix -prefix=w/",
            "consul kv put w/k two",
            "dHdv",
        ),
        (
            "-type=services",
            "consul services register -name=new",
            "\"new\"",
        ),
        ("-type=nodes", "true", "e2e"),
        (
            "-type=service -service=web",
            "consul services register web.json",
            "web-1",
        ),
        (
            "-type=service -service=web -passingonly=true",
            "true",
            "web-1",
        ),
        (
            "-type=checks -state=critical",
            "consul maint -enable -service=web-1",
            "_service_maintenance:web-1",
        ),
        (
            "-type=checks -service=web",
            "true",
            "_service_maintenance:web-1",
        ),
        (
            "-type=event -name=deploy",
            "consul event -name=deploy now",
            "bm93",
        ),
    ];
    on_both(|kind| {
        let side = Side::start(kind);
        for (at, (watch, change, told)) in table.into_iter().enumerate() {
            let file = format!("told-{at}");
            let line = format!(
                "exec {} watch {watch} sh -c 'cat >> {file}; echo >> {file}'",
                Part::Consul.path().display()
            );
            let mut process = Process::start("consul watch", side.command(&line));
            let begun = watch.contains("nodes") || watch.contains("service");
            if begun {
                let what = format!("the first call of {watch} by {kind}");
                wait::until_true(what, wait::SOON, || !side.file(&file).is_empty());
            }
            let changed = side.run(change);
            assert_eq!(changed.code, 0, "{change}: {changed:?}");
            let what = format!("{watch} to tell of {change}, by {kind}");
            wait::until_true(what, wait::SOON, || {
                process.assert_running();
                side.file(&file).contains(told)
            });
        }
    });
}

#[test]
fn a_lock_of_the_command_line_is_held_by_one() {
    if !parts::available(&[Part::Consul]) {
        return;
    }
    on_both(|kind| {
        let side = Side::start(kind);
        let consul = Part::Consul.path();
        let line = format!(
            "exec {} lock l/one 'touch held; exec sleep 600'",
            consul.display()
        );
        let mut holder = Process::start("consul lock", side.command(&line));
        wait::until_true(
            format!("the lock to be held, by {kind}"),
            wait::SOON,
            || {
                holder.assert_running();
                side.path().join("held").exists()
            },
        );
        let second = side.run("consul lock -try=1s l/one 'touch stolen'");
        assert_ne!(second.code, 0, "{kind}: {second:?}");
        assert!(
            !side.path().join("stolen").exists(),
            "{kind}: the lock is held by two"
        );
        let other = side.run("consul lock -try=10s l/two 'touch other'");
        assert_eq!(other.code, 0, "{kind}: {other:?}");
        assert!(side.path().join("other").exists(), "{kind}: {other:?}");
        holder.stop(wait::SOON);
        let third = side.run("consul lock -try=25s l/one 'touch third'");
        assert_eq!(third.code, 0, "{kind}: {third:?}");
        assert!(side.path().join("third").exists(), "{kind}: {third:?}");
        let semaphore =
            side.run("consul lock -n=2 l/many \"consul lock -n=2 -try=10s l/many 'touch both'\"");
        assert_eq!(semaphore.code, 0, "{kind}: {semaphore:?}");
    });
}
