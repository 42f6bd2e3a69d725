//! What moves what: for each action, which questions wake and whose index moves (as measured on Consul 1.8.7).

use super::*;

/// The questions asked around every action, by a short name.
fn questions() -> Vec<(&'static str, Question)> {
    vec![
        ("health a", Question::ServiceHealth("a".into())),
        ("health b", Question::ServiceHealth("b".into())),
        ("health far", Question::ServiceHealth("far".into())),
        ("health none", Question::ServiceHealth("none".into())),
        ("service a", Question::ServiceInstances("a".into())),
        ("service b", Question::ServiceInstances("b".into())),
        ("services", Question::Services),
        ("nodes", Question::Nodes),
        ("node here", Question::Node("here".into())),
        ("node there", Question::Node("there".into())),
        ("checks here", Question::NodeChecks("here".into())),
        ("checks there", Question::NodeChecks("there".into())),
        ("checks a", Question::ServiceChecks("a".into())),
        ("checks b", Question::ServiceChecks("b".into())),
        ("checks none", Question::ServiceChecks("none".into())),
        ("any", Question::State("any".into())),
        ("passing", Question::State("passing".into())),
        ("critical", Question::State("critical".into())),
    ]
}

/// `a` (two instances with a passing and a critical TTL check) and `b` (no check) here, `far` on the node `there`.
fn world() -> Catalog {
    let mut world = catalog();
    let mut passing = ttl(60);
    passing.status = "passing".into();
    let _ = register(&mut world, service("a1", "a", 1, vec![passing]));
    let _ = register(&mut world, service("a2", "a", 2, vec![ttl(60)]));
    let _ = register(&mut world, service("b1", "b", 3, vec![]));
    let _ = world.write(T0, there("10.9.9.9")).expect("a valid write");
    world
}

fn there(address: &str) -> Write {
    Write {
        node: "there".into(),
        address: address.into(),
        service: Some(instance("far1", "far", 9).into()),
        ..Write::default()
    }
}

type Action = fn(&mut Catalog) -> Effects;

fn ok(result: Result<Effects, CatalogError>) -> Effects {
    result.expect("a valid action")
}

#[test]
fn each_action_wakes_exactly_the_readers_concerned() {
    let table: &[(&str, Action, &str)] = &[
        (
            "the same service again",
            |c| {
                let mut passing = ttl(60);
                passing.status = "passing".into();
                register(c, service("a1", "a", 1, vec![passing]))
            },
            "",
        ),
        (
            "another port",
            |c| register(c, service("a1", "a", 7, vec![])),
            "health a,service a,services,node here",
        ),
        (
            "one more instance",
            |c| register(c, service("a3", "a", 4, vec![])),
            "health a,service a,services,node here",
        ),
        (
            "one more instance with a check",
            |c| register(c, service("a3", "a", 4, vec![ttl(9)])),
            "health a,service a,services,node here,checks here,checks a,checks b,checks none,any,critical",
        ),
        (
            "one of two instances goes",
            |c| c.deregister_service(T0, "a1"),
            "health a,service a,services,node here,checks here,checks a,checks b,checks none,any,passing",
        ),
        (
            "the last instance goes",
            |c| c.deregister_service(T0, "b1"),
            "health b,service b,services,node here",
        ),
        (
            "an unknown service appears",
            |c| register(c, service("n", "none", 1, vec![])),
            "health none,services,node here",
        ),
        (
            "a check turns critical",
            |c| ok(c.report_ttl(T0, "service:a1", Status::Critical, "down")),
            "health a,checks here,checks a,checks b,checks none,any,passing,critical",
        ),
        (
            "a check says something else",
            |c| ok(c.report_ttl(T0, "service:a1", Status::Passing, "well")),
            "",
        ),
        (
            "a node check",
            |c| ok(c.register_check(T0, node_check("disk"))),
            "health a,health b,checks here,any,critical",
        ),
        (
            "node maintenance",
            |c| c.node_maintenance(T0, true, ""),
            "health a,health b,checks here,any,critical",
        ),
        (
            "service maintenance",
            |c| ok(c.service_maintenance(T0, "a1", true, "")),
            "health a,checks here,checks a,checks b,checks none,any,critical",
        ),
        (
            "a far node moves",
            |c| ok(c.write(T0, there("10.9.9.8"))),
            "health far,nodes,node there",
        ),
        (
            "the same far node",
            |c| ok(c.write(T0, there("10.9.9.9"))),
            "",
        ),
        (
            "a far node goes",
            |c| {
                ok(c.remove(
                    T0,
                    &Removal {
                        node: "THERE".into(),
                        ..Removal::default()
                    },
                ))
            },
            "health far,services,nodes,node there",
        ),
        (
            "nothing known is removed",
            |c| {
                let mut effects = c.deregister_service(T0, "x");
                effects.topics.extend(c.deregister_check(T0, "x").topics);
                effects
            },
            "",
        ),
    ];
    for (what, action, expected) in table {
        let mut world = world();
        let before: Vec<_> = questions()
            .into_iter()
            .map(|(name, question)| (name, world.watch(&question), question))
            .collect();
        let index = world.index();
        let effects = action(&mut world);
        let woken: Vec<_> = before
            .iter()
            .filter(|(_, watch, question)| {
                effects.topics.contains(&watch.topic) && world.watch(question).index > watch.index
            })
            .map(|(name, _, _)| *name)
            .collect();
        assert_eq!(woken.join(","), *expected, "{what}");
        assert_eq!(world.index() > index, !expected.is_empty(), "{what}: index");
        for (name, watch, question) in &before {
            assert!(
                world.watch(question).index >= watch.index || world.watch(question).index >= index,
                "{what}: the index of {name} went back"
            );
        }
    }
}

