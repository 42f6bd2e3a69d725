//! Addresses as people write them, in files and flags, and what they are told when that is none.
//!
//! An address has its port; names are not looked up, because what is listened on must not depend on who answers.

use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor, value::SeqAccessDeserializer};

/// Reads `IP:PORT`.
///
/// # Errors
/// What was expected, in words that follow a colon.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("expected IP:PORT, as 127.0.0.1:8080, or 0.0.0.0:8080 for all; found {text:?}")
    })
}

/// An address in a file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Address(pub(crate) SocketAddr);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_address(&text).map(Self)
    }
}

/// One address in a file, or a list.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(pub(crate) Vec<SocketAddr>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Addresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Addresses, E> {
        let address = parse_address(text).map_err(E::custom)?;
        Ok(Addresses(vec![address]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Addresses, A::Error> {
        let list = Vec::<Address>::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(Addresses(list.into_iter().map(|it| it.0).collect()))
    }
}
