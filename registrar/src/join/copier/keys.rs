//! Keys and prepared queries: what the target has already is newer than a move and stays, what this registry put there
//! may be changed again. It does not know what they are for.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use consul::Client;
use consul::types::{KvEntry, KvPut};
use http::Method;
use serde_json::Value;

use super::Copier;
use super::ask::{during, get, post, request, send};
use crate::agent::node::reaper;
use crate::catalog::{Entry, Inventory, Prepared, Shared};
use crate::join::{JoinError, wire};

/// How long the owner of a key that was lent has to take it: many of its looks, which are 5 s apart.
const LOAN: Duration = Duration::from_secs(60);

impl Copier {
    pub(super) async fn copy_keys(&mut self, keys: &[&Shared<Entry>]) -> Result<(), JoinError> {
        for entry in keys {
            let told = self.keys.get(&*entry.key) == Some(&entry.modify_index);
            if !told && !self.foreign_keys.contains(&*entry.key) {
                self.copy_key(entry).await?;
            }
        }
        let here: BTreeSet<&str> = keys.iter().map(|entry| &*entry.key).collect();
        let gone = |key: &&String| !here.contains(key.as_str());
        let gone: Vec<String> = self.keys.keys().filter(gone).cloned().collect();
        for key in gone {
            let done = self.client.kv_delete(&key).await;
            done.map_err(during(format!("deleting key {key:?}")))?;
            self.keys.remove(&key);
            self.ours.keys.remove(&key);
        }
        Ok(())
    }

    /// What is there already is newer than a move, unless this registry put it there.
    async fn copy_key(&mut self, entry: &Shared<Entry>) -> Result<(), JoinError> {
        let key = entry.key.to_string();
        let what = || during(format!("setting key {key:?}"));
        let content = (entry.value.value.clone(), entry.flags);
        let mut cas = if self.keys.contains_key(&key) {
            None
        } else {
            Some(0)
        };
        loop {
            let how = KvPut {
                flags: entry.flags,
                cas,
                ..KvPut::default()
            };
            let value = content.0.to_vec();
            if self
                .client
                .kv_put(&key, value, &how)
                .await
                .map_err(what())?
            {
                break;
            }
            let there = self.client.kv_get(&key).await.map_err(what())?;
            let is = |(value, flags): &(Bytes, u64)| {
                let same = |there: &KvEntry| there.value == value.as_ref() && there.flags == *flags;
                there.as_ref().is_some_and(same)
            };
            if is(&content) {
                break;
            }
            let index = there.as_ref().map(|there| there.modify_index);
            if cas == Some(0) && self.ours.keys.get(&key).is_some_and(is) {
                cas = index;
            } else {
                self.foreign_keys.insert(key);
                return Ok(());
            }
        }
        self.ours.keys.insert(key.clone(), content);
        self.keys.insert(key, entry.modify_index);
        Ok(())
    }

    /// Queries are known there by their names; one that is there already stays as it is.
    pub(super) async fn copy_queries(
        &mut self,
        queries: &[Shared<Prepared>],
    ) -> Result<(), JoinError> {
        let named = |query: &&Shared<Prepared>| !query.name.is_empty();
        let what = "making a prepared query";
        if self.queries.is_empty() && queries.iter().any(|query| named(&query)) {
            let all = get(&self.client, what, "/v1/query").await?;
            let name = |query: &Value| query["Name"].as_str().map(str::to_owned);
            let there: BTreeSet<String> = all
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(name)
                .collect();
            for query in queries.iter().filter(|query| there.contains(&query.name)) {
                self.queries
                    .insert(query.id.clone(), (query.modify_index, None));
            }
        }
        for query in queries.iter().filter(named) {
            let known = self.queries.get(&query.id);
            if known.is_some_and(|(index, id)| *index == query.modify_index || id.is_none()) {
                continue;
            }
            let id = known.and_then(|(_, id)| id.clone());
            let body = wire::query(query);
            let id = match id {
                Some(id) => {
                    send(&self.client, what, &format!("/v1/query/{id}"), &body).await?;
                    id
                }
                None => {
                    let made = post(&self.client, what, "/v1/query", &body).await?;
                    made["ID"].as_str().unwrap_or_default().to_owned()
                }
            };
            self.queries
                .insert(query.id.clone(), (query.modify_index, Some(id)));
        }
        let here: BTreeSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
        let gone = |id: &&String| !here.contains(id.as_str());
        let gone: Vec<String> = self.queries.keys().filter(gone).cloned().collect();
        for id in gone {
            if let Some((_, Some(there))) = self.queries.remove(&id) {
                request(
                    &self.client,
                    what,
                    Method::DELETE,
                    &format!("/v1/query/{there}"),
                    None,
                )
                .await?;
            }
        }
        Ok(())
    }
}

/// Keys that end with a session are not copied, but for those that keep reapers from a node's entries: without them
/// the nodes would be taken out before their agents have noticed the move. They are put there without a session, for
/// their owners to take within [`LOAN`].
pub(super) fn is_lent(entry: &Entry) -> bool {
    entry.key.starts_with(reaper::PREFIX)
}

/// Takes back what was lent and whose owner did not come: it is dead, and its node may be reaped. What stands there by
/// another hand stays.
pub(crate) async fn take_back(client: &Client, inventory: &Inventory) {
    let lent: Vec<_> = inventory
        .ephemeral
        .iter()
        .filter(|entry| is_lent(entry))
        .collect();
    if lent.is_empty() {
        return;
    }
    tokio::time::sleep(LOAN).await;
    for entry in lent {
        let taken_back = async {
            match client.kv_get(&entry.key).await? {
                Some(there) if there.session.is_empty() && there.value == entry.value.value => {
                    client.kv_delete_if(&entry.key, there.modify_index).await
                }
                _ => Ok(false),
            }
        };
        match taken_back.await {
            Ok(false) => {}
            Ok(true) => tracing::warn!(
                key = &*entry.key,
                "its owner did not come back after the move: deleted"
            ),
            Err(error) => tracing::warn!(
                key = &*entry.key, %error, "a key that belongs to nobody could not be deleted; delete it if its node is dead"
            ),
        }
    }
}
