//! The way to a move: attempts with pauses, each of many passes, until the target shows everything as well as we do and
//! the last of it was copied while the writers waited.

use std::sync::Arc;
use std::time::Duration;

use consul::Client;
use daemon::backoff::Backoff;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Goal;
use crate::catalog::Inventory;
use crate::durable::Moved as Note;
use crate::join::{Copier, JoinError, Missing, Ours, take_back, unproven};
use crate::registry::state::State;

/// Pauses between attempts: soon at first, since a Consul that has just started is not ready; then as one waits for a
/// person.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Between two passes: what a target's check needs to run is seconds.
const PASS_PAUSE: Duration = Duration::from_millis(200);
/// Beyond twice what its slowest check may need, this long is waited for the target to show what it was told.
const PATIENCE: Duration = Duration::from_secs(15);
/// Writers wait this long at most. Programs that register give up after some seconds.
const HOLD: Duration = Duration::from_secs(3);
/// Indexes after the move are above every one shown before it: what may be shown between the last look at the index
/// and the move is less than this.
const INDEX_MARGIN: u64 = 1 << 20;

/// Tries until it is done or given up.
pub(super) async fn run(state: Arc<State>, goal: Goal, client: Client, cancel: CancellationToken) {
    let mut pauses = Backoff::new(RETRY.0, RETRY.1);
    let mut ours = Ours::default();
    let tries = async {
        loop {
            state.joining.progress().attempts += 1;
            let error = match attempt(&state, &goal, &client, &mut ours).await {
                Ok(inventory) => return take_back(&client, &inventory).await,
                Err(error) => error,
            };
            let retry_in = pauses.next_delay();
            tracing::warn!(
                target_address = goal.address, %error, ?retry_in,
                "cannot move yet; this registry goes on by itself"
            );
            state.joining.failed(&error);
            tokio::time::sleep(retry_in).await;
        }
    };
    tokio::select! {
        () = tries => {}
        () = cancel.cancelled() => tracing::info!(target_address = goal.address, "the move was given up"),
        () = state.stopping.cancelled() => {}
    }
}

async fn attempt(
    state: &Arc<State>,
    goal: &Goal,
    client: &Client,
    ours: &mut Ours,
) -> Result<Inventory, JoinError> {
    let inventory = state.read().inventory();
    let mut copier = Copier::begin(client.clone(), &inventory, ours).await?;
    let done = move_with(state, goal, &mut copier).await;
    *ours = copier.into_ours();
    done
}

async fn move_with(
    state: &Arc<State>,
    goal: &Goal,
    copier: &mut Copier,
) -> Result<Inventory, JoinError> {
    let begun = Instant::now();
    loop {
        let inventory = state.read().inventory();
        let missing = pass(copier, &inventory).await?;
        state.joining.progress().moved = Some(copier.moved(&inventory));
        if missing.words.is_empty() {
            break;
        }
        if begun.elapsed() > PATIENCE + missing.patience.saturating_mul(2) {
            return Err(JoinError::Unproven(missing.words));
        }
        tokio::time::sleep(PASS_PAUSE).await;
    }
    let held = timeout(HOLD, hold(state, copier)).await;
    let (_gate, inventory) = held.map_err(|_| JoinError::TooSlow(HOLD))??;
    let offset = inventory.index + INDEX_MARGIN;
    let what = || "preparing to forward".to_owned();
    let way = state.joining.way(goal, offset);
    let way = way.map_err(|source| JoinError::Target {
        what: what(),
        source,
    })?;
    if let Some(folder) = state.joining.data_dir.clone() {
        let note = Note::new(goal.address.clone(), offset);
        let written = tokio::task::spawn_blocking(move || note.write(&folder)).await;
        written
            .map_err(|error| JoinError::Note(error.to_string()))?
            .map_err(|error| JoinError::Note(error.to_string()))?;
    }
    let moved = copier.moved(&inventory);
    tracing::info!(
        target_address = goal.address,
        node = copier.target().node,
        services = moved.services,
        nodes = moved.nodes,
        keys = moved.keys,
        queries = moved.queries,
        left = moved.left.join(". "),
        "moved: everything is passed on from now on"
    );
    state.joining.progress().moved = Some(moved);
    state.joining.forward_to(way);
    state.stop_checks();
    Ok(inventory)
}

/// Tells the target what is new, and looks what it shows.
async fn pass(copier: &mut Copier, inventory: &Inventory) -> Result<Missing, JoinError> {
    copier.pass(inventory).await?;
    Ok(unproven(inventory, &copier.look().await?))
}

/// The last pass, while no writer can change anything. The gate stays shut as long as the guard is held.
async fn hold<'a>(
    state: &'a Arc<State>,
    copier: &mut Copier,
) -> Result<(Option<SemaphorePermit<'a>>, Inventory), JoinError> {
    let gate = state.joining.no_writing().await;
    let inventory = state.read().inventory();
    let missing = pass(copier, &inventory).await?;
    if missing.words.is_empty() {
        Ok((gate, inventory))
    } else {
        Err(JoinError::Unproven(missing.words))
    }
}
