//! How a broker finds others of its name: through the registry, by a coordinator if one is registered, or by addresses.
//!
//! What they tell each other is the broker crate's business.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, ToSocketAddrs},
};

use ::broker::federation::{Config, Meeting};
use clap::Args;
use tokio::sync::watch;
use tracing::info;

use crate::{args::Global, connect, faas::discover, failure::Failure};

/// Where an instance's meta has the port at which it tells its news.
pub(super) const NEWS: &str = "news";

#[derive(Debug, Args)]
#[command(next_help_heading = "Federation")]
pub(super) struct FederationArgs {
    /// Neither hand requests over to other brokers of this name, when no worker here is free, nor take any of theirs
    #[arg(long, conflicts_with_all = ["news_bind", "neighbour", "coordinator"])]
    no_federation: bool,
    /// Where other brokers hear what this one has to spare [default: the host of --bind, a free port]
    #[arg(long, value_name = "ADDR")]
    news_bind: Option<String>,
    /// Where another broker tells that (its --news-bind), besides those in the registry
    #[arg(long, value_name = "ADDR")]
    neighbour: Vec<String>,
    /// A coordinator's two addresses [default: NAME-coordinator in the registry, if there is one]
    #[arg(long, value_name = "IN,OUT")]
    coordinator: Option<String>,
}

/// The other end of what a broker was started with: where it is has to be told when it listens.
#[derive(Debug)]
pub(super) struct Settling(watch::Sender<Option<String>>);

impl FederationArgs {
    /// The broker's part in a federation, if it has one.
    pub(super) fn part(
        &self,
        name: &str,
        binds: &[String],
        (no_register, keys): (bool, bool),
        global: &Global,
    ) -> Result<Option<(Config, Settling)>, Failure> {
        let asked = self.asked();
        if self.no_federation || (no_register && !asked) {
            return Ok(None);
        }
        if keys {
            if asked {
                let reason = "brokers do not encrypt what they tell each other yet: with --curve-key there is no federation";
                return Err(Failure::usage(reason));
            }
            info!("with --curve-key this broker keeps its requests to itself");
            return Ok(None);
        }
        let bind = match &self.news_bind {
            Some(address) => discover::given(address)?,
            None => beside(binds.first().map_or("", String::as_str)),
        };
        let (tell, at) = watch::channel(None);
        let meetings = self.meetings(name, no_register, global)?;
        let config = Config { bind, at, meetings };
        Ok(Some((config, Settling(tell))))
    }

    fn asked(&self) -> bool {
        self.news_bind.is_some() || !self.neighbour.is_empty() || self.coordinator.is_some()
    }

    fn meetings(
        &self,
        name: &str,
        no_register: bool,
        global: &Global,
    ) -> Result<watch::Receiver<Meeting>, Failure> {
        let given = self.neighbour.iter().map(|it| discover::given(it));
        let given: BTreeSet<String> = given.collect::<Result<_, _>>()?;
        let coordinators = match &self.coordinator {
            Some(pair) => watch::channel([two(pair)?].into()).1,
            None if no_register => watch::channel(BTreeSet::new()).1,
            None => discover::all_pairs(service(name), ("in", "out"), global)?,
        };
        let brokers = if no_register {
            watch::channel(given).1
        } else {
            discover::all(name.to_owned(), NEWS, given, global)?
        };
        Ok(meet(brokers, coordinators))
    }
}

/// The name a coordinator of these brokers is registered under.
pub(super) fn service(brokers: &str) -> String {
    format!("{brokers}-coordinator")
}

fn two(pair: &str) -> Result<(String, String), Failure> {
    let Some((inward, outward)) = pair.split_once(',') else {
        return Err(Failure::usage(format!(
            "--coordinator {pair}: give two addresses, IN,OUT, as turno mq coordinator prints them"
        )));
    };
    Ok((discover::given(inward)?, discover::given(outward)?))
}

