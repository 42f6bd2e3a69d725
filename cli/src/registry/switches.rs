//! The options of an embedded registry, the same wherever one is run: `turno registry`, `turno up`, `turno agent`.
//!
//! It turns arguments into the registry's configuration and decides nothing about requests.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use registrar::check::Scripts;
use registrar::registry::{self, AccessConfig, Otherwise, RegistryConfig, TlsFiles};
use tracing::warn;

use crate::args::Secret;
use crate::failure::Failure;

/// The environment's place for the token that may do everything: what is there does not show in `ps`.
const TOKEN_VARIABLE: &str = "TURNO_ACL_TOKEN";

/// How an embedded registry is run, beyond its address.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of the embedded registry")]
pub(crate) struct Switches {
    /// Keep everything in this folder, made if it is not there [default: in memory only]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Answer Consul's DNS names (web.service.consul) here, over UDP and TCP; Consul's port is 8600 [default: no DNS]
    #[arg(long, value_name = "IP:PORT")]
    dns_listen: Option<SocketAddr>,
    /// Run script checks, whoever registers them: everybody who may register may then run programs here
    #[arg(long)]
    enable_script_checks: bool,
    /// Run script checks that are defined on this machine, but none that come over the network
    #[arg(long)]
    enable_local_script_checks: bool,
    /// A token that may do everything; from then on writing needs one. Better in TURNO_ACL_TOKEN or a file, where
    /// `ps` does not show it
    #[arg(long, value_name = "TOKEN")]
    acl_token: Vec<Secret>,
    /// A file whose first line is a token that may do everything; repeatable
    #[arg(long, value_name = "FILE")]
    acl_token_file: Vec<PathBuf>,
    /// A file whose first line is a token that may read everything and write nothing; repeatable
    #[arg(long, value_name = "FILE")]
    acl_read_token_file: Vec<PathBuf>,
    /// Tokens and what each may do, in HCL or JSON, rules as in Consul's policies; repeatable
    #[arg(long, value_name = "FILE")]
    acl_file: Vec<PathBuf>,
    /// What those may do about whom no rule says anything [default: deny if there are tokens that may not do everything,
    /// else read]
    #[arg(long, value_name = "WHAT")]
    acl_default: Option<AclDefault>,
    /// Speak TLS, with the certificate (and what leads to its root) of this PEM file; read again when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Only talk to clients that have a certificate of an authority in this PEM file
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Listen beyond loopback though there is no token: everybody who reaches it may change everything
    #[arg(long)]
    open_to_network: bool,
}

/// What is allowed where no rule says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AclDefault {
    /// See everything, change nothing
    Read,
    /// Nothing
    Deny,
}

impl Switches {
    /// The first of them that was given, for commands that have an embedded registry only sometimes. With
    /// `but_scripts` those about scripts do not count.
    pub(crate) fn given(&self, but_scripts: bool) -> Option<&'static str> {
        let all = [
            (self.data_dir.is_some(), "--data-dir"),
            (self.dns_listen.is_some(), "--dns-listen"),
            (
                self.enable_script_checks && !but_scripts,
                "--enable-script-checks",
            ),
            (
                self.enable_local_script_checks && !but_scripts,
                "--enable-local-script-checks",
            ),
            (!self.acl_token.is_empty(), "--acl-token"),
            (!self.acl_token_file.is_empty(), "--acl-token-file"),
            (
                !self.acl_read_token_file.is_empty(),
                "--acl-read-token-file",
            ),
            (!self.acl_file.is_empty(), "--acl-file"),
            (self.acl_default.is_some(), "--acl-default"),
            (self.tls_cert.is_some(), "--tls-cert"),
            (self.tls_key.is_some(), "--tls-key"),
            (self.tls_client_ca.is_some(), "--tls-client-ca"),
            (self.open_to_network, "--open-to-network"),
        ];
        all.into_iter()
            .find(|(given, _)| *given)
            .map(|(_, name)| name)
    }

    /// The configuration of a registry that listens there, with a loud word when strangers may do much.
    pub(crate) fn config(&self, listen: SocketAddr) -> Result<RegistryConfig, Failure> {
        let access = self.access()?;
        let exposed = !listen.ip().is_loopback();
        if exposed && self.open_to_network && !access.is_on() && self.tls_client_ca.is_none() {
            warn!(
                %listen,
                "the registry is NOT on loopback and has NO access control: everybody who reaches it may \
                 register, deregister, and have this machine send checks to any address"
            );
        }
        if exposed && self.enable_script_checks {
            warn!(
                %listen,
                "script checks are enabled and the registry is NOT on loopback: everybody who may register there may \
                 run programs on this machine"
            );
        }
        Ok(RegistryConfig {
            listen,
            scripts: self.scripts(),
            data_dir: self.data_dir.clone(),
            dns_listen: self.dns_listen,
            access,
            tls: self.tls()?,
            open_to_network: self.open_to_network,
            ..RegistryConfig::default()
        })
    }

    fn tls(&self) -> Result<Option<TlsFiles>, Failure> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: self.tls_client_ca.clone(),
            })),
            (None, None) if self.tls_client_ca.is_none() => Ok(None),
            _ => Err(Failure::usage(
                "TLS needs both --tls-cert FILE and --tls-key FILE",
            )),
        }
    }

    /// Which script checks run.
    pub(crate) fn scripts(&self) -> Scripts {
        if self.enable_script_checks {
            Scripts::All
        } else if self.enable_local_script_checks {
            Scripts::Local
        } else {
            Scripts::Off
        }
    }

    fn access(&self) -> Result<AccessConfig, Failure> {
        let from_environment = std::env::var(TOKEN_VARIABLE).ok();
        let from_environment = from_environment.as_deref().filter(|text| !text.is_empty());
        let mut tokens = Vec::new();
        for given in self.acl_token.iter().map(Secret::expose) {
            tokens.push(secret("--acl-token", given)?);
        }
        if let Some(given) = from_environment {
            tokens.push(secret(TOKEN_VARIABLE, given)?);
        }
        Ok(AccessConfig {
            tokens,
            token_files: self.acl_token_file.clone(),
            read_tokens: Vec::new(),
            read_token_files: self.acl_read_token_file.clone(),
            files: self.acl_file.clone(),
            otherwise: self.acl_default.map(|what| match what {
                AclDefault::Read => Otherwise::Read,
                AclDefault::Deny => Otherwise::Deny,
            }),
        })
    }
}

fn secret(place: &str, text: &str) -> Result<registry::Secret, Failure> {
    registry::Secret::new(text).map_err(|error| Failure::usage(format!("{place}: {error}")))
}
