//! An agent in a few lines, for tests: it keeps services and checks, and can forget, refuse, hang and die.
//!
//! It follows Consul where the registrar leans on it: a check that is registered again keeps its status.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consul::types::{AgentCheck, AgentService, ServiceRegistration, Status};
use daemon::http::{Limits, Reply, json, read_body, text};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::LIMIT;

#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) services: BTreeMap<String, AgentService>,
    pub(super) checks: BTreeMap<String, AgentCheck>,
    /// Statuses that checks were in, in order, one entry for each change.
    pub(super) history: Vec<(String, Status)>,
    pub(super) registrations: usize,
    pub(super) reports: usize,
    /// How often somebody looked at the checks.
    pub(super) looks: usize,
    pub(super) refuse: Option<StatusCode>,
    pub(super) hang: bool,
}

/// An agent in a few lines: services, checks, reports.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    memory: Arc<Mutex<Memory>>,
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
}

impl Agent {
    pub(super) async fn start() -> Self {
        Self::start_on("127.0.0.1:0".parse().expect("an address")).await
    }

    pub(super) async fn start_on(address: SocketAddr) -> Self {
        let listener = daemon::net::listen(address).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let agent = Self {
            memory: Arc::default(),
            address,
            stop: CancellationToken::new(),
        };
        let handler = {
            let agent = agent.clone();
            move |request, _| agent.clone().answer(request)
        };
        let limits = Limits {
            drain: Duration::ZERO,
            ..Limits::default()
        };
        tokio::spawn(daemon::http::serve(
            listener,
            limits,
            handler,
            agent.stop.clone(),
        ));
        agent
    }

    pub(super) fn memory<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(
            &mut self
                .memory
                .lock()
                .expect("no test panics with the lock held"),
        )
    }

    async fn answer(self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        let body = read_body(request.into_body(), 1 << 20)
            .await
            .unwrap_or_default();
        if self.memory(|memory| memory.hang) {
            std::future::pending::<()>().await;
        }
        self.memory(|memory| match memory.refuse {
            Some(status) => text(status, "not now"),
            None => memory.answer(&path, &body),
        })
    }

    /// Waits until the agent's memory is as wanted.
    pub(super) async fn wait(&self, what: &str, reached: impl Fn(&Memory) -> bool) {
        let polling = async {
            while !self.memory(|memory| reached(memory)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, polling)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"));
    }
}

impl Memory {
    fn answer(&mut self, path: &str, body: &[u8]) -> Reply {
        let done = || text(StatusCode::OK, "");
        if path == "/v1/agent/services" {
            return json(StatusCode::OK, &self.services);
        }
        if path == "/v1/agent/checks" {
            self.looks += 1;
            return json(StatusCode::OK, &self.checks);
        }
        if path == "/v1/agent/service/register" {
            self.register(serde_json::from_slice(body).expect("a registration"));
            return done();
        }
        if let Some(id) = path.strip_prefix("/v1/agent/service/deregister/") {
            self.services.remove(id);
            self.checks.retain(|_, check| check.service_id != id);
            return done();
        }
        if let Some(id) = path.strip_prefix("/v1/agent/check/deregister/") {
            self.checks.remove(id);
            return done();
        }
        if let Some(id) = path.strip_prefix("/v1/agent/check/pass/") {
            self.reports += 1;
            if !self.checks.contains_key(id) {
                return text(StatusCode::NOT_FOUND, "Unknown check ID");
            }
            self.set(id, Status::Passing);
            return done();
        }
        text(StatusCode::NOT_FOUND, "")
    }

    fn register(&mut self, service: ServiceRegistration) {
        self.registrations += 1;
        let id = service.effective_id().to_owned();
        for (check_id, check) in service.check_ids().into_iter().zip(&service.checks) {
            if !self.checks.contains_key(&check_id) {
                let fresh = AgentCheck {
                    check_id: check_id.clone(),
                    service_id: id.clone(),
                    status: check.status.unwrap_or_default(),
                    ..AgentCheck::default()
                };
                self.history.push((check_id.clone(), fresh.status));
                self.checks.insert(check_id, fresh);
            }
        }
        let listed = AgentService {
            id: id.clone(),
            service: service.name,
            tags: service.tags,
            meta: service.meta,
            port: service.port,
            address: service.address,
            weights: service.weights.unwrap_or_default(),
            ..AgentService::default()
        };
        self.services.insert(id, listed);
    }

    pub(super) fn set(&mut self, id: &str, status: Status) {
        let check = self.checks.get_mut(id).expect("a check that exists");
        if check.status != status {
            check.status = status;
            self.history.push((id.to_owned(), status));
        }
    }

    pub(super) fn forget(&mut self) {
        self.services.clear();
        self.checks.clear();
        self.history.clear();
    }
}
