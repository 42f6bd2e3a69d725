//! Where the parts of a system are: followed through the registry, or as given.
//!
//! A part has several sockets; their ports stand in its meta. A registry that is away, or lists none, takes nothing away.

use std::collections::BTreeSet;

use ::broker::{
    faas::{Address, Addresses},
    zsock::check_address,
};
use consul::{
    Query,
    types::{ServiceEntry, Status},
    watch::{Event, Watch},
};
use tokio::sync::watch;
use tracing::warn;

use crate::{args::Global, connect, failure::Failure};

/// An address given on the command line, as `tcp://HOST:PORT` or `HOST:PORT`.
pub(crate) fn given(text: &str) -> Result<String, Failure> {
    let address = if text.contains("://") {
        text.to_owned()
    } else {
        format!("tcp://{text}")
    };
    check_address(&address)?;
    Ok(address)
}

/// The socket of the newest instance of `service` that has one under this key.
pub(super) fn newest(
    service: String,
    key: &'static str,
    global: &Global,
) -> Result<Address, Failure> {
    follow(service, global, move |entries| {
        let found = newest_of(entries, |entry| socket(entry, key));
        found.map(Some)
    })
}

/// The same for two sockets of one instance.
pub(super) fn newest_pair(
    service: String,
    keys: (&'static str, &'static str),
    global: &Global,
) -> Result<Addresses, Failure> {
    follow(service, global, move |entries| {
        let pair = |entry: &ServiceEntry| Some((socket(entry, keys.0)?, socket(entry, keys.1)?));
        newest_of(entries, pair).map(Some)
    })
}

/// The sockets of all instances.
pub(super) fn all(
    service: String,
    key: &'static str,
    fixed: BTreeSet<String>,
    global: &Global,
) -> Result<watch::Receiver<BTreeSet<String>>, Failure> {
    follow(service, global, move |entries| {
        let found = entries.iter().filter_map(|entry| socket(entry, key));
        Some(found.chain(fixed.iter().cloned()).collect())
    })
}

/// What can be read of each instance; `none` says whether nothing is to be known any more when the registry lists none.
pub(crate) fn each<T: Ord + Send + Sync + 'static>(
    service: String,
    read: impl Fn(&ServiceEntry) -> Option<T> + Send + 'static,
    none: bool,
    global: &Global,
) -> Result<watch::Receiver<BTreeSet<T>>, Failure> {
    let read = move |entries: &[ServiceEntry]| Some(entries.iter().filter_map(&read).collect());
    follow_even_to_none(service, global, read, none)
}

/// What does not change.
pub(super) fn fixed<T>(value: T) -> watch::Receiver<T> {
    watch::channel(value).1
}

fn follow<T: Default + PartialEq + Send + Sync + 'static>(
    service: String,
    global: &Global,
    read: impl Fn(&[ServiceEntry]) -> Option<T> + Send + 'static,
) -> Result<watch::Receiver<T>, Failure> {
    follow_even_to_none(service, global, read, false)
}

fn follow_even_to_none<T: Default + PartialEq + Send + Sync + 'static>(
    service: String,
    global: &Global,
    read: impl Fn(&[ServiceEntry]) -> Option<T> + Send + 'static,
    none_counts: bool,
) -> Result<watch::Receiver<T>, Failure> {
    let client = connect::client(global)?;
    let (known, receiver) = watch::channel(read(&[]).unwrap_or_default());
    let mut watcher = Watch::health_service(client, service.clone(), Query::default());
    tokio::spawn(async move {
        while !known.is_closed() {
            match watcher.next().await {
                Event::Changed { value, .. } => {
                    let usable: Vec<ServiceEntry> = value
                        .iter()
                        .filter(|entry| entry.status() != Status::Critical)
                        .cloned()
                        .collect();
                    let Some(next) = read(&usable).filter(|_| none_counts || !usable.is_empty())
                    else {
                        continue; // what was known last stays known
                    };
                    known.send_if_modified(|current| {
                        let changed = *current != next;
                        *current = next;
                        changed
                    });
                }
                Event::Unchanged { .. } => {}
                Event::Failed {
                    error, attempts, ..
                } => {
                    if attempts == 1 || attempts % 20 == 0 {
                        warn!(%service, %error, "the registry does not answer: going on with what is known");
                    }
                }
            }
        }
    });
    Ok(receiver)
}

/// One that was killed hard is listed until its checks fail: the newest is the one that is there.
fn newest_of<T>(entries: &[ServiceEntry], read: impl Fn(&ServiceEntry) -> Option<T>) -> Option<T> {
    let readable = entries
        .iter()
        .filter_map(|entry| Some((entry, read(entry)?)));
    let newest =
        readable.max_by_key(|(entry, _)| (entry.service.create_index, entry.service.id.clone()));
    newest.map(|(_, read)| read)
}

/// The socket of an instance whose port stands under this key.
pub(crate) fn socket(entry: &ServiceEntry, key: &str) -> Option<String> {
    let port: u16 = entry.service.meta.get(key)?.parse().ok()?;
    let host = entry.address();
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let address = format!("tcp://{host}:{port}");
    check_address(&address).ok()?;
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_instance_counts() {
        let entries: Vec<ServiceEntry> = serde_json::from_str(
            r#"[
              {"Node":{"Node":"n","Address":"10.0.0.9"},"Checks":[],
               "Service":{"ID":"a","Service":"faas-broker","Address":"10.0.0.1","Port":1,"CreateIndex":7,"Meta":{"jobs":"1","answers":"2"}}},
              {"Node":{"Node":"n","Address":"10.0.0.9"},"Checks":[],
               "Service":{"ID":"b","Service":"faas-broker","Port":2,"CreateIndex":9,"Meta":{"jobs":"3","answers":"4"}}},
              {"Node":{"Node":"n","Address":"10.0.0.9"},"Checks":[],
               "Service":{"ID":"c","Service":"faas-broker","Port":2,"CreateIndex":11,"Meta":{"jobs":"x"}}}
            ]"#,
        )
        .expect("as Consul writes it");
        let jobs = newest_of(&entries, |entry| socket(entry, "jobs"));
        assert_eq!(jobs.as_deref(), Some("tcp://10.0.0.9:3"));
    }

    #[test]
    fn addresses_may_leave_out_what_they_all_begin_with() {
        assert_eq!(given("h:1").ok().as_deref(), Some("tcp://h:1"));
        assert_eq!(given("tcp://h:1").ok().as_deref(), Some("tcp://h:1"));
        assert!(given("http://h:1").is_err());
    }
}
