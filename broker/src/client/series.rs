//! A series of requests: so many, so many at once, so many a second; and a summary of what became of them.
//!
//! It is what `turno mq client` does, and what a load test needs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Client, Failure};
use crate::core::message::Frames;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Series {
    /// The service.
    pub service: String,
    /// What the body says for each number from 1 on.
    pub body: Body,
    /// How many requests.
    pub count: u64,
    /// How many at once at most.
    pub concurrency: usize,
    /// How many a second at most.
    pub rate: Option<f64>,
    /// How long each waits for its answer.
    pub timeout: Duration,
}

/// The body of each request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// `ID-1`, `ID-2` and so on.
    Numbered(String),
    /// Always the same.
    Text(String),
}

impl Body {
    /// The body of the request of this number.
    pub fn of(&self, number: u64) -> String {
        match self {
            Self::Numbered(id) => format!("{id}-{number}"),
            Self::Text(text) => text.clone(),
        }
    }
}

/// One request of a series that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What it asked.
    pub body: String,
    /// What came of it.
    pub result: Result<Frames, Failure>,
    /// How long that took.
    pub took: Duration,
}

/// What became of a series.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Requests answered.
    pub answered: u64,
    /// Requests not answered, or refused.
    pub failed: u64,
    /// How long it all took.
    pub took: Duration,
    /// How long each answer took, in order of time.
    latencies: Vec<Duration>,
}

impl Summary {
    /// The time within which this share of the answers came, `0.5` being the median. Zero if there were none.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a position in a list, from a share between 0 and 1"
        )]
        let at = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Carries out a series. `each` is told of every request that ends; cancelling `stop` sends no more of them.
pub async fn run(
    client: &Client,
    series: Series,
    stop: &CancellationToken,
    mut each: impl FnMut(&Ended),
) -> Summary {
    let start = Instant::now();
    let mut summary = Summary::default();
    let mut under_way = JoinSet::new();
    let mut next = 1;
    loop {
        let more = next <= series.count && !stop.is_cancelled();
        if !more && under_way.is_empty() {
            break;
        }
        let due = series.rate.map_or(start, |rate| {
            #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
            let after = (next - 1) as f64 / rate;
            start + Duration::try_from_secs_f64(after).unwrap_or(Duration::MAX / 4)
        });
        tokio::select! {
            () = tokio::time::sleep_until(due.into()), if more && under_way.len() < series.concurrency => {
                under_way.spawn(ask(client.clone(), series.clone(), next));
                next += 1;
            }
            Some(ended) = under_way.join_next() => {
                let Ok(ended) = ended else {
                    summary.failed += 1;
                    continue;
                };
                if ended.result.is_ok() {
                    summary.answered += 1;
                    summary.latencies.push(ended.took);
                } else {
                    summary.failed += 1;
                }
                each(&ended);
            }
            () = stop.cancelled(), if more => {}
        }
    }
    summary.took = start.elapsed();
    summary.latencies.sort_unstable();
    summary
}

async fn ask(client: Client, series: Series, number: u64) -> Ended {
    let body = series.body.of(number);
    let sent = Instant::now();
    let frames = vec![Bytes::from(body.clone())];
    let result = client.ask(&series.service, frames, series.timeout).await;
    Ended {
        body,
        result,
        took: sent.elapsed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_quantiles() {
        assert_eq!(Body::Numbered("h".to_owned()).of(3), "h-3");
        assert_eq!(Body::Text("x".to_owned()).of(3), "x");
        let ms = Duration::from_millis;
        let summary = Summary {
            latencies: (1..=101).map(ms).collect(),
            ..Summary::default()
        };
        assert_eq!(
            (
                summary.quantile(0.5),
                summary.quantile(0.99),
                summary.quantile(2.0)
            ),
            (ms(51), ms(100), ms(101))
        );
        assert_eq!(Summary::default().quantile(0.5), Duration::ZERO);
    }
}
