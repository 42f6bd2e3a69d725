//! What one question costs: the same question again and again on a few keep-alive connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use e2e::http::Connection;
use e2e::wrk::Load;
use serde_json::{Value, json};

use super::crowd::Crowd;
use super::server::{Server, put};
use crate::machine::Cores;

/// Connections that ask at the same time.
const CONNECTIONS: usize = 16;

/// A question that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) name: &'static str,
    path: &'static str,
    /// A `PUT` with a value of its own each time.
    write: bool,
    /// Meanwhile another service changes, [`CHANGES`] times each second.
    changes: bool,
}

/// Often enough that no two answers of a thousand instances are alike for long.
const CHANGES: u32 = 200;

pub(crate) const READS: [Read; 8] = [
    read("health/service, 1 instance", "/v1/health/service/one"),
    read(
        "health/service, 100 instances",
        "/v1/health/service/hundred",
    ),
    read(
        "health/service, 1,000 instances",
        "/v1/health/service/thousand",
    ),
    while_others_change(
        "health/service, 100 instances; others change",
        "/v1/health/service/hundred",
    ),
    while_others_change(
        "health/service, 1,000 instances; others change",
        "/v1/health/service/thousand",
    ),
    read("catalog/services, 100 services", "/v1/catalog/services"),
    read("kv get", "/v1/kv/key"),
    Read {
        name: "kv put",
        path: "/v1/kv/key",
        write: true,
        changes: false,
    },
];

const fn while_others_change(name: &'static str, path: &'static str) -> Read {
    Read {
        name,
        path,
        write: false,
        changes: true,
    }
}

const fn read(name: &'static str, path: &'static str) -> Read {
    Read {
        name,
        path,
        write: false,
        changes: false,
    }
}

/// What one registry did with one question in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Requests per second.
    pub(crate) rate: f64,
    /// CPU microseconds of the registry for each request.
    pub(crate) cpu_micros: f64,
    pub(crate) failed: u64,
}

/// Registers what is asked about: instances as an agent registers them, each with one passing check.
pub(crate) fn prepare(server: &Server) -> Result<(), String> {
    let mut bodies: Vec<Value> = Vec::new();
    for (service, count) in [("one", 1), ("hundred", 100), ("thousand", 1_000)] {
        bodies.extend((0..count).map(|n| instance(service, n)));
    }
    bodies.extend((0..97).map(|n| instance(&format!("other-{n}"), n)));
    server.put_all(|n| {
        let body = bodies.get(n)?.clone();
        Some(("/v1/agent/service/register".to_owned(), body))
    })?;
    server.put_all(|n| (n == 0).then(|| ("/v1/kv/key".to_owned(), json!("some value"))))
}

/// A registration as a service of a usual kind sends it.
pub(crate) fn instance(service: &str, n: usize) -> Value {
    json!({
        "ID": format!("{service}-{n}"),
        "Name": service,
        "Tags": ["v1", format!("zone-{}", n % 3)],
        "Address": format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255),
        "Port": 8_000 + n % 1_000,
        "Meta": {"version": "1.2.3"},
        "Check": {"TTL": "24h", "Status": "passing"},
    })
}

/// Loads a registry with one question for some seconds.
pub(crate) fn sample(
    server: &Server,
    read: &Read,
    seconds: u64,
    cores: &Cores,
) -> Result<Sample, String> {
    if read.write {
        return write(server, read, seconds);
    }
    let load = |seconds| Load {
        target: server.address,
        path: read.path.to_owned(),
        connections: CONNECTIONS,
        seconds,
        close: false,
        core: Some(cores.load),
    };
    load(1).run();
    let before = server.cpu_seconds();
    let loading = load(seconds).start();
    if read.changes {
        change(server.address, Duration::from_secs(seconds))?;
    }
    let report = loading.finish();
    let used = server.cpu_seconds() - before;
    Ok(Sample {
        rate: report.rate(),
        cpu_micros: used * 1e6 / report.requests.max(1) as f64,
        failed: report.failed() + u64::from(report.requests == 0),
    })
}

/// Changes a service that nobody asks for, again and again for a while.
fn change(server: SocketAddr, time: Duration) -> Result<(), String> {
    let mut connection = Connection::open(server).map_err(|error| error.to_string())?;
    let started = Instant::now();
    for n in 0.. {
        let due = Duration::from_secs(1) / CHANGES * n;
        if due > time || started.elapsed() > time {
            break;
        }
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        let mut body = instance("other-1", 1);
        body["Meta"]["change"] = json!(n.to_string());
        let body = body.to_string();
        connection
            .request("PUT", "/v1/agent/service/register", &[], body.as_bytes())
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn write(server: &Server, read: &Read, seconds: u64) -> Result<Sample, String> {
    let mut crowd = Crowd::new().map_err(|error| error.to_string())?;
    let (mut done, mut failed) = (0_u64, 0);
    let send = |crowd: &mut Crowd, to: usize, n: u64| {
        crowd
            .send(to, &put(read.path, &n.to_string()))
            .map_err(|error| error.to_string())
    };
    for n in 0..CONNECTIONS {
        crowd.join(server.address).map_err(|e| e.to_string())?;
        send(&mut crowd, n, n as u64)?;
    }
    let before = server.cpu_seconds();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        let answers = crowd
            .collect(Duration::from_secs(1))
            .map_err(|error| error.to_string())?;
        for answer in answers {
            done += 1;
            failed += u64::from(answer.status != 200);
            send(&mut crowd, answer.from, done + CONNECTIONS as u64)?;
        }
    }
    Ok(Sample {
        rate: done as f64 / started.elapsed().as_secs_f64(),
        cpu_micros: (server.cpu_seconds() - before) * 1e6 / done.max(1) as f64,
        failed,
    })
}
