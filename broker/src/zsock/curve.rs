//! CURVE: who may connect, and to whom we connect, by keys.
//!
//! A listening socket has a key pair and asks for each stranger's key whether it is allowed; a connecting one has a key pair
//! and the listener's public key. Keys are written in Z85, 40 letters, as everywhere in ZeroMQ. Where they are kept is the
//! caller's business; secrets are never shown.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use omq_proto::{
    MechanismSetup,
    proto::mechanism::{
        CurveKeypair, CurvePublicKey, CurveSecretKey, CurveServerOptions, MechanismPeerInfo,
    },
};
use omq_tokio::Options;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// Letters of a key.
pub const KEY_LENGTH: usize = 40;

/// Text that is no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a CURVE key: it has 40 letters of Z85")]
pub struct NoKey;

/// A public key.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl TryFrom<String> for PublicKey {
    type Error = NoKey;

    fn try_from(text: String) -> Result<Self, NoKey> {
        Self::parse(&text)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl PublicKey {
    /// Reads it as Z85.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, NoKey> {
        let key = CurvePublicKey::from_z85(text).map_err(|_| NoKey)?;
        Ok(Self(*key.as_bytes()))
    }

    pub(super) fn of(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is on the wire.
    pub fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&CurvePublicKey::from_bytes(self.0).to_z85())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A key pair of our own.
#[derive(Clone)]
pub struct Keys(CurveKeypair);

impl Keys {
    /// A new pair, by the system's random numbers.
    pub fn generate() -> Self {
        Self(CurveKeypair::generate())
    }

    /// The pair that a secret key, in Z85, belongs to.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(secret: &str) -> Result<Self, NoKey> {
        let secret = CurveSecretKey::from_z85(secret).map_err(|_| NoKey)?;
        let public = secret.derive_public();
        Ok(Self(CurveKeypair { public, secret }))
    }

    /// The public key, for others.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.public.as_bytes())
    }

    /// The secret key in Z85: for a file that nobody else reads.
    pub fn expose_secret(&self) -> String {
        self.0.secret.to_z85()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({}, secret …)", self.public())
    }
}

/// Who connects: our keys, and the key of whom we mean.
#[derive(Clone, Debug)]
pub struct Pass {
    keys: Keys,
    server: PublicKey,
}

impl Pass {
    /// With these keys to the listener of that key.
    pub fn new(keys: Keys, server: PublicKey) -> Self {
        Self { keys, server }
    }

    pub(super) fn apply(pass: Option<&Self>, options: Options) -> Options {
        match pass {
            Some(pass) => {
                let server = CurvePublicKey::from_bytes(pass.server.0);
                options.curve_client(pass.keys.0.clone(), server)
            }
            None => options,
        }
    }
}

type Allowed = Arc<dyn Fn(PublicKey) -> bool + Send + Sync>;

/// Who listens: our keys, and who is allowed.
#[derive(Clone)]
pub struct Guard {
    keys: Keys,
    allowed: Allowed,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("keys", &self.keys).finish()
    }
}

impl Guard {
    /// Lets in whom `allowed` says. It is asked once for each connection, after the stranger has proven to have the key.
    pub fn new(keys: Keys, allowed: impl Fn(PublicKey) -> bool + Send + Sync + 'static) -> Self {
        Self {
            keys,
            allowed: Arc::new(allowed),
        }
    }

    /// Our public key.
    pub fn public(&self) -> PublicKey {
        self.keys.public()
    }

    /// Whether who has this key is let in.
    pub fn allows(&self, key: PublicKey) -> bool {
        (self.allowed)(key)
    }

    /// For connecting, with our keys, to a listener of that key; `None` if it would not be let in here.
    pub fn pass_to(&self, key: PublicKey) -> Option<Pass> {
        self.allows(key).then(|| Pass::new(self.keys.clone(), key))
    }

