//! A broker that runs: its sockets, a clock and the exchange, in one loop in a thread of its own.
//!
//! The thread has a current-thread runtime that serves the sockets as well: with one thread a request costs least. Nothing is
//! decided here; what waits for a slow peer is never waited for.

mod neighbours;
pub mod report;
mod run;
mod trace;

use std::{path::PathBuf, thread, time::Duration};

use daemon::systemd::Pulse;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::report::Report;
use crate::{
    core::{Census, Counters, Limits},
    exchange::Manner,
    federation,
    zsock::{
        self,
        curve::{Guard, Pass},
    },
};

/// How often the thread shows that it turns: twice what [`Pulse::beat`] asks for.
const BEAT: Duration = Duration::from_millis(500);

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses for clients, and for workers that say what they are.
    pub front: Vec<String>,
    /// Addresses for workers of the two-port kind.
    pub back: Vec<String>,
    /// What it holds at most.
    pub limits: Limits,
    /// How it treats its peers.
    pub manner: Manner,
    /// How long it finishes what it holds when it is to stop.
    pub drain: Duration,
    /// Where trace lines go, as long as that is known.
    pub logger: Option<watch::Receiver<Option<String>>>,
    /// Who may connect; everybody without it.
    pub guard: Option<Guard>,
    /// How it connects to the logger, if that asks for keys.
    pub logger_pass: Option<Pass>,
    /// Its part among other brokers, if it has one.
    pub federation: Option<federation::Config>,
    /// Where acknowledged requests are kept, if they are.
    pub data_dir: Option<PathBuf>,
}

/// Why a broker does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket.
    #[error(transparent)]
    Socket(#[from] zsock::Error),
    /// Its thread or runtime could not be started.
    #[error("cannot start the broker's thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The folder of kept requests.
    #[error(transparent)]
    Folder(#[from] journal::Error),
    /// It ended in a way that is a bug.
    #[error("the broker's thread ended unexpectedly: see the log above, and report it")]
    Died,
}

/// A broker's numbers at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Status {
    /// What has happened so far.
    pub counters: Counters,
    /// How much there is.
    pub census: Census,
    /// Connections that have said something.
    pub connections: usize,
    /// Messages that were none.
    pub garbage: u64,
    /// Answers that their client's connection did not take.
    pub answers_lost: u64,
    /// Trace lines that no logger took.
    pub lines_lost: u64,
}

/// Questions on their way to the loop: who asks more waits.
const QUESTIONS: usize = 16;

/// Asks a broker how it is, from wherever.
#[derive(Clone, Debug)]
pub struct Asker(mpsc::Sender<oneshot::Sender<Report>>);

impl Asker {
    /// Everything there is to know at this moment; `None` once the broker has ended.
    pub async fn report(&self) -> Option<Report> {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        answered.await.ok()
    }
}

/// A broker that runs in its thread.
#[derive(Debug)]
pub struct Server {
    front: Vec<String>,
    back: Vec<String>,
    news: Option<String>,
    stop: CancellationToken,
    status: watch::Receiver<Status>,
    pulse: Pulse,
    asker: Asker,
    ended: oneshot::Receiver<Result<(), Error>>,
}

impl Server {
    /// Starts a broker and waits until it listens.
    ///
    /// # Errors
    /// If it cannot listen, or its thread cannot be started.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let (listening, listens) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (publish, status) = watch::channel(Status::default());
        let (ask, questions) = mpsc::channel(QUESTIONS);
        let token = stop.clone();
        let pulse = Pulse::new("mq-broker");
        let beating = pulse.clone();
        thread::Builder::new()
            .name("mq-broker".to_owned())
            .spawn(move || {
                let run = run::run(config, token, listening, (publish, questions));
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let result = runtime.map_err(Error::from).and_then(|runtime| {
                    runtime.spawn(beat(beating));
                    runtime.block_on(run)
                });
                // Nobody waits for it if the server was dropped.
                let _ = end.send(result);
            })?;
        let Ok(run::Addresses { front, back, news }) = listens.await else {
            return Err(match ended.await {
                Ok(Err(error)) => error,
                _ => Error::Died,
            });
        };
        Ok(Self {
            front,
            back,
            news,
            stop,
            status,
            pulse,
            asker: Asker(ask),
            ended,
        })
    }

    /// The addresses it listens on for clients, with the ports chosen.
    pub fn front(&self) -> &[String] {
        &self.front
    }

    /// The addresses it listens on for workers of the two-port kind, with the ports chosen.
    pub fn back(&self) -> &[String] {
        &self.back
    }

    /// The address at which it tells others of itself, with the port chosen.
    pub fn news(&self) -> Option<&str> {
        self.news.as_deref()
    }

    /// Its numbers, a moment old at most.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Beats as long as the broker's thread turns.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// For asking how it is.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Lets it finish what it holds, and waits until it has ended.
    ///
    /// # Errors
    /// If it had failed.
    pub async fn stop(self) -> Result<(), Error> {
        self.stop.cancel();
        self.ended.await.unwrap_or(Err(Error::Died))
    }

    /// Waits until it ends by itself, which only a failure makes it do. Cancel-safe.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn failed(&mut self) -> Result<(), Error> {
        (&mut self.ended).await.unwrap_or(Err(Error::Died))
    }
}

/// Beats until the runtime ends. The broker has one thread, so whatever hangs there stops this too.
async fn beat(pulse: Pulse) {
    loop {
        pulse.beat();
        tokio::time::sleep(BEAT).await;
    }
}

#[cfg(test)]
mod tests;
