//! What the registry has done and what it holds, in numbers: counted here as requests end, and shown by `agent/metrics`
//! in Consul's shape or as Prometheus reads it. It decides nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::state::State;

/// Consul shows what came together within ten seconds.
const INTERVAL: u64 = 10;

/// Requests by endpoint and method: as many rows as there are of these, however many requests come.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<Requests>);

#[derive(Debug, Default)]
struct Requests {
    /// Which ten seconds `now` counts, since 1970.
    interval: u64,
    now: BTreeMap<Name, Sample>,
    /// The ten seconds before.
    last: BTreeMap<Name, Sample>,
    /// Since the start.
    ever: BTreeMap<Name, Sample>,
    refused: u64,
}

/// Method and the endpoint's path.
type Name = (&'static str, &'static str);

/// Durations in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sample {
    count: u32,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Sample {
    fn add(&mut self, value: f64) {
        self.min = if self.count == 0 {
            value
        } else {
            self.min.min(value)
        };
        self.max = self.max.max(value);
        self.count = self.count.saturating_add(1);
        self.sum += value;
        self.squares += value * value;
    }

    fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum / f64::from(self.count)
        }
    }

    /// Of a sample, with one less than its count below the line.
    fn deviation(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let count = f64::from(self.count);
        let spread = count * self.squares - self.sum * self.sum;
        (spread / (count * (count - 1.0))).max(0.0).sqrt()
    }
}

impl Metrics {
    /// Counts an answered request. How long it took includes how long it waited.
    pub(super) fn answered(&self, name: Name, took: Duration, refused: bool) {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.turn(seconds());
        let took = took.as_secs_f64() * 1000.0;
        requests.now.entry(name).or_default().add(took);
        requests.ever.entry(name).or_default().add(took);
        requests.refused += u64::from(refused);
    }
}

impl Requests {
    /// Begins a new interval if it is time.
    fn turn(&mut self, seconds: u64) {
        let interval = seconds / INTERVAL;
        if interval == self.interval {
            return;
        }
        let before = std::mem::take(&mut self.now);
        self.last = if interval == self.interval + 1 {
            before
        } else {
            BTreeMap::new()
        };
        self.interval = interval;
    }

    /// What to show: the interval that is over, or at first the one that runs.
    fn shown(&self) -> (u64, &BTreeMap<Name, Sample>) {
        if self.last.is_empty() {
            (self.interval * INTERVAL, &self.now)
        } else {
            (self.interval.saturating_sub(1) * INTERVAL, &self.last)
        }
    }
}

/// A number that may go down, with at most one label.
struct Gauge {
    name: &'static str,
    label: Option<(&'static str, &'static str)>,
    value: u64,
}

fn gauges(state: &State) -> Vec<Gauge> {
    let (sizes, index) = {
        let catalog = state.read();
        (catalog.sizes(), catalog.index())
    };
    let gauge = |name, value: usize| Gauge {
        name,
        label: None,
        value: value as u64,
    };
    let checks = |status, value| Gauge {
        label: Some(("status", status)),
        ..gauge("turno.registry.checks", value)
    };
    vec![
        gauge("consul.rpc.queries_blocking", state.waiters.waiting()),
        gauge("consul.session_ttl.active", sizes.sessions_with_ttl),
        checks("passing", sizes.passing),
        checks("warning", sizes.warning),
        checks("critical", sizes.critical),
        Gauge {
            value: index,
            ..gauge("turno.registry.index", 0)
        },
        gauge("turno.registry.instances", sizes.instances),
        gauge("turno.registry.keys", sizes.keys),
        gauge("turno.registry.nodes", sizes.nodes),
        gauge("turno.registry.prepared_queries", sizes.prepared_queries),
        gauge("turno.registry.services", sizes.services),
        gauge("turno.registry.sessions", sizes.sessions),
    ]
}

