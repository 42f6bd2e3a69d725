//! How a broker finds others of its name: through the registry, by a coordinator if one is registered, or by addresses.
//!
//! What they tell each other is the broker crate's business.

mod meet;

use std::{
    collections::BTreeSet,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use ::broker::{
    federation::{Config, Meeting, Place},
    zsock::curve::{Guard, PublicKey},
};
use clap::Args;
use consul::types::ServiceEntry;
use tokio::sync::watch;

use self::meet::meet;
use super::curve::{ListenKeys, public_key};
use crate::{args::Global, connect, faas::discover, failure::Failure};

/// Where an instance's meta has the port at which it tells its news.
pub(super) const NEWS: &str = "news";
/// Where an instance's meta has its public key, if it has CURVE keys.
pub(super) const KEY: &str = "curve";

#[derive(Debug, Args)]
#[command(next_help_heading = "Federation")]
pub(super) struct FederationArgs {
    /// Neither hand requests over to other brokers of this name, when no worker here is free, nor take any of theirs
    #[arg(long, conflicts_with_all = ["news_bind", "neighbour", "coordinator", "curve_brokers"])]
    no_federation: bool,
    /// Where other brokers hear what this one has to spare [default: the host of --bind, a free port]
    #[arg(long, value_name = "ADDR")]
    news_bind: Option<String>,
    /// Where another broker tells that (its --news-bind), besides those in the registry; with the file of its public key, if
    /// its CURVE key is another one than this broker's
    #[arg(long, value_name = "ADDR[,FILE]")]
    neighbour: Vec<String>,
    /// A coordinator's two addresses, and the file of its public key, if that is another one than this broker's [default:
    /// NAME-coordinator in the registry, if there is one]
    #[arg(long, value_name = "IN,OUT[,FILE]")]
    coordinator: Option<String>,
    /// The public keys of the other brokers of this name, and of their coordinator, one on a line; who has the same key as
    /// this broker need not be there. Read again for each connection
    #[arg(long, value_name = "FILE", requires = "curve_key")]
    curve_brokers: Option<PathBuf>,
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
        (no_register, keys): (bool, &ListenKeys),
        global: &Global,
    ) -> Result<Option<(Config, Settling)>, Failure> {
        if self.no_federation || (no_register && !self.asked()) {
            return Ok(None);
        }
        let guard = keys.brokers(self.curve_brokers.as_deref())?;
        let bind = match &self.news_bind {
            Some(address) => discover::given(address)?,
            None => beside(binds.first().map_or("", String::as_str)),
        };
        let (tell, at) = watch::channel(None);
        let meetings = self.meetings(name, no_register, guard.clone(), global)?;
        let config = Config {
            bind,
            at,
            meetings,
            guard,
        };
        Ok(Some((config, Settling(tell))))
    }

    fn asked(&self) -> bool {
        self.news_bind.is_some()
            || !self.neighbour.is_empty()
            || self.coordinator.is_some()
            || self.curve_brokers.is_some()
    }

    fn meetings(
        &self,
        name: &str,
        no_register: bool,
        guard: Option<Guard>,
        global: &Global,
    ) -> Result<watch::Receiver<Meeting>, Failure> {
        let known = guard.as_ref();
        let given = self.neighbour.iter().map(|it| neighbour(it, known));
        let given: BTreeSet<Place> = given.collect::<Result<_, _>>()?;
        let coordinators = match &self.coordinator {
            Some(pair) => watch::channel([two(pair, known)?].into()).1,
            None if no_register => watch::channel(BTreeSet::new()).1,
            None => {
                let pair = |it: &ServiceEntry| Some((place(it, "in")?, place(it, "out")?));
                discover::each(service(name), pair, true, global)?
            }
        };
        let brokers = match no_register {
            true => watch::channel(BTreeSet::new()).1,
            false => discover::each(name.to_owned(), |it| place(it, NEWS), false, global)?,
        };
        Ok(meet((brokers, given), coordinators, guard))
    }
}

/// Where an instance has this socket, and the key it says it has. That it has it, it will have to show.
fn place(entry: &ServiceEntry, socket: &str) -> Option<Place> {
    let key = match entry.service.meta.get(KEY) {
        Some(text) => Some(PublicKey::parse(text).ok()?),
        None => None,
    };
    let address = discover::socket(entry, socket)?;
    Some(Place { address, key })
}

