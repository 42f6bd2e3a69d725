//! TTL expiry and the removal of instances that stay critical.

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_ttl_check_expires_after_its_time_and_says_so() {
    let mut world = catalog();
    let mut check = ttl(10);
    check.status = "passing".into();
    let _ = register(&mut world, service("w1", "web", 1, vec![check]));
    assert_eq!(world.next_deadline(), Some(T0 + s(10)));
    let _ = world
        .report_ttl(T0 + s(6), "service:w1", Status::Passing, "good")
        .expect("TTL");
    assert_eq!(world.next_deadline(), Some(T0 + s(16)));
    assert!(world.tick(T0 + s(15)).topics.is_empty());
    let effects = world.tick(T0 + s(16));
    assert!(effects.topics.contains(&Topic::ServiceHealth("web".into())));
    let text = "TTL expired (last output before timeout follows): good";
    assert_eq!(
        status_of(&world, "service:w1"),
        Some(("critical".into(), text.into()))
    );
    assert_eq!(world.next_deadline(), None, "it stays as it is");
    let _ = world
        .report_ttl(T0 + s(20), "service:w1", Status::Passing, "")
        .expect("TTL");
    assert_eq!(world.next_deadline(), Some(T0 + s(30)));
}

#[test]
fn a_ttl_check_that_never_said_anything_expires_without_a_quote() {
    let mut world = catalog();
    let _ = register(&mut world, service("w1", "web", 1, vec![ttl(1)]));
    let effects = world.tick(T0 + s(1));
    assert!(
        effects.topics.is_empty(),
        "critical before and after: only the output changed"
    );
    assert_eq!(
        status_of(&world, "service:w1"),
        Some(("critical".into(), "TTL expired".into()))
    );
}

#[test]
fn long_output_is_cut_with_a_note() {
    let mut world = catalog();
    let _ = register(&mut world, service("w1", "web", 1, vec![ttl(9)]));
    let _ = world
        .report_ttl(T0, "service:w1", Status::Passing, &"x".repeat(9000))
        .expect("TTL");
    let (_, output) = status_of(&world, "service:w1").expect("there");
    assert_eq!(
        output.len(),
        4096 + " ... (captured 4096 of 9000 bytes)".len()
    );
    assert!(output.ends_with("x ... (captured 4096 of 9000 bytes)"));
    let _ = world
        .report_ttl(T0, "service:w1", Status::Passing, &"é".repeat(4000))
        .expect("TTL");
}

fn reaped_after(seconds: i64) -> CheckDefinition {
    CheckDefinition {
        deregister_after: seconds * 1_000_000_000,
        ..http("http://a/")
    }
}

#[test]
fn an_instance_that_stays_critical_is_removed() {
    let mut world = catalog();
    let _ = register(&mut world, service("w1", "web", 1, vec![reaped_after(30)]));
    assert_eq!(
        world.next_deadline(),
        None,
        "being critical from the start does not count"
    );
    let _ = world.report_run(T0, "service:w1", Status::Critical, "refused");
    assert_eq!(world.next_deadline(), Some(T0 + s(30)));
    let _ = world.report_run(T0 + s(10), "service:w1", Status::Passing, "");
    assert_eq!(world.next_deadline(), None);
    let _ = world.report_run(T0 + s(20), "service:w1", Status::Critical, "");
    let _ = world.report_run(T0 + s(25), "service:w1", Status::Critical, "");
    assert_eq!(
        world.next_deadline(),
        Some(T0 + s(50)),
        "since the first of a row"
    );
    let effects = world.tick(T0 + s(50));
    assert_eq!(effects.stop.len(), 1);
    assert!(world.health_of("web").is_empty());
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn deregistering_forgets_deadlines() {
    let mut world = catalog();
    let _ = register(
        &mut world,
        service("w1", "web", 1, vec![ttl(9), reaped_after(9)]),
    );
    let _ = world.report_run(T0, "service:w1:2", Status::Critical, "");
    assert!(world.next_deadline().is_some());
    let _ = world.deregister_service(T0, "w1");
    assert_eq!(world.next_deadline(), None);
}