/// Numbers that only go up, since the start.
fn counters(state: &State, requests: &Requests) -> [(&'static str, u64); 2] {
    [
        ("turno.registry.refused", requests.refused),
        ("turno.registry.wakes", state.waiters.woken()),
    ]
}

/// Consul's name for requests to an endpoint: `consul.http.GET.v1.kv._`.
fn dotted((method, path): Name) -> String {
    let path = path.trim_start_matches('/').replace('/', ".");
    let rest = if path.ends_with('.') { "_" } else { "" };
    format!("consul.http.{method}.{path}{rest}")
}

/// As `agent/metrics` shows them.
pub(super) fn shown(state: &State) -> Value {
    let gauges: Vec<Value> = gauges(state)
        .iter()
        .map(|gauge| {
            let labels: BTreeMap<&str, &str> = gauge.label.into_iter().collect();
            json!({"Name": gauge.name, "Value": gauge.value, "Labels": labels})
        })
        .collect();
    let mut requests = state
        .metrics
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    requests.turn(seconds());
    let (began, samples) = requests.shown();
    let row = |name: &str, sample: &Sample| {
        let interval = f64::from(u32::try_from(INTERVAL).unwrap_or(1));
        json!({
            "Name": name, "Count": sample.count, "Rate": sample.sum / interval, "Sum": sample.sum, "Min": sample.min,
            "Max": sample.max, "Mean": sample.mean(), "Stddev": sample.deviation(), "Labels": {},
        })
    };
    let samples: Vec<Value> = samples
        .iter()
        .map(|(name, sample)| row(&dotted(*name), sample))
        .collect();
    let counters: Vec<Value> = counters(state, &requests).iter().map(|(name, count)| {
        json!({
            "Name": name, "Count": count, "Rate": 0, "Sum": count, "Min": 0, "Max": 0, "Mean": 0, "Stddev": 0,
            "Labels": {},
        })
    }).collect();
    let none: [u8; 0] = [];
    json!({
        "Timestamp": timestamp(began), "Gauges": gauges, "Points": none, "Counters": counters, "Samples": samples,
    })
}

/// As Prometheus reads them: everything since the start.
pub(super) fn exposition(state: &State) -> String {
    let mut text = String::new();
    let mut last = "";
    // Writing to a text does not fail.
    for gauge in gauges(state) {
        let name = gauge.name.replace('.', "_");
        if gauge.name != last {
            let _ = writeln!(text, "# HELP {name} {name}\n# TYPE {name} gauge");
        }
        last = gauge.name;
        let label = gauge
            .label
            .map(|(key, value)| format!("{{{key}=\"{value}\"}}"));
        let _ = writeln!(text, "{name}{} {}", label.unwrap_or_default(), gauge.value);
    }
    let requests = state
        .metrics
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    for (name, count) in counters(state, &requests) {
        let name = name.replace('.', "_");
        let _ = writeln!(
            text,
            "# HELP {name} {name}\n# TYPE {name} counter\n{name} {count}"
        );
    }
    for (name, sample) in &requests.ever {
        let name: String = dotted(*name)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let _ = writeln!(
            text,
            "# HELP {name} {name}\n# TYPE {name} summary\n{name}_sum {}\n{name}_count {}",
            sample.sum, sample.count
        );
    }
    text
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// `2026-11-21 12:26:40 +0000 UTC`, as Go writes a time.
fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days: years that begin in March, in eras of 400 of them.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 +0000 UTC"),
            (951_782_400, "2000-02-29 00:00:00 +0000 UTC"),
            (1_795_264_000, "2026-11-21 12:26:40 +0000 UTC"),
            (4_102_444_799, "2099-12-31 23:59:59 +0000 UTC"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
    }

    #[test]
    fn endpoints_are_named_as_consul_names_them() {
        assert_eq!(dotted(("GET", "/v1/kv/")), "consul.http.GET.v1.kv._");
        assert_eq!(
            dotted(("GET", "/v1/agent/metrics")),
            "consul.http.GET.v1.agent.metrics"
        );
    }

    #[test]
    fn an_interval_is_shown_when_it_is_over() {
        let mut requests = Requests::default();
        requests.turn(100);
        let name = ("GET", "/v1/kv/");
        for took in [1.0, 2.0, 6.0] {
            requests.now.entry(name).or_default().add(took);
        }
        assert_eq!(requests.shown().0, 100, "at first the one that runs");
        requests.turn(112);
        let (began, samples) = requests.shown();
        let sample = samples[&name];
        assert_eq!(
            (began, sample.count, sample.min, sample.max),
            (100, 3, 1.0, 6.0)
        );
        assert!((sample.mean() - 3.0).abs() < 1e-9);
        assert!((sample.deviation() - 7.0_f64.sqrt()).abs() < 1e-9);
        requests.turn(150);
        assert!(
            requests.shown().1.is_empty(),
            "what is long ago is not shown"
        );
    }
}
