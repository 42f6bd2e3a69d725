//! Rules for names, addresses, weights and metadata, with Consul 1.8.7's texts.
//! Pure: it sees one instance at a time and does not know what is stored.

use super::CatalogError;
use super::model::{Instance, Key, Weights};
use super::pairs::Pairs;

/// Most metadata pairs of one instance.
const META_PAIRS: usize = 64;
/// Longest metadata key, in bytes.
const META_KEY: usize = 128;
/// Longest metadata value, in bytes.
const META_VALUE: usize = 512;
const META_RESERVED: &str = "consul-";

/// Everything Consul asks of a service that is being registered with the agent, in its order.
pub(super) fn instance(instance: &Instance) -> Result<(), CatalogError> {
    if instance.name.is_empty() {
        return Err(CatalogError::Invalid("Missing service name".into()));
    }
    if matches!(&*instance.address, "0.0.0.0" | "::" | "[::]") {
        return Err(CatalogError::Invalid("Invalid service address".into()));
    }
    weights(&instance.weights)
        .map_err(|text| CatalogError::Invalid(format!("Invalid Weights: {text}")))?;
    instance
        .meta
        .as_ref()
        .map_or(Ok(()), meta)
        .map_err(|text| CatalogError::Invalid(format!("Invalid Service Meta: {text}")))
}

fn weights(weights: &Weights) -> Result<(), &'static str> {
    if weights.passing < 1 {
        return Err("Passing must be greater than 0");
    }
    if weights.warning < 0 {
        return Err("Warning must be greater or equal than 0");
    }
    if weights.passing > 65535 || weights.warning > 65535 {
        return Err("DNS Weight must be between 0 and 65535");
    }
    Ok(())
}

fn meta(meta: &Pairs<Key>) -> Result<(), String> {
    if meta.len() > META_PAIRS {
        return Err(format!(
            "Node metadata cannot contain more than {META_PAIRS} key/value pairs"
        ));
    }
    for (key, value) in meta.iter() {
        meta_pair(key, value)
            .map_err(|text| format!("Couldn't load metadata pair ('{key}', '{value}'): {text}"))?;
    }
    Ok(())
}

fn meta_pair(key: &str, value: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("Key cannot be blank".into());
    }
    if !key
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    {
        return Err("Key contains invalid characters".into());
    }
    if key.len() > META_KEY {
        return Err(format!("Key is too long (limit: {META_KEY} characters)"));
    }
    if key.starts_with(META_RESERVED) {
        return Err(format!(
            "Key prefix '{META_RESERVED}' is reserved for internal use"
        ));
    }
    if value.len() > META_VALUE {
        return Err(format!(
            "Value is too long (limit: {META_VALUE} characters)"
        ));
    }
    Ok(())
}
