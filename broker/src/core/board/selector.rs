//! Names of services as clients and workers write them.
//!
//! A worker may offer a prefix, a client asks for one name.

use std::sync::Arc;

use super::super::limits::MAX_SERVICE_NAME;

/// What a worker offers to serve.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::core) enum Selector {
    /// The service of this name.
    Exact(Arc<str>),
    /// Every service whose name begins so.
    Prefix(Arc<str>),
}

impl Selector {
    /// Reads a name, or a prefix followed by `*`.
    pub(in crate::core) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes == b"*" {
            return Some(Self::Prefix("".into()));
        }
        match bytes.strip_suffix(b"*") {
            Some(prefix) => service_name(prefix).map(|name| Self::Prefix(name.into())),
            None => service_name(bytes).map(|name| Self::Exact(name.into())),
        }
    }

    /// As a worker writes it.
    pub(in crate::core) fn written(&self) -> String {
        match self {
            Self::Exact(name) => (**name).to_owned(),
            Self::Prefix(prefix) => format!("{prefix}*"),
        }
    }

    /// Whether it serves this service.
    pub(in crate::core) fn serves(&self, service: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *service,
            Self::Prefix(prefix) => service.starts_with(&**prefix),
        }
    }
}

/// The name of one service: 1 to [`MAX_SERVICE_NAME`] bytes of UTF-8, without control characters and `*`.
pub(in crate::core) fn service_name(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || bytes.len() > MAX_SERVICE_NAME {
        return None;
    }
    let name = std::str::from_utf8(bytes).ok()?;
    let fine = !name.contains(|c: char| c.is_control() || c == '*');
    fine.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_prefixes() {
        for (text, service, serves) in [
            ("echo", "echo", Some(true)),
            ("echo", "echo2", Some(false)),
            ("img.*", "img.resize", Some(true)),
            ("img.*", "img.", Some(true)),
            ("img.*", "img", Some(false)),
            ("*", "anything", Some(true)),
            ("", "", None),
            ("a*b", "", None),
            ("**", "", None),
            ("a\n", "", None),
        ] {
            let found = Selector::parse(text.as_bytes()).map(|it| it.serves(service));
            assert_eq!(found, serves, "{text:?} for {service:?}");
        }
        assert!(service_name(&[b'a'; MAX_SERVICE_NAME]).is_some());
        assert!(service_name(&[b'a'; MAX_SERVICE_NAME + 1]).is_none());
        assert!(service_name(&[0xff]).is_none());
    }
}
