//! Turns the signals that ask a program to stop into one token that every task watches, and tells systemd of the stop.
//!
//! The first SIGINT or SIGTERM asks for a clean stop, the second one ends the process at once. What
//! a clean stop consists of is the business of whoever watches the token.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::systemd;

/// Exit status of an impatient stop: what shells report for a program ended by SIGINT.
const SECOND_SIGNAL_STATUS: i32 = 130;

/// Returns a token that the first SIGINT or SIGTERM cancels. A second one exits the process with
/// status 130 at once. Call it inside a tokio runtime, once for a process.
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) {
        (Ok(interrupt), Ok(terminate)) => {
            tokio::spawn(watch(token.clone(), interrupt, terminate));
        }
        (Err(error), _) | (_, Err(error)) => {
            // Left to the default action, a signal still ends the process, only not cleanly.
            error!(%error, "cannot watch for SIGINT and SIGTERM: a stop will not be clean");
        }
    }
    token
}

async fn watch(token: CancellationToken, mut interrupt: Signal, mut terminate: Signal) {
    let name = next(&mut interrupt, &mut terminate).await;
    info!(signal = name, "stopping; a second signal stops at once");
    systemd::notify(systemd::State::Stopping);
    token.cancel();
    let name = next(&mut interrupt, &mut terminate).await;
    warn!(signal = name, "second signal: exiting at once");
    std::process::exit(SECOND_SIGNAL_STATUS);
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}
