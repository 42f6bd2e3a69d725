//! What the files hold comes back, or is refused by name; never something else.

use std::fs;
use std::future::Future;
use std::sync::{Arc, Mutex};

mod property;

use journal::frame;

use super::*;
use crate::catalog::{HowToSet, Write};

const T0: Duration = Duration::from_secs(1_000_000);

fn local() -> LocalNode {
    LocalNode {
        name: "here".into(),
        id: "00000000-0000-0000-0000-000000000001".into(),
        address: "127.0.0.1".into(),
        datacenter: "dc1".into(),
    }
}

fn set(key: &str, value: &str) -> Command {
    Command::KvSet {
        key: key.into(),
        value: value.to_owned().into(),
        flags: 7,
        how: HowToSet::Plain,
    }
}

/// A catalog beside a journal, as the registry has it.
#[derive(Clone, Debug)]
struct World(Arc<Mutex<Catalog>>);

impl Source for World {
    fn copy(&self, cover: &mut dyn FnMut()) -> Option<(Duration, Catalog)> {
        let catalog = self.0.lock().expect("no panic");
        cover();
        Some((T0, catalog.clone()))
    }
}

impl World {
    fn apply(&self, journal: &Journal, command: Command) -> u64 {
        let encoded = Journal::encode(&command).expect("it can be encoded");
        let mut catalog = self.0.lock().expect("no panic");
        let _ = catalog.apply(T0, command).expect("a valid command");
        journal.append(T0, catalog.index(), encoded)
    }
}

fn open(path: &Path) -> Result<(Journal, World), DurableError> {
    let opened = Journal::open(path, &local())?;
    let world = World(Arc::new(Mutex::new(opened.catalog)));
    Ok((opened.journal, world))
}

/// Everything in a catalog as text, for comparing.
fn shown(catalog: &Catalog) -> String {
    let kv: Vec<_> = catalog.kv_below("").collect();
    format!("{} {:?} {kv:?}", catalog.index(), catalog.nodes())
}

/// A folder with three changes in its log, as a process that was killed leaves it; and the log's bytes.
fn folder_with_a_log() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let live = tempfile::tempdir().expect("a folder");
    let (journal, world) = open(live.path()).expect("a fresh folder");
    journal.start(world.clone()).expect("a thread");
    let mut last = 0;
    for n in 0..3 {
        last = world.apply(&journal, set(&format!("k{n}"), "value"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(journal.kept(last)).expect("a disk");
    for name in ["state-1", "log-1"] {
        fs::copy(live.path().join(name), folder.path().join(name)).expect("a copy");
    }
    journal.close();
    let log = fs::read(folder.path().join("log-1")).expect("the log");
    (folder, log)
}

#[test]
fn what_is_kept_comes_back_from_the_log_and_from_a_state() {
    let (folder, _) = folder_with_a_log();
    let (journal, world) = open(folder.path()).expect("a log to read");
    let before = shown(&world.0.lock().expect("no panic"));
    assert!(before.contains("k2"), "{before}");
    // A clean stop writes a state; the log is empty then.
    journal.start(world.clone()).expect("a thread");
    journal.close();
    drop(journal);
    assert!(folder.path().join("state-2").exists());
    assert!(!folder.path().join("state-1").exists());
    let (_journal, world) = open(folder.path()).expect("a state to read");
    assert_eq!(shown(&world.0.lock().expect("no panic")), before);
}

#[test]
fn a_log_cut_anywhere_gives_the_changes_before_the_cut() {
    let (folder, log) = folder_with_a_log();
    let path = folder.path().join("log-1");
    let mut counts = Vec::new();
    for end in frame::FILE_HEAD..=log.len() {
        fs::write(&path, &log[..end]).expect("a cut log");
        let (journal, world) = open(folder.path()).unwrap_or_else(|e| panic!("cut at {end}: {e}"));
        let kept = world.0.lock().expect("no panic").kv_below("").count();
        counts.push(kept);
        drop(journal);
        let left = fs::metadata(&path).expect("the log").len();
        assert!(left <= end as u64, "the torn end is cut off");
    }
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!((counts[0], counts[counts.len() - 1]), (0, 3));
    // Longer, but never written: the same as cut.
    let mut grown = log.clone();
    grown.extend([0; 100]);
    fs::write(&path, &grown).expect("a grown log");
    let (_journal, world) = open(folder.path()).expect("zeros are no damage");
    assert_eq!(world.0.lock().expect("no panic").kv_below("").count(), 3);
}

#[test]
fn every_flipped_bit_is_named_and_refused() {
    let (folder, log) = folder_with_a_log();
    for name in ["log-1", "state-1"] {
        let path = folder.path().join(name);
        let whole = fs::read(&path).expect("a file");
        // Every bit of heads, and one bit of every byte of the rest.
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).expect("a damaged file");
            match open(folder.path()) {
                Err(DurableError::Folder(journal::Error::Damaged {
                    path: named,
                    offset,
                    ..
                })) => {
                    assert_eq!(named, path);
                    assert!(offset as usize <= at, "named at {offset}, damaged at {at}");
                }
                other => panic!("{name}, byte {at}: {:?}", other.map(|_| "opened")),
            }
        }
        fs::write(&path, &whole).expect("the file as it was");
    }
    assert_eq!(
        fs::read(folder.path().join("log-1")).expect("the log"),
        log,
        "it was left alone"
    );
    assert!(open(folder.path()).is_ok());
}

