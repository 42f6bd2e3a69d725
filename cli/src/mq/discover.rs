//! Where brokers and loggers are: an address as given, or a name that is followed through the registry.
//!
//! A registry that is away, or that comes back empty, takes nothing away: what was known last stays known.

use std::collections::BTreeSet;

use consul::{
    Client, Query,
    types::{ServiceEntry, Status},
    watch::{Event, Watch},
};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{args::Global, connect, failure::Failure};

/// The address that `text` is, if it is one: `tcp://…`, `ipc://…` or `HOST:PORT`. Otherwise it is a service's name.
fn as_address(text: &str) -> Option<String> {
    if text.contains("://") {
        return Some(text.to_owned());
    }
    let (host, port) = text.rsplit_once(':')?;
    let is_address = !host.is_empty() && port.parse::<u16>().is_ok();
    is_address.then(|| format!("tcp://{text}"))
}

/// The addresses that these names and addresses stand for, kept up to date from now on.
pub(super) fn follow(
    named: &[String],
    global: &Global,
) -> Result<watch::Receiver<BTreeSet<String>>, Failure> {
    let mut fixed = BTreeSet::new();
    let mut names = Vec::new();
    for text in named {
        match as_address(text) {
            Some(address) => {
                ::broker::zsock::check_address(&address)?;
                fixed.insert(address);
            }
            None => names.push(text.clone()),
        }
    }
    match names.as_slice() {
        [] => Ok(watch::channel(fixed).1),
        [name] => {
            let client = connect::client(global)?;
            let (known, addresses) = watch::channel(fixed.clone());
            tokio::spawn(follow_name(client, name.clone(), fixed, known));
            Ok(addresses)
        }
        _ => Err(Failure::usage(format!(
            "{} are names in the registry: give one of them, and addresses beside it",
            names.join(" and ")
        ))),
    }
}

async fn follow_name(
    client: Client,
    name: String,
    fixed: BTreeSet<String>,
    known: watch::Sender<BTreeSet<String>>,
) {
    let mut watcher = Watch::health_service(client, name.clone(), Query::default());
    while !known.is_closed() {
        match watcher.next().await {
            Event::Changed { value, .. } => {
                let found = addresses(&value);
                if found.is_empty() {
                    info!(service = %name, "the registry lists none: waiting, with those known before");
                    continue;
                }
                let next = found.union(&fixed).cloned().collect();
                known.send_if_modified(|current: &mut BTreeSet<String>| {
                    let changed = *current != next;
                    *current = next;
                    changed
                });
            }
            Event::Unchanged { .. } => {}
            Event::Failed {
                error,
                attempts,
                retry_in,
            } => {
                // The first one, and then from time to time.
                if attempts == 1 || attempts % 20 == 0 {
                    warn!(service = %name, %error, ?retry_in, "the registry does not answer: going on with what is known");
                }
            }
        }
    }
}

/// Where the instances that are not critical can be reached.
fn addresses(entries: &[ServiceEntry]) -> BTreeSet<String> {
    let usable = entries
        .iter()
        .filter(|entry| entry.status() != Status::Critical);
    let address = |entry: &ServiceEntry| {
        let (host, port) = (entry.address(), entry.port()?);
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let address = format!("tcp://{host}:{port}");
        ::broker::zsock::check_address(&address).ok()?;
        Some(address)
    };
    usable.filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_names() {
        for (text, want) in [
            ("tcp://h:1", Some("tcp://h:1")),
            ("ipc:///run/mq", Some("ipc:///run/mq")),
            ("127.0.0.1:9998", Some("tcp://127.0.0.1:9998")),
            ("[::1]:9998", Some("tcp://[::1]:9998")),
            ("mq", None),
            ("mq:prod", None),
            (":9998", None),
        ] {
            assert_eq!(as_address(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn instances_that_are_critical_are_left_out() {
        let entries: Vec<ServiceEntry> = serde_json::from_str(
            r#"[
              {"Node":{"Node":"n","Address":"10.0.0.9"},"Service":{"ID":"a","Service":"mq","Address":"10.0.0.1","Port":1},"Checks":[]},
              {"Node":{"Node":"n","Address":"10.0.0.9"},"Service":{"ID":"b","Service":"mq","Port":2},
               "Checks":[{"CheckID":"c","Status":"warning"}]},
              {"Node":{"Node":"n","Address":"10.0.0.9"},"Service":{"ID":"c","Service":"mq","Address":"fd00::1","Port":3},"Checks":[]},
              {"Node":{"Node":"n","Address":"10.0.0.9"},"Service":{"ID":"d","Service":"mq","Address":"10.0.0.1","Port":4},
               "Checks":[{"CheckID":"c","Status":"critical"}]},
              {"Node":{"Node":"n","Address":"10.0.0.9"},"Service":{"ID":"e","Service":"mq","Address":"10.0.0.1","Port":0},"Checks":[]}
            ]"#,
        )
        .expect("as Consul writes it");
        let found = addresses(&entries);
        assert_eq!(
            found.iter().map(String::as_str).collect::<Vec<_>>(),
            ["tcp://10.0.0.1:1", "tcp://10.0.0.9:2", "tcp://[fd00::1]:3"]
        );
    }
}
