//! What a name asks for.
//!
//! Pure: labels in, a meaning out. It does not know what there is, only what can be said. Names are read from the right,
//! as Consul does: the zone, perhaps a datacenter, the kind, and what is left of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::{Name, RecordType};

use super::text;

/// The zone answered for.
const ZONE: &str = "consul";

/// Whose name it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// `consul.`, and what is asked in it; `None` where the name can mean nothing.
    Consul(Option<Asked>),
    /// Under `arpa.`, and the address it stands for; `None` where it stands for none.
    Reverse(Option<IpAddr>),
    /// Not ours.
    Other,
}

/// A meaning, and the datacenter it was asked of if any was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) what: What,
    pub(super) datacenter: Option<String>,
}

/// Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `[tag.]name.service`, or `_name._tag[.service]`; no tag means all.
    Service { name: String, tag: Option<String> },
    /// `name.node`
    Node(String),
    /// `hexadecimal.addr`; `None` where it is neither four bytes nor sixteen.
    Address(Option<IpAddr>),
    /// `name.query`
    Prepared(String),
}

/// Reads a name that was asked with a type of record.
pub(super) fn read(name: &Name, kind: RecordType) -> Zone {
    let labels: Vec<String> = name
        .iter()
        .map(|label| text::of(label).to_lowercase())
        .collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    match &labels[..] {
        [rest @ .., ZONE] => Zone::Consul(consul(rest, kind)),
        [rest @ .., "in-addr", "arpa"] => Zone::Reverse(v4(rest)),
        [rest @ .., "ip6", "arpa"] => Zone::Reverse(v6(rest)),
        [.., "arpa"] => Zone::Reverse(None),
        _ => Zone::Other,
    }
}

/// What stands before the zone. The rightmost word for a kind counts; for SRV, `_name._tag` needs none.
fn consul(labels: &[&str], kind: RecordType) -> Option<Asked> {
    let found = labels.iter().enumerate().rev().find_map(|(at, label)| {
        let word = match *label {
            "service" | "node" | "addr" | "query" | "connect" | "ingress" => *label,
            _ if kind == RecordType::SRV && label.starts_with('_') => {
                return Some(("service", &labels[..=at], &labels[at + 1..]));
            }
            _ => return None,
        };
        Some((word, &labels[..at], &labels[at + 1..]))
    });
    let (word, before, after) = found?;
    let datacenter = match after {
        [] => None,
        [name] => Some((*name).to_owned()),
        _ => return None,
    };
    if before.is_empty() {
        return None;
    }
    let what = match word {
        "service" => service(before)?,
        "node" => What::Node(before.join(".")),
        "query" => What::Prepared(before.join(".")),
        "addr" => What::Address(address(before)?),
        // Consul's service mesh, which nothing here takes part in.
        _ => return None,
    };
    Some(Asked { what, datacenter })
}

fn service(labels: &[&str]) -> Option<What> {
    if let [name, tag] = labels
        && let (Some(name), Some(tag)) = (name.strip_prefix('_'), tag.strip_prefix('_'))
    {
        // The protocol is not known to the catalog: tcp means every instance, anything else is a tag.
        let tag = (!tag.is_empty() && tag != "tcp").then(|| tag.to_owned());
        let name = name.to_owned();
        return Some(What::Service { name, tag });
    }
    let (name, tag) = labels.split_last()?;
    Some(What::Service {
        name: (*name).to_owned(),
        tag: (!tag.is_empty()).then(|| tag.join(".")),
    })
}

/// The outer `None` is what is no name at all, the inner one a name without an address, as Consul tells them apart.
fn address(labels: &[&str]) -> Option<Option<IpAddr>> {
    let [digits] = labels else {
        return None;
    };
    let number = |digits| u128::from_str_radix(digits, 16).ok();
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match digits.len() {
        8 | 32 if !hexadecimal => None,
        8 => {
            let number = u32::try_from(number(digits)?).ok()?;
            Some(Some(Ipv4Addr::from(number).into()))
        }
        32 => Some(Some(Ipv6Addr::from(number(digits)?).into())),
        _ => Some(None),
    }
}

/// Four bytes in decimal, the last first.
fn v4(labels: &[&str]) -> Option<IpAddr> {
    let bytes: Vec<u8> = labels
        .iter()
        .rev()
        .map(|label| label.parse().ok())
        .collect::<Option<_>>()?;
    let bytes: [u8; 4] = bytes.try_into().ok()?;
    Some(IpAddr::from(bytes))
}

