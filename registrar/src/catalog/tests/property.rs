//! Random sequences of operations keep what readers rely on: the index never goes back, no answer is newer than its
//! index, and a reader who was not woken would have read the same.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Register {
        id: u8,
        name: u8,
        port: u8,
        ttl: bool,
        tag: bool,
        replace: bool,
    },
    Deregister(u8),
    NodeCheck(u8),
    DropCheck(u8, bool),
    Report(u8, u8, u8),
    Maintain(u8, bool),
    MaintainNode(bool),
    Far {
        node: u8,
        id: u8,
        name: u8,
        address: u8,
        check: bool,
    },
    FarGone {
        node: u8,
        id: u8,
        part: u8,
    },
    Later(u8),
    Kv {
        key: u8,
        value: u8,
        how: u8,
        session: u8,
    },
    KvGone {
        key: u8,
        tree: bool,
    },
    Session {
        id: u8,
        delete: bool,
    },
    SessionEnd(u8),
}

const KEYS: [&str; 4] = ["a", "a/b", "a/c", "é"];

fn uuid(id: u8) -> String {
    format!("00000000-0000-0000-0000-00000000000{id}")
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let n = || 0u8..4;
    prop_oneof![
        4 => (n(), n(), n(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(id, name, port, ttl, tag, replace)| Step::Register { id, name, port, ttl, tag, replace }),
        2 => n().prop_map(Step::Deregister),
        1 => n().prop_map(Step::NodeCheck),
        1 => (n(), any::<bool>()).prop_map(|(id, node)| Step::DropCheck(id, node)),
        4 => (n(), 0u8..3, n()).prop_map(|(id, status, output)| Step::Report(id, status, output)),
        1 => (n(), any::<bool>()).prop_map(|(id, on)| Step::Maintain(id, on)),
        1 => any::<bool>().prop_map(Step::MaintainNode),
        3 => (n(), n(), n(), n(), any::<bool>()).prop_map(
            |(node, id, name, address, check)| Step::Far { node, id, name, address, check }),
        1 => (n(), n(), 0u8..3).prop_map(|(node, id, part)| Step::FarGone { node, id, part }),
        1 => (0u8..30).prop_map(Step::Later),
        3 => (n(), n(), n(), 0u8..2).prop_map(
            |(key, value, how, session)| Step::Kv { key, value, how, session }),
        2 => (n(), any::<bool>()).prop_map(|(key, tree)| Step::KvGone { key, tree }),
        2 => (0u8..2, any::<bool>()).prop_map(|(id, delete)| Step::Session { id, delete }),
        1 => (0u8..2).prop_map(Step::SessionEnd),
    ]
}

pub(super) fn run(world: &mut Catalog, now: &mut Duration, step: Step) -> Effects {
    let ids = |id: u8| format!("i{id}");
    let done = match step {
        Step::Register {
            id,
            name,
            port,
            ttl: timed,
            tag,
            replace,
        } => {
            let checks = if timed { vec![ttl(10)] } else { vec![] };
            let mut definition = service(&ids(id), &format!("s{name}"), port.into(), checks);
            if tag {
                definition.instance.tags = ["t".into(), format!("t{port}").into()].into();
            }
            world.register_service(*now, definition, replace)
        }
        Step::Deregister(id) => Ok(world.deregister_service(*now, &ids(id))),
        Step::NodeCheck(id) => world.register_check(*now, node_check(&format!("n{id}"))),
        Step::DropCheck(id, true) => Ok(world.deregister_check(*now, &format!("n{id}"))),
        Step::DropCheck(id, false) => Ok(world.deregister_check(*now, &format!("service:i{id}"))),
        Step::Report(id, status, output) => {
            let status =
                [Status::Passing, Status::Warning, Status::Critical][usize::from(status)].clone();
            world.report_ttl(*now, &format!("service:i{id}"), status, &output.to_string())
        }
        Step::Maintain(id, on) => world.service_maintenance(*now, &ids(id), on, ""),
        Step::MaintainNode(on) => Ok(world.node_maintenance(*now, on, "")),
        Step::Far {
            node,
            id,
            name,
            address,
            check,
        } => {
            let mut check_row = super::super::serf_health();
            check_row.id = "far".into();
            check_row.service_id = ids(id).as_str().into();
            world.write(
                *now,
                Write {
                    node: if node == 0 {
                        "here".into()
                    } else {
                        format!("n{node}")
                    },
                    address: format!("10.0.0.{address}"),
                    service: Some(instance(&ids(id), &format!("s{name}"), 1).into()),
                    checks: if check {
                        vec![ExternalCheck {
                            node: String::new(),
                            check: check_row,
                        }]
                    } else {
                        vec![]
                    },
                    ..Write::default()
                },
            )
        }
        Step::FarGone { node, id, part } => world.remove(
            *now,
            &Removal {
                node: if node == 0 {
                    "here".into()
                } else {
                    format!("n{node}")
                },
                service_id: if part == 1 { ids(id) } else { String::new() },
                check_id: if part == 2 {
                    "far".into()
                } else {
                    String::new()
                },
                datacenter: String::new(),
            },
        ),
        Step::Kv {
            key,
            value,
            how,
            session,
        } => {
            let session = uuid(session);
            let how = [
                Set::Plain,
                Set::If(0),
                Set::Acquire(&session),
                Set::Release(&session),
            ][usize::from(how)];
            let value = bytes::Bytes::from(vec![value]);
            world
                .kv_set(*now, KEYS[usize::from(key)], value, 0, how)
                .map(|(_, effects)| effects)
        }
        Step::KvGone { key, tree: true } => Ok(world.kv_delete_tree(*now, KEYS[usize::from(key)])),
        Step::KvGone { key, tree: false } => {
            Ok(world.kv_delete(*now, KEYS[usize::from(key)], None).1)
        }
        Step::Session { id, delete } => world.session_create(
            *now,
            Session {
                id: uuid(id).into(),
                name: "".into(),
                node: "here".into(),
                lock_delay: Duration::from_secs(5),
                behavior: if delete {
                    Behavior::Delete
                } else {
                    Behavior::Release
                },
                ttl: Some(("10s".into(), Duration::from_secs(10))),
                node_checks: vec!["serfHealth".into()],
                service_checks: (id == 1).then(|| vec![("service:i1".into(), "".into())]),
                checks: vec![],
            },
        ),
        Step::SessionEnd(id) => world.session_destroy(*now, &uuid(id)),
        Step::Later(seconds) => {
            *now += Duration::from_secs(seconds.into());
            Ok(world.tick(*now))
        }
    };
    done.unwrap_or_default()
}

fn questions() -> Vec<Question> {
    let mut all = vec![Question::Services, Question::Nodes];
    for n in 0..4 {
        all.push(Question::ServiceHealth(format!("s{n}")));
        all.push(Question::ServiceInstances(format!("s{n}")));
        all.push(Question::ServiceChecks(format!("s{n}")));
        all.push(Question::Node(format!("n{n}")));
        all.push(Question::NodeChecks(format!("n{n}")));
    }
    all.extend(KEYS.map(|key| Question::Key(key.into())));
    all.extend(["", "a", "a/", "z", "é"].map(|prefix| Question::Prefix(prefix.into())));
    all.extend([
        Question::Sessions,
        Question::NodeSessions("here".into()),
        Question::Session(uuid(0)),
    ]);
    all.push(Question::Node("here".into()));
    all.push(Question::NodeChecks("here".into()));
    for word in ["any", "passing", "warning", "critical"] {
        all.push(Question::State(word.into()));
    }
    all
}

/// What a reader gets, without outputs (which may change silently), and the newest index in it.
fn read(world: &Catalog, question: &Question) -> (String, u64) {
    let mut newest = 0;
    let mut say = |index: u64, text: String| {
        newest = newest.max(index);
        text
    };
    let mut quiet = |check: &Stored<Check>| {
        let mut row = check.clone();
        row.value.output = "".into();
        say(check.modify_index, format!("{row:?}"))
    };
    let text: Vec<String> = match question {
        Question::ServiceHealth(name) => world
            .health_of(name)
            .iter()
            .map(|row| {
                let checks: Vec<_> = row.checks.iter().map(|check| quiet(check)).collect();
                format!("{:?}{:?}{checks:?}", row.node, row.instance)
            })
            .collect(),
        Question::ServiceInstances(name) => world
            .instances_of(name)
            .iter()
            .map(|(node, row)| format!("{node:?}{row:?}"))
            .collect(),
        Question::Services => vec![format!("{:?}", world.service_tags())],
        Question::Nodes => vec![format!("{:?}", world.nodes())],
        Question::Node(name) => vec![format!("{:?}", world.node(name))],
        Question::NodeChecks(name) => world
            .node_checks(name)
            .iter()
            .map(|(_, c)| quiet(c))
            .collect(),
        Question::ServiceChecks(name) => world
            .service_checks(name)
            .iter()
            .map(|(_, c)| quiet(c))
            .collect(),
        Question::Key(key) => vec![format!("{:?}", world.kv_get(key))],
        Question::Prefix(prefix) => world
            .kv_below(prefix)
            .map(|row| format!("{row:?}"))
            .collect(),
        Question::Prepared => vec![format!("{:?}", world.prepared())],
        Question::Sessions => vec![format!("{:?}", world.sessions(None))],
        Question::NodeSessions(node) => vec![format!("{:?}", world.sessions(Some(node)))],
        Question::Session(id) => vec![format!("{:?}", world.session(id))],
        Question::State(word) => world
            .checks_in_state(word)
            .iter()
            .map(|(_, c)| quiet(c))
            .collect(),
    };
    (text.join("\n"), newest)
}

fn woken(effects: &Effects, topic: &Topic) -> bool {
    effects.topics.contains(topic)
        || effects
            .topics
            .iter()
            .any(|t| t.wider().any(|wider| wider == *topic))
}

/// Every derived set says the same as the rows it is derived from.
fn consistent(world: &Catalog) {
    assert!(world.agrees(), "what is restored must be so");
    let rows: usize = world.nodes.values().map(|row| row.owners.len()).sum();
    let listed: usize = world
        .nodes
        .keys()
        .map(|name| world.node_checks(name).len())
        .sum();
    let states: usize = world.states.values().map(BTreeSet::len).sum();
    assert_eq!(
        (rows, rows),
        (listed, states),
        "checks by owner, by list, by state"
    );
    let members: usize = world.services.values().map(|row| row.members.len()).sum();
    let instances: usize = world.nodes.values().map(|row| row.instances.len()).sum();
    let counted: usize = world
        .services
        .values()
        .flat_map(|row| row.names.values())
        .map(|n| n.instances)
        .sum();
    assert_eq!(
        (members, members),
        (instances, counted),
        "instances by service, by node, counted"
    );
    assert_eq!(world.service_tags(), world.service_tags_where(|_| true));
    let held: usize = world.sessions.values().map(|live| live.keys.len()).sum();
    let locked: usize = world
        .kv
        .values()
        .filter(|entry| entry.session.is_some())
        .count();
    assert_eq!(held, locked, "keys held by sessions, keys that name one");
    for id in world.agent_checks.keys() {
        assert!(
            world.check_row(&world.local, id).is_some(),
            "{id} is watched but not stored"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn readers_are_never_misled(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = catalog();
        let mut now = T0;
        let questions = questions();
        for step in steps {
            let shown = format!("{step:?}");
            let index = world.index();
            let before: Vec<_> = questions.iter()
                .map(|question| (world.watch(question), read(&world, question).0))
                .collect();
            let effects = run(&mut world, &mut now, step);
            prop_assert!(world.index() >= index);
            prop_assert_eq!(world.index() > index, !effects.topics.is_empty());
            for (question, (watch, contents)) in questions.iter().zip(before) {
                let (after, newest) = read(&world, question);
                let new_watch = world.watch(question);
                prop_assert!(new_watch.index >= newest.min(world.index()), "{:?} after {}", question, shown);
                if after != contents {
                    prop_assert!(woken(&effects, &watch.topic), "{:?} not woken by {}", question, shown);
                    prop_assert!(new_watch.index > watch.index, "{:?}: index stands after {}", question, shown);
                }
            }
            consistent(&world);
        }
    }
}
