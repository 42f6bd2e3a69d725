//! Does somebody else hold the instance that is about to be registered?
//!
//! Two programs under one id would take the row from each other for ever. What an earlier life has left is no obstacle: a row
//! counts only if somebody answers at its address.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use consul::{Client, types::AgentService};
use tokio::{net::TcpStream, time};
use tracing::debug;

/// The registry gets this long to tell: one that is away must not keep the program from running.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Whoever does not accept a connection within this is taken for gone; it would be this machine or one near it.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// Where the instance `id` is served by somebody now, as the registry has it. `None` also where nobody can tell.
pub(super) async fn of(client: &Client, id: &str) -> Option<SocketAddr> {
    let services = match time::timeout(ASK_LIMIT, client.agent_services()).await {
        Ok(Ok(services)) => services,
        Ok(Err(error)) => {
            debug!(%error, "cannot see whether somebody holds the instance");
            return None;
        }
        Err(_) => return None,
    };
    let address = address(services.get(id)?)?;
    if is_anothers(&services, id, address) {
        return None;
    }
    let answer = time::timeout(ANSWER_LIMIT, TcpStream::connect(address)).await;
    answer
        .is_ok_and(|connected| connected.is_ok())
        .then_some(address)
}

/// Whether another instance is registered there: after a crash of a host of containers their addresses may have changed hands,
/// and whoever answers is not who left the row.
fn is_anothers(services: &BTreeMap<String, AgentService>, id: &str, at: SocketAddr) -> bool {
    let mut others = services.iter().filter(|(other, _)| *other != id);
    others.any(|(_, row)| address(row) == Some(at))
}

/// Where a row says that it is served. Names are not looked up: `turno run` registers none.
fn address(row: &AgentService) -> Option<SocketAddr> {
    let ip: IpAddr = row.address.parse().ok()?;
    let port = u16::try_from(row.port).ok().filter(|port| *port > 0)?;
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_changed_hands_says_nothing_of_who_had_it() {
        let row = |port| AgentService {
            address: "10.0.0.5".to_owned(),
            port,
            ..AgentService::default()
        };
        let rows = [("a", 80), ("b", 80), ("c", 81)];
        let rows = rows.map(|(id, port)| (id.to_owned(), row(port))).into();
        let at = |port| SocketAddr::new([10, 0, 0, 5].into(), port);
        assert!(is_anothers(&rows, "a", at(80)), "b is there as well");
        assert!(!is_anothers(&rows, "c", at(81)));
    }

    #[test]
    fn only_a_whole_address_can_be_tried() {
        for (text, port, want) in [
            ("127.0.0.1", 80, Some("127.0.0.1:80")),
            ("::1", 80, Some("[::1]:80")),
            ("127.0.0.1", 0, None),
            ("", 80, None),
            ("web.example", 80, None),
        ] {
            let row = AgentService {
                address: text.to_owned(),
                port,
                ..AgentService::default()
            };
            let found = address(&row).map(|address| address.to_string());
            assert_eq!(found.as_deref(), want, "{text}:{port}");
        }
    }
}
