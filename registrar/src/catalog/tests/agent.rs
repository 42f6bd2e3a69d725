//! The agent's rules: ids and names of checks, registering again, replacing checks, maintenance, aliases, refusals.

use super::*;

fn check_ids(catalog: &Catalog) -> Vec<String> {
    let checks = catalog.agent_checks();
    checks.iter().map(|check| check.id.to_string()).collect()
}

#[test]
fn checks_without_an_id_get_one() {
    let mut world = catalog();
    let _ = register(&mut world, service("w1", "web", 1, vec![ttl(9)]));
    assert_eq!(check_ids(&world), ["service:w1"]);
    assert_eq!(&*world.agent_checks()[0].name, "Service 'web' check");
    assert_eq!(&*world.agent_checks()[0].kind, "ttl");
    assert_eq!(
        status_of(&world, "service:w1"),
        Some(("critical".into(), String::new()))
    );
    // Going from one check to two leaves the first behind …
    let _ = register(&mut world, service("w1", "web", 1, vec![ttl(9), ttl(8)]));
    assert_eq!(
        check_ids(&world),
        ["service:w1", "service:w1:1", "service:w1:2"]
    );
    // … unless asked to replace.
    let _ = world
        .register_service(T0, service("w1", "web", 1, vec![ttl(9), ttl(8)]), true)
        .expect("valid");
    assert_eq!(check_ids(&world), ["service:w1:1", "service:w1:2"]);
    let _ = register(&mut world, service("w1", "web", 2, vec![]));
    assert_eq!(
        check_ids(&world).len(),
        2,
        "registering without checks keeps the old ones"
    );
}

#[test]
fn an_empty_check_is_dropped_and_an_id_defaults_to_the_name() {
    let mut world = catalog();
    let mut definition = service("", "web", 1, vec![]);
    definition.check = CheckDefinition::default();
    let _ = register(&mut world, definition);
    assert!(check_ids(&world).is_empty());
    assert!(world.agent_instance("web").is_some());
    assert!(world.health_of("web")[0].is_passing(), "no check: healthy");
}

#[test]
fn registering_again_keeps_status_and_output() {
    let mut world = catalog();
    let _ = register(&mut world, service("w1", "web", 1, vec![ttl(9)]));
    let _ = world
        .report_ttl(T0, "service:w1", Status::Warning, "hm")
        .expect("a TTL check");
    let mut again = ttl(9);
    again.status = "passing".into();
    let effects = register(&mut world, service("w1", "web", 1, vec![again]));
    assert!(effects.topics.is_empty());
    assert_eq!(
        status_of(&world, "service:w1"),
        Some(("warning".into(), "hm".into()))
    );
}

#[test]
fn checks_are_started_and_stopped_once() {
    let mut world = catalog();
    let effects = register(&mut world, service("w1", "web", 1, vec![http("http://a/")]));
    assert_eq!(effects.start.len(), 1);
    assert_eq!(effects.start[0].1, Status::Critical);
    let effects = register(&mut world, service("w1", "web", 1, vec![http("http://a/")]));
    assert!(
        effects.start.is_empty() && effects.stop.is_empty(),
        "it runs already"
    );
    let effects = register(&mut world, service("w1", "web", 1, vec![http("http://b/")]));
    assert_eq!(effects.start.len(), 1, "another URL");
    let effects = register(&mut world, service("w1", "web", 1, vec![ttl(9)]));
    assert_eq!(
        (effects.start.len(), effects.stop.len()),
        (0, 1),
        "TTL instead"
    );
    let effects = register(&mut world, service("w1", "web", 1, vec![http("http://b/")]));
    assert_eq!(effects.start.len(), 1);
    let effects = world.deregister_service(T0, "w1");
    assert_eq!(effects.stop.len(), 1);
    assert!(
        world
            .report_run(T0, "service:w1", Status::Passing, "late")
            .topics
            .is_empty()
    );
}

#[test]
fn intervals_and_limits_have_bounds() {
    let mut fast = http("http://a/");
    fast.interval = 1_000_000;
    fast.output_max = 1 << 40;
    let mut world = catalog();
    let effects = register(&mut world, service("w1", "web", 1, vec![fast]));
    let spec = &effects.start[0].0;
    assert_eq!(spec.interval, MIN_INTERVAL);
    assert_eq!(spec.output_max, OUTPUT_LIMIT);
}

#[test]
fn maintenance_adds_a_critical_check_with_the_first_reason() {
    let mut world = catalog();
    let _ = register(&mut world, service("w1", "web", 1, vec![]));
    let _ = world
        .service_maintenance(T0, "w1", true, "disk")
        .expect("known");
    let again = world
        .service_maintenance(T0, "w1", true, "other")
        .expect("known");
    assert!(again.topics.is_empty());
    let checks = world.agent_checks();
    assert_eq!(&*checks[0].id, "_service_maintenance:w1");
    assert_eq!(&*checks[0].notes, "disk");
    assert!(!world.health_of("web")[0].is_passing());
    let _ = world
        .service_maintenance(T0, "w1", false, "")
        .expect("known");
    assert!(world.health_of("web")[0].is_passing());
    let _ = world.node_maintenance(T0, true, "");
    assert!(!world.health_of("web")[0].is_passing());
    assert!(
        world.agent_checks()[0]
            .notes
            .starts_with("Maintenance mode is enabled for this node")
    );
    let unknown = world.service_maintenance(T0, "x", true, "");
    assert!(
        matches!(unknown, Err(CatalogError::NotFound(text)) if text == "No service registered with ID \"x\"")
    );
}

