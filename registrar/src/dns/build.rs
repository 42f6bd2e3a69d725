//! Records: what an instance or a node looks like to a type of question.
//!
//! It decides nothing about messages: which section a record goes into, how many fit and what the answer's code is are
//! the caller's business.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::text;
use crate::catalog::{Health, Key, Node, Status};

/// How long an answer may be kept: not at all, Consul's default.
pub(super) const TTL: u32 = 0;
/// All instances have the same; weights tell them apart.
const PRIORITY: u16 = 1;

/// Which addresses a question wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    Any,
}

impl Family {
    fn of(kind: RecordType) -> Family {
        match kind {
            RecordType::A => Family::V4,
            RecordType::AAAA => Family::V6,
            _ => Family::Any,
        }
    }
}

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ip(IpAddr),
    Host(Name),
}

impl Place {
    fn read(address: &str) -> Option<Place> {
        match address.parse() {
            Ok(ip) => Some(Place::Ip(ip)),
            Err(_) if address.is_empty() => None,
            Err(_) => text::name(address).map(Place::Host),
        }
    }

    /// Of several addresses the one that suits: that of the family asked for, the sixth version first where any will do,
    /// else the one address there is unless it is of the other family.
    fn choose(address: &str, v4: Option<&str>, v6: Option<&str>, family: Family) -> Option<Place> {
        let own = |text: Option<&str>| text.filter(|text| !text.is_empty()).and_then(Place::read);
        if family != Family::V4
            && let Some(place) = own(v6)
        {
            return Some(place);
        }
        if family != Family::V6
            && let Some(place) = own(v4)
        {
            return Some(place);
        }
        let place = Place::read(address)?;
        let of_the_other_family = match &place {
            Place::Ip(IpAddr::V4(_)) => family == Family::V6,
            Place::Ip(IpAddr::V6(_)) => family == Family::V4,
            Place::Host(_) => false,
        };
        (!of_the_other_family).then_some(place)
    }

    /// The record for a question of `kind` about `owner`, if this place has one of that kind. A host name has the same
    /// for all: an alias.
    pub(super) fn record(&self, owner: &Name, kind: RecordType) -> Option<Record> {
        let suits = |own| {
            kind == own || matches!(kind, RecordType::ANY | RecordType::SRV | RecordType::TXT)
        };
        match self {
            Place::Ip(ip @ IpAddr::V4(_)) => suits(RecordType::A).then(|| at(owner, *ip)),
            Place::Ip(ip @ IpAddr::V6(_)) => suits(RecordType::AAAA).then(|| at(owner, *ip)),
            Place::Host(host) => {
                let alias = RData::CNAME(CNAME(host.clone()));
                Some(Record::from_rdata(owner.clone(), TTL, alias))
            }
        }
    }
}

/// The record that an address has whatever was asked.
pub(super) fn at(owner: &Name, ip: IpAddr) -> Record {
    let data = match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    Record::from_rdata(owner.clone(), TTL, data)
}

/// Where a node is, to a question of `kind`.
pub(super) fn node_place(node: &Node, kind: RecordType) -> Option<Place> {
    let tagged = |name: &str| {
        let tagged: Option<&BTreeMap<String, String>> = node.tagged_addresses.as_ref();
        tagged
            .and_then(|tagged| tagged.get(name))
            .map(String::as_str)
    };
    let (v4, v6) = (tagged("lan_ipv4"), tagged("lan_ipv6"));
    Place::choose(&node.address, v4, v6, Family::of(kind))
}

/// Where an instance is, to a question of `kind` about `owner`: at its own address if it has one, else at its node's. An
/// address that is the name asked for is none.
pub(super) fn place(owner: &Name, health: &Health, kind: RecordType) -> Option<Place> {
    if own_place(health, RecordType::ANY).is_none() {
        return node_place(&health.node, kind);
    }
    match own_place(health, kind) {
        Some(Place::Host(host)) if host == *owner => node_place(&health.node, kind),
        place => place,
    }
}

fn own_place(health: &Health, kind: RecordType) -> Option<Place> {
    let instance = &health.instance;
    let tagged = |name: &str| instance.tagged_addresses.get(name).map(|(text, _)| &**text);
    let (v4, v6) = (tagged("lan_ipv4"), tagged("lan_ipv6"));
    Place::choose(&instance.address, v4, v6, Family::of(kind))
}

/// An instance as SRV shows it.
pub(super) struct Service {
    pub(super) record: Record,
    /// The target with its address, or a host name that may be followed.
    pub(super) target: Name,
    pub(super) place: Place,
}

/// The SRV record of an instance. `None` if it is nowhere, or its node's name is none that DNS can carry.
pub(super) fn service(owner: &Name, health: &Health, datacenter: &Key) -> Option<Service> {
    let place = place(owner, health, RecordType::SRV)?;
    let at_node = own_place(health, RecordType::SRV).as_ref() != Some(&place);
    let target = match &place {
        Place::Host(host) => host.clone(),
        // The node's name stands for the address the node was registered with, and for no other.
        Place::Ip(ip) if !at_node || health.node.address.parse() != Ok(*ip) => {
            let digits = match ip {
                IpAddr::V4(ip) => format!("{:08x}", ip.to_bits()),
                IpAddr::V6(ip) => format!("{:032x}", ip.to_bits()),
            };
            text::name(&format!("{digits}.addr.{datacenter}.consul"))?
        }
        Place::Ip(_) => node_name(&health.node.name, datacenter)?,
    };
    // Consul stores any number as a port; what is none is shown as none.
    let port = u16::try_from(health.instance.port).unwrap_or(0);
    let data = SRV::new(PRIORITY, weight(health), port, target.clone());
    Some(Service {
        record: Record::from_rdata(owner.clone(), TTL, RData::SRV(data)),
        target,
        place,
    })
}

/// The full name of a node.
pub(super) fn node_name(node: &str, datacenter: &Key) -> Option<Name> {
    text::name(&format!("{node}.node.{datacenter}.consul"))
}

/// A TXT record for each pair of a node's metadata, by key.
pub(super) fn metadata(owner: &Name, node: &Node) -> Vec<Record> {
    let pairs = node.meta.iter().flatten();
    pairs
        .map(|(key, value)| {
            let data = RData::TXT(text::pair(key, value));
            Record::from_rdata(owner.clone(), TTL, data)
        })
        .collect()
}

/// Whether DNS shows an instance: unless some check, the node's included, is critical.
pub(super) fn is_served(health: &Health) -> bool {
    let critical = |status: &Status| *status == Status::Critical;
    !health.checks.iter().any(|check| critical(&check.status))
}

fn weight(health: &Health) -> u16 {
    let warns = health
        .checks
        .iter()
        .any(|check| check.status == Status::Warning);
    let weights = health.instance.weights;
    let weight = if warns {
        weights.warning
    } else {
        weights.passing
    };
    u16::try_from(weight.max(0)).unwrap_or(u16::MAX)
}

/// Whether an instance has a tag, whatever its case.
pub(super) fn has_tag(health: &Health, tag: &str) -> bool {
    health
        .instance
        .tags
        .iter()
        .any(|own| own.to_lowercase() == tag)
}