/// Thirty-two hexadecimal digits, the last first.
fn v6(labels: &[&str]) -> Option<IpAddr> {
    if labels.len() != 32 {
        return None;
    }
    let mut number = 0_u128;
    for label in labels.iter().rev() {
        let mut letters = label.chars();
        let (Some(digit), None) = (letters.next()?.to_digit(16), letters.next()) else {
            return None;
        };
        number = number << 4 | u128::from(digit);
    }
    Some(Ipv6Addr::from(number).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, kind: RecordType) -> Zone {
        read(&text::name(name).expect("a name"), kind)
    }

    fn service(name: &str, tag: Option<&str>, datacenter: Option<&str>) -> Zone {
        Zone::Consul(Some(Asked {
            what: What::Service {
                name: name.into(),
                tag: tag.map(str::to_owned),
            },
            datacenter: datacenter.map(str::to_owned),
        }))
    }

    #[test]
    fn names_of_services() {
        let table = [
            ("web.service.consul", service("web", None, None)),
            ("WEB.Service.CONSUL", service("web", None, None)),
            ("v1.web.service.consul", service("web", Some("v1"), None)),
            ("a.b.web.service.consul", service("web", Some("a.b"), None)),
            ("web.service.dc2.consul", service("web", None, Some("dc2"))),
            ("node.service.consul", service("node", None, None)),
            ("_web._tcp.service.consul", service("web", None, None)),
            ("_web._.service.consul", service("web", None, None)),
            ("_web._v1.service.consul", service("web", Some("v1"), None)),
            ("_web.x.service.consul", service("x", Some("_web"), None)),
            (
                "a._web._tcp.service.consul",
                service("_tcp", Some("a._web"), None),
            ),
        ];
        for (name, expected) in table {
            assert_eq!(asked(name, RecordType::A), expected, "{name}");
        }
        // The word may be left out for SRV alone.
        let short = "_web._tcp.consul";
        assert_eq!(asked(short, RecordType::A), Zone::Consul(None));
        assert_eq!(asked(short, RecordType::SRV), service("web", None, None));
        let elsewhere = asked("_web._tcp.dc2.consul", RecordType::SRV);
        assert_eq!(elsewhere, service("web", None, Some("dc2")));
    }

    #[test]
    fn the_other_kinds() {
        let meaning = |name: &str| match asked(name, RecordType::A) {
            Zone::Consul(Some(asked)) => Some(asked.what),
            _ => None,
        };
        let address = |text: &str| Some(What::Address(text.parse().ok()));
        let table = [
            ("vm-1.node.consul", Some(What::Node("vm-1".into()))),
            ("a.b.node.dc1.consul", Some(What::Node("a.b".into()))),
            ("near.query.consul", Some(What::Prepared("near".into()))),
            ("0a000001.addr.consul", address("10.0.0.1")),
            ("0A000001.addr.dc9.consul", address("10.0.0.1")),
            (
                "20010db8000000000000000000000001.addr.consul",
                address("2001:db8::1"),
            ),
            ("zz.addr.consul", Some(What::Address(None))),
            ("0a00000g.addr.consul", None),
            ("+a000001.addr.consul", None),
            ("0a000001.x.addr.consul", None),
            ("consul", None),
            ("service.consul", None),
            ("foo.consul", None),
            ("web.connect.consul", None),
            ("web.service.dc1.dc1.consul", None),
        ];
        for (name, expected) in table {
            assert_eq!(meaning(name), expected, "{name}");
        }
    }

    #[test]
    fn other_zones() {
        let reverse = |text: &str| Zone::Reverse(text.parse().ok());
        let table = [
            ("1.0.0.10.in-addr.arpa", reverse("10.0.0.1")),
            ("0.0.10.in-addr.arpa", Zone::Reverse(None)),
            ("1.0.0.1000.in-addr.arpa", Zone::Reverse(None)),
            ("in-addr.arpa", Zone::Reverse(None)),
            ("example.arpa", Zone::Reverse(None)),
            (
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
                reverse("2001:db8::1"),
            ),
            ("1.8.b.d.0.1.0.0.2.ip6.arpa", Zone::Reverse(None)),
            ("example.com", Zone::Other),
            ("consul.example.com", Zone::Other),
            ("xconsul", Zone::Other),
            (".", Zone::Other),
        ];
        for (name, expected) in table {
            assert_eq!(asked(name, RecordType::PTR), expected, "{name}");
        }
    }
}
