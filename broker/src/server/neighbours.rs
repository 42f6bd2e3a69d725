//! The loop's dealings with other brokers: what happens between them goes to the exchange, what it has to spare goes out.

use std::time::Instant;

use super::run::Loop;
use crate::{
    core::message::{ClientKey, Peer},
    federation::{Config, Federation, Happened, Meaning},
    zsock::{Error, curve::PublicKey},
};

/// Events between brokers handled before the sockets' own tasks get the thread again.
const BURST: usize = 128;

/// Takes part in a federation, if it is to. Returns where it tells its news as well.
pub(super) async fn join(
    config: Option<Config>,
    name: String,
    max_body: usize,
) -> Result<(Option<Federation>, Option<String>), Error> {
    let Some(config) = config else {
        return Ok((None, None));
    };
    let (federation, news) = Federation::start(config, name, max_body).await?;
    Ok((Some(federation), Some(news)))
}

impl Loop {
    /// Somebody has shown a key, which may be another broker's.
    pub(super) fn authenticated(&mut self, peer: Peer, key: PublicKey) {
        let federation = self.federation.as_ref();
        let broker = federation.is_some_and(|it| it.has_listed(key));
        let key = ClientKey(key.bytes());
        self.exchange.authenticated(peer, key, broker);
    }

    /// Something happened between brokers, and perhaps more.
    pub(super) fn between(&mut self, happened: Happened, now: Instant) {
        self.changed = true;
        let mut next = Some(happened);
        for _ in 0..BURST {
            let (Some(happened), Some(federation)) = (next, &mut self.federation) else {
                return;
            };
            federation.on(happened, now);
            self.carry_out_meanings(now);
            next = self.federation.as_mut().and_then(|it| it.try_event());
        }
        if let (Some(happened), Some(federation)) = (next, &mut self.federation) {
            federation.on(happened, now);
            self.carry_out_meanings(now);
        }
    }

    fn carry_out_meanings(&mut self, now: Instant) {
        while let Some(meaning) = self.federation.as_mut().and_then(|it| it.meaning()) {
            let acts = match meaning {
                Meaning::Spare(neighbour, spare) => self.exchange.neighbour(neighbour, &spare, now),
                Meaning::Said(neighbour, frames) => {
                    self.exchange.neighbour_said(neighbour, frames, now)
                }
                Meaning::Gone(neighbour) => self.exchange.neighbour_gone(neighbour, now),
                Meaning::Unsent(delivery) => self.exchange.undelivered(delivery, now),
            };
            self.carry_out(acts, now);
        }
    }

    /// Tells other brokers what there is to spare, when that is due.
    pub(super) fn tell_neighbours(&mut self, now: Instant) {
        let Some(federation) = &mut self.federation else {
            return;
        };
        if federation.due(self.changed) > now {
            return;
        }
        self.changed = false;
        federation.tick(self.exchange.spare(), now);
        self.carry_out_meanings(now);
    }
}
