//! What must be told to HAProxy so that it does what the slots say. Pure: two states in, commands out.
//!
//! Who joins comes first, who leaves last, so that there is a server at every moment if there is to be one. What commands
//! cannot bring about needs a reload, for a reason that a person can read.

use std::collections::BTreeMap;
use std::fmt;

use super::command::{Command, Set, State};
use super::observed::{Observed, Server};
use super::slots::{Backend, Occupant};
use super::word::Word;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) commands: Vec<Command>,
    pub(super) reload: Option<Reason>,
}

/// Why HAProxy has to read its file anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The file's text differs in more than its servers.
    Configuration,
    /// A backend has more instances than slots that may be taken.
    Outgrown(String),
    /// HAProxy has no such server.
    Missing(String),
    /// A server has a wrong address and requests in flight: given the right one, it would keep those connections.
    Busy(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration => f.write_str("routes, template or settings have changed"),
            Self::Outgrown(backend) => write!(f, "{backend} has outgrown its slots"),
            Self::Missing(server) => write!(f, "HAProxy has no server {server}"),
            Self::Busy(server) => write!(f, "{server} is in use with another address"),
        }
    }
}

/// Compares what is wanted with what is there.
pub(super) fn plan(wanted: &BTreeMap<Word, Backend>, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let mut leaving = Vec::new();
    for (backend, Backend { slots, unplaced }) in wanted {
        let servers = observed.get(backend.as_str());
        if *unplaced > 0 {
            plan.reload
                .get_or_insert_with(|| Reason::Outgrown(backend.to_string()));
        }
        // Where all who shall serve wait for the reload, those who leave stay until then.
        let nobody_yet = *unplaced > 0 && slots.iter().flatten().all(|o| o.drained);
        for (index, slot) in slots.iter().enumerate() {
            let name = Word::slot(index);
            let Some(server) = servers.and_then(|servers| servers.get(name.as_str())) else {
                plan.reload
                    .get_or_insert_with(|| Reason::Missing(format!("{backend}/{name}")));
                continue;
            };
            let command = |set| Command {
                backend: backend.clone(),
                server: name.clone(),
                set,
            };
            match slot {
                Some(occupant) if !occupant.drained => match serve(occupant, server) {
                    Ok(sets) => plan.commands.extend(sets.into_iter().map(command)),
                    Err(InUse) => {
                        plan.reload
                            .get_or_insert_with(|| Reason::Busy(format!("{backend}/{name}")));
                    }
                },
                _ if nobody_yet => {}
                slot => {
                    leaving.extend(leave(slot.as_ref(), server).map(|s| command(Set::State(s))));
                }
            }
        }
    }
    plan.commands.append(&mut leaving);
    plan
}

/// The server cannot be given another address now.
struct InUse;

/// What makes `server` serve `occupant`. State last: it must not get a request before it has its address.
fn serve(occupant: &Occupant, server: &Server) -> Result<Vec<Set>, InUse> {
    let mut sets = Vec::new();
    if server.address != Some(occupant.address) {
        if server.in_use > 0 {
            return Err(InUse);
        }
        sets.push(Set::Address(occupant.address));
    }
    if server.weight != occupant.weight {
        sets.push(Set::Weight(occupant.weight));
    }
    if !server.is_ready() {
        sets.push(Set::State(State::Ready));
    }
    Ok(sets)
}

