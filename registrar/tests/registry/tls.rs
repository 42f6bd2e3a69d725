//! TLS on the registry's port: certificates that are renewed, clients that need one, clients that say nothing.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use registrar::registry::{RegistryConfig, TlsFiles};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::support::{LIMIT, Running, config, start_with};

/// An authority with a folder for what it signs.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority {
            folder: tempfile::tempdir().expect("a folder"),
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Certificate and key for a name, PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        (signed.pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Files for a server called `name`, in place of those before.
    fn server(&self, name: &str) -> TlsFiles {
        let (cert, key) = self.sign(name);
        TlsFiles {
            cert: self.file("cert.pem", &cert),
            key: self.file("key.pem", &key),
            client_ca: None,
        }
    }

    fn client(&self, identity: Option<(String, String)>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        roots.add(root).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                builder
                    .with_client_auth_cert(vec![cert], key)
                    .expect("they belong together")
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

/// Asks for the leader as a client of `name`.
async fn ask(registry: &Running, client: &TlsConnector, name: &str) -> std::io::Result<String> {
    let exchange = async {
        let stream = TcpStream::connect(registry.address).await?;
        let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
        let mut stream = client.connect(name, stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream
            .write_all(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(LIMIT, exchange)
        .await
        .expect("an end in time")
}

async fn start(files: TlsFiles) -> Running {
    start_with(RegistryConfig {
        tls: Some(files),
        ..config()
    })
    .await
}

#[tokio::test]
async fn a_new_certificate_is_in_force_after_a_reload() {
    let authority = Authority::new();
    let registry = start(authority.server("old.example")).await;
    let client = authority.client(None);
    let answer = ask(&registry, &client, "old.example")
        .await
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(ask(&registry, &client, "new.example").await.is_err());
    authority.server("new.example");
    // By itself it looks every few seconds.
    let deadline = tokio::time::Instant::now() + LIMIT;
    while ask(&registry, &client, "new.example").await.is_err() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it never took the new one"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(ask(&registry, &client, "old.example").await.is_err());
}

#[tokio::test]
async fn with_an_authority_for_clients_only_theirs_get_in() {
    let (authority, others) = (Authority::new(), Authority::new());
    let files = TlsFiles {
        client_ca: Some(authority.file("ca.pem", &authority.pem)),
        ..authority.server("localhost")
    };
    let registry = start(files).await;
    let table = [
        (None, false),
        (Some(others.sign("client")), false),
        (Some(authority.sign("client")), true),
    ];
    for (identity, gets_in) in table {
        let client = authority.client(identity);
        let answer = ask(&registry, &client, "localhost").await;
        let got_in = answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
        assert_eq!(got_in, gets_in);
    }
}

#[tokio::test]
async fn clients_that_say_nothing_or_nonsense_hold_up_nobody() {
    let authority = Authority::new();
    let registry = start(authority.server("localhost")).await;
    let mut idle = Vec::new();
    for n in 0..50 {
        let mut stream = TcpStream::connect(registry.address)
            .await
            .expect("it listens");
        if n % 2 == 0 {
            let nonsense = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
            nonsense.expect("it is taken");
        }
        idle.push(stream);
    }
    let client = authority.client(None);
    let answer = ask(&registry, &client, "localhost")
        .await
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