#[test]
fn the_index_of_an_unknown_service_is_the_last_extinction() {
    let mut world = world();
    let unknown = Question::ServiceHealth("none".into());
    let before = world.watch(&unknown).index;
    assert_eq!(
        before,
        world.index(),
        "nothing has gone yet: the whole tables'"
    );
    let _ = world.deregister_service(T0, "b1");
    let gone = world.index();
    assert_eq!(world.watch(&unknown).index, gone);
    assert_eq!(
        world.watch(&Question::ServiceHealth("b".into())).index,
        gone
    );
    let _ = register(&mut world, service("a9", "a", 9, vec![]));
    assert_eq!(world.watch(&unknown).index, gone, "others do not move it");
}

#[test]
fn output_alone_is_readable_at_once_but_moves_nothing() {
    let mut world = world();
    let (index, revision) = (world.index(), world.revision());
    let effects = ok(world.report_ttl(T0, "service:a1", Status::Passing, "fine"));
    assert!(effects.topics.is_empty());
    assert_eq!(world.index(), index);
    assert!(world.revision() > revision);
    assert_eq!(&*world.health_of("a")[0].checks[1].output, "fine");
}

#[test]
fn an_empty_state_is_woken_by_any_check() {
    let mut world = world();
    let warning = world.watch(&Question::State("warning".into()));
    assert_eq!(warning.topic, Topic::AnyCheck);
    let _ = ok(world.report_ttl(T0, "service:a1", Status::Warning, ""));
    let warning = world.watch(&Question::State("warning".into()));
    assert_eq!(warning.topic, Topic::State(Status::Warning));
}

#[test]
fn a_renamed_service_leaves_the_old_name() {
    let mut world = world();
    let effects = register(&mut world, service("b1", "bee", 3, vec![]));
    assert!(effects.topics.contains(&Topic::ServiceHealth("b".into())));
    assert!(effects.topics.contains(&Topic::ServiceHealth("bee".into())));
    assert!(world.health_of("b").is_empty());
    assert_eq!(world.health_of("BEE").len(), 1);
    assert!(world.service_tags().contains_key("bee"));
    assert!(!world.service_tags().contains_key("b"));
}

#[test]
fn a_change_of_one_service_reads_no_other() {
    // A census rather than a clock: the effects of a change name one service however many there are.
    let mut world = catalog();
    for n in 0..500 {
        let _ = register(
            &mut world,
            service(&format!("i{n}"), &format!("s{n}"), n, vec![ttl(60)]),
        );
    }
    let effects = ok(world.report_ttl(T0, "service:i7", Status::Passing, ""));
    let names: Vec<_> = effects
        .topics
        .iter()
        .filter(|topic| matches!(topic, Topic::ServiceHealth(_)))
        .collect();
    assert_eq!(names, [&Topic::ServiceHealth("s7".into())]);
}
