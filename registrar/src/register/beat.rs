//! The refreshes of an instance's TTL checks: which, how often, and when next.
//!
//! That the process lives and reaches the registry is all a refresh says; a program that knows more of
//! its health reports by itself and has no TTL check here.

use std::time::Duration;

use consul::types::{ServiceRegistration, parse_duration};
use consul::{Client, Error};
use tokio::time::Instant;

/// A TTL check is refreshed this many times within its TTL, so that two refreshes may be lost.
const BEATS_PER_TTL: u32 = 3;

/// No check is refreshed more often, however short its TTL.
const BEAT_MIN: Duration = Duration::from_millis(100);

/// What a refresh says.
const NOTE: &str = "alive";

#[derive(Debug)]
struct Beat {
    check: String,
    period: Duration,
    due: Instant,
}

/// All refreshes of one instance.
#[derive(Debug)]
pub(super) struct Beats(Vec<Beat>);

impl Beats {
    /// The refreshes that the checks of `service` need. TTLs that cannot be read are the registry's to refuse.
    pub(super) fn new(service: &ServiceRegistration) -> Self {
        let beat = |(id, ttl): (String, Duration)| Beat {
            check: id,
            period: (ttl / BEATS_PER_TTL).max(BEAT_MIN),
            due: Instant::now(),
        };
        let ttls = service
            .check_ids()
            .into_iter()
            .zip(&service.checks)
            .filter_map(|(id, check)| {
                let ttl = parse_duration(check.ttl.as_deref()?).ok()?;
                (!ttl.is_zero()).then_some((id, ttl))
            });
        Self(ttls.map(beat).collect())
    }

    /// When the next refresh is due, if there is any.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.iter().map(|beat| beat.due).min()
    }

    /// Makes every refresh due now.
    pub(super) fn all_due(&mut self) {
        let now = Instant::now();
        self.0.iter_mut().for_each(|beat| beat.due = now);
    }

    /// Sends the refreshes that are due.
    pub(super) async fn refresh(&mut self, client: &Client) -> Result<(), Error> {
        for beat in &mut self.0 {
            let now = Instant::now();
            if beat.due <= now {
                client.pass_check(&beat.check, NOTE).await?;
                beat.due = now + beat.period;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::types::CheckDefinition;

    #[test]
    fn which_checks_are_refreshed_and_how_often() {
        let ttl = |text: &str| CheckDefinition {
            ttl: Some(text.to_owned()),
            ..CheckDefinition::default()
        };
        let checks = vec![
            ttl("30s"),
            CheckDefinition::tcp("h:1", Duration::from_secs(1)),
            CheckDefinition {
                check_id: Some("own".to_owned()),
                ..ttl("9s")
            },
            ttl("1ms"),
            ttl("0s"),
            ttl("soon"),
        ];
        let service = ServiceRegistration {
            checks,
            ..ServiceRegistration::new("web", "", 0)
        };
        let beats: Vec<_> = Beats::new(&service)
            .0
            .into_iter()
            .map(|beat| (beat.check, beat.period.as_millis()))
            .collect();
        let expected = [
            ("service:web:1", 10_000),
            ("own", 3_000),
            ("service:web:4", 100),
        ];
        assert_eq!(beats, expected.map(|(id, millis)| (id.to_owned(), millis)));
    }
}
