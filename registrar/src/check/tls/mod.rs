//! TLS for checks: the client's settings, made once, and a handshake over a connection.
//!
//! Knows nothing of what is said inside. Certificates are verified as the machine's own programs would, or not at all;
//! a check may name another server than the one it connects to.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Tls, reason};

/// The settings all checks share, each made when first needed: reading the system's certificates takes time, and a
/// machine without any must still be able to run checks that need none.
#[derive(Debug, Default)]
pub(super) struct Settings {
    verifying: OnceCell<Arc<ClientConfig>>,
    trusting: OnceCell<Arc<ClientConfig>>,
}

impl Settings {
    /// The settings that verify certificates, or accept any.
    pub(super) async fn get(&self, verify: bool) -> Result<Arc<ClientConfig>, String> {
        let cell = if verify {
            &self.verifying
        } else {
            &self.trusting
        };
        let failed = |text: String| format!("TLS could not be set up: {text}");
        cell.get_or_try_init(|| async move {
            tokio::task::spawn_blocking(move || build(verify))
                .await
                .map_err(|_| failed("the task ended".into()))?
                .map(Arc::new)
                .map_err(|error| failed(reason(&error)))
        })
        .await
        .cloned()
    }

    /// Shakes hands with `host` over `stream`, offering `protocols` (ALPN; none when empty).
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
        tls: &Tls,
        protocols: &[&[u8]],
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = if tls.server_name.is_empty() {
            host.trim_matches(['[', ']'])
        } else {
            &tls.server_name
        };
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{name:?} is not a name that a certificate can have"))?;
        let mut config = self.get(!tls.skip_verify).await?;
        if !protocols.is_empty() {
            let with = Arc::make_mut(&mut config);
            with.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        }
        TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| format!("TLS handshake failed: {}", reason(&error)))
    }
}

fn build(verify: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = if verify {
        builder.with_platform_verifier()?
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
    };
    Ok(builder.with_no_client_auth())
}

/// Accepts any certificate, yet still wants proof that the other side has its key.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(super) mod server;
