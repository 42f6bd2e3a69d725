//! From a registration to the answers of those who wait for it.
//!
//! The clock starts before the registration is written to its socket, and stops for each waiter when the last byte of its
//! answer was read. All that time counts, the client's own share too; it is the same client for both.

use std::time::{Duration, Instant};

use serde_json::json;

use super::crowd::Crowd;
use super::reads::instance;
use super::server::{Server, get, put};
use super::spread::quantile;

/// The services that the other waiters are spread over.
pub(crate) const OTHERS: usize = 100;
/// A registry that has not answered everybody by then never will.
const LIMIT: Duration = Duration::from_secs(60);

/// What waiters saw in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Milliseconds.
    pub(crate) half: f64,
    /// Milliseconds.
    pub(crate) most: f64,
    /// CPU microseconds of the registry for each waiter answered.
    pub(crate) cpu_micros: f64,
}

/// The waiting queries of one registry.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    server: &'a Server,
    crowd: Crowd,
    others: usize,
    /// The connection that registers.
    writer: usize,
    registrations: usize,
}

impl<'a> Waiting<'a> {
    /// Registers the services and lets `others` wait on those that will not change.
    pub(crate) fn new(server: &'a Server, others: usize) -> Result<Waiting<'a>, String> {
        // Those who waited in the round before are gone for the registry too.
        server.settle();
        let mut bodies = vec![instance("waited", 0)];
        bodies.extend((0..OTHERS).map(|n| instance(&format!("unmoved-{n}"), n)));
        server.put_all(|n| {
            let body = bodies.get(n)?.clone();
            Some(("/v1/agent/service/register".to_owned(), body))
        })?;
        let mut crowd = Crowd::new().map_err(|error| error.to_string())?;
        let writer = crowd.join(server.address).map_err(|e| e.to_string())?;
        let mut waiting = Waiting {
            server,
            crowd,
            others: others + 1,
            writer,
            registrations: 0,
        };
        waiting.grow_to(others + 1)?;
        Ok(waiting)
    }

    /// Measures registrations, with that many waiters, which are no fewer than before.
    pub(crate) fn sample(
        &mut self,
        waiters: usize,
        registrations: usize,
    ) -> Result<Sample, String> {
        self.grow_to(self.others + waiters)?;
        let mut times = Vec::with_capacity(waiters * registrations);
        let mut used = 0.0;
        for n in 0..=registrations {
            self.server.settle();
            let before = self.server.cpu_seconds();
            let seen = self.register(waiters)?;
            // The first warms up.
            if n > 0 {
                used += self.server.cpu_seconds() - before;
                times.extend(seen);
            }
        }
        Ok(Sample {
            cpu_micros: used * 1e6 / times.len().max(1) as f64,
            half: quantile(&mut times, 0.5),
            most: quantile(&mut times, 0.99),
        })
    }

    /// As [`Waiting::sample`] for one waiter, who asks again at once: many registrations in little time.
    pub(crate) fn one_after_another(&mut self, registrations: usize) -> Result<Sample, String> {
        self.grow_to(self.others + 1)?;
        self.server.settle();
        let before = self.server.cpu_seconds();
        let mut times = Vec::with_capacity(registrations);
        for _ in 0..registrations {
            times.extend(self.register(1)?);
            // What it asks next must be waiting before the next registration.
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Sample {
            cpu_micros: (self.server.cpu_seconds() - before) * 1e6 / registrations.max(1) as f64,
            half: quantile(&mut times, 0.5),
            most: quantile(&mut times, 0.99),
        })
    }

    /// Registers a change; returns after how many milliseconds each waiter had its answer, and lets all wait again.
    fn register(&mut self, waiters: usize) -> Result<Vec<f64>, String> {
        self.registrations += 1;
        let mut body = instance("waited", 0);
        body["Meta"] = json!({"change": self.registrations.to_string()});
        let request = put("/v1/agent/service/register", &body.to_string());
        let mut times = Vec::with_capacity(waiters);
        let mut again = Vec::with_capacity(waiters);
        let mut acknowledged = false;
        let started = Instant::now();
        self.send(self.writer, &request)?;
        while times.len() < waiters || !acknowledged {
            for answer in self.collect()? {
                if answer.from == self.writer {
                    acknowledged = true;
                    continue;
                }
                if answer.from < self.others {
                    return Err("a waiter of another service was woken".to_owned());
                }
                times.push((answer.at - started).as_secs_f64() * 1e3);
                again.push((answer.from, answer.index));
            }
        }
        for (number, index) in again {
            self.send(number, &get(&query(self.path(number), Some(index))))?;
        }
        Ok(times)
    }

    /// Opens connections and lets each wait, until there are `count` with the writer's.
    fn grow_to(&mut self, count: usize) -> Result<(), String> {
        let first = self.crowd.len();
        for _ in first..count {
            let number = self.crowd.join(self.server.address);
            let number = number.map_err(|error| format!("connection {first}: {error}"))?;
            self.send(number, &get(&query(self.path(number), None)))?;
        }
        let mut left = count - first;
        while left > 0 {
            for answer in self.collect()? {
                left -= 1;
                self.send(
                    answer.from,
                    &get(&query(self.path(answer.from), Some(answer.index))),
                )?;
            }
        }
        self.server.settle();
        Ok(())
    }

    fn path(&self, number: usize) -> String {
        if number >= self.others {
            return "waited".to_owned();
        }
        format!("unmoved-{}", number % OTHERS)
    }

    fn send(&mut self, to: usize, request: &[u8]) -> Result<(), String> {
        let sent = self.crowd.send(to, request);
        sent.map_err(|error| format!("{}: {error}", self.server.kind))
    }

    fn collect(&mut self) -> Result<Vec<super::crowd::Answer>, String> {
        let answers = self.crowd.collect(LIMIT).map_err(|e| e.to_string())?;
        match answers.iter().find(|answer| answer.status != 200) {
            Some(answer) => Err(format!("{} answers {}", self.server.kind, answer.status)),
            None if answers.is_empty() => Err(format!("{} does not answer", self.server.kind)),
            None => Ok(answers),
        }
    }
}

fn query(service: String, index: Option<u64>) -> String {
    match index {
        Some(index) => format!("/v1/health/service/{service}?index={index}&wait=10m"),
        None => format!("/v1/health/service/{service}"),
    }
}
