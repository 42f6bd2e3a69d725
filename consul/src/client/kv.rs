//! Keys, sessions and transactions.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;

use super::{Client, REQUEST_LIMIT, decode, segment};
use crate::error::Error;
use crate::query::{Answer, Query};
use crate::types::{KvEntry, KvPut, SessionRequest, TxnStep};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    #[serde(rename = "ID")]
    id: String,
}

impl Client {
    /// A key with its value, `None` when it does not exist.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn kv_get(&self, key: &str) -> Result<Option<KvEntry>, Error> {
        Ok(self.kv_find(key, &Query::default()).await?.value)
    }

    /// [`Client::kv_get`] with an index to block on, which an absent key has too.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn kv_find(
        &self,
        key: &str,
        query: &Query,
    ) -> Result<Answer<Option<KvEntry>>, Error> {
        let parameters = query.parameters(self.datacenter());
        let entries = self.kv_read(key, &parameters, query).await?;
        Ok(entries.map(|entries| entries.into_iter().next()))
    }

    /// All keys that begin with `prefix`, with their values.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn kv_list(
        &self,
        prefix: &str,
        query: &Query,
    ) -> Result<Answer<Vec<KvEntry>>, Error> {
        let mut parameters = query.parameters(self.datacenter());
        parameters.push(("recurse", "true".to_owned()));
        self.kv_read(prefix, &parameters, query).await
    }

    /// Consul says 404 where there is no key, with its index beside it.
    async fn kv_read(
        &self,
        key: &str,
        parameters: &[(&str, String)],
        query: &Query,
    ) -> Result<Answer<Vec<KvEntry>>, Error> {
        let path = kv_path(key)?;
        let request = self.request(Method::GET, &path, parameters)?;
        let limit = query.limit(REQUEST_LIMIT);
        let found = self.send_or_absent(request, limit, decode).await?;
        Ok(found.map(Option::unwrap_or_default))
    }

    /// Writes a key. Returns whether the conditions of `how` held, so that it was written.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn kv_put(&self, key: &str, value: Vec<u8>, how: &KvPut) -> Result<bool, Error> {
        let path = kv_path(key)?;
        let mut parameters = self.in_datacenter();
        if how.flags != 0 {
            parameters.push(("flags", how.flags.to_string()));
        }
        parameters.extend(how.cas.map(|index| ("cas", index.to_string())));
        parameters.extend(how.acquire.clone().map(|id| ("acquire", id)));
        parameters.extend(how.release.clone().map(|id| ("release", id)));
        let mut request = self.request(Method::PUT, &path, &parameters)?;
        *request.body_mut() = Some(value.into());
        Ok(self.send(request, REQUEST_LIMIT, decode).await?.value)
    }

    /// Deletes a key. One that does not exist is no error.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn kv_delete(&self, key: &str) -> Result<(), Error> {
        let path = kv_path(key)?;
        let request = self.request(Method::DELETE, &path, &self.in_datacenter())?;
        self.send(request, REQUEST_LIMIT, |_, _| Ok(()))
            .await
            .map(drop)
    }

    /// Deletes a key if nothing has changed it since the modify index `index`. Returns whether it was deleted.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn kv_delete_if(&self, key: &str, index: u64) -> Result<bool, Error> {
        let path = kv_path(key)?;
        let mut parameters = self.in_datacenter();
        parameters.push(("cas", index.to_string()));
        let request = self.request(Method::DELETE, &path, &parameters)?;
        Ok(self.send(request, REQUEST_LIMIT, decode).await?.value)
    }

    /// Makes a session and returns its id.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn create_session(&self, session: &SessionRequest) -> Result<String, Error> {
        let path = ["v1", "session", "create"];
        let created: Created = self
            .put_and_read(&path, &self.in_datacenter(), Some(session))
            .await?;
        Ok(created.id)
    }

    /// Starts the TTL of a session again. Returns whether it still exists. Gives up after `limit`, or sooner.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn renew_session(&self, id: &str, limit: Duration) -> Result<bool, Error> {
        let path = ["v1", "session", "renew", segment("session id", id)?];
        let request = self.request(Method::PUT, &path, &self.in_datacenter())?;
        match self
            .send(request, limit.min(REQUEST_LIMIT), |_, _| Ok(()))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn destroy_session(&self, id: &str) -> Result<(), Error> {
        let path = ["v1", "session", "destroy", segment("session id", id)?];
        self.put(&path, &self.in_datacenter(), None::<&()>).await
    }

    /// Carries out all `steps` or none. Returns whether their conditions held.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn transaction(&self, steps: &[TxnStep]) -> Result<bool, Error> {
        match self
            .put(&["v1", "txn"], &self.in_datacenter(), Some(&steps))
            .await
        {
            Ok(()) => Ok(true),
            Err(Error::Status { code: 409, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A key as segments of a path. The empty key is the prefix of all.
fn kv_path(key: &str) -> Result<Vec<&str>, Error> {
    let mut path = vec!["v1", "kv"];
    for part in key.split('/') {
        if matches!(part, "." | "..") {
            return Err(Error::Argument(format!("{key:?} cannot be a key")));
        }
        path.push(part);
    }
    Ok(path)
}
