//! Where Consul is and how to talk to it, from the environment or by hand.
//!
//! A [`Config`] is as written; it is read and judged when a client is made of it, so that a value that is
//! overridden later can do no harm. It knows the names of the variables and nothing of HTTP.

use std::fmt;
use std::path::PathBuf;

/// Where Consul listens unless told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8500";

/// How to reach Consul. The token does not show in its debug form.
#[derive(Clone)]
pub struct Config {
    pub(crate) address: String,
    pub(crate) tls: bool,
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) datacenter: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    pub(crate) tls_server_name: Option<String>,
    pub(crate) verify: bool,
}

impl Config {
    /// Consul at `address`: `http://…`, `https://…`, `unix://PATH` or a bare `HOST:PORT`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            tls: false,
            token: None,
            token_file: None,
            datacenter: None,
            ca_cert: None,
            client_cert: None,
            client_key: None,
            tls_server_name: None,
            verify: true,
        }
    }

    /// What Consul's own command line would take from the environment: `CONSUL_HTTP_ADDR`,
    /// `CONSUL_HTTP_TOKEN`, `CONSUL_HTTP_TOKEN_FILE`, `CONSUL_HTTP_SSL`, `CONSUL_HTTP_SSL_VERIFY`,
    /// `CONSUL_CACERT`, `CONSUL_CLIENT_CERT`, `CONSUL_CLIENT_KEY`, `CONSUL_TLS_SERVER_NAME`,
    /// `CONSUL_DATACENTER`. Wrong values are reported when a client is made.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// [`Config::from_env`] with the environment as an argument. An empty variable is an absent one.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        Self {
            address: text("CONSUL_HTTP_ADDR").unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
            tls: text("CONSUL_HTTP_SSL").is_some_and(|value| truth(&value) == Some(true)),
            token: text("CONSUL_HTTP_TOKEN"),
            token_file: path("CONSUL_HTTP_TOKEN_FILE"),
            datacenter: text("CONSUL_DATACENTER"),
            ca_cert: path("CONSUL_CACERT"),
            client_cert: path("CONSUL_CLIENT_CERT"),
            client_key: path("CONSUL_CLIENT_KEY"),
            tls_server_name: text("CONSUL_TLS_SERVER_NAME"),
            verify: text("CONSUL_HTTP_SSL_VERIFY").is_none_or(|value| truth(&value) != Some(false)),
        }
    }

    /// Another address.
    #[must_use]
    pub fn with_address(self, address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            ..self
        }
    }

    /// The ACL token to send; it counts more than a token file.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            token_file: None,
            ..self
        }
    }

    /// No token at all, for requests that bring their own.
    #[must_use]
    pub fn without_token(self) -> Self {
        Self {
            token: None,
            token_file: None,
            ..self
        }
    }

    /// A file that holds the ACL token; it is read when a client is made.
    #[must_use]
    pub fn with_token_file(self, path: impl Into<PathBuf>) -> Self {
        Self {
            token_file: Some(path.into()),
            ..self
        }
    }

    /// The datacenter to ask for when a query names none; the agent's own when absent.
    #[must_use]
    pub fn with_datacenter(self, datacenter: impl Into<String>) -> Self {
        Self {
            datacenter: Some(datacenter.into()),
            ..self
        }
    }

    /// A PEM file with the only authorities to believe; the system's when absent.
    #[must_use]
    pub fn with_ca_cert(self, path: impl Into<PathBuf>) -> Self {
        Self {
            ca_cert: Some(path.into()),
            ..self
        }
    }

    /// PEM files with our certificate and its key.
    #[must_use]
    pub fn with_client_cert(self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            client_cert: Some(cert.into()),
            client_key: Some(key.into()),
            ..self
        }
    }

    /// The name the server's certificate must carry, when it is not the host of the address.
    #[must_use]
    pub fn with_tls_server_name(self, name: impl Into<String>) -> Self {
        Self {
            tls_server_name: Some(name.into()),
            ..self
        }
    }

    /// Whether to verify the server's certificate; true unless set to false.
    #[must_use]
    pub fn with_verify(self, verify: bool) -> Self {
        Self { verify, ..self }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(DEFAULT_ADDRESS)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("address", &self.address)
            .field("tls", &self.tls)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("token_file", &self.token_file)
            .field("datacenter", &self.datacenter)
            .field("ca_cert", &self.ca_cert)
            .field("client_cert", &self.client_cert)
            .field("client_key", &self.client_key)
            .field("tls_server_name", &self.tls_server_name)
            .field("verify", &self.verify)
            .finish()
    }
}

/// Yes or no by the words Go's `strconv.ParseBool` takes; `None` for any other, which Consul ignores.
fn truth(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Config {
        Config::from_variables(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_empty_environment_means_the_local_agent() {
        for variables in [
            &[][..],
            &[("CONSUL_HTTP_ADDR", ""), ("CONSUL_HTTP_TOKEN", "")][..],
        ] {
            let config = from(variables);
            assert_eq!(config.address, DEFAULT_ADDRESS);
            assert_eq!(config.token, None);
            assert!(config.verify && !config.tls);
        }
    }

    #[test]
    fn variables_mean_what_they_mean_to_consul() {
        let config = from(&[
            ("CONSUL_HTTP_ADDR", "consul.example:8501"),
            ("CONSUL_HTTP_SSL", "true"),
            ("CONSUL_HTTP_SSL_VERIFY", "false"),
            ("CONSUL_DATACENTER", "dc2"),
            ("CONSUL_TLS_SERVER_NAME", "server.dc2.consul"),
            ("CONSUL_CACERT", "/ca.pem"),
        ]);
        assert_eq!(config.address, "consul.example:8501");
        assert!(config.tls && !config.verify);
        assert_eq!(config.datacenter.as_deref(), Some("dc2"));
        assert_eq!(config.tls_server_name.as_deref(), Some("server.dc2.consul"));
        assert_eq!(config.ca_cert, Some(PathBuf::from("/ca.pem")));
        for nonsense in ["yes", "no", "2"] {
            let config = from(&[
                ("CONSUL_HTTP_SSL", nonsense),
                ("CONSUL_HTTP_SSL_VERIFY", nonsense),
            ]);
            assert!(!config.tls && config.verify, "{nonsense}: the safe side");
        }
    }

    #[test]
    fn the_token_does_not_show() {
        let config = from(&[("CONSUL_HTTP_TOKEN", "s3cret")]);
        assert_eq!(config.token.as_deref(), Some("s3cret"));
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("s3cret") && shown.contains("***"),
            "{shown}"
        );
    }

    #[test]
    fn a_token_given_by_hand_counts_more_than_a_file() {
        let config = from(&[("CONSUL_HTTP_TOKEN_FILE", "/token")]).with_token("given");
        assert_eq!(
            (config.token.as_deref(), config.token_file),
            (Some("given"), None)
        );
    }
}
