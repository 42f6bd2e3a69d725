//! The registrar against a small agent that can lose everything, refuse, hang and go away.

mod agent;

use std::net::SocketAddr;
use std::time::Duration;

use consul::types::{AgentCheck, CheckDefinition, ServiceRegistration, Status};
use consul::{Client, Config};
use http::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Registrar, State};
use agent::{Agent, Memory};

/// Nothing here takes this long unless it is broken.
const LIMIT: Duration = Duration::from_secs(20);

/// Short, so that tests need not wait; the rules do not depend on it.
const VERIFY: Duration = Duration::from_millis(30);

/// A registrar at work.
struct Running {
    state: watch::Receiver<State>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

fn run(address: SocketAddr, checks: Vec<CheckDefinition>) -> Running {
    let client = Client::new(Config::new(address.to_string())).expect("a client");
    let service = ServiceRegistration {
        checks,
        ..ServiceRegistration::new("web", "127.0.0.1", 80)
    };
    let registrar = Registrar::new(client, service).with_verify_interval(VERIFY);
    let state = registrar.state();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(registrar.run(shutdown.clone()));
    Running {
        state,
        shutdown,
        task,
    }
}

impl Running {
    async fn wait(&mut self, reached: impl FnMut(&State) -> bool) -> State {
        let waiting = tokio::time::timeout(LIMIT, self.state.wait_for(reached)).await;
        waiting
            .expect("in time")
            .expect("the registrar lives")
            .clone()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(LIMIT, self.task)
            .await
            .expect("in time")
            .expect("no panic");
        assert_eq!(*self.state.borrow(), State::Deregistered);
    }
}

fn http() -> CheckDefinition {
    CheckDefinition::http("http://127.0.0.1:80/health", Duration::from_secs(10))
}

#[tokio::test]
async fn it_registers_and_in_the_end_deregisters() {
    let agent = Agent::start().await;
    let mut running = run(agent.address, vec![http()]);
    running.wait(|state| *state == State::Registered).await;
    agent.memory(|memory| {
        assert_eq!(memory.services["web"].port, 80);
        assert_eq!(memory.checks["service:web"].status, Status::Critical);
    });
    running.stop().await;
    agent.memory(|memory| {
        assert!(memory.services.is_empty() && memory.checks.is_empty());
        assert_eq!(
            memory.registrations, 1,
            "what is as it should be is not registered again"
        );
    });
}

#[tokio::test]
async fn a_registry_that_starts_later_is_waited_for() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("a bound address")
    };
    let mut running = run(address, vec![]);
    let state = running
        .wait(|state| matches!(state, State::Retrying(_)))
        .await;
    let State::Retrying(reason) = state else {
        unreachable!("waited for")
    };
    assert!(reason.contains("connection refused"), "{reason}");
    let agent = Agent::start_on(address).await;
    running.wait(|state| *state == State::Registered).await;
    assert!(agent.memory(|memory| memory.services.contains_key("web")));
    running.stop().await;
}

#[tokio::test]
async fn what_the_registry_lost_comes_back_with_the_status_it_had() {
    let agent = Agent::start().await;
    let mut running = run(agent.address, vec![http()]);
    running.wait(|state| *state == State::Registered).await;
    agent.memory(|memory| memory.set("service:web", Status::Passing));
    let looks = agent.memory(|memory| memory.looks);
    // The second look begins after the first was taken in.
    agent
        .wait("two looks", |memory| memory.looks >= looks + 2)
        .await;
    agent.memory(|memory| memory.services.get_mut("web").expect("registered").port = 1);
    agent
        .wait("port set right", |memory| memory.services["web"].port == 80)
        .await;
    let history = agent.memory(|memory| std::mem::take(&mut memory.history));
    let web = |status| ("service:web".to_owned(), status);
    assert_eq!(
        history,
        [web(Status::Critical), web(Status::Passing)],
        "it did not flap"
    );
    agent.memory(Memory::forget);
    agent
        .wait("registered again", |memory| {
            memory.services.contains_key("web")
        })
        .await;
    assert_eq!(
        agent.memory(|memory| memory.history.clone()),
        [web(Status::Passing)],
        "passing from the start"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_check_that_is_missing_or_left_over_is_set_right() {
    let agent = Agent::start().await;
    let mut running = run(agent.address, vec![http(), http()]);
    running.wait(|state| *state == State::Registered).await;
    agent.memory(|memory| {
        let old = memory.checks.remove("service:web:1").expect("registered");
        let old = AgentCheck {
            check_id: "service:web".to_owned(),
            ..old
        };
        memory.checks.insert("service:web".to_owned(), old);
        let own = AgentCheck {
            service_id: "web".to_owned(),
            check_id: "own".to_owned(),
            ..AgentCheck::default()
        };
        memory.checks.insert("own".to_owned(), own);
    });
    let right = ["own", "service:web:1", "service:web:2"];
    agent
        .wait("checks set right", |memory| memory.checks.keys().eq(right))
        .await;
    running.stop().await;
}

#[tokio::test]
async fn a_ttl_check_passes_at_once_and_is_refreshed() {
    let agent = Agent::start().await;
    let mut running = run(
        agent.address,
        vec![CheckDefinition::ttl(Duration::from_millis(300))],
    );
    running.wait(|state| *state == State::Registered).await;
    assert_eq!(
        agent.memory(|memory| memory.checks["service:web"].status),
        Status::Passing
    );
    agent
        .wait("three refreshes", |memory| memory.reports >= 3)
        .await;
    agent.memory(Memory::forget);
    let passing = |memory: &Memory| {
        memory
            .checks
            .get("service:web")
            .is_some_and(|check| check.status == Status::Passing)
    };
    agent.wait("passing again", passing).await;
    running.wait(|state| *state == State::Registered).await;
    running.stop().await;
}

#[tokio::test]
async fn a_registry_that_refuses_is_asked_again() {
    let agent = Agent::start().await;
    agent.memory(|memory| memory.refuse = Some(StatusCode::FORBIDDEN));
    let mut running = run(agent.address, vec![]);
    let refused =
        |state: &State| matches!(state, State::Retrying(reason) if reason.contains("403 not now"));
    running.wait(refused).await;
    agent.memory(|memory| memory.refuse = None);
    running.wait(|state| *state == State::Registered).await;
    running.stop().await;
}

#[tokio::test]
async fn a_registry_that_went_away_and_came_back_empty_has_the_instance_again() {
    let agent = Agent::start().await;
    let mut running = run(agent.address, vec![http()]);
    running.wait(|state| *state == State::Registered).await;
    agent.stop.cancel();
    running
        .wait(|state| matches!(state, State::Retrying(_)))
        .await;
    let again = Agent::start_on(agent.address).await;
    again
        .wait("registered again", |memory| {
            memory.services.contains_key("web")
        })
        .await;
    running.wait(|state| *state == State::Registered).await;
    running.stop().await;
    assert!(again.memory(|memory| memory.services.is_empty()));
}

#[tokio::test]
async fn a_registry_that_hangs_does_not_hold_up_the_end() {
    let agent = Agent::start().await;
    let mut running = run(agent.address, vec![]);
    running.wait(|state| *state == State::Registered).await;
    agent.memory(|memory| memory.hang = true);
    running.stop().await;
    agent.stop.cancel();
}

#[tokio::test]
async fn what_never_reached_a_registry_ends_at_once() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("a bound address")
    };
    let mut running = run(address, vec![]);
    running
        .wait(|state| matches!(state, State::Retrying(_)))
        .await;
    running.stop().await;
}
