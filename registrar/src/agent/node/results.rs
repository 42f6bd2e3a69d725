//! What the checks of a node found last, or were told: of those with a TTL also until when that counts.
//!
//! It knows no catalog; a status that changed wakes whoever writes to one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consul::types::Status;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::check::Report;

/// What a check found last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) output: String,
}

/// A check whose status programs tell us.
#[derive(Debug)]
struct Told {
    period: Duration,
    /// When it turns critical unless somebody speaks; `None` once it has.
    deadline: Option<Instant>,
    last: String,
}

#[derive(Debug, Default)]
struct Table {
    outcomes: BTreeMap<String, Outcome>,
    told: BTreeMap<String, Told>,
}

impl Table {
    /// Returns whether the status is another one now.
    fn set(&mut self, id: &str, outcome: Outcome) -> bool {
        let before = self.outcomes.insert(id.to_owned(), outcome.clone());
        before.is_none_or(|before| before.status != outcome.status)
    }
}

/// What all checks found last.
#[derive(Debug, Default)]
pub(super) struct Results {
    table: Mutex<Table>,
    changed: Notify,
}

impl Results {
    /// Makes room for a check that begins with `initial`. Returns the status it has, for it may have run before.
    pub(super) fn begin(&self, id: &str, initial: Status) -> Status {
        let fresh = || Outcome {
            status: initial,
            output: String::new(),
        };
        let mut table = self.table();
        table.told.remove(id);
        let outcome = table.outcomes.entry(id.to_owned());
        outcome.or_insert_with(fresh).status
    }

    /// Makes room for a check that is told its status at least every `period`. One that is there goes on.
    pub(super) fn listen(&self, id: &str, initial: Status, period: Duration, now: Instant) {
        if !self.table().told.contains_key(id) {
            self.begin(id, initial);
        }
        let mut table = self.table();
        let told = table.told.entry(id.to_owned()).or_insert_with(|| Told {
            period,
            deadline: now.checked_add(period),
            last: String::new(),
        });
        told.period = period;
    }

    /// Takes what a program says of its check. `false` if there is no such check, or it is not one that is told.
    pub(super) fn tell(&self, id: &str, status: Status, output: String, now: Instant) -> bool {
        let mut table = self.table();
        let Some(told) = table.told.get_mut(id) else {
            return false;
        };
        told.deadline = now.checked_add(told.period);
        told.last.clone_from(&output);
        let changed = table.set(id, Outcome { status, output });
        drop(table);
        if changed {
            self.changed.notify_one();
        }
        true
    }

    /// When the next check runs out, if none is told anything before that.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let table = self.table();
        table.told.values().filter_map(|told| told.deadline).min()
    }

    /// Turns those critical of whom nothing was heard in time, in Consul's words.
    pub(super) fn expire(&self, now: Instant) {
        let mut table = self.table();
        let mut late = Vec::new();
        for (id, told) in &mut table.told {
            if told.deadline.is_some_and(|deadline| deadline <= now) {
                told.deadline = None;
                let follows = match told.last.as_str() {
                    "" => String::new(),
                    last => format!(" (last output before timeout follows): {last}"),
                };
                late.push((id.clone(), format!("TTL expired{follows}")));
            }
        }
        let mut changed = false;
        for (id, output) in late {
            let status = Status::Critical;
            changed |= table.set(&id, Outcome { status, output });
        }
        drop(table);
        if changed {
            self.changed.notify_one();
        }
    }

    pub(super) fn forget(&self, id: &str) {
        let mut table = self.table();
        table.outcomes.remove(id);
        table.told.remove(id);
    }

    pub(super) fn snapshot(&self) -> BTreeMap<String, Outcome> {
        self.table().outcomes.clone()
    }

    /// Waits until a status has changed since this was last waited for; sees to the deadlines in the meantime.
    pub(super) async fn changed(&self) {
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                () = self.changed.notified() => return,
                () = until(deadline) => self.expire(Instant::now()),
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing under this lock leaves the tables half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl Report for Results {
    fn report(&self, check_id: &str, status: Status, output: String) {
        let mut table = self.table();
        if !table.outcomes.contains_key(check_id) {
            return;
        }
        let changed = table.set(check_id, Outcome { status, output });
        drop(table);
        if changed {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_changed_status_wakes() {
        let results = Results::default();
        assert_eq!(results.begin("a", Status::Critical), Status::Critical);
        results.report("a", Status::Critical, "no".to_owned());
        results.report("unknown", Status::Passing, String::new());
        let waiting = tokio::time::timeout(Duration::from_millis(20), results.changed()).await;
        assert!(waiting.is_err(), "nothing has changed");
        results.report("a", Status::Passing, "yes".to_owned());
        results.changed().await;
        assert_eq!(
            results.begin("a", Status::Critical),
            Status::Passing,
            "it has run before"
        );
        assert_eq!(results.snapshot()["a"].output, "yes");
        results.forget("a");
        assert!(results.snapshot().is_empty());
    }

    #[test]
    fn who_is_told_nothing_runs_out() {
        let (results, begun) = (Results::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let shown = || {
            let all = results.snapshot();
            all.get("t")
                .map(|found| (found.status, found.output.clone()))
        };
        let critical = |text: &str| Some((Status::Critical, text.to_owned()));
        let period = Duration::from_secs(10);
        assert!(!results.tell("t", Status::Passing, String::new(), begun));
        results.listen("t", Status::Passing, period, begun);
        results.expire(after(9));
        assert_eq!(shown(), Some((Status::Passing, String::new())));
        results.expire(after(10));
        assert_eq!(shown(), critical("TTL expired"));
        assert_eq!(results.next_deadline(), None);

        assert!(results.tell("t", Status::Warning, "so so".to_owned(), after(20)));
        // A look at the files changes nothing about it.
        results.listen("t", Status::Passing, period, after(25));
        assert_eq!(results.next_deadline(), Some(after(30)));
        results.expire(after(30));
        assert_eq!(
            shown(),
            critical("TTL expired (last output before timeout follows): so so")
        );
        results.begin("t", Status::Passing);
        assert!(
            !results.tell("t", Status::Passing, String::new(), after(40)),
            "it is run now"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn running_out_wakes() {
        let results = Results::default();
        results.listen(
            "t",
            Status::Passing,
            Duration::from_secs(3600),
            Instant::now(),
        );
        results.changed().await;
        assert_eq!(results.snapshot()["t"].status, Status::Critical);
    }
}
