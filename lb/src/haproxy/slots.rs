//! Which instance stands in which server of a backend. Pure.
//!
//! A backend has a fixed number of servers, its *slots*. An instance keeps its slot while it is registered at the same
//! address; a slot is given to another instance only when nothing is in flight on it, because HAProxy would keep the
//! connection and send later requests of the new instance to the old one's address.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::snapshot::{EndpointId, Service};

/// The instance in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Occupant {
    pub(super) id: EndpointId,
    pub(super) address: SocketAddr,
    /// As HAProxy counts: 1..=256.
    pub(super) weight: u16,
    /// It is registered and not in rotation.
    pub(super) drained: bool,
}

/// The slots of one backend, in order.
pub(super) type Slots = Vec<Option<Occupant>>;

/// A backend's slots, and how many found none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Backend {
    pub(super) slots: Slots,
    /// Endpoints without a slot: they wait for a reload.
    pub(super) unplaced: usize,
}

/// The largest weight HAProxy knows (configuration manual, `weight`).
const MAX_WEIGHT: u32 = 256;

/// Brings `slots` to what `service` says. `may_take` tells which slots another instance may take. Returns how many
/// endpoints found none.
pub(super) fn assign(
    slots: &mut Slots,
    service: &Service,
    weighted: bool,
    may_take: impl Fn(usize) -> bool,
) -> usize {
    let most = service.endpoints.iter().map(|e| e.weight).max();
    let scaled = |weight| {
        if weighted {
            scale(weight, most.unwrap_or(1))
        } else {
            1
        }
    };
    let mut placed = BTreeSet::new();
    for slot in slots.iter_mut() {
        let Some(occupant) = slot else { continue };
        let endpoint = service
            .endpoints
            .iter()
            .find(|e| e.id == occupant.id && e.address == occupant.address);
        if let Some(endpoint) = endpoint
            && placed.insert(&endpoint.id)
        {
            (occupant.weight, occupant.drained) = (scaled(endpoint.weight), false);
        } else if service.excluded.iter().any(|out| out.id == occupant.id) {
            occupant.drained = true;
        } else {
            *slot = None;
        }
    }
    let mut free: Vec<usize> = (0..slots.len())
        .filter(|i| slots[*i].is_none() && may_take(*i))
        .rev()
        .collect();
    let mut left_over = 0;
    for endpoint in service.endpoints.iter().filter(|e| !placed.contains(&e.id)) {
        let Some(index) = free.pop() else {
            left_over += 1;
            continue;
        };
        slots[index] = Some(Occupant {
            id: endpoint.id.clone(),
            address: endpoint.address,
            weight: scaled(endpoint.weight),
            drained: false,
        });
    }
    left_over
}

/// A weight of 1..=65535 among others of which `most` is the largest, as one of 1..=256.
fn scale(weight: u32, most: u32) -> u16 {
    let scaled = if most <= MAX_WEIGHT {
        weight
    } else {
        (u64::from(weight) * u64::from(MAX_WEIGHT) / u64::from(most)) as u32
    };
    scaled.clamp(1, MAX_WEIGHT) as u16
}

/// How many slots a backend gets that has `now` and must hold `needed`: at least `least`, doubled until a quarter is spare.
pub(super) fn capacity(now: usize, needed: usize, least: usize) -> usize {
    let mut slots = now.max(least).max(1);
    while slots < needed + needed.div_ceil(4) {
        slots *= 2;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Endpoint, Excluded};

    fn id(name: &str) -> EndpointId {
        EndpointId {
            node: "n".into(),
            instance: name.into(),
        }
    }

    /// `a` in rotation on port 97, `a=5` on port 5, `a!` out of it.
    fn service(text: &str) -> Service {
        let mut service = Service::default();
        for word in text.split_whitespace() {
            let (name, port) = word.split_once('=').unwrap_or((word, ""));
            if let Some(name) = word.strip_suffix('!') {
                service.excluded.push(Excluded {
                    id: id(name),
                    reason: "critical".into(),
                });
                continue;
            }
            service.endpoints.push(Endpoint {
                id: id(name),
                address: (
                    [127, 0, 0, 1],
                    port.parse().unwrap_or(u16::from(name.as_bytes()[0])),
                )
                    .into(),
                weight: 1,
            });
        }
        service
    }

    fn shown(slots: &Slots) -> String {
        let show = |slot: &Option<Occupant>| match slot {
            None => "-".to_owned(),
            Some(o) if o.drained => format!("{}!", o.id),
            Some(o) => o.id.to_string(),
        };
        slots.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    /// Each step: what is registered, which slots may be taken, what the slots are then, and how many found none.
    fn story(steps: &[(&str, &[usize], &str, usize)]) {
        let mut slots: Slots = vec![None; 4];
        for (registered, free, expected, left_over) in steps {
            let left = assign(&mut slots, &service(registered), false, |i| {
                free.contains(&i)
            });
            assert_eq!(
                (shown(&slots).as_str(), left),
                (*expected, *left_over),
                "{registered} in {steps:?}"
            );
        }
    }

    const ALL: &[usize] = &[0, 1, 2, 3];

    #[test]
    fn an_instance_keeps_its_slot() {
        story(&[
            ("a b c", ALL, "a b c -", 0),
            ("c a", ALL, "a - c -", 0),
            ("d c a", ALL, "a d c -", 0),
            ("d c! a", ALL, "a d c! -", 0),
            ("d c a", ALL, "a d c -", 0),
            ("d!", ALL, "- d! - -", 0),
        ]);
    }

    #[test]
    fn a_slot_in_use_is_left_alone() {
        story(&[
            ("a b", ALL, "a b - -", 0),
            ("b c", &[2, 3], "- b c -", 0),
            ("b c d e", &[3], "- b c d", 1),
            ("b c d e", &[0], "e b c d", 0),
        ]);
    }

    #[test]
    fn another_address_is_another_slot() {
        story(&[("a b", ALL, "a b - -", 0), ("a=7 b", &[2, 3], "- b a -", 0)]);
    }

    #[test]
    fn one_that_was_never_in_rotation_takes_no_slot() {
        story(&[("a! b", ALL, "b - - -", 0)]);
    }

    #[test]
    fn weights_keep_their_proportion() {
        for (weight, most, expected) in [
            (1, 1, 1),
            (256, 256, 256),
            (65_535, 65_535, 256),
            (32_768, 65_535, 128),
            (1, 65_535, 1),
            (300, 300, 256),
        ] {
            assert_eq!(scale(weight, most), expected, "{weight} of {most}");
        }
        let mut slots: Slots = vec![None; 2];
        let mut of_two = service("a b");
        of_two.endpoints[0].weight = 512;
        of_two.endpoints[1].weight = 256;
        assign(&mut slots, &of_two, true, |_| true);
        let weights: Vec<u16> = slots.iter().flatten().map(|o| o.weight).collect();
        assert_eq!(weights, [256, 128]);
        assign(&mut slots, &of_two, false, |_| true);
        assert!(slots.iter().flatten().all(|o| o.weight == 1));
    }

    #[test]
    fn capacity_grows_by_doubling_and_never_shrinks() {
        for (now, needed, expected) in [
            (0, 0, 8),
            (0, 6, 8),
            (0, 7, 16),
            (8, 9, 16),
            (16, 1, 16),
            (16, 100, 128),
        ] {
            assert_eq!(capacity(now, needed, 8), expected, "{now} {needed}");
        }
        assert_eq!(capacity(0, 0, 0), 1);
    }
}
