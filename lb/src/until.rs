//! A deadline that may not be set, as one arm of a `select!`.

use std::time::Instant;

/// Waits until `when`; for ever if there is none.
pub(crate) async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