#[test]
fn a_folder_has_one_registry_and_keeps_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path()).expect("a fresh folder");
    assert!(matches!(
        open(folder.path()),
        Err(DurableError::Folder(journal::Error::InUse { .. }))
    ));
    drop(first);
    let other = LocalNode {
        name: "there".into(),
        ..local()
    };
    let refused = Journal::open(folder.path(), &other).expect_err("another node's");
    assert!(refused.to_string().contains("--node"), "{refused}");
}

#[test]
fn a_state_that_is_gone_is_missed() {
    let (folder, _) = folder_with_a_log();
    fs::remove_file(folder.path().join("state-1")).expect("it is there");
    let refused = open(folder.path()).expect_err("a log without its state");
    assert!(
        refused.to_string().contains("state-1 is missing"),
        "{refused}"
    );
    let (folder, _) = folder_with_a_log();
    fs::remove_file(folder.path().join("log-1")).expect("it is there");
    assert!(matches!(
        open(folder.path()),
        Err(DurableError::Folder(journal::Error::Missing { .. }))
    ));
}

#[test]
fn what_a_crash_left_of_a_new_generation_does_not_matter() {
    let (folder, _) = folder_with_a_log();
    fs::write(
        folder.path().join("log-2"),
        frame::file_head(frame::LOG_MAGIC, 2),
    )
    .expect("a file");
    fs::write(folder.path().join("state-2.new"), "half").expect("a file");
    let (_journal, world) = open(folder.path()).expect("generation 1 is whole");
    assert_eq!(world.0.lock().expect("no panic").kv_below("").count(), 3);
    assert!(!folder.path().join("log-2").exists());
    assert!(!folder.path().join("state-2.new").exists());
}

#[test]
fn too_much_for_the_queue_is_kept_as_a_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, world) = open(folder.path()).expect("a fresh folder");
    let large = "x".repeat(QUEUE_BYTES / 4);
    let mut last = 0;
    for n in 0..6 {
        // Nobody writes yet: the queue overflows.
        last = world.apply(&journal, set(&format!("k{n}"), &large));
    }
    journal.start(world.clone()).expect("a thread");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(journal.kept(last)).expect("a disk");
    let copy = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(folder.path()).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    let (_journal, again) = open(copy.path()).expect("a whole generation");
    assert_eq!(again.0.lock().expect("no panic").kv_below("").count(), 6);
}

#[test]
fn a_write_of_every_field_survives_its_encoding() {
    let write = Write {
        node: "far".into(),
        address: "10.0.0.1".into(),
        node_meta: Some([("a".to_owned(), "b".to_owned())].into()),
        ..Write::default()
    };
    let command = Command::Write(Box::new(write));
    let record = Record {
        number: 1,
        now: T0 + Duration::from_nanos(5),
        index: 9,
        command: Journal::encode(&command).expect("it can be encoded"),
    };
    let bytes = [&record.head()[..], &record.command].concat();
    let (now, index, decoded) = Record::decode(&bytes).expect("a record");
    assert_eq!((now, index), (record.now, 9));
    assert_eq!(format!("{decoded:?}"), format!("{command:?}"));
}

#[test]
fn nobody_is_answered_before_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, world) = open(folder.path()).expect("a fresh folder");
    let number = world.apply(&journal, set("k", "v"));
    let mut answered = Box::pin(journal.kept(number));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(answered.as_mut().poll(&mut context).is_pending());
    journal.start(world).expect("a thread");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(answered).expect("a disk");
    let log = fs::read(folder.path().join("log-1")).expect("the log");
    assert!(log.len() > frame::FILE_HEAD);
}
