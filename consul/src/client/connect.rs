//! Turns a configuration into a connector: TCP, TLS or unix socket, and the token as a header.
//!
//! TLS is rustls with ring. Files are read here, once, so a file that is missing is known at the start.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderValue;
use reqwest::{Certificate, ClientBuilder, Identity, Url};

use crate::Config;
use crate::address::Address;
use crate::error::{Error, innermost};

/// An agent is near: one that does not accept for this long is away.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Idle connections are closed before the other side (Go: 90 s and more) thinks of it.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// A peer that vanished during a long wait shows after `IDLE + 3 × INTERVAL`, well before the wait ends.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;

/// Connections kept open between requests; watchers hold theirs, so this is for the short ones.
const IDLE_CONNECTIONS: usize = 8;

pub(super) fn build(address: &Address, config: &Config) -> Result<(reqwest::Client, Url), Error> {
    // Somebody else may have installed one first; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("turno/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .pool_idle_timeout(IDLE_LIMIT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tcp_keepalive(KEEPALIVE_IDLE)
        .tcp_keepalive_interval(KEEPALIVE_INTERVAL)
        .tcp_keepalive_retries(KEEPALIVE_PROBES);
    let mut base = address.base();
    if let Address::Unix(path) = address {
        builder = unix(builder, path)?;
    }
    if address.uses_tls() {
        builder = tls(builder, config)?;
        if let Some(name) = &config.tls_server_name {
            (builder, base) = named(builder, base, name)?;
        }
    } else {
        // No authorities at all, so that a machine without any can still speak plain HTTP.
        builder = builder.tls_certs_only([]);
    }
    let http = builder
        .build()
        .map_err(|e| Error::config(format!("cannot connect to {address}"), innermost(&e)))?;
    Ok((http, base))
}

#[cfg(unix)]
fn unix(builder: ClientBuilder, path: &Path) -> Result<ClientBuilder, Error> {
    Ok(builder.unix_socket(path))
}

#[cfg(not(unix))]
fn unix(_: ClientBuilder, path: &Path) -> Result<ClientBuilder, Error> {
    Err(Error::config(
        format!("unix://{}", path.display()),
        "this system has no unix sockets",
    ))
}

fn tls(mut builder: ClientBuilder, config: &Config) -> Result<ClientBuilder, Error> {
    if let Some(path) = &config.ca_cert {
        let wrong = |reason| Error::config(format!("CONSUL_CACERT={}", path.display()), reason);
        let pem = read("CONSUL_CACERT", path)?;
        let certs = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(innermost(&e)))?;
        if certs.is_empty() {
            return Err(wrong("no PEM certificate in this file".to_owned()));
        }
        builder = builder.tls_certs_only(certs);
    }
    match (&config.client_cert, &config.client_key) {
        (Some(cert), Some(key)) => {
            let mut pem = read("CONSUL_CLIENT_CERT", cert)?;
            pem.push(b'\n');
            pem.extend(read("CONSUL_CLIENT_KEY", key)?);
            let identity = Identity::from_pem(&pem).map_err(|e| {
                let what = format!("CONSUL_CLIENT_CERT={}", cert.display());
                Error::config(
                    what,
                    format!("with its key {}: {}", key.display(), innermost(&e)),
                )
            })?;
            builder = builder.identity(identity);
        }
        (None, None) => {}
        (Some(_), None) => {
            return Err(Error::config(
                "CONSUL_CLIENT_CERT",
                "needs CONSUL_CLIENT_KEY too",
            ));
        }
        (None, Some(_)) => {
            return Err(Error::config(
                "CONSUL_CLIENT_KEY",
                "needs CONSUL_CLIENT_CERT too",
            ));
        }
    }
    if !config.verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    Ok(builder)
}

/// Asks for `name` in the handshake, yet connects to the host of the address.
fn named(builder: ClientBuilder, base: Url, name: &str) -> Result<(ClientBuilder, Url), Error> {
    let host = base
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let port = base.port_or_known_default().unwrap_or(443);
    let mut renamed = base;
    renamed
        .set_host(Some(name))
        .map_err(|e| Error::config(format!("CONSUL_TLS_SERVER_NAME={name}"), e))?;
    Ok((
        builder.dns_resolver(Arc::new(Always { host, port })),
        renamed,
    ))
}

/// Resolves every name to the addresses of one host.
struct Always {
    host: String,
    port: u16,
}

impl Resolve for Always {
    fn resolve(&self, _: Name) -> Resolving {
        let (host, port) = (self.host.clone(), self.port);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The token as a header that is not shown in debug output; from its file, if there is one.
pub(super) fn token(config: &Config) -> Result<Option<HeaderValue>, Error> {
    let text = match &config.token_file {
        Some(path) => {
            Some(String::from_utf8_lossy(&read("CONSUL_HTTP_TOKEN_FILE", path)?).into_owned())
        }
        None => config.token.clone(),
    };
    let Some(text) = text
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let mut header = HeaderValue::from_str(text)
        .map_err(|_| Error::config("the Consul token", "it has characters no header may carry"))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

fn read(variable: &str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        Error::config(
            format!("{variable}={}", path.display()),
            format!("cannot read it: {error}"),
        )
    })
}
