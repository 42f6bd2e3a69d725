//! Tests of the templates that `turno haproxy` drives: as they were agreed on, judged by the real HAProxy, for any snapshot.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::config::Config;
use super::driver::Setup;
use super::reload::fresh;
use super::render::{Backends, Page};
use crate::config::Policy;
use crate::discovery::service_of;
use crate::snapshot::{Endpoint, EndpointId, Excluded, Service, Snapshot};
use crate::template::shipped::{SAMPLED, assert_golden, complaint, snapshots};

const TEMPLATES: [(&str, &str); 2] = [
    (
        "haproxy.cfg",
        include_str!("../../../templates/haproxy.cfg.hbs"),
    ),
    (
        "haproxy-tcp.cfg",
        include_str!("../../../templates/haproxy-tcp.cfg.hbs"),
    ),
];

fn setup(name: &str, template: &str, routes: &[&str]) -> Setup {
    let config = Config {
        listen: vec![
            ([127, 0, 0, 1], 18_080).into(),
            "[::1]:18080".parse().expect("a literal"),
        ],
        stats: Some(([127, 0, 0, 1], 18_404).into()),
        routes: routes.iter().map(|r| r.parse().expect("a route")).collect(),
        check: Some("/health".to_owned()),
        slots: 4,
        ..Config::default().in_folder(Path::new("/run/turno"))
    };
    Setup {
        config: config.checked().expect("a good configuration"),
        page: Page::new(Path::new(name), template).expect("it is a template"),
    }
}

fn text(setup: &Setup, snapshot: &Snapshot) -> String {
    let note = fresh(setup, &Backends::new(), snapshot).expect("it can be rendered");
    setup
        .page
        .text(&setup.config, &note.backends)
        .expect("it can be rendered")
}

/// The folder of the sockets need not be there for a check, but HAProxy binds none then either.
fn accepted(name: &str, text: &str) {
    assert_eq!(complaint(name, text), None, "{text}");
}

fn endpoint(instance: &str, port: u16, weight: u32) -> Endpoint {
    Endpoint {
        id: EndpointId {
            node: "n".into(),
            instance: instance.into(),
        },
        address: ([127, 0, 0, 1], port).into(),
        weight,
    }
}

#[test]
fn each_is_as_it_was_agreed_on() {
    let mut web = Service {
        endpoints: vec![
            endpoint("a", 1_001, 1),
            endpoint("b\nserver x;", 1_002, 512),
        ],
        excluded: Vec::new(),
    };
    web.endpoints.push(Endpoint {
        address: "[::1]:1003".parse().expect("a literal"),
        ..endpoint("c", 1_003, 256)
    });
    let snapshot = Snapshot {
        services: BTreeMap::from([
            ("web".into(), web),
            ("odd name;\n".into(), Service::default()),
        ]),
    };
    let routes = [
        "/=web,policy=weighted-round-robin",
        "/api=odd name;\n,strip-prefix,policy=least-connections",
        "Shop.example/=odd name;\n,policy=least-connections",
        "shop.example/(a),[b]!=web,policy=random",
    ];
    for (name, template) in TEMPLATES {
        let setup = setup(name, template, &routes);
        let text = text(&setup, &snapshot);
        assert_golden(name, &text);
        accepted(name, &text);
    }
}

#[test]
fn every_policy_is_one_that_haproxy_has() {
    let (name, template) = TEMPLATES[0];
    let routes = Policy::ALL.map(|policy| format!("/{policy}=web,policy={policy}"));
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    let text = text(&setup(name, template, &routes), &Snapshot::default());
    assert_eq!(
        text.matches("\nbackend ").count(),
        Policy::ALL.len(),
        "{text}"
    );
    accepted(name, &text);
}

/// The instances of an answer, in its order.
type Answer = Vec<Result<Endpoint, Excluded>>;

fn any_answer() -> impl Strategy<Value = Answer> {
    let instance = (
        "[ -~\n\u{e9}]{0,6}",
        1..65_535_u16,
        1..65_536_u32,
        any::<bool>(),
    );
    proptest::collection::vec(instance, 0..20).prop_map(|instances| {
        let distinct: BTreeMap<_, _> = instances.into_iter().map(|i| (i.0.clone(), i)).collect();
        let instances = distinct.into_values();
        let mut answer: Answer = instances
            .map(|(instance, port, weight, is_in)| {
                let endpoint = endpoint(&instance, port, weight);
                let excluded = Excluded {
                    id: endpoint.id.clone(),
                    reason: String::new(),
                };
                is_in.then_some(endpoint).ok_or(excluded)
            })
            .collect();
        // No registry says in which order it lists instances.
        fastrand::Rng::with_seed(answer.len() as u64).shuffle(&mut answer);
        answer
    })
}

#[test]
fn any_snapshot_gives_a_file_that_haproxy_accepts_and_does_not_depend_on_the_order() {
    let config = proptest::test_runner::Config {
        cases: snapshots(),
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    };
    let made = std::cell::Cell::new(0);
    let name = || {
        prop_oneof!["[a-z]{1,5}", "[ -~&&[^,=]]{1,8}"]
            .prop_filter("a name", |n| !n.trim().is_empty())
    };
    let any = (
        name(),
        any_answer(),
        name(),
        any_answer(),
        0..Policy::ALL.len(),
    );
    TestRunner::new(config)
        .run(&any, |(one, first, two, second, policy)| {
            made.set(made.get() + 1);
            let routes = [
                format!("/={one},policy={}", Policy::ALL[policy]),
                format!("h.example/x={two},strip-prefix"),
            ];
            let snapshot = |answers: [Answer; 2]| {
                let names = [one.as_str(), two.as_str()].map(Into::into);
                let services = names.into_iter().zip(answers.map(service_of));
                Snapshot {
                    services: services.collect(),
                }
            };
            let mut other_way = [first.clone(), second.clone()];
            other_way.iter_mut().for_each(|answer| answer.reverse());
            let (forth, back) = (snapshot([first, second]), snapshot(other_way));
            for (name, template) in TEMPLATES {
                let setup = setup(name, template, &[&routes[0], &routes[1]]);
                let text = text(&setup, &forth);
                prop_assert_eq!(&text, &self::text(&setup, &back));
                if made.get() % SAMPLED == 1 {
                    prop_assert_eq!(complaint(name, &text), None, "{}", text);
                }
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