/// What makes `server` get no more requests. One that stays registered drains, its checks going on; for one that is gone, or
/// whose address is another's, there is nothing to be checked.
fn leave(occupant: Option<&Occupant>, server: &Server) -> Option<State> {
    let drains = occupant.is_some_and(|occupant| server.address == Some(occupant.address));
    match drains {
        true => (server.maint || !server.drain).then_some(State::Drain),
        false => (!server.maint).then_some(State::Maint),
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::{Slots, assign};
    use super::*;
    use crate::snapshot::{Endpoint, EndpointId, Excluded, Service};
    use proptest::prelude::*;
    use std::net::SocketAddr;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn id(number: u16) -> EndpointId {
        EndpointId {
            node: "n".into(),
            instance: number.to_string().into(),
        }
    }

    fn occupant(port: u16, weight: u16, drained: bool) -> Option<Occupant> {
        Some(Occupant {
            id: id(port),
            address: address(port),
            weight,
            drained,
        })
    }

    fn server(port: u16, state: State, weight: u16, in_use: u32) -> Server {
        Server {
            address: Some(address(port)),
            maint: state == State::Maint,
            drain: state == State::Drain,
            weight,
            in_use,
        }
    }

    fn wanted(slots: Slots) -> BTreeMap<Word, Backend> {
        BTreeMap::from([(Word::of("web"), Backend { slots, unplaced: 0 })])
    }

    fn observed(servers: &[Server]) -> Observed {
        let named = servers.iter().enumerate();
        let named = named.map(|(i, server)| (Word::slot(i).to_string(), *server));
        BTreeMap::from([("web".to_owned(), named.collect())])
    }

    fn texts(plan: &Plan) -> Vec<String> {
        let texts = plan.commands.iter().map(ToString::to_string);
        texts.map(|t| t.replace("set server web/", "")).collect()
    }

    #[test]
    fn what_is_told() {
        use State::{Drain, Maint, Ready};
        let spare = server(1, Maint, 1, 0);
        for (slots, servers, expected) in [
            // Nothing to do.
            (
                vec![occupant(5, 1, false), None],
                vec![server(5, Ready, 1, 9), spare],
                vec![],
            ),
            // One joins.
            (
                vec![occupant(5, 1, false)],
                vec![spare],
                vec!["s1 addr 127.0.0.1 port 5", "s1 state ready"],
            ),
            // One leaves, another joins: the other way round.
            (
                vec![None, occupant(6, 2, false)],
                vec![server(5, Ready, 1, 3), spare],
                vec![
                    "s2 addr 127.0.0.1 port 6",
                    "s2 weight 2",
                    "s2 state ready",
                    "s1 state maint",
                ],
            ),
            // A weight, an end of draining, a beginning of it.
            (
                vec![occupant(5, 7, false)],
                vec![server(5, Ready, 1, 0)],
                vec!["s1 weight 7"],
            ),
            (
                vec![occupant(5, 1, false)],
                vec![server(5, Drain, 1, 0)],
                vec!["s1 state ready"],
            ),
            (
                vec![occupant(5, 1, true)],
                vec![server(5, Ready, 1, 2)],
                vec!["s1 state drain"],
            ),
            (
                vec![occupant(5, 1, true)],
                vec![server(5, Drain, 1, 2)],
                vec![],
            ),
            // Somebody gave the slot of a drained one another address.
            (
                vec![occupant(5, 1, true)],
                vec![server(6, Ready, 1, 2)],
                vec!["s1 state maint"],
            ),
        ] {
            let plan = plan(&wanted(slots.clone()), &observed(&servers));
            assert_eq!(texts(&plan), expected, "{slots:?} {servers:?}");
            assert_eq!(plan.reload, None);
        }
    }

    #[test]
    fn what_needs_a_reload() {
        let slots = vec![occupant(5, 1, false), None];
        let one = observed(&[server(5, State::Ready, 1, 0)]);
        let plan = super::plan(&wanted(slots.clone()), &one);
        assert_eq!(plan.reload, Some(Reason::Missing("web/s2".to_owned())));
        let none = super::plan(&wanted(slots), &Observed::new());
        assert_eq!(none.reload, Some(Reason::Missing("web/s1".to_owned())));
        let busy = observed(&[server(6, State::Ready, 1, 1)]);
        let plan = super::plan(&wanted(vec![occupant(5, 1, false)]), &busy);
        assert_eq!(plan.reload, Some(Reason::Busy("web/s1".to_owned())));
        assert_eq!(plan.commands, []);
        // Nobody of those who shall serve has a slot: who is there stays.
        let waiting = Backend {
            slots: vec![None],
            unplaced: 1,
        };
        let plan = super::plan(&BTreeMap::from([(Word::of("web"), waiting)]), &one);
        assert_eq!(plan.reload, Some(Reason::Outgrown("web".to_owned())));
        assert_eq!(plan.commands, []);
    }

    /// HAProxy, as far as a command changes it.
    fn apply(observed: &mut Observed, command: &Command) {
        let backend = observed.get_mut(command.backend.as_str());
        let server = backend.and_then(|b| b.get_mut(command.server.as_str()));
        let server = server.expect("no command names what is not there");
        match command.set {
            Set::Address(address) => {
                assert_eq!(server.in_use, 0, "{command} while requests are in flight");
                server.address = Some(address);
            }
            Set::Weight(weight) => server.weight = weight,
            Set::State(state) => {
                (server.maint, server.drain) = (state == State::Maint, state == State::Drain);
            }
        }
    }

    fn usable(observed: &Observed) -> usize {
        observed["web"].values().filter(|s| s.is_ready()).count()
    }

    fn any_server() -> impl Strategy<Value = Server> {
        let state = prop_oneof![Just(State::Ready), Just(State::Drain), Just(State::Maint)];
        (1..9_u16, state, 0..4_u16, 0..2_u32)
            .prop_map(|(port, s, w, used)| server(port, s, w, used))
    }

    fn any_service() -> impl Strategy<Value = Service> {
        let instance = (any::<bool>(), any::<bool>(), 1..4_u16, 1..4_u32);
        proptest::collection::vec(instance, 0..7).prop_map(|instances| {
            let mut service = Service::default();
            for (number, (registered, passing, port, weight)) in (0..).zip(instances) {
                let id = id(number);
                if registered && passing {
                    service.endpoints.push(Endpoint {
                        id,
                        address: address(number * 10 + port),
                        weight,
                    });
                } else if registered {
                    service.excluded.push(Excluded {
                        id,
                        reason: String::new(),
                    });
                }
            }
            service
        })
    }

    proptest! {
        #[test]
        fn the_commands_bring_about_what_is_wanted(
            slots in proptest::collection::vec(
                prop_oneof![Just(None), (1..9_u16, 1..4_u16, any::<bool>()).prop_map(|(p, w, d)| occupant(p, w, d))], 5),
            servers in proptest::collection::vec(any_server(), 5),
        ) {
            let (wanted, mut now) = (wanted(slots.clone()), observed(&servers));
            let wants_some = slots.iter().flatten().any(|o| !o.drained);
            let had_some = usable(&now) > 0;
            let first = plan(&wanted, &now);
            for command in &first.commands {
                apply(&mut now, command);
                // A reload replaces the servers that could not be changed.
                prop_assert!(!(wants_some && had_some) || usable(&now) > 0 || first.reload.is_some());
            }
            let again = plan(&wanted, &now);
            prop_assert_eq!(&again.commands, &Vec::new(), "{:?}", first);
            prop_assert_eq!(&again.reload, &first.reload);
            if first.reload.is_none() {
                for (slot, server) in slots.iter().zip(now["web"].values()) {
                    match slot {
                        Some(o) if !o.drained => prop_assert!(
                            server.is_ready() && server.address == Some(o.address) && server.weight == o.weight),
                        _ => prop_assert!(!server.is_ready()),
                    }
                }
            }
        }

        #[test]
        fn as_instances_come_and_go_no_slot_in_use_changes_its_address(
            story in proptest::collection::vec((any_service(), proptest::collection::vec(0..2_u32, 12)), 1..12),
        ) {
            let mut slots: Slots = vec![None; 12];
            let mut now = observed(&[server(1, State::Maint, 1, 0); 12]);
            for (service, in_use) in story {
                for (index, in_use) in in_use.into_iter().enumerate() {
                    let server = now.get_mut("web").and_then(|b| b.get_mut(Word::slot(index).as_str()));
                    let server = server.expect("it is there");
                    // A server that is out finishes what it has, and gets nothing new.
                    server.in_use = if server.is_ready() { in_use } else { server.in_use.min(in_use) };
                }
                let free = now["web"].clone();
                let left = assign(&mut slots, &service, true, |i| {
                    let server = free[Word::slot(i).as_str()];
                    server.maint && server.in_use == 0
                });
                let mut wanted = wanted(slots.clone());
                wanted.values_mut().for_each(|backend| backend.unplaced = left);
                let plan = plan(&wanted, &now);
                prop_assert_eq!(plan.reload.is_some(), left > 0);
                let before = usable(&now);
                for command in &plan.commands {
                    apply(&mut now, command); // asserts that no address changes under a request
                    prop_assert!(before == 0 || service.endpoints.is_empty() || usable(&now) > 0);
                }
                if left > 0 && left == service.endpoints.len() {
                    continue; // They stay until the reload.
                }
                let serving: Vec<_> = now["web"].values().filter(|s| s.is_ready()).filter_map(|s| s.address).collect();
                prop_assert_eq!(serving.len() + left, service.endpoints.len());
                prop_assert!(serving.iter().all(|a| service.endpoints.iter().any(|e| e.address == *a)));
            }
        }
    }
}
