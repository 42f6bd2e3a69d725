//! Random sequences of commands: doing again what was written down leads to the same catalog.

use proptest::prelude::*;

use super::*;
use crate::catalog::{
    Behavior, CheckDefinition, Instance, Origin, Question, ServiceDefinition, Session, Status,
    Weights,
};

fn uuid(n: u8) -> String {
    format!("00000000-0000-0000-0000-0000000000{n:02}")
}

fn service(id: u8, port: u8, kind: u8) -> Command {
    let second = 1_000_000_000;
    let mut check = CheckDefinition {
        deregister_after: 20 * second,
        ..CheckDefinition::default()
    };
    match kind {
        0 => check.ttl = 5 * second,
        1 => check.alias_service = "i0".into(),
        _ => {
            check.tcp = "127.0.0.1:1".into();
            check.interval = second;
        }
    }
    Command::RegisterService {
        definition: Box::new(ServiceDefinition {
            instance: Instance {
                id: format!("i{id}").as_str().into(),
                name: "web".into(),
                tags: ["t".into()].into(),
                address: "".into(),
                tagged_addresses: Default::default(),
                meta: None,
                port: port.into(),
                weights: Weights::default(),
                enable_tag_override: false,
                kind: "".into(),
                proxy: Some(Arc::new(serde_json::json!({"a": [1, -2, 0.5, null, "x"]}))),
                connect: None,
                origin: Origin::Agent,
            },
            check,
            checks: vec![],
        }),
        replace_checks: port == 0,
    }
}

fn session(n: u8, delete: bool) -> Command {
    let behavior = if delete {
        Behavior::Delete
    } else {
        Behavior::Release
    };
    Command::SessionCreate(Box::new(Session {
        id: uuid(n).into(),
        name: "".into(),
        node: "here".into(),
        lock_delay: Duration::from_secs(3),
        behavior,
        ttl: Some(("10s".into(), Duration::from_secs(10))),
        node_checks: vec!["serfHealth".into()],
        service_checks: None,
        checks: vec![],
    }))
}

fn any_command() -> impl Strategy<Value = Command> {
    let status = || {
        prop_oneof![
            Just(Status::Passing),
            Just(Status::Warning),
            Just(Status::Critical)
        ]
    };
    let key = || (0u8..3).prop_map(|n| format!("k/{n}"));
    let how = prop_oneof![
        Just(HowToSet::Plain),
        Just(HowToSet::If(0)),
        (0u8..2).prop_map(|n| HowToSet::Acquire(uuid(n))),
        (0u8..2).prop_map(|n| HowToSet::Release(uuid(n))),
    ];
    prop_oneof![
        (0u8..3, 0u8..3, 0u8..3).prop_map(|(id, port, kind)| service(id, port, kind)),
        (0u8..3).prop_map(|id| Command::DeregisterService(format!("i{id}"))),
        (0u8..3, status(), "[ab]?").prop_map(|(id, status, output)| Command::ReportTtl {
            id: format!("service:i{id}"),
            status,
            output,
        }),
        (0u8..3, status(), "[ab]?").prop_map(|(id, status, output)| Command::ReportRun {
            id: format!("service:i{id}"),
            status,
            output,
        }),
        (0u8..3, any::<bool>()).prop_map(|(id, enable)| Command::ServiceMaintenance {
            id: format!("i{id}"),
            enable,
            reason: String::new(),
        }),
        (key(), how).prop_map(|(key, how)| Command::KvSet {
            key,
            value: vec![0, 255].into(),
            flags: 1,
            how,
        }),
        key().prop_map(|key| Command::KvDelete { key, index: None }),
        Just(Command::KvDeleteTree("k/".into())),
        (0u8..2, any::<bool>()).prop_map(|(n, delete)| session(n, delete)),
        (0u8..2).prop_map(|n| Command::SessionRenew(uuid(n))),
        (0u8..2).prop_map(|n| Command::SessionDestroy(uuid(n))),
        Just(Command::Resume(local())),
        Just(Command::Tick),
    ]
}

/// What readers and the clock see of a catalog.
fn seen(catalog: &Catalog) -> String {
    format!(
        "{} {:?} {:?} {:?} {:?} {:?}",
        shown(catalog),
        catalog.next_deadline(),
        catalog.agent_services(),
        catalog.node_checks("here"),
        catalog.sessions(None),
        catalog.watch(&Question::Prefix("k/".into())),
    )
}

proptest! {
    /// What the registry writes down is enough: doing it again gives the same catalog at every step, and so does the
    /// whole state at any of them.
    #[test]
    fn doing_it_again_gives_the_same(steps in proptest::collection::vec((any_command(), 0u64..8), 1..60)) {
        let mut first = Catalog::new(&local());
        let mut second = Catalog::new(&local());
        let mut now = T0;
        for (command, seconds) in steps {
            now += Duration::from_secs(seconds);
            let (revision, always) = (first.revision(), command.moves_time());
            let encoded = Journal::encode(&command).expect("it can be encoded");
            let done = first.apply(now, command.clone());
            if done.is_ok() && (always || first.revision() != revision) {
                let again: Command = rmp_serde::from_slice(&encoded).expect("it can be decoded");
                prop_assert!(second.apply(now, again).is_ok(), "{:?}", command);
            }
            prop_assert_eq!(seen(&first), seen(&second), "{:?}", command);
        }
        let state = rmp_serde::to_vec_named(&first).expect("it can be encoded");
        let mut third: Catalog = rmp_serde::from_slice(&state).expect("it can be decoded");
        prop_assert_eq!(seen(&first), seen(&third));
        let later = now + Duration::from_secs(15);
        let _ = (first.tick(later), third.tick(later));
        prop_assert_eq!(seen(&first), seen(&third));
    }
}