/// Coordinators where there are any, otherwise the brokers themselves.
fn meet(
    mut brokers: watch::Receiver<BTreeSet<String>>,
    mut coordinators: watch::Receiver<BTreeSet<(String, String)>>,
) -> watch::Receiver<Meeting> {
    let (tell, meetings) = watch::channel(Meeting::default());
    tokio::spawn(async move {
        loop {
            let pairs = coordinators.borrow_and_update().clone();
            let known = brokers.borrow_and_update().clone();
            let next = if pairs.is_empty() {
                Meeting {
                    hear: known,
                    tell: BTreeSet::new(),
                }
            } else {
                let (tell, hear) = pairs.into_iter().unzip();
                Meeting { hear, tell }
            };
            tell.send_if_modified(|current| {
                let changed = *current != next;
                *current = next;
                changed
            });
            // What was given does not change, and then there is nobody to tell of it.
            tokio::select! {
                Ok(()) = brokers.changed() => {}
                Ok(()) = coordinators.changed() => {}
                else => return tell.closed().await,
            }
        }
    });
    meetings
}

/// A free port of the same host.
fn beside(bind: &str) -> String {
    let host = bind
        .strip_prefix("tcp://")
        .and_then(|it| it.rsplit_once(':'));
    let host = host.map_or("127.0.0.1", |(host, _)| host);
    format!("tcp://{host}:0")
}

/// Tells the broker where others reach it, as soon as that is known.
pub(super) fn settle(
    settling: Settling,
    front: &[String],
    (advertised, no_register): (Option<SocketAddr>, bool),
    global: &Global,
) -> Result<(), Failure> {
    let Some(front) = front.first().cloned() else {
        return Ok(());
    };
    let tcp = front.strip_prefix("tcp://");
    let listens = tcp.and_then(|it| it.to_socket_addrs().ok()?.next());
    let client = match no_register {
        true => None,
        false => Some(connect::client(global)?),
    };
    tokio::spawn(async move {
        let at = match (advertised, listens, client) {
            (Some(address), ..) => format!("tcp://{address}"),
            (None, None, _) => front, // on this machine only
            (None, Some(listens), None) => format!("tcp://{}", connect::reachable(listens)),
            (None, Some(listens), Some(client)) => {
                format!("tcp://{}", connect::advertised(listens, &client).await)
            }
        };
        settling.0.send_replace(Some(at));
        // It does not change; whoever reads it may go on doing so.
        settling.0.closed().await;
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_told_beside_the_requests() {
        for (bind, want) in [
            ("tcp://127.0.0.1:9998", "tcp://127.0.0.1:0"),
            ("tcp://[::1]:9998", "tcp://[::1]:0"),
            ("tcp://0.0.0.0:1", "tcp://0.0.0.0:0"),
            ("ipc:///run/mq", "tcp://127.0.0.1:0"),
        ] {
            assert_eq!(beside(bind), want, "{bind}");
        }
    }

    #[test]
    fn a_coordinator_has_two_addresses() {
        let pair = two("h:1,tcp://h:2").ok();
        assert_eq!(pair, Some(("tcp://h:1".to_owned(), "tcp://h:2".to_owned())));
        assert!(two("h:1").is_err());
        assert!(two("h:1,http://h:2").is_err());
    }

    #[tokio::test]
    async fn brokers_meet_directly_when_there_is_no_coordinator() {
        let (_brokers, known) = watch::channel(BTreeSet::from(["b".to_owned()]));
        let (coordinators, pairs) = watch::channel(BTreeSet::new());
        let mut meetings = meet(known, pairs);
        let set = |it: &str| BTreeSet::from([it.to_owned()]);
        let direct = Meeting {
            hear: set("b"),
            tell: BTreeSet::new(),
        };
        let by_coordinator = Meeting {
            hear: set("out"),
            tell: set("in"),
        };
        meetings
            .wait_for(|it| *it == direct)
            .await
            .expect("it is told");
        coordinators.send_replace([("in".to_owned(), "out".to_owned())].into());
        meetings
            .wait_for(|it| *it == by_coordinator)
            .await
            .expect("it is told");
        coordinators.send_replace(BTreeSet::new());
        meetings
            .wait_for(|it| *it == direct)
            .await
            .expect("it is told");
    }
}
