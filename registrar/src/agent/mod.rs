//! Keeps registered what definition files say: the registrar as a daemon.
//!
//! Files are read, judged and compared with what the registry has; what was added, changed or removed takes effect. There
//! are two ways to reach the registry: through an agent, which runs the checks (`local`), or by writing to the catalog of
//! one far away and running the checks here (`node`). What is registered bears a mark, so that the next life of this
//! agent knows what is its own.

mod local;
pub mod mark;
mod namesake;
pub mod node;
mod plan;
mod refusal;
mod sources;
#[cfg(test)]
mod tests;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use consul::Client;
use daemon::backoff::Backoff;
use tokio::sync::{mpsc, watch as state};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::definition::files;
use crate::definition::{Joined, Problem};
use local::Local;
use node::Node;
pub use node::{NodeConfig, NodeError};
use refusal::Refused;
use sources::Sources;
use watch::Touched;

/// Time between two looks at what the registry has.
pub const VERIFY_INTERVAL: Duration = Duration::from_secs(5);

/// The delay after the first failure; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_millis(100);

/// The longest delay while the registry is away: one that comes back empty has everything soon after.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// At the end, what is being asked gets this long to finish, so that a registration on its way cannot arrive after
/// everything was taken out.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

/// At the end, what is registered is taken out within this; then the registry's own checks must notice.
const LEAVE_LIMIT: Duration = Duration::from_secs(4);

/// Longest name of an agent: with it a mark fits into Consul's limit for a metadata value.
const NAME_LIMIT: usize = 256;

/// Which files, for whom, and how.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Files read by name.
    pub files: Vec<PathBuf>,
    /// Folders whose `.json` and `.hcl` files are read.
    pub folders: Vec<PathBuf>,
    /// The name in the marks. Two agents at one registry need different ones, and one agent the same in every life.
    pub name: String,
    /// Leave everything registered at the end, for the next life to take over. Only with an agent.
    pub keep: bool,
    /// Write to the catalog as this node and run the checks here, instead of asking an agent to do both.
    pub node: Option<NodeConfig>,
    /// Take nodes out of the catalog whose agents have fallen silent; one with a node of its own always does.
    pub reap: bool,
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A folder cannot be watched.
    #[error("cannot watch the folder {}: {reason}", folder.display())]
    Watch {
        /// The folder.
        folder: PathBuf,
        /// Why.
        reason: String,
    },
    /// The name cannot be used as a mark.
    #[error(
        "the agent's name has 1 to {NAME_LIMIT} characters, none of them a control character or a bracket: {0:?}"
    )]
    Name(String),
    /// A file whose name does not say how it is written.
    #[error("{}: a definition file is named .json or .hcl", .0.display())]
    Extension(PathBuf),
    /// The node cannot be used.
    #[error(transparent)]
    Node(#[from] node::NodeError),
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Instances that should be registered.
    pub instances: usize,
    /// Checks by themselves that should be registered.
    pub checks: usize,
    /// What is wrong with the files.
    pub problems: Vec<Problem>,
    /// What the registry refused, each with its reason.
    pub refused: Vec<String>,
    /// Whether the registry has everything as it should be, as of the last look.
    pub settled: bool,
    /// Why the last look failed.
    pub away: Option<String>,
}

/// Why a look at the registry failed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Registry(#[from] consul::Error),
    #[error("the node {node:?} is kept by {by}; choose another --node, or stop that one")]
    Taken { node: String, by: String },
    #[error("the node {0:?} is in the catalog and no turno agent wrote it; choose another --node")]
    Foreign(String),
}

/// What is to be registered, with marks.
#[derive(Debug, Default)]
struct Wanted {
    joined: Joined,
    hold: bool,
}

/// What a look at the registry came to.
#[derive(Debug, Default)]
struct Settled {
    refused: Refused,
}

#[derive(Debug)]
enum Way {
    Local(Local),
    Node(Box<Node>),
}

/// An agent that watches its files.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    sources: Sources,
    touched: Touched,
    wanted: Wanted,
    way: Way,
    overview: state::Sender<Overview>,
    /// What was refused at the last look that succeeded.
    refused: Refused,
    verify_interval: Duration,
    client: Client,
}

impl Agent {
    /// Watches and reads the files. Nothing is registered before [`Self::run`]. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// When a folder cannot be watched or a setting cannot be used. Broken files are no error; see [`Self::overview`].
    pub fn open(client: Client, config: AgentConfig) -> Result<Self, AgentError> {
        let bad = |c: char| c.is_control() || matches!(c, '[' | ']');
        if config.name.is_empty() || config.name.len() > NAME_LIMIT || config.name.contains(bad) {
            return Err(AgentError::Name(config.name));
        }
        let unclear = |file: &&PathBuf| files::format_of(file).is_none();
        if let Some(file) = config.files.iter().find(unclear) {
            return Err(AgentError::Extension(file.clone()));
        }
        let touched =
            Touched::watch(&config.files, &config.folders).map_err(|(folder, error)| {
                AgentError::Watch {
                    folder,
                    reason: error.to_string(),
                }
            })?;
        let way = match &config.node {
            Some(node) => Way::Node(Box::new(Node::new(
                client.clone(),
                node.clone(),
                config.name.clone(),
            )?)),
            None => Way::Local(Local::new(client.clone(), config.name.clone())),
        };
        let mut agent = Self {
            config,
            sources: Sources::default(),
            touched,
            wanted: Wanted::default(),
            way,
            overview: state::Sender::default(),
            refused: Refused::new(),
            verify_interval: VERIFY_INTERVAL,
            client,
        };
        agent.read();
        Ok(agent)
    }

