//! Prepared queries: a question about a service, kept under a name; or a template for all names with a prefix.
//! Kept and found here; carried out by whoever reads the health of the service. It compiles no expression.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::{Key, Shared, Stored, fold};
use super::topic::{Change, Effects, Topic};
use super::undo::Before;
use super::{Catalog, CatalogError};

/// A prepared query as written. Fields that name other datacenters are kept and shown, nothing more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the fields are Consul's, documented in its reference of prepared queries
pub struct Prepared {
    pub id: String,
    pub name: String,
    pub session: String,
    pub token: String,
    pub template: String,
    pub regexp: String,
    pub remove_empty_tags: bool,
    pub service: String,
    pub nearest: i64,
    pub datacenters: Vec<String>,
    pub only_passing: bool,
    pub ignore_checks: Vec<String>,
    pub near: String,
    pub tags: Vec<String>,
    pub node_meta: BTreeMap<String, String>,
    pub service_meta: BTreeMap<String, String>,
    pub connect: bool,
    pub ttl: String,
}

impl Catalog {
    /// Keeps a query; one of the same id is replaced.
    ///
    /// # Errors
    /// In Consul's words: another query has the name, or the session is not there.
    pub fn prepared_set(
        &mut self,
        now: Duration,
        query: Prepared,
    ) -> Result<Effects, CatalogError> {
        self.free_name(&query)?;
        if !query.session.is_empty() {
            self.session_id(&query.session).map_err(|error| {
                CatalogError::Failed(
                    error
                        .to_string()
                        .replace("failed session lookup:", "invalid session:"),
                )
            })?;
        }
        let mut change = self.begin(now);
        let id: Key = query.id.as_str().into();
        let old = self.prepared.get(&id);
        let stored = Stored {
            create_index: old.map_or(change.index, |old| old.create_index),
            modify_index: change.index,
            value: query,
        };
        self.prepared.insert(id, Arc::new(stored));
        self.touch_prepared(&mut change);
        Ok(self.commit(change))
    }

    /// Refuses a name that another query has: as its name, in letters of either case, or as its id. One template may be
    /// without.
    fn free_name(&self, query: &Prepared) -> Result<(), CatalogError> {
        let failed = |text: String| Err(CatalogError::Failed(text));
        let name = &query.name;
        let folded = fold(name);
        let is_template = |query: &Prepared| !query.template.is_empty();
        let mut others = self.prepared.values().filter(|other| other.id != query.id);
        if name.is_empty() {
            if is_template(query) && others.any(|other| other.name.is_empty() && is_template(other))
            {
                return failed("a query template with an empty name already exists".to_owned());
            }
        } else if others.any(|other| fold(&other.name) == folded) {
            return failed(format!("name '{name}' aliases an existing query name"));
        } else if self.prepared.contains_key(&*folded) {
            return failed(format!("name '{name}' aliases an existing query ID"));
        }
        Ok(())
    }

    /// Forgets a query; `None` if there is none of that id.
    pub fn prepared_delete(&mut self, now: Duration, id: &str) -> Option<Effects> {
        self.prepared.remove(id)?;
        let mut change = self.begin(now);
        self.touch_prepared(&mut change);
        Some(self.commit(change))
    }

    /// All queries, by id.
    pub fn prepared(&self) -> Vec<Shared<Prepared>> {
        self.prepared.values().cloned().collect()
    }

    /// The query of that id.
    pub fn prepared_of(&self, id: &str) -> Option<&Shared<Prepared>> {
        self.prepared.get(id)
    }

    /// The query of that id, else of that name, else the template with the longest prefix of it.
    pub fn prepared_find(&self, id_or_name: &str) -> Option<&Shared<Prepared>> {
        let wanted = fold(id_or_name);
        let plain =
            |query: &&Shared<Prepared>| query.template.is_empty() && fold(&query.name) == wanted;
        let template = |query: &&Shared<Prepared>| {
            !query.template.is_empty() && wanted.starts_with(&*fold(&query.name))
        };
        self.prepared
            .get(id_or_name)
            .or_else(|| {
                self.prepared
                    .values()
                    .filter(|query| !query.name.is_empty())
                    .find(plain)
            })
            .or_else(|| {
                self.prepared
                    .values()
                    .filter(template)
                    .max_by_key(|query| query.name.len())
            })
    }

    /// Forgets the queries that were bound to a session.
    pub(super) fn end_prepared_of(&mut self, change: &mut Change, session: &str) {
        let before = self.prepared.len();
        self.prepared.retain(|_, query| {
            let stays = query.session != session;
            if !stays {
                change.note(|| Before::Prepared(query.clone()));
            }
            stays
        });
        if self.prepared.len() != before {
            self.touch_prepared(change);
        }
    }

    fn touch_prepared(&mut self, change: &mut Change) {
        self.tables.prepared = change.index;
        self.revision += 1;
        change.touch(Topic::Prepared);
    }
}
