//! `turno registry --data-dir`: killed while it is written to, and with a disk that is full. What was acknowledged is
//! there afterwards; what was not may be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, Signal, prlimit};

use super::harness::{Http, Turno, command, until};

/// How often it is killed; set it higher for a longer look.
const ROUNDS_VARIABLE: &str = "DURABLE_ROUNDS";
const ROUNDS: usize = 20;
/// Who writes at the same time.
const WRITERS: usize = 4;
/// It is killed after this many acknowledged writes of a round, at the latest.
const MOST_WRITES: usize = 300;

fn start(folder: &Path) -> (Turno, std::net::SocketAddr) {
    let mut command = command("registry --listen 127.0.0.1:0 --node here");
    command.arg("--data-dir").arg(folder);
    let mut turno = Turno::spawn(command);
    let address = turno.address("registry listening on");
    turno.line("ready", |line| line.contains("turno: ready").then_some(()));
    (turno, address)
}

fn put(http: &mut Http, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    // The line end that `ask` adds is part of the body.
    let field = format!("content-length: {}\r\n\r\n{body}", body.len() + 2);
    http.ask(&format!("PUT {path}"), &field)
}

/// What was acknowledged, and for instances also what was tried since.
#[derive(Debug, Default)]
struct Promised {
    keys: BTreeSet<String>,
    sessions: BTreeSet<String>,
    /// By id, the port acknowledged last and the ports tried since: any of them may have been written, in this round or
    /// in one before it.
    instances: BTreeMap<String, (Option<usize>, Vec<usize>)>,
}

/// Writes until the registry is gone.
fn write(
    address: std::net::SocketAddr,
    writer: usize,
    from: usize,
    promised: &Mutex<Promised>,
    count: &AtomicUsize,
) {
    let Ok(mut http) = Http::open(address) else {
        return;
    };
    for n in from.. {
        let id = format!("w{writer}-{}", n % 20);
        let key = format!("w{writer}/{n}");
        let port = n % 60_000 + 1;
        promised
            .lock()
            .expect("no panic")
            .instances
            .entry(id.clone())
            .or_default()
            .1
            .push(port);
        let body = format!(r#"{{"ID":"{id}","Name":"web","Port":{port},"Check":{{"TTL":"1h"}}}}"#);
        let Ok((200, _)) = put(&mut http, "/v1/agent/service/register", &body) else {
            return;
        };
        promised
            .lock()
            .expect("no panic")
            .instances
            .insert(id, (Some(port), Vec::new()));
        let Ok((200, _)) = put(&mut http, &format!("/v1/kv/{key}"), "value") else {
            return;
        };
        promised.lock().expect("no panic").keys.insert(key);
        if n % 10 == 0 {
            let Ok((200, answer)) = put(&mut http, "/v1/session/create", "{}") else {
                return;
            };
            let id = answer.split('"').nth(3).expect("an id").to_owned();
            promised.lock().expect("no panic").sessions.insert(id);
        }
        count.fetch_add(2, Ordering::Relaxed);
    }
}

/// What is wrong with what is there.
fn missing(address: std::net::SocketAddr, promised: &Promised) -> Vec<String> {
    let mut http = Http::open(address).expect("it listens");
    let mut ask = |path: &str| {
        let (status, body) = http.get(path).expect("an answer");
        assert!(status == 200 || status == 404, "{path}: {status} {body}");
        body
    };
    let keys = ask("/v1/kv/?keys");
    let keys: BTreeSet<&str> = keys.split('"').collect();
    let sessions = ask("/v1/session/list");
    let services = ask("/v1/agent/services");
    let checks = ask("/v1/agent/checks");
    let mut wrong: Vec<String> = Vec::new();
    wrong.extend(
        promised
            .keys
            .iter()
            .filter(|key| !keys.contains(key.as_str()))
            .cloned(),
    );
    wrong.extend(
        promised
            .sessions
            .iter()
            .filter(|id| !sessions.contains(*id))
            .cloned(),
    );
    for (id, (kept, tried)) in &promised.instances {
        let Some(kept) = kept else { continue };
        let from = services.find(&format!("\"{id}\":{{"));
        let row = from.map_or("", |at| &services[at..]);
        let port = row.split("\"Port\":").nth(1).and_then(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().ok()
        });
        if port != Some(*kept) && !port.is_some_and(|port| tried.contains(&port)) {
            wrong.push(format!(
                "{id}: port {port:?}, acknowledged {kept}, tried since {tried:?}"
            ));
        }
        if !checks.contains(&format!("service:{id}")) {
            wrong.push(format!("the check of {id}"));
        }
    }
    wrong
}

