//! The way without an agent: checks run here, a host that is cut off leaves and comes back.

use std::path::Path;

use consul::types::Status;
use consul::{Client, Config, Query};
use tokio::time::Instant;

use super::backend::{self, Backend, Line, eventually};
use super::{Agent, AgentConfig, config, start, write};
use crate::agent::NodeConfig;
use crate::agent::node::TTL_MIN;
use crate::check::Scripts;
use crate::registry::AccessConfig;

fn node(folder: &Path, name: &str) -> AgentConfig {
    AgentConfig {
        node: Some(NodeConfig {
            name: name.to_owned(),
            address: "127.0.0.1".to_owned(),
            ttl: TTL_MIN,
            machine: name.to_owned(),
            scripts: Scripts::Off,
            reports: None,
        }),
        ..config(folder, name)
    }
}

/// The instances of `web` that pass, as anybody sees them.
async fn passing(client: &Client) -> Vec<String> {
    let query = Query {
        passing: true,
        ..Query::default()
    };
    let entries = client
        .health_service("web", &query)
        .await
        .expect("listed")
        .value;
    entries
        .iter()
        .map(|entry| format!("{}@{}", entry.service.id, entry.node.node))
        .collect()
}

fn web(folder: &Path, port: u16) {
    let text = format!(
        "service {{ name = \"web\" port = {port} check {{ tcp = \"127.0.0.1:{port}\" interval = \"1s\" }} }}"
    );
    write(folder, "web.hcl", &text);
}

#[tokio::test]
async fn without_an_agent_the_checks_run_here() {
    for backend in Backend::all().await {
        let client = backend.client();
        let folder = tempfile::tempdir().expect("a folder");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        web(
            folder.path(),
            listener.local_addr().expect("it is bound").port(),
        );
        let mut running = start(client.clone(), node(folder.path(), "vm-1"));
        running.settled().await;
        eventually("it to pass", async || {
            passing(&client).await == ["web@vm-1"]
        })
        .await;

        write(
            folder.path(),
            "more.hcl",
            "service { name = \"told\" check { ttl = \"9s\" } }",
        );
        eventually("a refusal", async || {
            running.overview.borrow().refused.len() == 1
        })
        .await;
        let refused = running.overview.borrow().refused[0].clone();
        assert!(
            refused.starts_with("told: nobody can report the check \"service:told\""),
            "{refused}"
        );

        drop(listener);
        eventually("it to fail", async || passing(&client).await.is_empty()).await;
        let mut second = start(
            client.clone(),
            AgentConfig {
                node: Some(NodeConfig {
                    machine: "another".to_owned(),
                    ..node(folder.path(), "vm-1").node.expect("a node")
                }),
                ..node(folder.path(), "second")
            },
        );
        let away = second
            .overview
            .wait_for(|overview| overview.away.is_some())
            .await
            .expect("it lives")
            .away
            .clone();
        assert!(
            away.clone()
                .expect("a reason")
                .contains("is kept by the agent \"vm-1\""),
            "{away:?}"
        );
        second.stop().await;
        assert!(
            client.catalog_node("vm-1").await.expect("asked").is_some(),
            "the second took nothing away"
        );

        let mut foreign = start(client.clone(), node(folder.path(), "here"));
        let away = foreign
            .overview
            .wait_for(|overview| overview.away.is_some())
            .await
            .expect("it lives")
            .away
            .clone();
        assert!(
            away.clone()
                .expect("a reason")
                .contains("no turno agent wrote it"),
            "{away:?}"
        );
        foreign.stop().await;

        running.stop().await;
        assert!(
            client.catalog_node("vm-1").await.expect("asked").is_none(),
            "{}",
            backend.name
        );
        assert!(
            client
                .kv_get("turno/agent/vm-1")
                .await
                .expect("asked")
                .is_none(),
            "{}",
            backend.name
        );
    }
}

