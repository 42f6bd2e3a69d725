//! What a registry refuses: one thing that it will not take, as opposed to being unable to do anything for now.
//!
//! A refusal concerns what was asked and nothing else, so everything else goes on. It does not know who asks for what.

use std::collections::BTreeMap;

use consul::Error;

/// What was refused, each with its reason.
pub(super) type Refused = BTreeMap<String, String>;

/// Notes a refusal of `subject` and goes on; any other error is the caller's.
pub(super) fn note(
    refused: &mut Refused,
    subject: impl FnOnce() -> String,
    result: Result<(), Error>,
) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(error @ Error::Status { code: 400.., .. }) if !is_outage(&error) => {
            refused.insert(subject(), error.to_string());
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether the registry cannot do anything at all for now, as opposed to this one thing. Consul says 500 for both.
fn is_outage(error: &Error) -> bool {
    let Error::Status { code, text, .. } = error else {
        return true;
    };
    let everything = [
        "No cluster leader",
        "No known Consul servers",
        "rpc error",
        "leadership lost",
    ];
    *code >= 500 && everything.iter().any(|outage| text.contains(outage))
        || matches!(code, 429 | 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_no_outage() {
        for (code, text, refusal) in [
            (400, "Invalid check", true),
            (403, "Permission denied", true),
            (429, "too many requests", false),
            (500, "Must provide a node name", true),
            (500, "No cluster leader", false),
            (500, "rpc error making call: EOF", false),
            (503, "away", false),
        ] {
            let error = Error::Status {
                method: "PUT".to_owned(),
                path: "/v1/x".to_owned(),
                code,
                text: text.to_owned(),
            };
            let mut refused = Refused::new();
            let noted = note(&mut refused, || "web".to_owned(), Err(error));
            assert_eq!(noted.is_ok(), refusal, "{code} {text}");
            assert_eq!(refused.contains_key("web"), refusal, "{code} {text}");
        }
    }
}
