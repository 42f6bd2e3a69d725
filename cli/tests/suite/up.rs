//! `turno up`: one command, replicas in rotation, and what happens when they come, die and go.

use std::{collections::BTreeMap, net::SocketAddr};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::harness::{Http, Registry, Turno, ends, json, until};

struct Up {
    turno: Turno,
    balancer: SocketAddr,
    admin: SocketAddr,
}

impl Up {
    fn start(options: &str) -> Self {
        let registry = if options.contains("--consul") {
            ""
        } else {
            "--registry-listen 127.0.0.1:0"
        };
        let line = format!("up --listen 127.0.0.1:0 --admin 127.0.0.1:0 {registry} {options}");
        let mut turno = Turno::start(&line);
        turno.line("ready", |line| (line == "turno: ready").then_some(()));
        let (balancer, admin) = (turno.address("balancer "), turno.address("admin "));
        Self {
            turno,
            balancer,
            admin,
        }
    }

    fn view(&self) -> serde_json::Value {
        json(self.admin, "/v1/up")
    }

    /// The processes of the replicas there are, by instance id.
    fn replicas(&self) -> BTreeMap<String, Pid> {
        let view = self.view();
        let replicas = view["replicas"].as_array().expect("a list").clone();
        let one = |replica: &serde_json::Value| {
            let pid = i32::try_from(replica["pid"].as_i64()?)
                .ok()
                .and_then(Pid::from_raw)?;
            Some((replica["id"].as_str()?.to_owned(), pid))
        };
        replicas.iter().filter_map(one).collect()
    }

    fn await_rotation(&self, count: usize) {
        until("the rotation to settle", || {
            let view = self.view();
            let settled =
                view["in_rotation"] == count && view["replicas"].as_array()?.len() == count;
            settled.then_some(())
        });
    }

    /// Who answers how often, of `requests` over one connection.
    fn answers(&self, requests: usize) -> BTreeMap<String, usize> {
        let mut http = Http::open(self.balancer).expect("the balancer listens");
        let mut answers = BTreeMap::new();
        for _ in 0..requests {
            let (status, body) = http.get("/").expect("it answers");
            assert_eq!(status, 200, "{body}");
            *answers.entry(body).or_default() += 1;
        }
        answers
    }
}

fn gone(pid: Pid) -> bool {
    test_kill_process(pid).is_err()
}

#[test]
fn three_replicas_take_turns_exactly_and_leave_nothing_behind() {
    let mut up = Up::start("");
    let answers = up.answers(3000);
    assert_eq!(
        answers.values().copied().collect::<Vec<_>>(),
        [1000, 1000, 1000],
        "{answers:?}"
    );
    let table = up.turno.stdout();
    for what in [
        "registry ",
        "balancer ",
        "admin ",
        "hello-1 ",
        "hello-2 ",
        "hello-3 ",
        "curl http://",
    ] {
        assert!(table.contains(what), "no {what:?} in\n{table}");
    }
    let replicas = up.replicas();
    assert_eq!(replicas.len(), 3);
    assert_eq!(up.turno.stop().code(), Some(0), "{}", up.turno.stderr());
    for (id, pid) in replicas {
        assert!(gone(pid), "{id} is left behind");
    }
    assert!(
        !up.turno.stderr().contains("panicked"),
        "{}",
        up.turno.stderr()
    );
}

#[test]
fn it_scales_up_and_down() {
    let mut up = Up::start("--replicas 2");
    for (count, said) in [
        (5, "hello: 2 -> 5 replicas"),
        (1, "hello: 5 -> 1 replicas"),
        (3, "hello: 1 -> 3"),
    ] {
        let scaled = ends(&format!("scale hello={count} --admin {}", up.admin));
        assert_eq!(scaled.code, Some(0), "{}", scaled.stderr);
        assert!(scaled.stdout.contains(said), "{}", scaled.stdout);
        assert!(
            scaled.stdout.contains(&format!("{count} in rotation")),
            "{}",
            scaled.stdout
        );
        assert_eq!(up.answers(count * 10).len(), count);
        assert_eq!(up.replicas().len(), count);
    }
    for line in ["+ hello hello-5 ", "- hello hello-5 "] {
        up.turno
            .line(line, |printed| printed.starts_with(line).then_some(()));
    }
    let refused = ends(&format!("scale web=2 --admin {}", up.admin));
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("is not run here"),
        "{}",
        refused.stderr
    );
}

#[test]
fn none_at_all_can_be_wished_for() {
    let up = Up::start("--replicas 0");
    let mut http = Http::open(up.balancer).expect("the balancer listens");
    assert_eq!(http.get("/").expect("it answers").0, 503);
    assert_eq!(
        ends(&format!("scale hello=1 --admin {}", up.admin)).code,
        Some(0)
    );
    assert_eq!(up.answers(2).len(), 1);
}

#[test]
fn a_replica_that_dies_is_replaced_and_nobody_notices() {
    let up = Up::start("");
    let mut http = Http::open(up.balancer).expect("the balancer listens");
    let (id, victim) = up.replicas().into_iter().next().expect("three");
    kill_process(victim, Signal::KILL).expect("it runs");
    until("its successor", || {
        let (status, body) = http.get("/").expect("the balancer answers");
        assert_eq!(status, 200, "{body}");
        up.replicas()
            .get(&id)
            .filter(|pid| **pid != victim)
            .map(|_| ())
    });
    up.await_rotation(3);
    assert_eq!(up.answers(30).len(), 3);
    let view = up.view();
    let restarts = view["replicas"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| r["restarts"].as_u64());
    assert_eq!(
        restarts.map(|r| r.expect("a number")).sum::<u64>(),
        1,
        "{view}"
    );
}

#[test]
fn children_do_not_outlive_a_parent_that_is_killed() {
    let mut up = Up::start("--replicas 2");
    let replicas = up.replicas();
    up.turno.signal(Signal::KILL);
    up.turno.ended();
    for (id, pid) in replicas {
        until(&format!("{id} to notice"), || gone(pid).then_some(()));
    }
}

#[test]
fn a_registry_of_others_is_used_and_left_clean() {
    let registry = Registry::start();
    let mut up = Up::start(&format!("--consul {}", registry.url()));
    assert_eq!(registry.passing("hello").len(), 3);
    assert_eq!(up.answers(30).len(), 3);
    assert_eq!(up.turno.stop().code(), Some(0), "{}", up.turno.stderr());
    assert_eq!(registry.instances(), serde_json::json!({}));
}