#[test]
fn an_alias_mirrors_and_never_panics() {
    let alias = |service: &str, node: &str| CheckDefinition {
        id: "alias".into(),
        alias_service: service.into(),
        alias_node: node.into(),
        ..CheckDefinition::default()
    };
    let mut world = catalog();
    let _ = register(
        &mut world,
        service("side", "side", 1, vec![alias("main", "")]),
    );
    let said = status_of(&world, "alias").expect("registered");
    assert_eq!(
        said,
        (
            "critical".into(),
            "Service main could not be found on node ".into()
        )
    );
    let _ = register(&mut world, service("main", "main", 1, vec![]));
    assert_eq!(
        status_of(&world, "alias"),
        Some(("passing".into(), "No checks found.".into()))
    );
    let _ = register(&mut world, service("main", "main", 1, vec![ttl(9)]));
    assert_eq!(
        status_of(&world, "alias").map(|s| s.0),
        Some("critical".into())
    );
    let effects = world
        .report_ttl(T0, "service:main", Status::Passing, "")
        .expect("a TTL check");
    assert!(
        effects
            .topics
            .contains(&Topic::ServiceHealth("side".into()))
    );
    assert_eq!(
        status_of(&world, "alias"),
        Some(("passing".into(), "All checks passing.".into()))
    );
    let _ = world
        .report_ttl(T0, "service:main", Status::Warning, "slow")
        .expect("a TTL check");
    assert_eq!(
        status_of(&world, "alias"),
        Some((
            "warning".into(),
            "Aliased check \"Service 'main' check\" failing: slow".into()
        ))
    );
    let _ = world.deregister_service(T0, "main");
    assert_eq!(
        status_of(&world, "alias").map(|s| s.0),
        Some("critical".into())
    );
    let _ = register(
        &mut world,
        service("lost", "lost", 1, vec![alias("x", "nowhere")]),
    );
    assert_eq!(
        status_of(&world, "alias").map(|s| s.0),
        Some("critical".into())
    );
}

#[test]
fn bad_definitions_are_refused_in_consuls_words_and_change_nothing() {
    let with = |change: fn(&mut Instance)| {
        let mut definition = service("w1", "web", 1, vec![]);
        change(&mut definition.instance);
        definition
    };
    let checked = |check: CheckDefinition| service("w1", "web", 1, vec![check]);
    let both = CheckDefinition {
        interval: 1,
        ..ttl(1)
    };
    let no_interval = CheckDefinition {
        interval: 0,
        ..http("http://a/")
    };
    let table = [
        (with(|i| i.name = "".into()), "Missing service name"),
        (
            with(|i| i.address = "0.0.0.0".into()),
            "Invalid service address",
        ),
        (
            with(|i| i.weights.passing = 0),
            "Invalid Weights: Passing must be greater than 0",
        ),
        (
            with(|i| i.weights.warning = 65536),
            "Invalid Weights: DNS Weight must be between 0 and 65535",
        ),
        (
            with(|i| {
                i.meta
                    .get_or_insert_default()
                    .insert("k k".into(), "v".into());
            }),
            "Invalid Service Meta: Couldn't load metadata pair ('k k', 'v'): Key contains invalid characters",
        ),
        (
            with(|i| {
                i.meta
                    .get_or_insert_default()
                    .insert("consul-x".into(), "v".into());
            }),
            "Invalid Service Meta: Couldn't load metadata pair ('consul-x', 'v'): Key prefix 'consul-' is reserved for internal use",
        ),
        (
            checked(CheckDefinition::default()),
            "Invalid check: TTL must be > 0 for TTL checks",
        ),
        (
            checked(no_interval),
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            checked(both),
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        (
            checked(CheckDefinition {
                output_max: -1,
                ..ttl(1)
            }),
            "Invalid check: MaxOutputMaxSize must be positive",
        ),
        (
            checked(CheckDefinition {
                status: "fine".into(),
                ..ttl(1)
            }),
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        (
            checked(CheckDefinition {
                args: vec!["true".into()],
                interval: 1,
                ..CheckDefinition::default()
            }),
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
        ),
    ];
    for (definition, text) in table {
        let mut world = catalog();
        let revision = world.revision();
        let refused = world
            .register_service(T0, definition, false)
            .expect_err(text);
        assert_eq!(refused.to_string(), text);
        assert_eq!(world.revision(), revision);
    }
}

#[test]
fn check_registration_has_its_own_texts() {
    let mut world = catalog();
    let mut refused = |check| {
        world
            .register_check(T0, check)
            .expect_err("bad")
            .to_string()
    };
    assert_eq!(refused(ttl(1)), "Missing check name");
    let mut check = node_check("c");
    check.status = "fine".into();
    assert_eq!(refused(check), "Bad check status");
    let mut check = node_check("c");
    check.service_id = "x".into();
    assert_eq!(refused(check), "ServiceID \"x\" does not exist");
    let missing = world
        .report_ttl(T0, "x", Status::Passing, "")
        .expect_err("unknown");
    assert_eq!(
        missing.to_string(),
        "CheckID \"x\" does not have associated TTL"
    );
}

#[test]
fn an_ip_address_is_also_tagged() {
    let mut world = catalog();
    let _ = register(&mut world, service("w1", "web", 80, vec![]));
    let stored = world.agent_instance("w1").expect("registered");
    let names: Vec<_> = stored.tagged_addresses.keys().map(|key| &**key).collect();
    assert_eq!(names, ["lan_ipv4", "wan_ipv4"]);
    assert_eq!(stored.tagged_addresses["lan_ipv4"], ("10.0.0.1".into(), 80));
}