    /// How a socket that this guards lets peers in; `owners` is who has which identity at the moment.
    pub(super) fn mechanism(guard: Option<&Self>, owners: &Owners) -> MechanismSetup {
        let Some(guard) = guard else {
            return MechanismSetup::Null;
        };
        let (allowed, owners) = (Arc::clone(&guard.allowed), owners.clone());
        let admit = move |peer: &MechanismPeerInfo| {
            let key = PublicKey(peer.public_key);
            let from = peer.peer_address.as_deref().unwrap_or("somewhere");
            if !allowed(key) {
                warn!(%key, from, "refused: this key is not among the allowed ones");
                return false;
            }
            let identity = peer.identity.as_ref().filter(|it| !it.is_empty());
            let taken = identity.is_some_and(|it| owners.is_anothers(it, key));
            if taken {
                warn!(%key, from, "refused: it claims the identity of a peer with another key");
            }
            !taken
        };
        MechanismSetup::CurveServer {
            our_keypair: guard.keys.0.clone(),
            options: CurveServerOptions::default().authenticator(admit),
        }
    }
}

/// Which key has which identity, as long as it is connected: nobody else may take the identity over.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(Arc<Mutex<HashMap<Bytes, Owner>>>);

#[derive(Debug)]
struct Owner {
    key: PublicKey,
    /// The connections that have it: an old one and the new one that took over from it.
    connections: Vec<u64>,
}

impl Owners {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<Bytes, Owner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_anothers(&self, identity: &Bytes, key: PublicKey) -> bool {
        self.map().get(identity).is_some_and(|it| it.key != key)
    }

    /// A connection stands. `false` if its identity is another key's: two that came at the same moment, or it would have been
    /// refused.
    pub(super) fn came(&self, identity: &Bytes, key: [u8; 32], connection: u64) -> bool {
        let key = PublicKey(key);
        let mut map = self.map();
        let owner = map.entry(identity.clone()).or_insert(Owner {
            key,
            connections: Vec::new(),
        });
        if owner.key != key {
            return false;
        }
        owner.connections.push(connection);
        true
    }

    /// A connection ended.
    pub(super) fn went(&self, identity: &Bytes, connection: u64) {
        let mut map = self.map();
        if let Some(owner) = map.get_mut(identity) {
            owner.connections.retain(|&it| it != connection);
            if owner.connections.is_empty() {
                map.remove(identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written_and_secrets_do_not_show() {
        let keys = Keys::generate();
        let secret = keys.expose_secret();
        assert_eq!(secret.len(), KEY_LENGTH);
        let again = Keys::parse(&secret).expect("a key");
        assert_eq!(again.public(), keys.public());
        let public = keys.public().to_string();
        assert_eq!(PublicKey::parse(&public), Ok(keys.public()));
        assert!(!format!("{keys:?}").contains(&secret));
        for wrong in ["", "x", &public[1..], &format!("{public}a")] {
            assert_eq!(PublicKey::parse(wrong), Err(NoKey), "{wrong}");
        }
        // The example of ZeroMQ's specification 26.
        let bob = Keys::parse("D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs").expect("a key");
        assert_eq!(
            bob.public().to_string(),
            "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
        );
    }

    #[test]
    fn an_identity_belongs_to_one_key_as_long_as_it_is_connected() {
        let owners = Owners::default();
        let name = Bytes::from_static(b"w1");
        assert!(owners.came(&name, [1; 32], 10));
        assert!(owners.came(&name, [1; 32], 11), "its own newcomer");
        owners.went(&name, 10);
        assert!(owners.is_anothers(&name, PublicKey([2; 32])));
        assert!(!owners.came(&name, [2; 32], 12));
        owners.went(&name, 12); // the one that was not let in takes nothing away
        assert!(owners.is_anothers(&name, PublicKey([2; 32])));
        owners.went(&name, 11);
        assert!(owners.came(&name, [2; 32], 13));
        owners.went(&name, 13);
        assert!(!owners.is_anothers(&name, PublicKey([1; 32])));
    }
}
