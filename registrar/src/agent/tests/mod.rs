//! The agent with real files against the embedded registry and a real Consul.

mod backend;
mod node;

use std::path::Path;

use consul::Query;
use consul::types::{ServiceRegistration, Status};
use tokio::task::JoinHandle;

use super::*;
use backend::{Backend, LIMIT, eventually};

/// Short, so that tests need not wait; the rules do not depend on it.
const VERIFY: Duration = Duration::from_millis(200);

struct Running {
    overview: state::Receiver<Overview>,
    shutdown: CancellationToken,
    reload: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

fn config(folder: &Path, name: &str) -> AgentConfig {
    AgentConfig {
        files: Vec::new(),
        folders: vec![folder.to_owned()],
        name: name.to_owned(),
        keep: false,
        node: None,
        reap: false,
    }
}

fn start(client: Client, config: AgentConfig) -> Running {
    run(Agent::open(client, config).expect("it opens"))
}

fn run(agent: Agent) -> Running {
    let agent = agent.with_verify_interval(VERIFY);
    let shutdown = CancellationToken::new();
    let (reload, reloads) = mpsc::channel(1);
    Running {
        overview: agent.overview(),
        task: tokio::spawn(agent.run(shutdown.clone(), reloads)),
        shutdown,
        reload,
    }
}

impl Running {
    async fn settled(&mut self) {
        let settled = self.overview.wait_for(|overview| overview.settled);
        tokio::time::timeout(LIMIT, settled)
            .await
            .expect("in time")
            .expect("it lives");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(LIMIT, self.task)
            .await
            .expect("in time")
            .expect("no panic");
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let other = folder.join("new");
    std::fs::write(&other, text).expect("written");
    std::fs::rename(other, folder.join(name)).expect("renamed");
}

/// The instances at the agent, with their ports, without Consul itself.
async fn instances(client: &Client) -> Vec<String> {
    let services = client.agent_services().await.expect("they are listed");
    let shown = services
        .values()
        .filter(|service| service.service != "consul");
    shown
        .map(|service| format!("{}:{}", service.id, service.port))
        .collect()
}

#[tokio::test]
async fn files_that_come_change_break_and_go() {
    for backend in Backend::all().await {
        let client = backend.client();
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        client
            .register_service(&ServiceRegistration::new("foreign", "", 9))
            .await
            .expect("registered");
        write(
            folder,
            "web.hcl",
            "service { name = \"web\" port = 1 check { id = \"own\" ttl = \"60s\" status = \"passing\" } }",
        );
        write(folder, "readme.txt", "no definition");
        let mut running = start(client.clone(), config(folder, "me"));
        running.settled().await;
        assert_eq!(
            instances(&client).await,
            ["foreign:9", "web:1"],
            "{}",
            backend.name
        );
        let become_ = async |want: &[&str]| {
            eventually(&format!("{want:?} at {}", backend.name), async || {
                instances(&client).await == want
            })
            .await;
        };

        write(
            folder,
            "db.json",
            "{\"services\": [{\"id\": \"db-1\", \"name\": \"db\", \"port\": 2}], \"check\": {\"name\": \"load\", \"ttl\": \"60s\"}}",
        );
        become_(&["db-1:2", "foreign:9", "web:1"]).await;
        write(
            folder,
            "web.hcl",
            "service { name = \"web\" port = 3 check { id = \"own\" ttl = \"50s\" } }",
        );
        become_(&["db-1:2", "foreign:9", "web:3"]).await;
        running.settled().await;
        let checks = client.agent_checks().await.expect("they are listed");
        assert_eq!(
            checks["own"].status,
            Status::Passing,
            "a check that stays keeps its status"
        );
        assert_eq!(checks["load"].service_id, "");

        write(folder, "web.hcl", "service { name = \"web\" prot = 4 }");
        write(folder, "more.hcl", "service { name = \"more\" port = 5 }");
        become_(&["db-1:2", "foreign:9", "more:5", "web:3"]).await;
        let problems = running.overview.borrow().problems.clone();
        assert!(problems[0].to_string().ends_with("web.hcl:1:24: service.prot: unknown key; expected one of id, name, tags, address, tagged_addresses, meta, port, enable_tag_override, weights, check, checks, token"), "{}", problems[0]);

        std::fs::remove_file(folder.join("db.json")).expect("removed");
        become_(&["foreign:9", "more:5", "web:3"]).await;
        running.settled().await;
        assert!(
            !client
                .agent_checks()
                .await
                .expect("they are listed")
                .contains_key("load")
        );

        client
            .deregister_service("more")
            .await
            .expect("behind its back");
        become_(&["foreign:9", "more:5", "web:3"]).await;
        running.reload.send(()).await.expect("it lives");
        running.stop().await;
        assert_eq!(instances(&client).await, ["foreign:9"], "{}", backend.name);
    }
}

#[tokio::test]
async fn the_next_life_takes_over() {
    for backend in Backend::all().await {
        let client = backend.client();
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let other = tempfile::tempdir().expect("a folder");
        write(
            folder,
            "a.hcl",
            "service { name = \"a\" port = 1 check { ttl = \"60s\" } }",
        );
        write(
            folder,
            "b.hcl",
            "service { name = \"b\" port = 2 } check { name = \"load\" ttl = \"60s\" }",
        );
        write(other.path(), "c.hcl", "service { name = \"c\" port = 3 }");
        let keep = |folder: &Path, name: &str| AgentConfig {
            keep: true,
            ..config(folder, name)
        };
        for (folder, name) in [(folder, "me"), (other.path(), "other")] {
            let mut running = start(client.clone(), keep(folder, name));
            running.settled().await;
            running.stop().await;
        }
        assert_eq!(
            instances(&client).await,
            ["a:1", "b:2", "c:3"],
            "{}",
            backend.name
        );
        client
            .pass_check("service:a", "fine")
            .await
            .expect("reported");
        let index = async || {
            client
                .health_service("a", &Query::default())
                .await
                .expect("listed")
                .value[0]
                .service
                .modify_index
        };
        let before = index().await;

        // One file is gone, and one that was never understood could say what it said.
        std::fs::remove_file(folder.join("b.hcl")).expect("removed");
        write(folder, "z.hcl", "service {");
        let mut running = start(client.clone(), keep(folder, "me"));
        running.settled().await;
        assert_eq!(
            instances(&client).await,
            ["a:1", "b:2", "c:3"],
            "nothing goes while a file is not understood"
        );
        std::fs::remove_file(folder.join("z.hcl")).expect("removed");
        eventually("b to go", async || {
            instances(&client).await == ["a:1", "c:3"]
        })
        .await;
        running.settled().await;
        let checks = client.agent_checks().await.expect("listed");
        assert_eq!(checks["service:a"].status, Status::Passing);
        assert!(!checks.contains_key("load"));
        assert_eq!(
            index().await,
            before,
            "what is as it should be is not registered again"
        );
        running.stop().await;
    }
}

#[tokio::test]
async fn two_of_one_name_leave_each_other_alone() {
    for backend in Backend::all().await {
        let client = backend.client();
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let definitions = [
            "service { name = \"a\" port = 1 } check { name = \"load\" ttl = \"60s\" }",
            "service { name = \"b\" port = 2 check { id = \"own\" ttl = \"60s\" } }",
        ];
        for (folder, text) in folders.iter().zip(definitions) {
            write(folder.path(), "x.hcl", text);
        }
        let mut first = start(client.clone(), config(folders[0].path(), "me"));
        first.settled().await;
        let mut second = start(client.clone(), config(folders[1].path(), "me"));
        second.settled().await;
        // The second has taken the first for its own past by now, once.
        eventually(&format!("both at {}", backend.name), async || {
            let checks = client.agent_checks().await.expect("they are listed");
            instances(&client).await == ["a:1", "b:2"]
                && ["load", "own"].iter().all(|id| checks.contains_key(*id))
        })
        .await;
        second.stop().await;
        assert_eq!(instances(&client).await, ["a:1"], "{}", backend.name);
        let checks = client.agent_checks().await.expect("they are listed");
        assert!(checks.contains_key("load"), "{}", backend.name);
        first.stop().await;
        assert_eq!(
            instances(&client).await,
            Vec::<String>::new(),
            "{}",
            backend.name
        );
    }
}