/// The name a coordinator of these brokers is registered under.
pub(super) fn service(brokers: &str) -> String {
    format!("{brokers}-coordinator")
}

/// An address that was given, and the key that has to be there: the one in this file, or the broker's own.
fn given(address: &str, file: Option<&str>, guard: Option<&Guard>) -> Result<Place, Failure> {
    let address = discover::given(address)?;
    let key = match file {
        Some(file) => Some(public_key(Path::new(file))?),
        None => guard.map(Guard::public),
    };
    let place = Place { address, key };
    match place.pass(guard) {
        Ok(_) => Ok(place),
        Err(why) => Err(Failure::usage(format!("{}: {why}", place.address))),
    }
}

fn neighbour(text: &str, guard: Option<&Guard>) -> Result<Place, Failure> {
    match text.split_once(',') {
        Some((address, file)) => given(address, Some(file), guard),
        None => given(text, None, guard),
    }
}

fn two(pair: &str, guard: Option<&Guard>) -> Result<(Place, Place), Failure> {
    let mut parts = pair.splitn(3, ',');
    let (Some(inward), Some(outward)) = (parts.next(), parts.next()) else {
        return Err(Failure::usage(format!(
            "--coordinator {pair}: give two addresses, IN,OUT, as turno mq coordinator prints them"
        )));
    };
    let file = parts.next();
    Ok((given(inward, file, guard)?, given(outward, file, guard)?))
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
    use ::broker::zsock::curve::Keys;

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

    fn at(address: &str, key: Option<PublicKey>) -> Place {
        let address = address.to_owned();
        Place { address, key }
    }

    #[test]
    fn a_coordinator_has_two_addresses() {
        let pair = two("h:1,tcp://h:2", None).ok();
        assert_eq!(pair, Some((at("tcp://h:1", None), at("tcp://h:2", None))));
        assert!(two("h:1", None).is_err());
        assert!(two("h:1,http://h:2", None).is_err());
    }

    #[test]
    fn who_is_given_without_a_key_has_to_have_the_brokers_own() {
        let (ours, friend) = (Keys::generate(), Keys::generate().public());
        let own = ours.public();
        let guard = Guard::new(ours, move |key| key == own || key == friend);
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, key: PublicKey| {
            let path = folder.path().join(name);
            std::fs::write(&path, key.to_string()).expect("written");
            path.display().to_string()
        };
        let (listed, stranger) = (
            file("b.pub", friend),
            file("c.pub", Keys::generate().public()),
        );
        let place = neighbour("h:1", Some(&guard)).ok();
        assert_eq!(place, Some(at("tcp://h:1", Some(own))));
        let place = neighbour(&format!("h:1,{listed}"), Some(&guard)).ok();
        assert_eq!(place, Some(at("tcp://h:1", Some(friend))));
        let pair = two(&format!("h:1,h:2,{listed}"), Some(&guard)).ok();
        let key = Some(friend);
        assert_eq!(pair, Some((at("tcp://h:1", key), at("tcp://h:2", key))));
        for (text, guard, why) in [
            (format!("h:1,{stranger}"), Some(&guard), "--curve-brokers"),
            (format!("h:1,{listed}"), None, "this one has none"),
            ("h:1,/no/such/file".to_owned(), Some(&guard), "cannot read"),
        ] {
            let Err(Failure::Usage(told) | Failure::Failed(told)) = neighbour(&text, guard) else {
                panic!("{text}: it is not spoken with");
            };
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn a_key_in_the_registry_is_one_or_the_instance_is_none() {
        let key = Keys::generate().public();
        let entry = |meta: &str| -> ServiceEntry {
            let text = format!(
                r#"{{"Node":{{"Node":"n","Address":"10.0.0.9"}},"Checks":[],
                "Service":{{"ID":"a","Service":"mq","Port":1,"Meta":{{"news":"2"{meta}}}}}}}"#
            );
            serde_json::from_str(&text).expect("as Consul writes it")
        };
        let news = "tcp://10.0.0.9:2";
        assert_eq!(place(&entry(""), NEWS), Some(at(news, None)));
        let keyed = format!(r#","curve":"{key}""#);
        assert_eq!(place(&entry(&keyed), NEWS), Some(at(news, Some(key))));
        assert_eq!(place(&entry(r#","curve":"x""#), NEWS), None);
    }
}