#[test]
fn nothing_acknowledged_is_lost_when_it_is_killed() {
    let rounds = std::env::var(ROUNDS_VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().expect("a folder");
    let promised = Mutex::new(Promised::default());
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .subsec_nanos() as usize;
    for round in 0..rounds {
        let (mut turno, address) = start(folder.path());
        let wrong = missing(address, &promised.lock().expect("no panic"));
        assert!(
            wrong.is_empty(),
            "round {round}, seed {seed}: {wrong:?}\n{}",
            turno.stderr()
        );
        // What was done again led to where it had led before.
        assert!(
            !turno.stderr().contains("a kept change"),
            "{}",
            turno.stderr()
        );
        let enough = (seed / 7 + round * 7919) % MOST_WRITES;
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (promised, count) = (&promised, &count);
                scope.spawn(move || write(address, writer, round * 10_000, promised, count));
            }
            until("enough writes", || {
                (count.load(Ordering::Relaxed) >= enough).then_some(())
            });
            turno.signal(Signal::KILL);
            turno.ended();
        });
    }
    let (_turno, address) = start(folder.path());
    let promised = promised.into_inner().expect("no panic");
    let wrong = missing(address, &promised);
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(
        rounds < 5 || promised.keys.len() > 20,
        "writes were acknowledged at all"
    );
}

#[test]
fn a_full_disk_is_an_error_to_the_writer_and_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut turno, address) = start(folder.path());
    let limit = |bytes| {
        let limits = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(turno.pid()), Resource::Fsize, limits).expect("a child's limits can be set");
    };
    limit(Some(32 * 1024));
    let mut http = Http::open(address).expect("it listens");
    let mut promised = Promised::default();
    let value = "x".repeat(1000);
    let refused = (0..200)
        .find_map(|n| {
            let key = format!("k{n}");
            let (status, text) =
                put(&mut http, &format!("/v1/kv/{key}"), &value).expect("an answer");
            if status == 200 {
                promised.keys.insert(key);
                return None;
            }
            Some((status, text))
        })
        .expect("the file gets too large");
    assert_eq!(refused.0, 500);
    assert!(
        refused.1.contains("not on disk") && refused.1.contains("log-1"),
        "{refused:?}"
    );
    assert!(promised.keys.len() > 10, "{promised:?}");
    let (status, _) = http.get("/v1/kv/k0?raw").expect("an answer");
    assert_eq!(status, 200, "it goes on answering");
    limit(None);
    until("a write to be accepted again", || {
        let (status, _) = put(&mut http, "/v1/kv/after", "x").expect("an answer");
        (status == 200).then(|| promised.keys.insert("after".into()))
    });
    turno.signal(Signal::KILL);
    turno.ended();
    let (_turno, address) = start(folder.path());
    assert_eq!(missing(address, &promised), Vec::<String>::new());
}

#[test]
fn a_folder_in_use_or_damaged_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut turno, _) = start(folder.path());
    let second = format!(
        "registry --listen 127.0.0.1:0 --node here --data-dir {}",
        folder.path().display()
    );
    let refused = super::harness::ends(&second);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("in use by another process"),
        "{refused:?}"
    );
    turno.stop();
    let state = std::fs::read_dir(folder.path())
        .expect("a folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains("state-"))
        .expect("a state");
    let mut bytes = std::fs::read(&state).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&state, &bytes).expect("a damaged file");
    let refused = super::harness::ends(&second);
    assert_eq!(refused.code, Some(1));
    let named = format!("{} is damaged at byte", state.display());
    assert!(refused.stderr.contains(&named), "{refused:?}");
}
