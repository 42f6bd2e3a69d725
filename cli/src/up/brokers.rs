//! The message brokers that the registry knows of, as they tell of themselves on their admin listeners.
//!
//! It finds them by their tag and asks each the same page as `turno mq top`. It knows registrations and views, not what a
//! broker does nor how one talks to it; and it gives nobody a token, since whoever registers says where it asks.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use consul::{Client, Error, Query, types::ServiceEntry};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time};

use crate::http_client::NoAnswer;
use crate::mq::view::{self, View};

/// Brokers asked at most: a page of them.
const MAX_BROKERS: usize = 16;
/// Services shown of each: a screen. Those with the longest queues come first.
const MAX_SERVICES: usize = 30;
/// A broker answers from memory; one that does not in this time is shown as one that does not.
const PATIENCE: Duration = Duration::from_secs(1);

/// A broker, as the registry and it itself say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BrokerView {
    /// Its instance id.
    pub(crate) id: String,
    /// The worst of its checks.
    pub(crate) status: String,
    /// Where it was asked.
    pub(crate) admin: Option<SocketAddr>,
    /// What it said; or …
    pub(crate) view: Option<View>,
    /// … why nothing is known.
    pub(crate) error: Option<String>,
}

/// Asks the registry for brokers, and the brokers how they are.
pub(super) async fn all(client: &Client) -> Result<Vec<BrokerView>, Error> {
    let services = client.catalog_services(&Query::default()).await?.value;
    let tagged = |tags: &[String]| tags.iter().any(|tag| tag == view::TAG);
    let mut found = Vec::new();
    for (name, _) in services.iter().filter(|(_, tags)| tagged(tags)) {
        let entries = client.health_service(name, &Query::default()).await?.value;
        found.extend(entries.into_iter().filter(|it| tagged(&it.service.tags)));
        if found.len() >= MAX_BROKERS {
            break;
        }
    }
    found.truncate(MAX_BROKERS);
    let mut asking: JoinSet<BrokerView> = found.into_iter().map(one).collect();
    let mut all = Vec::new();
    while let Some(asked) = asking.join_next().await {
        // One that panicked has been logged; the others are shown.
        all.extend(asked);
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

async fn one(entry: ServiceEntry) -> BrokerView {
    let admin = admin_of(&entry);
    let answer = match admin {
        None => Err("it has no admin listener: start it with --admin".to_owned()),
        Some(address) => match time::timeout(PATIENCE, view::ask(address, None)).await {
            Ok(answer) => answer.map_err(|why| match why {
                NoAnswer::NeedsToken(_) => format!(
                    "it wants its admin token, which is sent nowhere that only the registry names: \
                     TURNO_ADMIN_TOKEN=… turno mq top --admin {address}"
                ),
                NoAnswer::Other(why) => why,
            }),
            Err(_) => Err(format!("{address} did not answer within {PATIENCE:?}")),
        },
    };
    let (view, error) = match answer {
        Ok(view) => (Some(shortened(view)), None),
        Err(why) => (None, Some(why)),
    };
    BrokerView {
        id: entry.service.id.clone(),
        status: entry.status().to_string(),
        admin,
        view,
        error,
    }
}

/// Where its admin listener is. One that listens everywhere is reached where the broker is.
fn admin_of(entry: &ServiceEntry) -> Option<SocketAddr> {
    let mut admin: SocketAddr = entry.service.meta.get(view::ADMIN)?.parse().ok()?;
    if admin.ip().is_unspecified() {
        admin.set_ip(entry.address().parse::<IpAddr>().ok()?);
    }
    Some(admin)
}

fn shortened(mut view: View) -> View {
    view.services_left_out += view.services.len().saturating_sub(MAX_SERVICES);
    view.services.truncate(MAX_SERVICES);
    view
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mq::view::Service;

    fn entry(meta: &str) -> ServiceEntry {
        let text = format!(
            r#"{{"Node":{{"Node":"n","Address":"10.0.0.9"}},"Checks":[],
                "Service":{{"ID":"mq-1","Service":"mq","Address":"10.0.0.1","Port":1,"Meta":{meta}}}}}"#
        );
        serde_json::from_str(&text).expect("as Consul writes it")
    }

    #[test]
    fn where_a_broker_is_asked() {
        for (meta, want) in [
            (r#"{"admin":"127.0.0.1:8085"}"#, Some("127.0.0.1:8085")),
            (r#"{"admin":"0.0.0.0:8085"}"#, Some("10.0.0.1:8085")),
            (r#"{"admin":"8085"}"#, None),
            ("{}", None),
        ] {
            let want = want.map(|it| it.parse().expect("a literal"));
            assert_eq!(admin_of(&entry(meta)), want, "{meta}");
        }
    }

    #[tokio::test]
    async fn a_broker_that_wants_a_token_says_where_to_give_it() {
        let listener = daemon::net::listen("127.0.0.1:0".parse().expect("a literal"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        tokio::spawn(daemon::http::serve(
            listener,
            daemon::http::Limits::default(),
            |_, _| async { daemon::http::text(http::StatusCode::UNAUTHORIZED, "the token!") },
            tokio_util::sync::CancellationToken::new(),
        ));
        let row = one(entry(&format!(r#"{{"admin":"{address}"}}"#))).await;
        let error = row.error.expect("it refused");
        let hint = format!("TURNO_ADMIN_TOKEN=… turno mq top --admin {address}");
        assert!(error.ends_with(&hint), "{error}");
        let told = view::ask(address, None).await.expect_err("it refuses");
        let told = told.to_string();
        assert!(
            told.contains("the token!: give it with TURNO_ADMIN_TOKEN"),
            "{told}"
        );
    }

    #[test]
    fn only_a_screen_of_services_is_shown() {
        let view = View {
            services: vec![Service::default(); MAX_SERVICES + 3],
            services_left_out: 2,
            ..View::default()
        };
        let view = shortened(view);
        assert_eq!(
            (view.services.len(), view.services_left_out),
            (MAX_SERVICES, 5)
        );
    }
}
