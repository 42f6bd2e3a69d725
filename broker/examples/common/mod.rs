//! What the examples share: finding each other through the registry, as `CONSUL_HTTP_ADDR` names it.
//!
//! Start one with `turno registry`. Nothing here knows a pattern.

#![allow(dead_code, reason = "no example needs all of it")]

use std::{collections::BTreeSet, error::Error, time::Duration};

use bytes::Bytes;
use consul::{
    Client, Config, Query,
    types::{ServiceRegistration, Status},
    watch::{Event, Watch},
};

pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// Largest message of an example, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// A port that the system chooses.
pub(crate) const ANY_PORT: &str = "tcp://127.0.0.1:0";
/// Nobody of an example is waited for longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// An instance in the registry; it is taken out by [`leave`](Self::leave).
pub(crate) struct Listed {
    client: Client,
    id: String,
}

impl Listed {
    /// Lists the socket that is bound to this address under this name.
    pub(crate) async fn new(name: &str, bound: &str) -> Result<Self, Box<dyn Error>> {
        let client = Client::new(Config::from_env())?;
        let (host, port) = bound
            .strip_prefix("tcp://")
            .and_then(|it| it.rsplit_once(':'))
            .ok_or("not a TCP address")?;
        let id = format!("{name}-{port}");
        let service = ServiceRegistration {
            id: id.clone(),
            ..ServiceRegistration::new(name, host, port.parse()?)
        };
        client.register_service(&service).await?;
        println!("{name} is at {bound}");
        Ok(Self { client, id })
    }

    pub(crate) async fn leave(self) -> Outcome {
        Ok(self.client.deregister_service(&self.id).await?)
    }
}

/// Waits until there is somebody of this name, and returns where.
pub(crate) async fn find(name: &str) -> Result<String, Box<dyn Error>> {
    let client = Client::new(Config::from_env())?;
    let mut watch = Watch::health_service(client, name.to_owned(), Query::default());
    let found = async {
        loop {
            if let Event::Changed { value, .. } = watch.next().await {
                let usable = value.iter().filter(|it| it.status() != Status::Critical);
                let addresses =
                    usable.filter_map(|it| Some(format!("tcp://{}:{}", it.address(), it.port()?)));
                // Of several, the same one for everybody.
                if let Some(first) = addresses.collect::<BTreeSet<_>>().pop_first() {
                    return first;
                }
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, found).await;
    Ok(waited.map_err(|_| format!("nobody is registered as {name}"))?)
}

/// The role on the command line: `cargo run --example NAME -- ROLE`.
pub(crate) fn role() -> String {
    std::env::args().nth(1).unwrap_or_default()
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn text(frame: &[u8]) -> String {
    String::from_utf8_lossy(frame).into_owned()
}
