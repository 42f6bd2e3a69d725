//! Where Consul listens, read the way Consul's own command line reads `CONSUL_HTTP_ADDR`.
//!
//! Text in, address out; nothing is resolved or opened here.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

/// An address one can send requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Over TCP, with TLS if the scheme is `https`; may have a path prefix.
    Tcp(Url),
    /// Over a unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `http://…`, `https://…`, `unix://PATH` or a bare `HOST:PORT`.
    ///
    /// `tls` is `CONSUL_HTTP_SSL`: it turns `http` and bare addresses into `https`.
    pub(crate) fn parse(text: &str, tls: bool) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "unix" if rest.is_empty() => return Err("a path must follow unix://".to_owned()),
            "unix" => return Ok(Self::Unix(PathBuf::from(rest))),
            "http" if !tls => "http",
            "http" | "https" => "https",
            other => return Err(format!("unknown scheme {other:?}: use http, https or unix")),
        };
        // As in Go's dialer, no host means this machine.
        let host = if rest.starts_with(':') {
            "127.0.0.1"
        } else {
            ""
        };
        let url = Url::parse(&format!("{scheme}://{host}{rest}")).map_err(|e| e.to_string())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a user name or password does not belong into the address".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("an address has no query and no fragment".to_owned());
        }
        Ok(Self::Tcp(url))
    }

    /// What requests are addressed to; a unix socket gets a host name that is never looked up.
    pub(crate) fn base(&self) -> Url {
        match self {
            Self::Tcp(url) => url.clone(),
            Self::Unix(_) => Url::parse("http://localhost/").expect("a constant URL"),
        }
    }

    pub(crate) fn uses_tls(&self) -> bool {
        matches!(self, Self::Tcp(url) if url.scheme() == "https")
    }
}

/// Whether Consul may be there: fails as [`crate::Client::new`] would.
///
/// # Errors
/// What is wrong with the address.
pub fn check(address: &str) -> Result<(), String> {
    Address::parse(address, false).map(drop)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, tls: bool) -> Result<String, String> {
        Address::parse(text, tls).map(|address| address.to_string())
    }

    #[test]
    fn addresses_as_people_write_them() {
        for (text, tls, expected) in [
            ("127.0.0.1:8500", false, "http://127.0.0.1:8500"),
            ("consul.example:8500", false, "http://consul.example:8500"),
            (" http://127.0.0.1:8500/ ", false, "http://127.0.0.1:8500"),
            (
                "http://127.0.0.1:8500/behind/a/proxy",
                false,
                "http://127.0.0.1:8500/behind/a/proxy",
            ),
            (
                "HTTPS://consul.example:8501",
                false,
                "https://consul.example:8501",
            ),
            ("consul.example:8501", true, "https://consul.example:8501"),
            (
                "http://consul.example:8501",
                true,
                "https://consul.example:8501",
            ),
            (":8500", false, "http://127.0.0.1:8500"),
            ("[::1]:8500", false, "http://[::1]:8500"),
            ("unix:///run/consul.sock", false, "unix:///run/consul.sock"),
            ("unix:///run/consul.sock", true, "unix:///run/consul.sock"),
        ] {
            assert_eq!(read(text, tls).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (text, part) in [
            ("", "host"),
            ("ftp://x", "use http, https or unix"),
            ("unix://", "path"),
            ("http://user:secret@x:8500", "user name or password"),
            ("http://x:8500?token=1", "query"),
            ("127.0.0.1:99999", "port"),
            ("http://", "host"),
        ] {
            let error = read(text, false).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
