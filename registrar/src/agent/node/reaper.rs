//! Takes out of the catalog what the dead left there.
//!
//! Consul forgets a session that is not renewed, but never a node written by hand. So whoever lives watches the keys: a
//! node that says it is guarded, and has no key, is dead. The proof and the removal are one transaction, so that a node
//! that comes back in that moment is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consul::types::{KvEntry, Node, TxnStep};
use consul::{Client, Error, Query};
use daemon::backoff::Backoff;
use tokio_util::sync::CancellationToken;

use super::{GUARD, GUARD_SESSION};

/// Where the keys are.
pub const PREFIX: &str = "turno/agent/";

/// All nodes are looked at so often, though no key has changed: for nodes whose key went while nobody watched.
const LOOK: Duration = Duration::from_secs(15);

/// Two looks are at least so far apart.
const PAUSE: Duration = Duration::from_millis(200);

/// The delay after the first failure; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_millis(500);

/// The longest delay while the registry is away.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// The key that says that a node lives.
#[must_use]
pub fn key(node: &str) -> String {
    format!("{PREFIX}{node}")
}

/// Reaps until `shutdown`.
pub async fn reap(client: Client, shutdown: CancellationToken) {
    let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    let mut index = 0;
    let forever = async {
        loop {
            let pause = match look(&client, index).await {
                Ok(next) => {
                    backoff.reset();
                    // An index that went back starts anew; without one there is nothing to block on.
                    let known = next >= index && next > 0;
                    index = if known { next } else { 0 };
                    if known { PAUSE } else { LOOK }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot look for nodes of dead agents");
                    index = 0;
                    backoff.next_delay()
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = forever => {}
        () = shutdown.cancelled() => {}
    }
}

/// Waits for a key to change, and takes out the dead. Returns the index to wait on next.
async fn look(client: &Client, index: u64) -> Result<u64, Error> {
    let changed = Query {
        index: Some(index),
        wait: Some(LOOK),
        ..Query::default()
    };
    let keys = client.kv_list(PREFIX, &changed).await?;
    let guarded = Query {
        node_meta: BTreeMap::from([(GUARD.to_owned(), GUARD_SESSION.to_owned())]),
        ..Query::default()
    };
    let nodes = client.catalog_nodes(&guarded).await?.value;
    for node in dead(&nodes, &keys.value) {
        let steps = [
            TxnStep::key_absent(key(&node)),
            TxnStep::delete_node(node.clone()),
        ];
        if client.transaction(&steps).await? {
            tracing::warn!(
                node,
                "its agent has fallen silent: taken out of the catalog with all its instances"
            );
        }
    }
    Ok(keys.index)
}

/// The guarded nodes without a key.
fn dead(nodes: &[Node], keys: &[KvEntry]) -> Vec<String> {
    let alive: BTreeSet<&str> = keys
        .iter()
        .filter_map(|entry| entry.key.strip_prefix(PREFIX))
        .collect();
    let guarded = |node: &&Node| {
        node.meta
            .get(GUARD)
            .is_some_and(|guard| guard == GUARD_SESSION)
    };
    let names = nodes.iter().filter(guarded).map(|node| node.node.clone());
    names
        .filter(|node| !alive.contains(node.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_dead() {
        let node = |name: &str, guard: Option<&str>| Node {
            node: name.to_owned(),
            meta: guard
                .map(|guard| (GUARD.to_owned(), guard.to_owned()))
                .into_iter()
                .collect(),
            ..Node::default()
        };
        let entry = |key: &str| KvEntry {
            key: key.to_owned(),
            ..KvEntry::default()
        };
        let nodes = [
            node("alive", Some("session")),
            node("dead", Some("session")),
            node("agents", None),
            node("other", Some("heartbeat")),
        ];
        assert_eq!(
            dead(&nodes, &[entry("turno/agent/alive"), entry("else/dead")]),
            ["dead"]
        );
        assert!(dead(&[], &[entry("turno/agent/x")]).is_empty());
    }
}
