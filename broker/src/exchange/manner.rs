//! How a broker treats its peers, where they do not say how they want to be treated.
//!
//! Plain values; where they come from is the caller's business.

use std::time::Duration;

/// How the broker treats its peers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manner {
    /// The broker's name, as it tells workers.
    pub name: String,
    /// The service of clients and workers that name none.
    pub default_service: String,
    /// How long a client waits that does not say it.
    pub timeout: Duration,
    /// How long a client waits that cannot say it.
    pub foreign_timeout: Duration,
    /// How long a native worker may keep a request without a sign that it works on it.
    pub lease: Duration,
    /// How long other workers may, who cannot give one.
    pub foreign_lease: Duration,
    /// Silence after which a native worker is lost.
    pub silence: Duration,
    /// Silence after which an idle MDP worker is lost: three of its usual beats of 2.5 s, and a little.
    pub foreign_silence: Duration,
    /// Whether MDP clients get errors as a body; their protocol has none.
    pub mdp_errors: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            name: "mq".to_owned(),
            default_service: "default".to_owned(),
            timeout: Duration::from_secs(30),
            foreign_timeout: Duration::from_secs(300),
            lease: Duration::from_secs(30),
            foreign_lease: Duration::from_secs(300),
            silence: Duration::from_secs(3),
            foreign_silence: Duration::from_secs(8),
            mdp_errors: false,
        }
    }
}
