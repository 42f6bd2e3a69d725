//! Brokers with CURVE keys hand over to each other if their keys are on each other's list, and to nobody else, whatever the
//! registry says.

use std::fs;
use std::path::Path;

use e2e::http::Connection;
use e2e::process::{Ended, Process};
use e2e::registry::{Kind, Registry};
use e2e::turno;
use e2e::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::federated::{both, front};
use crate::queues::{broker, part};

/// Keys and lists of a test.
struct Ring(TempDir);

impl Ring {
    /// Key pairs of these names. All may ask and serve; `brokers` are other brokers to each other.
    fn new(names: &[&str], brokers: &[&str]) -> Self {
        let ring = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        for name in names {
            let made = turno::run(&["mq", "keygen", &ring.path(name)]);
            assert_eq!(made.code, 0, "{made:?}");
        }
        ring.list("allowed", names);
        ring.list("brokers", brokers);
        ring
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn list(&self, name: &str, of: &[&str]) {
        let keys = of.iter().map(|it| self.public(it) + "\n");
        fs::write(self.path(name), keys.collect::<String>()).expect("written");
    }

    fn public(&self, name: &str) -> String {
        let file = self.path(&format!("{name}.pub"));
        fs::read_to_string(Path::new(&file))
            .expect("just made")
            .trim()
            .to_owned()
    }

    fn key(&self, name: &str) -> [String; 2] {
        ["--curve-key".to_owned(), self.path(&format!("{name}.key"))]
    }

    /// A broker that has this key.
    fn broker(&self, registry: &Registry, key: &str, more: &[&str]) -> Process {
        let [option, key] = &self.key(key);
        let allowed = self.path("allowed");
        let keys = [option, key, "--curve-clients", &allowed];
        broker(registry, &[&keys, more].concat())
    }

    /// The same, with the list of brokers.
    fn listing(&self, registry: &Registry, key: &str, more: &[&str]) -> Process {
        let brokers = self.path("brokers");
        self.broker(
            registry,
            key,
            &[&["--curve-brokers", &brokers], more].concat(),
        )
    }

    /// A worker of `service` at this broker, which has the key of that name.
    fn worker(&self, registry: &Registry, at: &Process, key: &str, service: &str) -> Process {
        let [option, mine] = &self.key("peer");
        let (theirs, address) = (self.path(&format!("{key}.pub")), front(at));
        let worker = part(
            registry,
            &[
                "worker",
                "--service",
                service,
                "--builtin",
                "upper",
                "--broker",
                &address,
                option,
                mine,
                "--curve-server",
                &theirs,
            ],
        );
        wait::until_true("the worker to be attached", wait::SOON, || {
            worker.output().contains("attached")
        });
        worker
    }

    /// What a client of this broker, which has the key of that name, is told.
    fn ask(&self, at: &Process, key: &str, service: &str) -> Ended {
        let [option, mine] = &self.key("peer");
        let (theirs, address) = (self.path(&format!("{key}.pub")), front(at));
        turno::run(&[
            "mq",
            "client",
            "--broker",
            &address,
            option,
            mine,
            "--curve-server",
            &theirs,
            "--service",
            service,
            "word",
        ])
    }

    /// Waits until what this broker is asked for is answered, wherever the workers are.
    fn serves(&self, at: &Process, key: &str) {
        wait::until_true("the broker to know of the workers", wait::SOON, || {
            let answer = self.ask(at, key, "up");
            answer.code == 0 && answer.stdout.contains("WORD")
        });
    }

    fn knows_nobody_for(&self, at: &Process, key: &str, service: &str) {
        let answer = self.ask(at, key, service);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.stderr.contains("404"), "{answer:?}");
    }
}

fn coordinator(registry: &Registry, keys: &[String]) -> Process {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let any = "tcp://127.0.0.1:0";
    let arguments = [&["coordinator", "--in", any, "--out", any], &keys[..]].concat();
    part(registry, &arguments)
}

fn says(process: &Process, words: &str) {
    wait::until_true(words, wait::SOON, || process.output().contains(words));
}

#[test]
fn one_key_pair_for_all_is_enough_with_and_without_a_coordinator() {
    let registry = Registry::start(Kind::Embedded);
    let ring = Ring::new(&["broker", "peer"], &[]);
    // Not theirs: they do without it.
    let _open = coordinator(&registry, &[]);
    wait::until_true("the coordinator to be registered", wait::SOON, || {
        registry.passing("mq-coordinator").len() == 1
    });
    let home = ring.broker(&registry, "broker", &[]);
    let _worker = ring.worker(&registry, &home, "broker", "up");
    let other = ring.broker(&registry, "broker", &[]);
    ring.serves(&other, "broker");
    says(
        &other,
        "a coordinator is in the registry and not spoken with",
    );

    let _theirs = coordinator(&registry, &ring.key("broker"));
    wait::until_true("it to be registered", wait::SOON, || {
        registry.passing("mq-coordinator").len() == 2
    });
    let third = ring.broker(&registry, "broker", &[]);
    ring.serves(&third, "broker");
    ring.serves(&other, "broker");
}