#[tokio::test]
async fn a_host_that_is_cut_off_leaves_and_comes_back() {
    let run = async |backend: Backend| {
        let client = backend.client();
        let folder = tempfile::tempdir().expect("a folder");
        let empty = tempfile::tempdir().expect("a folder");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        web(
            folder.path(),
            listener.local_addr().expect("it is bound").port(),
        );
        let line = Line::to(backend.address).await;
        let mut running = start(backend::client(line.address), node(folder.path(), "vm-1"));
        let peer = start(
            client.clone(),
            AgentConfig {
                reap: true,
                ..config(empty.path(), "peer")
            },
        );
        running.settled().await;
        eventually("it to pass", async || {
            passing(&client).await == ["web@vm-1"]
        })
        .await;

        line.cut();
        // Within twice the session's TTL (see `guard`) by the registry's clock; how late a busy machine is says nothing.
        let cut = Instant::now();
        eventually("it to leave", async || passing(&client).await.is_empty()).await;
        let gone = cut.elapsed();
        assert!(client.catalog_node("vm-1").await.expect("asked").is_none());

        line.mend();
        eventually("it to come back", async || {
            passing(&client).await == ["web@vm-1"]
        })
        .await;
        let mended = cut.elapsed() - gone;
        println!(
            "{}: gone after {gone:?}, back after {mended:?}",
            backend.name
        );
        running.stop().await;
        peer.stop().await;
    };
    futures_util::future::join_all(Backend::all().await.into_iter().map(run)).await;
}

/// The checks of the node with their outputs, as anybody sees them.
async fn found(client: &Client, node: &str) -> Vec<String> {
    let checks = client.health_node(node).await.expect("listed");
    let each = checks
        .values()
        .map(|check| format!("{}={} {}", check.check_id, check.status, check.output));
    each.collect()
}

#[tokio::test]
async fn without_an_agent_checks_are_told_mirrored_and_scripts_too() {
    for backend in Backend::all().await {
        let client = backend.client();
        let folder = tempfile::tempdir().expect("a folder");
        write(
            folder.path(),
            "all.hcl",
            r#"service { name = "web" check { id = "told" name = "told" ttl = "2s" } }
            check { id = "alias" name = "alias" alias_service = "web" }
            service { name = "job" check { id = "job" name = "job" args = ["sh", "-c", "echo so so; exit 1"] interval = "1s" } }"#,
        );
        let mut config = node(folder.path(), "vm-2");
        if let Some(node) = &mut config.node {
            node.scripts = Scripts::Local;
            node.reports = Some("127.0.0.1:0".parse().expect("an address"));
        }
        let agent = Agent::open(client.clone(), config).expect("it opens");
        let programs = backend::client(agent.reports().expect("it listens"));
        let running = super::run(agent);
        let shows = async |wanted: [&str; 3]| {
            eventually("the catalog to say so", async || {
                found(&client, "vm-2").await == wanted
            })
            .await;
        };
        let job = "job=warning so so\n";
        let alias = |status: &str, output: &str| {
            format!("alias={status} Aliased check \"told\" failing: {output}")
        };
        shows([&alias("critical", ""), job, "told=critical "]).await;
        let warned = alias("warning", "it says");
        eventually("the report to arrive", async || {
            // Again each time, so that it does not run out on a busy machine.
            let heard = programs.update_check("told", Status::Warning, "it says");
            heard.await.expect("it is heard");
            found(&client, "vm-2").await == [&warned, job, "told=warning it says"]
        })
        .await;
        let expired = "TTL expired (last output before timeout follows): it says";
        let told = format!("told=critical {expired}");
        shows([&alias("critical", expired), job, &told]).await;
        let unknown = programs.pass_check("job", "").await;
        let unknown = unknown.expect_err("it is run, not told").to_string();
        assert!(
            unknown.contains("does not have associated TTL"),
            "{unknown}"
        );
        running.stop().await;
    }
}

#[tokio::test]
async fn what_the_registry_refuses_keeps_nothing_else_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules");
    let text = r#"token "deploy" {
        secret = "deploy-token"
        service_prefix "web" { policy = "write" }
        node_prefix ""       { policy = "write" }
        session_prefix ""    { policy = "write" }
        key_prefix ""        { policy = "write" }
    }"#;
    std::fs::write(&rules, text).expect("written");
    let backend = Backend::with_access(AccessConfig {
        files: vec![rules],
        ..AccessConfig::default()
    })
    .await;
    let to = Config::new(backend.address.to_string()).with_token("deploy-token");
    let client = Client::new(to).expect("a client");
    let both = "service { name = \"aaa\" port = 1 } service { name = \"web\" port = 2 }";
    write(folder.path(), "both.hcl", both);
    let running = start(client.clone(), node(folder.path(), "vm-4"));
    eventually("the other to be registered", async || {
        let found = client.catalog_node("vm-4").await.expect("asked");
        let ids = found.map(|node| node.services.into_keys().collect::<Vec<_>>());
        ids.unwrap_or_default() == ["web"]
    })
    .await;
    eventually("the refusal to be told", async || {
        let refused = running.overview.borrow().refused.clone();
        matches!(&refused[..], [only] if only.starts_with("aaa: ") && only.contains("403"))
    })
    .await;
    running.stop().await;
}
