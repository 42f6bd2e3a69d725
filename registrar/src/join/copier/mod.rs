//! Tells the target what it does not know yet. One pass after another: what was told and has not changed is not told
//! again, what is gone here is taken back, and nothing is touched there that was not put there by this copier.
//! It does not know when the registry moves, nor what the target makes of the checks.

mod ask;
mod keys;

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use bytes::Bytes;
use consul::Client;
use consul::types::{CheckDefinition, ServiceRegistration, Status as WireStatus};
use serde_json::Value;

pub(super) use self::ask::get;
use self::ask::{during, send};
use self::keys::is_lent;
pub(crate) use self::keys::take_back;
use super::proof::Seen;
use super::{JoinError, Moved, Target, some, wire};
use crate::catalog::{Entry, ForeignNode, How, Inventory, OwnCheck, Shared};

/// TTL checks are reported to the target this often within their time, as somebody who is not late would.
const BEATS_IN_TTL: u32 = 3;

/// Who has told the target what.
#[derive(Debug)]
pub(crate) struct Copier {
    client: Client,
    target: Target,
    /// What the target's agent had before, by id: name, address and port.
    before: HashMap<String, (String, String, i64)>,
    services: HashMap<String, Told<ServiceRegistration>>,
    maintenance: HashMap<String, String>,
    node_checks: HashMap<String, Told<CheckDefinition>>,
    /// By check id: what was last reported, and when.
    beats: HashMap<String, (WireStatus, String, Instant)>,
    /// By node name: its instances' and checks' ids, and the writes.
    nodes: HashMap<String, Vec<Value>>,
    /// By key: the modify index here of what is there.
    keys: HashMap<String, u64>,
    /// Keys that are somebody else's there.
    foreign_keys: BTreeSet<String>,
    /// What this registry has put there, also before this copier.
    ours: Ours,
    /// By id here: the id there.
    queries: HashMap<String, (u64, Option<String>)>,
}

/// What one attempt leaves to the next: what it put there may be changed again.
#[derive(Debug, Default)]
pub(crate) struct Ours {
    instances: BTreeSet<String>,
    keys: HashMap<String, (Bytes, u64)>,
}

/// What was told, to see whether it has changed.
#[derive(Debug, PartialEq)]
struct Told<T>(T);

impl Copier {
    /// Asks the target who it is and what it has; tells it nothing. `ours` is what earlier attempts put there.
    ///
    /// # Errors
    /// It does not answer, is this very registry, or another datacenter.
    pub(crate) async fn begin(
        client: Client,
        inventory: &Inventory,
        ours: &mut Ours,
    ) -> Result<Copier, JoinError> {
        let target = Target::ask(&client).await?;
        if *target.node_id == *inventory.local.id {
            return Err(JoinError::Itself(client.address().to_owned()));
        }
        if *target.datacenter != *inventory.local.datacenter {
            return Err(JoinError::OtherDatacenter {
                here: inventory.local.datacenter.to_string(),
                there: target.datacenter,
            });
        }
        let services = client.agent_services().await;
        let services = services.map_err(during("asking for the target's instances"))?;
        let before = services
            .into_iter()
            .map(|(id, row)| (id, (row.service, row.address, row.port)))
            .collect();
        Ok(Copier {
            client,
            target,
            before,
            services: HashMap::new(),
            maintenance: HashMap::new(),
            node_checks: HashMap::new(),
            beats: HashMap::new(),
            nodes: HashMap::new(),
            keys: HashMap::new(),
            foreign_keys: BTreeSet::new(),
            ours: std::mem::take(ours),
            queries: HashMap::new(),
        })
    }

    /// What this registry has put there, for the next attempt.
    pub(crate) fn into_ours(self) -> Ours {
        self.ours
    }

    /// The target's agent.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Tells the target all that has changed since the last pass.
    ///
    /// # Errors
    /// The first refusal, or something that must not be moved. What was told until then stays told.
    pub(crate) async fn pass(&mut self, inventory: &Inventory) -> Result<(), JoinError> {
        if inventory.node_maintenance {
            return Err(JoinError::NodeMaintenance);
        }
        // Keys before instances: what starts because an instance is there finds its configuration.
        let lent = inventory.ephemeral.iter().filter(|entry| is_lent(entry));
        let keys: Vec<&Shared<Entry>> = inventory.keys.iter().chain(lent).collect();
        self.copy_keys(&keys).await?;
        self.copy_queries(&inventory.queries).await?;
        for node in &inventory.foreign {
            self.copy_node(node).await?;
        }
        self.forget_nodes(&inventory.foreign).await?;
        self.copy_services(inventory).await?;
        self.copy_node_checks(&inventory.node_checks).await?;
        self.beat(inventory).await
    }

