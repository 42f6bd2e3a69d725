//! `/v1/acl`: tokens are given at the start, so there is nothing to make or list here; but who holds one can ask whose
//! it is.

use http::StatusCode;
use serde_json::json;

use super::agent::answer;
use super::answer::{Answer, Failure};
use super::request::Call;
use super::state::State;

/// What Consul says where access control is off; here also of everything that would manage tokens.
pub(super) fn disabled() -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, "ACL support disabled")
}

/// The token of the request itself, in Consul's shape: its name stands where ids would, and it has no policies.
pub(super) fn own_token(state: &State, call: &Call) -> Result<Answer, Failure> {
    if !state.access.is_on() {
        return Err(disabled());
    }
    let (Some(secret), Ok(rights)) = (call.token(), state.rights(call)) else {
        return Err(Failure::unknown_token());
    };
    let none: [u8; 0] = [];
    let view = json!({
        "AccessorID": rights.name(), "SecretID": secret, "Description": rights.name(), "Policies": none,
        "Local": false, "CreateTime": "0001-01-01T00:00:00Z", "Hash": null, "CreateIndex": 0, "ModifyIndex": 0,
    });
    answer(call, &view)
}
