//! What a request is known by when it comes again.
//!
//! Plain values; who has which key is the caller's knowledge.

use bytes::Bytes;

/// The public key that a client has shown to be its own.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ClientKey(pub [u8; 32]);

/// What a request is known by when it comes again: its client's id for it, among those of clients with the same key. Without
/// keys all clients are one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RequestName {
    /// The client's key, if it has one.
    pub key: Option<ClientKey>,
    /// The id it gave, 1 to 64 bytes.
    pub id: Bytes,
}
