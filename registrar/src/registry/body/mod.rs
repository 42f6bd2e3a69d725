//! Request bodies: JSON as Go's decoder reads it for Consul. Field names are compared without regard to case, unknown
//! ones are refused by name, whatever follows the value is ignored, and errors have the words of Consul 1.8.7.
//! It makes catalog values and knows nothing of HTTP or of what is stored.

mod check;
mod external;
mod fields;
mod json;
mod prepared;
mod service;
mod session;
#[cfg(test)]
mod tests;
mod txn;

pub(super) use check::{check_registration, check_update};
pub(super) use external::{registration, removal};
pub(super) use prepared::prepared_query;
pub(super) use service::service_registration;
pub(super) use session::{SessionRequest, session_request};
pub(super) use txn::transaction;

/// What is wrong with a body, in Consul's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Request decode failed: {0}")]
pub(super) struct BodyError(pub(super) String);

type Result<T> = std::result::Result<T, BodyError>;
