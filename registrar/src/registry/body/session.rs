//! The body of `session/create`. Unknown fields are ignored here, as Consul does.

use serde_json::Value;

use super::fields::{Fields, Path};
use super::{Result, json};
use crate::catalog::Key;

/// The check of a live node, which a session depends on unless it says otherwise.
const NODE_CHECK: &str = "serfHealth";
/// How long keys cannot be locked after a session's end, unless it says otherwise: 15 s.
const LOCK_DELAY: i64 = 15_000_000_000;
/// Numbers below this are seconds; from here on nanoseconds.
const SECONDS_BELOW: i64 = 1_000;

/// What somebody asks a session to be.
#[derive(Debug, PartialEq)]
pub(in super::super) struct SessionRequest {
    pub(in super::super) name: String,
    pub(in super::super) node: Option<String>,
    /// Nanoseconds.
    pub(in super::super) lock_delay: i64,
    pub(in super::super) behavior: String,
    pub(in super::super) ttl: String,
    pub(in super::super) node_checks: Vec<Key>,
    pub(in super::super) service_checks: Option<Vec<(Key, Key)>>,
    pub(in super::super) checks: Vec<Key>,
}

/// The body of `session/create`; no body at all asks for a session with every default.
pub(in super::super) fn session_request(body: &[u8]) -> Result<SessionRequest> {
    let value = if body.is_empty() {
        Value::Null
    } else {
        json::parse(body)?
    };
    let path = Path::Under(String::new());
    let mut fields = Fields::new(value, path, "value of type structs.Session")?;
    let lock_delay = match fields.take("LockDelay") {
        None => LOCK_DELAY,
        Some(value) => {
            fields.put_back("LockDelay", value);
            let delay = fields.duration("LockDelay")?;
            if delay < SECONDS_BELOW {
                delay.saturating_mul(1_000_000_000)
            } else {
                delay
            }
        }
    };
    let checks = keys(&mut fields, "Checks")?;
    let node_checks = match (keys(&mut fields, "NodeChecks")?, &checks) {
        (_, Some(checks)) if checks.is_empty() => Vec::new(),
        (Some(written), _) => written,
        (None, _) => vec![NODE_CHECK.into()],
    };
    // Old clients name the one check that every session has anyway; Consul does not keep that.
    let checks = checks.filter(|checks| !matches!(&checks[..], [only] if **only == *NODE_CHECK));
    let node = fields.string("Node")?;
    Ok(SessionRequest {
        name: fields.string("Name")?,
        node: (!node.is_empty()).then_some(node),
        lock_delay,
        behavior: fields.string("Behavior")?,
        ttl: fields.string("TTL")?,
        service_checks: service_checks(&mut fields)?,
        node_checks,
        checks: checks.unwrap_or_default(),
    })
}

/// A list of ids; `None` where it was not written.
fn keys(fields: &mut Fields, name: &str) -> Result<Option<Vec<Key>>> {
    let Some(value) = fields.take(name) else {
        return Ok(None);
    };
    fields.put_back(name, value);
    let written = fields.strings(name)?;
    Ok(Some(written.into_iter().map(Key::from).collect()))
}

fn service_checks(fields: &mut Fields) -> Result<Option<Vec<(Key, Key)>>> {
    let mut checks = Vec::new();
    for value in fields.list("ServiceChecks", "[]structs.ServiceCheck")? {
        if !value.is_object() {
            return Err(fields.wrong(&value, "ServiceChecks", "structs.ServiceCheck"));
        }
        let path = Path::Under("ServiceCheck.ServiceChecks".into());
        let mut check = Fields::new(value, path, "value of type structs.ServiceCheck")?;
        checks.push((
            check.string("ID")?.into(),
            check.string("Namespace")?.into(),
        ));
    }
    Ok((!checks.is_empty()).then_some(checks))
}
