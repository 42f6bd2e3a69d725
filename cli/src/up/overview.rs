//! The admin pages of `turno up`: its own, and the balancer's.
//!
//! It joins what the board, the wish and the balancer know into one view; it keeps nothing itself.

use std::{collections::BTreeSet, net::SocketAddr};

use ::lb::admin::Admin as Pages;
use daemon::http::{Reply, json, text};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{
    SERVICE,
    api::{Ask, Scaled, UpView, ask},
    board::Board,
    brokers,
    supervisor::Desired,
};
use crate::lb::page;

/// Everything that is shown on the admin listener.
#[derive(Clone, Debug)]
pub(super) struct Overview {
    pub(super) registry: String,
    pub(super) client: consul::Client,
    pub(super) balancer: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) board: Board,
    pub(super) desired: Desired,
    pub(super) pages: Pages,
}

impl Overview {
    /// Answers one request.
    pub(super) async fn respond(self, request: Request<Incoming>) -> Reply {
        let uri = request.uri();
        match ask(request.method(), uri.path(), uri.query()) {
            None => page(&self.pages, &request),
            Some(Ask::View) => json(StatusCode::OK, &self.view().await),
            Some(Ask::Brokers) => match brokers::all(&self.client).await {
                Ok(all) => json(StatusCode::OK, &all),
                Err(error) => text(StatusCode::BAD_GATEWAY, format!("{error}\n")),
            },
            Some(Ask::Scale(after)) => {
                let before = self.desired.set(after);
                json(
                    StatusCode::OK,
                    &Scaled {
                        service: SERVICE.to_owned(),
                        before,
                        after,
                    },
                )
            }
            Some(Ask::Wrong(reply)) => reply,
        }
    }

    /// What runs where, now.
    pub(super) async fn view(&self) -> UpView {
        let replicas = self.board.replicas();
        let picked = self.picked().await;
        UpView {
            service: SERVICE.to_owned(),
            desired: self.desired.count(),
            in_rotation: replicas
                .iter()
                .filter(|replica| picked.contains(&replica.id))
                .count(),
            replicas,
            registry: self.registry.clone(),
            balancer: self.balancer,
            admin: self.admin,
        }
    }
}

impl Overview {
    /// The instances that the balancer sends requests to, by its own word.
    async fn picked(&self) -> BTreeSet<String> {
        let Some(reply) = self.pages.respond(&Method::GET, "/v1/pools", None) else {
            return BTreeSet::new();
        };
        let Ok(body) = reply.into_body().collect().await;
        picked(&body.to_bytes())
    }
}

/// Reads the balancer's view of its pools.
fn picked(pools: &[u8]) -> BTreeSet<String> {
    let pools: serde_json::Value = serde_json::from_slice(pools).unwrap_or_default();
    let upstreams = pools
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pool| pool["upstreams"].as_array());
    upstreams
        .flatten()
        .filter_map(|upstream| Some(upstream["instance"].as_str()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_picked_is_read_from_the_pools() {
        let pools =
            br#"[{"service":"hello","upstreams":[{"instance":"hello-1"},{"instance":"hello-3"}]}]"#;
        assert_eq!(Vec::from_iter(picked(pools)), ["hello-1", "hello-3"]);
        for nothing in [&b"[]"[..], b"{}", b"", br#"[{"upstreams":[{}]}]"#] {
            assert!(picked(nothing).is_empty());
        }
    }
}