    /// Another time between two looks than [`VERIFY_INTERVAL`].
    #[must_use]
    pub fn with_verify_interval(self, verify_interval: Duration) -> Self {
        Self {
            verify_interval,
            ..self
        }
    }

    /// Where programs of this machine report their TTL checks, if this agent listens for that.
    #[must_use]
    pub fn reports(&self) -> Option<SocketAddr> {
        match &self.way {
            Way::Local(_) => None,
            Way::Node(node) => node.reports(),
        }
    }

    /// How things stand, to be read or waited on.
    #[must_use]
    pub fn overview(&self) -> state::Receiver<Overview> {
        self.overview.subscribe()
    }

    /// Keeps everything registered until `shutdown`, then takes it out. A message on `reload` reads the files again.
    pub async fn run(mut self, shutdown: CancellationToken, mut reload: mpsc::Receiver<()>) {
        let reaper = (self.config.reap || self.config.node.is_some())
            .then(|| tokio::spawn(node::reaper::reap(self.client.clone(), shutdown.clone())));
        self.keep(&shutdown, &mut reload).await;
        self.leave().await;
        if let Some(reaper) = reaper {
            // It ends with the shutdown; a panic of its own has been reported.
            let _ = reaper.await;
        }
    }

    async fn keep(&mut self, shutdown: &CancellationToken, reload: &mut mpsc::Receiver<()>) {
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        let mut reloads = true;
        while !shutdown.is_cancelled() {
            let overdue = async {
                shutdown.cancelled().await;
                tokio::time::sleep(FINISH_LIMIT).await;
            };
            let settled = tokio::select! {
                settled = self.settle() => settled,
                () = overdue => break,
            };
            let pause = if settled {
                backoff.reset();
                self.verify_interval
            } else {
                backoff.next_delay()
            };
            let next = Instant::now() + pause;
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.touched.next() => self.read(),
                message = reload.recv(), if reloads => match message {
                    Some(()) => {
                        tracing::info!("reading the definition files again");
                        self.read();
                    }
                    None => reloads = false,
                },
                () = self.way.news() => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Reads all files, and says what is wrong with them.
    fn read(&mut self) {
        let taken = self
            .sources
            .take(files::read(&self.config.files, &self.config.folders));
        for path in &taken.skipped {
            tracing::warn!(file = %path.display(), "skipped: definitions are in .json and .hcl files");
        }
        for problem in &taken.news {
            tracing::error!("{problem}");
        }
        if !taken.news.is_empty() {
            tracing::error!("what broken files said before stays registered");
        }
        self.overview.send_modify(|overview| {
            overview.instances = taken.joined.services.len();
            overview.checks = taken.joined.checks.len();
            overview.problems = taken.problems;
            overview.settled = false;
        });
        self.wanted = Wanted {
            joined: mark::all(taken.joined, &self.config.name),
            hold: taken.hold,
        };
    }

    /// Looks at the registry and sets right what differs. Returns whether that succeeded.
    async fn settle(&mut self) -> bool {
        let result = match &mut self.way {
            Way::Local(local) => local.settle(&self.wanted).await.map_err(Trouble::from),
            Way::Node(node) => node.settle(&self.wanted).await,
        };
        let (refused, away) = match result {
            Ok(settled) => (self.say(settled.refused), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let settled = away.is_none();
        self.overview.send_if_modified(|overview| {
            let next = Overview {
                settled: settled && refused.is_empty(),
                refused,
                away,
                ..overview.clone()
            };
            let news = *overview != next;
            if news {
                match (&overview.away, &next.away) {
                    (before, Some(reason)) if before.as_ref() != Some(reason) => {
                        tracing::warn!(reason, "trying again");
                    }
                    (Some(_), None) => tracing::info!("the registry answers again"),
                    _ => {}
                }
                *overview = next;
            }
            news
        });
        settled
    }

    /// Says what is refused, and was not or for another reason the last time.
    fn say(&mut self, refused: Refused) -> Vec<String> {
        for (subject, reason) in &refused {
            if self.refused.get(subject) != Some(reason) {
                tracing::warn!(subject, reason, "refused");
            }
        }
        self.refused = refused;
        let all = self.refused.iter();
        all.map(|(subject, reason)| format!("{subject}: {reason}"))
            .collect()
    }

    /// Takes out everything that is registered, unless it is to be kept.
    async fn leave(&mut self) {
        if self.config.keep {
            tracing::info!("what is registered stays registered");
            return;
        }
        self.wanted = Wanted::default();
        let leave = async {
            let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
            loop {
                let result = match &mut self.way {
                    Way::Local(local) => local
                        .settle(&self.wanted)
                        .await
                        .map(drop)
                        .map_err(Trouble::from),
                    Way::Node(node) => node.leave().await,
                };
                match result {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "cannot deregister yet"),
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        };
        if tokio::time::timeout(LEAVE_LIMIT, leave).await.is_err() {
            tracing::warn!("not everything was deregistered within {LEAVE_LIMIT:?}");
        }
    }
}

impl Way {
    /// Waits for something that the registry must be told before the next look.
    async fn news(&mut self) {
        match self {
            Self::Local(_) => std::future::pending().await,
            Self::Node(node) => node.news().await,
        }
    }
}
