//! Moving up while running: copy to a target until it shows everything as well as we do, hold the writers for a moment,
//! copy the last of it, and from then on pass every request on. Until that moment this registry answers as if nothing
//! were; whatever goes wrong before it leaves it as it is, and is tried again.
//!
//! `forward` passes requests on; `names` does so for DNS; `attempt` is the way there. How things are copied is in
//! `crate::join`.

mod attempt;
mod forward;
mod names;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use consul::{Client, Config};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::RegistryError;
use super::agent::answer;
use super::answer::{Answer, Failure};
use super::request::Call;
use super::state::State;
use crate::durable::Moved as Note;
use crate::join::{JoinError, Moved};

pub(super) use self::forward::{Upstream, forward};
pub(super) use self::names::relay;

/// Writes under way at once: more than there can be connections.
const PLACES: u32 = 1 << 20;

/// A target, as it was given.
#[derive(Clone)]
pub(super) struct Goal {
    pub(super) address: String,
    token: Option<String>,
}

/// How far a move is, for people.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Progress {
    /// `alone`, `copying` or `forwarding`.
    state: &'static str,
    /// Where to.
    address: String,
    /// Attempts begun.
    attempts: u32,
    /// Why the last one failed; empty while none has.
    error: String,
    /// What the target was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<Moved>,
}

/// Everything about moving that the running registry holds.
pub(super) struct Joining {
    /// A writer has one place; the moment of the move takes them all.
    gate: Semaphore,
    upstream: OnceLock<Arc<Upstream>>,
    moved: CancellationToken,
    /// Ends the attempts under way.
    cancel: Mutex<CancellationToken>,
    progress: Mutex<Progress>,
    /// How to reach any target: TLS and the like.
    base: Config,
    data_dir: Option<PathBuf>,
}

impl Joining {
    pub(super) fn new(base: Config, data_dir: Option<PathBuf>) -> Joining {
        Joining {
            gate: Semaphore::new(PLACES as usize),
            upstream: OnceLock::new(),
            moved: CancellationToken::new(),
            cancel: Mutex::default(),
            progress: Mutex::new(Progress {
                state: "alone",
                ..Progress::default()
            }),
            base,
            data_dir,
        }
    }

    /// Where everything is passed on to, once it is.
    pub(super) fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.upstream.get()
    }

    /// Returns when the registry has moved.
    pub(super) async fn moved(&self) -> &Arc<Upstream> {
        loop {
            self.moved.cancelled().await;
            if let Some(upstream) = self.upstream.get() {
                return upstream;
            }
        }
    }

    /// Whether a move has happened.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.moved
    }

    /// Keeps the move from happening while a write is under way. Look at [`Joining::upstream`] after it.
    /// `None` never comes: the gate is not closed.
    pub(super) async fn writing(&self) -> Option<SemaphorePermit<'_>> {
        self.gate.acquire().await.ok()
    }

    /// Waits until no write is under way, and lets none begin as long as the value is held.
    async fn no_writing(&self) -> Option<SemaphorePermit<'_>> {
        self.gate.acquire_many(PLACES).await.ok()
    }

    /// Passes everything on from now on.
    fn forward_to(&self, upstream: Upstream) {
        let address = upstream.address.clone();
        if self.upstream.set(Arc::new(upstream)).is_ok() {
            self.moved.cancel();
            let mut progress = self.progress();
            progress.state = "forwarding";
            progress.address = address;
            progress.error.clear();
        }
    }

    /// The way to a target. Clients' requests carry their own tokens; ours is for copying and asking who it is.
    fn way(&self, goal: &Goal, offset: u64) -> Result<Upstream, consul::Error> {
        let config = self.base.clone().with_address(&goal.address);
        let client = Client::new(config.without_token())?;
        Ok(Upstream::new(
            client,
            self.own_client(goal)?,
            &goal.address,
            offset,
        ))
    }

    fn own_client(&self, goal: &Goal) -> Result<Client, consul::Error> {
        let config = self.base.clone().with_address(&goal.address);
        Client::new(match &goal.token {
            Some(token) => config.with_token(token),
            None => config,
        })
    }

    fn failed(&self, error: &JoinError) {
        self.progress().error = error.to_string();
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the attempts under way, and returns what ends the next ones.
    fn begin_anew(&self) -> CancellationToken {
        let mut cancel = self.cancel.lock().unwrap_or_else(PoisonError::into_inner);
        cancel.cancel();
        *cancel = CancellationToken::new();
        cancel.clone()
    }
}

