//! TLS on a listener: certificate and key from PEM files, read again when they change; client certificates if wanted.
//!
//! It knows files, rustls and the limits of a handshake; nothing of HTTP but its name.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpStream, sync::Semaphore, time};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Time for a handshake; over the poorest line it takes some round trips, a second or two.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes at once. Each costs some tens of kilobytes and a signature; a flood of them waits here. Clients that have
/// said nothing yet do not count, so that they take nobody's place.
const HANDSHAKES: usize = 1024;

/// How often the files are looked at: soon enough for whoever renews them days before they end.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is spoken inside.
const PROTOCOL: &[u8] = b"http/1.1";

/// Where the PEM files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and after it those that lead to its root, if any.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities; a client then needs a certificate of one of them.
    pub client_ca: Option<PathBuf>,
}

/// What is wrong with a file. No text shows what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("cannot read {what} {}: {error}", path.display())]
    Unreadable {
        /// What it should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It is not what it should be.
    #[error("{what} {} cannot be used: {text}", path.display())]
    Unusable {
        /// What it should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        text: String,
    },
    /// The two do not belong together.
    #[error("the key {} does not belong to the certificate {}", key.display(), cert.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
}

/// The certificate in force. New connections get the newest that could be used.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// Of the files' contents when they were last tried, so that a mistake is logged once.
    tried: Mutex<u64>,
    handshakes: Semaphore,
}

impl Tls {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    ///
    /// When one of them cannot be used; the error names it.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let tried = fingerprint(&files);
        let config = build(&files)?;
        Ok(Arc::new(Self {
            files,
            config: RwLock::new(Arc::new(config)),
            tried: Mutex::new(tried),
            handshakes: Semaphore::new(HANDSHAKES),
        }))
    }

    /// Reads the files again. Blocks.
    ///
    /// # Errors
    ///
    /// As for [`Tls::load`]; the old certificate stays then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let seen = fingerprint(&self.files);
        *self.tried.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        let config = Arc::new(build(&self.files)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Reads the files whenever they have changed, until `shutdown`. What cannot be used is logged, and changes nothing.
    pub async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = time::sleep(LOOK_EVERY) => {}
            }
            let tls = Arc::clone(&self);
            // The next look makes up for one that fails.
            let _ = tokio::task::spawn_blocking(move || tls.look()).await;
        }
    }

    fn look(&self) {
        let tried = *self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if fingerprint(&self.files) == tried {
            return;
        }
        let certificate = self.files.cert.display();
        match self.reload() {
            Ok(()) => info!(%certificate, "a new certificate is in force"),
            Err(error) => warn!(%error, "the old certificate stays in force"),
        }
    }

    /// Shakes hands, within the limits.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        let handshake = async {
            stream.readable().await?;
            // Never closed: it lives as long as this value.
            let _permit = self.handshakes.acquire().await.map_err(io::Error::other)?;
            TlsAcceptor::from(config).accept(stream).await
        };
        time::timeout(HANDSHAKE, handshake).await.map_err(late)?
    }
}

/// Of what is in the files, and whether they can be read. Not secret enough to be shown, and never is.
fn fingerprint(files: &TlsFiles) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in [
        Some(&files.cert),
        Some(&files.key),
        files.client_ca.as_ref(),
    ] {
        path.and_then(|path| fs::read(path).ok()).hash(&mut hasher);
    }
    hasher.finish()
}

fn build(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates("the certificate", &files.cert)?;
    let key = "the key";
    let bytes = read(key, &files.key)?;
    let secret = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => unusable(key, &files.key, "no PEM private key in it"),
        // The error of a key may quote it.
        _ => unusable(key, &files.key, "it is not a PEM file"),
    })?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("the certificate", &files.cert, error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path, provider)?),
    };
    let built = builder.with_single_cert(chain, secret);
    let mut config = built.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
            key: files.key.clone(),
            cert: files.cert.clone(),
        },
        rustls::Error::InvalidCertificate(_) => unusable("the certificate", &files.cert, error),
        _ => unusable(key, &files.key, error),
    })?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

fn verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let what = "the clients' authority";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, path)? {
        let added = roots.add(certificate);
        added.map_err(|error| unusable(what, path, error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unusable(what, path, error))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(what, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|_| unusable(what, path, "it is not a PEM file"))?;
    if found.is_empty() {
        return Err(unusable(what, path, "no PEM certificate in it"));
    }
    Ok(found)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Unreadable {
        what,
        path: path.to_owned(),
        error,
    })
}

fn unusable(what: &'static str, path: &Path, text: impl ToString) -> TlsError {
    TlsError::Unusable {
        what,
        path: path.to_owned(),
        text: text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = std::env::temp_dir().join(format!("daemon-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let ((cert, key), (other, _)) = (made(), made());
        let (cert, key) = (file("cert", &cert), file("key", &key));
        let (other, empty) = (file("other", &other), file("empty", "nothing\n"));
        let nowhere = folder.join("nowhere");
        let files = |cert: &PathBuf, key: &PathBuf, client_ca: Option<&PathBuf>| TlsFiles {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: client_ca.cloned(),
        };
        assert!(Tls::load(files(&cert, &key, Some(&other))).is_ok());
        let table = [
            (files(&nowhere, &key, None), "cannot read the certificate"),
            (files(&cert, &nowhere, None), "cannot read the key"),
            (files(&empty, &key, None), "no PEM certificate in it"),
            (files(&cert, &empty, None), "no PEM private key in it"),
            (files(&cert, &cert, None), "no PEM private key in it"),
            (
                files(&other, &key, None),
                "does not belong to the certificate",
            ),
            (files(&cert, &key, Some(&empty)), "the clients' authority"),
        ];
        for (files, part) in table {
            let said = Tls::load(files).expect_err(part).to_string();
            assert!(said.contains(part), "{said}");
        }
        let tls = Tls::load(files(&cert, &key, None)).expect("good files");
        let in_force = Arc::clone(&tls.config.read().expect("no panic"));
        fs::write(&key, "half").expect("written");
        tls.look();
        assert!(Arc::ptr_eq(
            &in_force,
            &tls.config.read().expect("no panic")
        ));
        let (new_cert, new_key) = made();
        fs::write(&cert, new_cert).expect("written");
        fs::write(&key, new_key).expect("written");
        tls.look();
        assert!(!Arc::ptr_eq(
            &in_force,
            &tls.config.read().expect("no panic")
        ));
        fs::remove_dir_all(&folder).expect("it was made here");
    }
}