    /// What a reader of the target's catalog sees of its agent's node.
    pub(crate) async fn look(&self) -> Result<Seen, JoinError> {
        let what = "reading the target's catalog";
        let node = self.client.catalog_node(&self.target.node).await;
        let instances = node.map_err(during(what))?.unwrap_or_default().services;
        let checks = self.client.health_node(&self.target.node).await;
        Ok(Seen {
            instances: instances.into_keys().collect(),
            checks: checks.map_err(during(what))?,
        })
    }

    /// How much was told, and what cannot be.
    pub(crate) fn moved(&self, inventory: &Inventory) -> Moved {
        let mut left = Vec::new();
        let mut say = |count: usize, text: String| {
            if count > 0 {
                left.push(text);
            }
        };
        let names = |keys: &[crate::catalog::Key]| {
            some(&keys.iter().map(|key| key.to_string()).collect::<Vec<_>>())
        };
        say(
            inventory.sessions,
            format!(
                "{} sessions: their holders must make new ones",
                inventory.sessions
            ),
        );
        let locked = &inventory.locked;
        say(
            locked.len(),
            format!("locks, the keys are unlocked there: {}", names(locked)),
        );
        let brief = inventory.ephemeral.iter().filter(|entry| !is_lent(entry));
        let brief: Vec<_> = brief.map(|entry| entry.key.clone()).collect();
        say(
            brief.len(),
            format!("keys that end with their session: {}", names(&brief)),
        );
        let kept: Vec<String> = self.foreign_keys.iter().cloned().collect();
        say(
            kept.len(),
            format!(
                "keys that the target has with another value: {}",
                some(&kept)
            ),
        );
        let nameless = inventory.queries.iter();
        let nameless = nameless.filter(|query| query.name.is_empty()).count();
        say(
            nameless,
            format!("{nameless} prepared queries without a name, found by their id only"),
        );
        Moved {
            services: self.services.len(),
            nodes: self.nodes.len(),
            keys: self.keys.len(),
            keys_kept: kept.len(),
            queries: self.queries.len(),
            left,
        }
    }

    async fn copy_services(&mut self, inventory: &Inventory) -> Result<(), JoinError> {
        for own in &inventory.services {
            let id = own.instance.id.to_string();
            let told = Told(wire::service(own, &inventory.local, &self.target.address));
            if self.services.get(&id) != Some(&told) {
                let Told(registration) = &told;
                self.vet(registration)?;
                let what = || format!("registering instance {id:?} with the target's agent");
                let done = self.client.replace_service(registration).await;
                done.map_err(during(what()))?;
                self.ours.instances.insert(id.clone());
                self.services.insert(id.clone(), told);
                // A check made anew has no beat yet.
                for check in &own.checks {
                    self.beats.remove(&*check.row.id);
                }
            }
            self.maintain(&id, own.maintenance.as_deref()).await?;
        }
        let here: BTreeSet<&str> = inventory
            .services
            .iter()
            .map(|own| &*own.instance.id)
            .collect();
        let gone = |id: &&String| !here.contains(id.as_str());
        let gone: Vec<String> = self.services.keys().filter(gone).cloned().collect();
        for id in gone {
            let what = format!("deregistering instance {id:?} from the target's agent");
            let done = self.client.deregister_service(&id).await;
            done.map_err(during(what))?;
            self.services.remove(&id);
            self.maintenance.remove(&id);
        }
        Ok(())
    }

    /// An id that is another instance's there is not taken from it.
    fn vet(&self, registration: &ServiceRegistration) -> Result<(), JoinError> {
        let id = registration.effective_id();
        let same = |(name, address, port): &(String, String, i64)| {
            *name == registration.name
                && *address == registration.address
                && *port == registration.port
        };
        match self.before.get(id) {
            Some(before) if !same(before) && !self.ours.instances.contains(id) => {
                Err(JoinError::InstanceTaken { id: id.to_owned() })
            }
            _ => Ok(()),
        }
    }