/// Whether a path is this registry's own to answer, also after a move.
pub(super) fn is_own(path: &str) -> bool {
    path.starts_with("/v1/turno/") || path == "/ui" || path.starts_with("/ui/")
}

/// Goes on at the start as one that has moved, or that has nothing to move and therefore need not wait for the target.
///
/// # Errors
/// The address cannot be used, or the folder does not take the note.
pub(super) fn resume(
    state: &State,
    note: Option<&Note>,
    join: Option<&str>,
) -> Result<(), RegistryError> {
    let note = match (note, join) {
        (Some(note), _) => note.clone(),
        (None, Some(address)) if state.read().inventory().is_empty() => {
            let note = Note::new(address.to_owned(), 0);
            if let Some(folder) = &state.joining.data_dir {
                note.write(folder).map_err(RegistryError::System)?;
            }
            note
        }
        _ => return Ok(()),
    };
    let goal = Goal {
        address: note.address.clone(),
        token: None,
    };
    state
        .joining
        .forward_to(state.joining.way(&goal, note.offset)?);
    tracing::info!(
        target_address = note.address,
        "everything is passed on to another registry"
    );
    Ok(())
}

/// Begins to move to a target, in the background.
///
/// # Errors
/// The address cannot be used, or the registry has moved already.
pub(super) fn begin(
    state: &Arc<State>,
    address: String,
    token: Option<String>,
) -> Result<(), Failure> {
    let joining = &state.joining;
    if let Some(upstream) = joining.upstream() {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            format!("this registry has moved to {} already", upstream.address),
        ));
    }
    let goal = Goal { address, token };
    let client = joining.own_client(&goal);
    let client = client.map_err(|error| Failure::invalid(error.to_string()))?;
    let cancel = joining.begin_anew();
    *joining.progress() = Progress {
        state: "copying",
        address: goal.address.clone(),
        ..Progress::default()
    };
    tokio::spawn(attempt::run(Arc::clone(state), goal, client, cancel));
    Ok(())
}

/// `/v1/turno/join`: how far a move is; begins one; gives one up.
///
/// Looking needs a token that may see everything, the rest one that may do everything.
pub(super) fn endpoint(state: &Arc<State>, call: &Call) -> Result<Answer, Failure> {
    let rights = state.rights(call)?;
    let may = match call.method {
        Method::GET => rights.see_everything(),
        _ => rights.is_everything(),
    };
    if !may {
        return Err(Failure::denied());
    }
    match call.method {
        Method::PUT => {
            let body: Value = serde_json::from_slice(&call.body)
                .map_err(|error| Failure::invalid(format!("Request decode failed: {error}")))?;
            let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
            let Some(address) = text("Address") else {
                return Err(Failure::invalid(
                    "Missing Address: the Consul to move to, as http://consul:8500",
                ));
            };
            begin(state, address.to_owned(), text("Token").map(str::to_owned))?;
        }
        Method::DELETE => {
            if state.joining.upstream().is_some() {
                return Err(Failure::new(
                    StatusCode::CONFLICT,
                    "this registry has moved; what has changed since is not known here",
                ));
            }
            state.joining.begin_anew();
            *state.joining.progress() = Progress {
                state: "alone",
                ..Progress::default()
            };
        }
        _ => {}
    }
    let progress = state.joining.progress().clone();
    answer(call, &progress)
}