#[test]
fn brokers_with_keys_of_their_own_are_told_of_each_other_by_a_list() {
    let registry = Registry::start(Kind::Embedded);
    let ring = Ring::new(
        &["one", "two", "between", "peer"],
        &["one", "two", "between"],
    );
    let home = ring.listing(&registry, "one", &[]);
    let _worker = ring.worker(&registry, &home, "one", "up");
    let other = ring.listing(&registry, "two", &[]);
    both(&registry);
    ring.serves(&other, "two");
    let brokers = ["--curve-brokers".to_owned(), ring.path("brokers")];
    let _between = coordinator(&registry, &[ring.key("between"), brokers].concat());
    wait::until_true("the coordinator to be registered", wait::SOON, || {
        registry.passing("mq-coordinator").len() == 1
    });
    ring.serves(&other, "two");
}

#[test]
fn a_list_may_grow_while_brokers_run() {
    let registry = Registry::start(Kind::Embedded);
    let ring = Ring::new(&["one", "two", "peer"], &["one"]);
    let home = ring.listing(&registry, "one", &[]);
    let _worker = ring.worker(&registry, &home, "one", "up");
    // It would listen to the other one, which does not let it.
    let other = ring.listing(&registry, "two", &[]);
    says(&home, "refused: this key is not among the allowed ones");
    says(&other, "refused: is this key on the list there?");
    ring.list("brokers", &["one", "two"]);
    ring.serves(&other, "two");
}

#[test]
fn without_a_registry_addresses_come_with_the_files_of_their_keys() {
    let registry = Registry::start(Kind::Embedded);
    let ring = Ring::new(&["one", "two", "stranger", "peer"], &["one", "two"]);
    let any = "tcp://127.0.0.1:0";
    let news = e2e::ports::free_address().to_string();
    let home = ring.listing(
        &registry,
        "one",
        &["--no-register", "--news-bind", &format!("tcp://{news}")],
    );
    let _worker = ring.worker(&registry, &home, "one", "up");
    let there = format!("{news},{}", ring.path("one.pub"));
    let other = ring.listing(&registry, "two", &["--no-register", "--neighbour", &there]);
    ring.serves(&other, "two");

    // Whose key is not on the list is not spoken with, though it was given by hand.
    let stranger = format!("{news},{}", ring.path("stranger.pub"));
    let [option, key] = &ring.key("two");
    let (allowed, brokers) = (ring.path("allowed"), ring.path("brokers"));
    let refused = turno::run(&[
        "mq",
        "broker",
        "--bind",
        any,
        "--no-worker-bind",
        "--no-register",
        option,
        key,
        "--curve-clients",
        &allowed,
        "--curve-brokers",
        &brokers,
        "--neighbour",
        &stranger,
    ]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("--curve-brokers"), "{refused:?}");
}

/// The instance of a broker that has this key.
fn instance(registry: &Registry, key: &str) -> Value {
    let mut connection = Connection::open(registry.address).expect("it listens");
    let answer = connection.get("/v1/health/service/mq").expect("an answer");
    let all: Vec<Value> = serde_json::from_str(&answer.text()).expect("JSON");
    let mut services = all.into_iter().map(|it| it["Service"].clone());
    services
        .find(|it| it["Meta"]["curve"] == key)
        .expect("it is registered")
}

#[test]
fn strangers_get_nothing_and_give_nothing_whatever_the_registry_says() {
    let registry = Registry::start(Kind::Embedded);
    let ring = Ring::new(&["broker", "stranger", "peer"], &[]);
    let home = ring.broker(&registry, "broker", &[]);
    let _worker = ring.worker(&registry, &home, "broker", "up");
    // One that would like to be a neighbour, and one without keys, each with a worker of its own.
    ring.list("brokers", &["broker"]);
    let stranger = ring.listing(&registry, "stranger", &[]);
    let _theirs = ring.worker(&registry, &stranger, "stranger", "theirs");
    let open = broker(&registry, &[]);
    let _open_worker = part(
        &registry,
        &[
            "worker",
            "--service",
            "open",
            "--builtin",
            "upper",
            "--broker",
            &front(&open),
        ],
    );
    wait::until_true("all to be registered", wait::SOON, || {
        registry.passing("mq").len() == 3
    });
    // And the registry says that the stranger has the brokers' key.
    let mut lie = instance(&registry, &ring.public("stranger"));
    lie["ID"] = json!("lie");
    lie["Name"] = json!("mq");
    lie["Meta"]["curve"] = json!(ring.public("broker"));
    let lie = json!({"ID": "lie", "Name": "mq", "Address": lie["Address"], "Port": lie["Port"], "Meta": lie["Meta"]});
    let mut connection = Connection::open(registry.address).expect("it listens");
    let path = "/v1/agent/service/register";
    let put = connection.request("PUT", path, &[], lie.to_string().as_bytes());
    assert_eq!(put.expect("an answer").status, 200);

    // One that belongs to them finds them meanwhile.
    let other = ring.broker(&registry, "broker", &[]);
    ring.serves(&other, "broker");
    for service in ["theirs", "open"] {
        ring.knows_nobody_for(&home, "broker", service);
        ring.knows_nobody_for(&other, "broker", service);
    }
    ring.knows_nobody_for(&stranger, "stranger", "up");
    let answer = turno::run(&[
        "mq",
        "client",
        "--broker",
        &front(&open),
        "--service",
        "up",
        "word",
    ]);
    assert!(
        answer.code == 1 && answer.stderr.contains("404"),
        "{answer:?}"
    );
    says(&home, "is neither this one's own nor in --curve-brokers");
    says(&open, "it has CURVE keys, and this one has none");
}
