//! How much the board has to look at for a request: as much with ten thousand services as with ten.
//!
//! Looks are counted instead of time, so the outcome is the same on every machine.

use super::*;

/// Requests that are counted.
const REQUESTS: u64 = 100;

/// Feeds an event; checks nothing, as that takes long with many services.
fn feed(scene: &mut Scene, input: Input) -> Vec<Output> {
    scene.broker.on(input, scene.now)
}

fn name(service: u64) -> String {
    format!("service-{service}")
}

/// A broker with that many services, each with a worker of its own that serves nothing else.
fn with_services(services: u64) -> Scene {
    let mut scene = Scene::new();
    for service in 0..services {
        feed(&mut scene, ready(1000 + service, &[&name(service)], 1));
    }
    scene
}

/// What the board looks at for all requests, each of another service, asked for and answered.
fn one_after_another(services: u64) -> u64 {
    let mut scene = with_services(services);
    let before = looks(&scene);
    for n in 0..REQUESTS {
        let service = name(n % services);
        let out = feed(&mut scene, Input::Request(request(1, &service, "x")));
        answer(&mut scene, &out);
    }
    assert_eq!(scene.broker.counters().answered, REQUESTS);
    looks(&scene) - before
}

/// The same when every service has requests waiting behind a worker that is busy.
fn with_all_waiting(services: u64) -> u64 {
    let mut scene = with_services(services);
    let mut running = Vec::new();
    for n in 0..services {
        for body in ["first", "second", "third"] {
            let new = request(n, &name(n), body);
            running.extend(feed(&mut scene, Input::Request(new)));
        }
    }
    let before = looks(&scene);
    for n in 0..REQUESTS {
        // Ten of them are busy, however many services there are.
        let service = n % services.min(10);
        let at = usize::try_from(service).expect("a small number");
        let next = answer(&mut scene, &running[at..=at]);
        running[at] = next
            .into_iter()
            .find(is_request)
            .expect("the next one of this service");
        let new = request(n, &name(service), "more");
        assert!(feed(&mut scene, Input::Request(new)).is_empty(), "it waits");
    }
    assert_eq!(scene.broker.counters().answered, REQUESTS);
    looks(&scene) - before
}

/// The same when workers have prefixes.
fn with_prefixes(services: u64) -> u64 {
    let mut scene = with_services(services);
    feed(&mut scene, ready(1, &["service-*", "serv*"], 1));
    let before = looks(&scene);
    for n in 0..REQUESTS {
        let out = feed(&mut scene, Input::Request(request(1, &name(n % 10), "x")));
        answer(&mut scene, &out);
    }
    assert_eq!(scene.broker.counters().answered, REQUESTS);
    looks(&scene) - before
}

fn is_request(output: &Output) -> bool {
    matches!(output, Output::Worker(_, ToWorker::Request { .. }))
}

/// Lets the worker of the first request among these answer it.
fn answer(scene: &mut Scene, out: &[Output]) -> Vec<Output> {
    let given = out.iter().find_map(|output| match output {
        Output::Worker(peer, ToWorker::Request { delivery, .. }) => Some((*peer, *delivery)),
        _ => None,
    });
    let (worker, delivery) = given.expect("a worker has a request");
    let body = frames("done");
    feed(
        scene,
        Input::Final {
            worker,
            delivery,
            body,
        },
    )
}

fn looks(scene: &Scene) -> u64 {
    let (lanes, services) = scene.broker.board.looks();
    lanes + services
}

#[test]
fn a_request_costs_the_same_however_many_services_there_are() {
    for (what, count) in [
        ("one after another", one_after_another as fn(u64) -> u64),
        ("with all waiting", with_all_waiting),
        ("with prefixes", with_prefixes),
    ] {
        let few = count(10);
        assert!(few >= REQUESTS, "{what}: something is counted: {few}");
        assert_eq!(few, count(10_000), "{what}");
    }
}
