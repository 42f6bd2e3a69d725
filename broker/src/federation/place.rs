//! Where another broker or a coordinator is, the key that has to be there, and whether it may be spoken with.
//!
//! Addresses and keys come from a registry or from news, and both may lie. What cannot be lied about is whose keys are on this
//! broker's list: a connection is made with one of those or not at all.

use crate::zsock::curve::{Guard, Pass, PublicKey};

/// An address, and the key of whoever listens there.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// For ZeroMQ.
    pub address: String,
    /// `None` if it has no keys.
    pub key: Option<PublicKey>,
}

/// Why somebody is not spoken with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// We have keys.
    #[error(
        "it says nothing of a CURVE key, and this one has keys: give all of this name keys, or none"
    )]
    NoKey,
    /// We have none.
    #[error("it has CURVE keys, and this one has none: give all of this name keys, or none")]
    OnlyThere,
    /// It is not for us.
    #[error("its CURVE key {0} is neither this one's own nor in --curve-brokers")]
    Unlisted(PublicKey),
}

impl Place {
    /// How to connect there, as who `guard` says we are.
    ///
    /// # Errors
    /// If one of the two has keys and the other has none, or if the key is not allowed.
    pub fn pass(&self, guard: Option<&Guard>) -> Result<Option<Pass>, Mismatch> {
        match (guard, self.key) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Mismatch::OnlyThere),
            (Some(_), None) => Err(Mismatch::NoKey),
            (Some(guard), Some(key)) => match guard.pass_to(key) {
                Some(pass) => Ok(Some(pass)),
                None => Err(Mismatch::Unlisted(key)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zsock::curve::Keys;

    #[test]
    fn only_listed_keys_are_spoken_with_and_keys_never_with_none() {
        let (ours, friend, stranger) = (
            Keys::generate(),
            Keys::generate().public(),
            Keys::generate().public(),
        );
        let own = ours.public();
        let guard = Guard::new(ours, move |key| key == own || key == friend);
        for (guard, key, want) in [
            (None, None, Ok(false)),
            (None, Some(friend), Err(Mismatch::OnlyThere)),
            (Some(&guard), None, Err(Mismatch::NoKey)),
            (Some(&guard), Some(friend), Ok(true)),
            (Some(&guard), Some(own), Ok(true)),
            (
                Some(&guard),
                Some(stranger),
                Err(Mismatch::Unlisted(stranger)),
            ),
        ] {
            let address = "tcp://h:1".to_owned();
            let pass = Place { address, key }.pass(guard);
            assert_eq!(pass.map(|it| it.is_some()), want, "{key:?}");
        }
    }
}