    async fn maintain(&mut self, id: &str, reason: Option<&str>) -> Result<(), JoinError> {
        if self.maintenance.get(id).map(String::as_str) == reason {
            return Ok(());
        }
        let done = self.client.service_maintenance(id, reason).await;
        done.map_err(during(format!("maintenance of instance {id:?}")))?;
        match reason {
            Some(reason) => self.maintenance.insert(id.to_owned(), reason.to_owned()),
            None => self.maintenance.remove(id),
        };
        Ok(())
    }

    async fn copy_node_checks(&mut self, checks: &[OwnCheck]) -> Result<(), JoinError> {
        for own in checks {
            let id = own.row.id.to_string();
            let told = Told(wire::check(own));
            if self.node_checks.get(&id) == Some(&told) {
                continue;
            }
            let what = format!("registering check {id:?} with the target's agent");
            let done = self.client.register_check(&told.0).await;
            done.map_err(during(what))?;
            self.beats.remove(&id);
            self.node_checks.insert(id, told);
        }
        let here: BTreeSet<&str> = checks.iter().map(|own| &*own.row.id).collect();
        let gone = |id: &&String| !here.contains(id.as_str());
        let gone: Vec<String> = self.node_checks.keys().filter(gone).cloned().collect();
        for id in gone {
            let done = self.client.deregister_check(&id).await;
            done.map_err(during(format!("deregistering check {id:?}")))?;
            self.node_checks.remove(&id);
        }
        Ok(())
    }

    /// Passes on what TTL checks last said, before the target misses it.
    async fn beat(&mut self, inventory: &Inventory) -> Result<(), JoinError> {
        let of_services = inventory.services.iter().flat_map(|own| &own.checks);
        for own in of_services.chain(&inventory.node_checks) {
            let How::Ttl(period) = own.how else { continue };
            let id = &*own.row.id;
            let (status, output) = (wire::status(&own.row.status), &*own.row.output);
            let fresh = |(was, said, at): &(WireStatus, String, Instant)| {
                *was == status && **said == *output && at.elapsed() < period / BEATS_IN_TTL
            };
            if self.beats.get(id).is_some_and(fresh) {
                continue;
            }
            let at = Instant::now();
            let done = self.client.update_check(id, status, output).await;
            done.map_err(during(format!("reporting check {id:?} to the target")))?;
            self.beats
                .insert(id.to_owned(), (status, output.to_owned(), at));
        }
        Ok(())
    }

    async fn copy_node(&mut self, node: &ForeignNode) -> Result<(), JoinError> {
        let name = node.node.name.to_string();
        let writes = wire::foreign(node);
        if self.nodes.get(&name) == Some(&writes) {
            return Ok(());
        }
        let what = format!("writing node {name:?} to the target's catalog");
        if !self.nodes.contains_key(&name) {
            let checks = self.client.health_node(&name).await;
            if checks
                .map_err(during(what.clone()))?
                .contains_key("serfHealth")
            {
                return Err(JoinError::NodeTaken { node: name });
            }
        }
        for write in &writes {
            send(&self.client, &what, "/v1/catalog/register", write).await?;
        }
        let old = self.nodes.insert(name.clone(), writes);
        for (field, id) in old.iter().flat_map(|old| parts(old)) {
            if !parts(&self.nodes[&name]).contains(&(field, id.clone())) {
                let removal = serde_json::json!({"Node": name, field: id});
                send(&self.client, &what, "/v1/catalog/deregister", &removal).await?;
            }
        }
        Ok(())
    }

    async fn forget_nodes(&mut self, nodes: &[ForeignNode]) -> Result<(), JoinError> {
        let here: BTreeSet<&str> = nodes.iter().map(|node| &*node.node.name).collect();
        let gone = |name: &&String| !here.contains(name.as_str());
        let gone: Vec<String> = self.nodes.keys().filter(gone).cloned().collect();
        for name in gone {
            let removal = serde_json::json!({"Node": name});
            let what = format!("taking node {name:?} out of the target's catalog");
            send(&self.client, &what, "/v1/catalog/deregister", &removal).await?;
            self.nodes.remove(&name);
        }
        Ok(())
    }
}

/// The instances and checks that writes of the catalog name, as a deregistration names them.
fn parts(writes: &[Value]) -> Vec<(&'static str, String)> {
    let mut parts = Vec::new();
    for write in writes {
        let checks = write["Checks"].as_array().into_iter().flatten();
        let checks = checks.map(|check| ("CheckID", &check["CheckID"]));
        for (field, id) in checks.chain([("ServiceID", &write["Service"]["ID"])]) {
            parts.extend(id.as_str().map(|id| (field, id.to_owned())));
        }
    }
    parts
}
