//! The client over TLS: which servers it believes, and how it shows who it is.

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consul::{Client, Config};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use support::{Script, status};
use tokio_rustls::TlsAcceptor;

/// An authority, a server certificate for `names`, a client certificate; the PEM files in a folder.
struct Papers {
    folder: tempfile::TempDir,
    authority: CertificateDer<'static>,
    server: (CertificateDer<'static>, Vec<u8>),
}

impl Papers {
    fn issue(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).expect("a certificate");
        write("ca.pem", authority.pem());
        let issuer = Issuer::new(params, key);
        let issue = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(names).expect("names");
            (params.signed_by(&key, &issuer).expect("a certificate"), key)
        };
        let (server, server_key) = issue(names);
        let (client, client_key) = issue(&["client"]);
        write("client.pem", client.pem());
        write("client.key", client_key.serialize_pem());
        let server = (server.der().clone(), server_key.serialize_der());
        Self {
            authority: authority.der().clone(),
            server,
            folder,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    /// Starts a TLS server that answers every request alike, and asks for a client certificate if told to.
    async fn serve(&self, ask_client: bool) -> SocketAddr {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if ask_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.authority.clone()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let (cert, key) = &self.server;
        let key = PrivateKeyDer::try_from(key.clone()).expect("a key");
        let config = builder
            .with_single_cert(vec![cert.clone()], key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        Script::new([status("200 OK", "\"x:1\"")])
                            .serve(stream)
                            .await;
                    }
                });
            }
        });
        address
    }
}

/// Asks for the leader and says what came of it.
async fn ask(config: Config) -> String {
    match Client::new(config).expect("a client").status_leader().await {
        Ok(leader) => leader.unwrap_or_default(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn which_servers_are_believed() {
    let papers = Papers::issue(&["127.0.0.1"]);
    let others = Papers::issue(&["127.0.0.1"]);
    let address = papers.serve(false).await;
    let https = || Config::new(format!("https://{address}"));

    assert_eq!(
        ask(https().with_ca_cert(papers.file("ca.pem"))).await,
        "x:1"
    );
    assert_eq!(
        ask(https()
            .with_ca_cert(others.file("ca.pem"))
            .with_verify(false))
        .await,
        "x:1"
    );
    for config in [https().with_ca_cert(others.file("ca.pem"))] {
        let text = ask(config).await;
        assert!(
            text.contains(&format!("https://{address}: invalid peer certificate")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let papers = Papers::issue(&["127.0.0.1"]);
    let address = papers.serve(true).await;
    let config = || Config::new(format!("https://{address}")).with_ca_cert(papers.file("ca.pem"));
    let named = config().with_client_cert(papers.file("client.pem"), papers.file("client.key"));
    assert_eq!(ask(named).await, "x:1");
    let text = ask(config()).await;
    assert!(
        text.starts_with(&format!("cannot reach Consul at https://{address}: ")),
        "{text}"
    );
    let swapped = config().with_client_cert(papers.file("client.key"), papers.file("client.key"));
    let error = Client::new(swapped)
        .expect_err("no certificate in it")
        .to_string();
    assert!(error.starts_with("CONSUL_CLIENT_CERT="), "{error}");
}

#[tokio::test]
async fn a_server_may_go_by_another_name_than_its_address() {
    let papers = Papers::issue(&["server.dc1.consul"]);
    let address = papers.serve(false).await;
    let config = || Config::new(format!("https://{address}")).with_ca_cert(papers.file("ca.pem"));
    let text = ask(config()).await;
    assert!(text.contains("certificate not valid for name"), "{text}");
    assert_eq!(
        ask(config().with_tls_server_name("server.dc1.consul")).await,
        "x:1"
    );
    let text = ask(config().with_tls_server_name("server.dc2.consul")).await;
    assert!(text.contains("certificate not valid for name"), "{text}");
}
