//! What discovery knows at one moment, as plain values.
//!
//! It must not know where the values came from, who reads them, or any runtime: comparing two snapshots and telling
//! the difference is all it does.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Everything discovery knows at one moment: each service it was asked to follow, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The services, by name. A service that was asked for and is unknown to the registry is here with no endpoint.
    pub services: BTreeMap<Arc<str>, Service>,
}

/// One service as discovered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// What may be sent to, sorted by [`EndpointId`], no id twice.
    pub endpoints: Vec<Endpoint>,
    /// What is registered and may not be sent to, with the reason, sorted by [`EndpointId`].
    pub excluded: Vec<Excluded>,
}

/// One address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which instance this is.
    pub id: EndpointId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the traffic, relative to its peers: 1..=65535.
    pub weight: u32,
}

/// An instance that is registered and not in rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// Which instance this is.
    pub id: EndpointId,
    /// Why it gets no request, in words for a person.
    pub reason: String,
}

/// The name of an instance: ids are unique on a node, not among nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId {
    /// The node it is registered on; empty for endpoints listed in a file.
    pub node: Arc<str>,
    /// The instance's own id.
    pub instance: Arc<str>,
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.instance)
    }
}

/// One difference between two states of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// An endpoint that was not there is there.
    Joined(Endpoint),
    /// An endpoint that was there is gone; the reason where the instance is still registered.
    Left(Endpoint, Option<String>),
    /// The same instance at another address.
    Moved(Endpoint, SocketAddr),
    /// The same instance with another weight.
    Reweighted(Endpoint, u32),
}

/// Tells how `new` differs from `old`, in the order of the endpoints' ids.
#[must_use]
pub fn diff(old: &Service, new: &Service) -> Vec<Difference> {
    let before: BTreeMap<_, _> = old.endpoints.iter().map(|e| (&e.id, e)).collect();
    let after: BTreeMap<_, _> = new.endpoints.iter().map(|e| (&e.id, e)).collect();
    let mut differences = Vec::new();
    for (id, endpoint) in &before {
        if !after.contains_key(id) {
            let reason = new
                .excluded
                .iter()
                .find(|x| x.id == **id)
                .map(|x| x.reason.clone());
            differences.push(Difference::Left((*endpoint).clone(), reason));
        }
    }
    for (id, endpoint) in &after {
        match before.get(id) {
            None => differences.push(Difference::Joined((*endpoint).clone())),
            Some(known) if known.address != endpoint.address => {
                differences.push(Difference::Moved((*endpoint).clone(), known.address));
            }
            Some(known) if known.weight != endpoint.weight => {
                differences.push(Difference::Reweighted((*endpoint).clone(), known.weight));
            }
            Some(_) => {}
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, port: u16, weight: u32) -> Endpoint {
        Endpoint {
            id: EndpointId {
                node: "n".into(),
                instance: name.into(),
            },
            address: ([127, 0, 0, 1], port).into(),
            weight,
        }
    }

    fn service(endpoints: &[Endpoint]) -> Service {
        Service {
            endpoints: endpoints.to_vec(),
            excluded: Vec::new(),
        }
    }

    #[test]
    fn equal_services_do_not_differ() {
        let s = service(&[endpoint("a", 1, 1), endpoint("b", 2, 1)]);
        assert_eq!(diff(&s, &s), []);
    }

    #[test]
    fn each_kind_of_difference_is_told() {
        let old = service(&[
            endpoint("a", 1, 1),
            endpoint("b", 2, 1),
            endpoint("c", 3, 1),
        ]);
        let mut new = service(&[
            endpoint("b", 9, 1),
            endpoint("c", 3, 5),
            endpoint("d", 4, 1),
        ]);
        new.excluded.push(Excluded {
            id: endpoint("a", 1, 1).id,
            reason: "critical".into(),
        });
        assert_eq!(
            diff(&old, &new),
            [
                Difference::Left(endpoint("a", 1, 1), Some("critical".into())),
                Difference::Moved(endpoint("b", 9, 1), ([127, 0, 0, 1], 2).into()),
                Difference::Reweighted(endpoint("c", 3, 5), 1),
                Difference::Joined(endpoint("d", 4, 1)),
            ]
        );
    }
}
