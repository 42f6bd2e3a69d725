//! A transaction with a fault leaves the catalog exactly as it was, every derived set included.

use proptest::prelude::*;

use super::property::{run, step};
use super::*;

fn operation() -> impl Strategy<Value = Operation> {
    let n = || 0u8..4;
    let node = |n: u8| {
        if n == 0 {
            "here".to_owned()
        } else {
            format!("n{n}")
        }
    };
    let verb = || prop::sample::select(vec!["set", "set", "delete", "cas", "delete-cas", "get"]);
    prop_oneof![
        (verb(), n(), n(), n()).prop_map(move |(verb, at, id, address)| {
            let write = Write {
                node: node(at),
                node_id: if id == 0 {
                    String::new()
                } else {
                    format!("00000000-0000-0000-0000-00000000000{id}")
                },
                address: format!("10.0.0.{address}"),
                ..Write::default()
            };
            Operation::Node(verb.to_owned(), Box::new(write), id.into())
        }),
        (verb(), n(), n(), n()).prop_map(move |(verb, at, id, name)| {
            let write = Write {
                node: node(at),
                ..Write::default()
            };
            let mut row = instance(&format!("i{id}"), &format!("s{name}"), name.into());
            row.tags = [format!("t{name}").as_str().into()].into();
            Operation::Service(verb.to_owned(), Box::new(write), Box::new(row), 0)
        }),
        (verb(), n(), n(), 0u8..5).prop_map(move |(verb, at, id, which)| {
            let write = Write {
                node: node(at),
                ..Write::default()
            };
            let mut check = super::super::serf_health();
            check.id =
                ["far", "service:i1", "serfHealth", "n1", "other"][usize::from(which)].into();
            check.service_id = if which == 2 {
                "".into()
            } else {
                format!("i{id}").as_str().into()
            };
            check.status = [Status::Passing, Status::Critical][usize::from(id % 2)].clone();
            Operation::Check(verb.to_owned(), Box::new(write), Box::new(check), 0)
        }),
        (
            prop::sample::select(vec!["set", "delete", "delete-tree", "lock", "unlock"]),
            n(),
            0u8..2
        )
            .prop_map(|(verb, key, session)| Operation::Key(KeyOperation {
                verb: verb.to_owned(),
                key: ["a", "a/b", "a/c", "é"][usize::from(key)].to_owned(),
                value: bytes::Bytes::from(vec![session]),
                session: format!("00000000-0000-0000-0000-00000000000{session}"),
                ..KeyOperation::default()
            })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_transaction_that_fails_changes_nothing(
        steps in prop::collection::vec(step(), 0..40),
        mut operations in prop::collection::vec(operation(), 1..12),
    ) {
        let mut world = catalog();
        let mut now = T0;
        for step in steps {
            let _ = run(&mut world, &mut now, step);
        }
        operations.push(Operation::Key(KeyOperation { verb: "no such".into(), key: "a".into(), ..KeyOperation::default() }));
        let before = world.clone();
        let done = world.transact(now, &operations);
        prop_assert!(done.is_err());
        prop_assert_eq!(world, before);
    }
}
