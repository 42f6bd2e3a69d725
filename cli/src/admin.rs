//! The admin listener: who may ask, before anything is answered.
//!
//! On loopback everybody on this machine may; anywhere else a token is needed, and without one turno
//! refuses to start. What the pages say is the business of whoever is given as their source.

use std::{future::Future, hint::black_box, net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Args;
use daemon::http::{Limits, Reply, text};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{args::Secret, failure::Failure};

/// The token of an admin listener, for those who listen and those who ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdminToken {
    /// What the admin listener wants in `Authorization: Bearer …`; needed if it is not on loopback
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TURNO_ADMIN_TOKEN",
        hide_env_values = true
    )]
    admin_token: Option<Secret>,
    /// The same, as the only line of a file; --admin-token and TURNO_ADMIN_TOKEN come before it
    #[arg(long, value_name = "FILE", env = "TURNO_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,
}

impl AdminToken {
    /// The token, read from its file if it is in one.
    pub(crate) fn secret(&self) -> Result<Option<Secret>, Failure> {
        let (None, Some(file)) = (&self.admin_token, &self.admin_token_file) else {
            return Ok(self.admin_token.clone());
        };
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::of(format!("cannot read {}", file.display()), &error))?;
        let token = text.trim().parse();
        token
            .map(Some)
            .map_err(|why: &str| Failure::failed(format!("{}: {why}", file.display())))
    }
}

/// An admin listener that is open, and guarded if it must be.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    token: Option<Secret>,
}

impl Admin {
    /// Listens on `address`, unless strangers could reach it and no token keeps them out.
    pub(crate) fn listen(address: SocketAddr, token: AdminToken) -> Result<Self, Failure> {
        let token = token.secret()?;
        if !address.ip().is_loopback() && token.is_none() {
            return Err(Failure::failed(format!(
                "the admin address {address} is not on loopback, so it needs a token: give TURNO_ADMIN_TOKEN, \
                 --admin-token-file or --admin-token, or listen on 127.0.0.1"
            )));
        }
        Ok(Self {
            listener: daemon::net::listen(address)?,
            token,
        })
    }

    /// Where it listens; the real port where 0 was asked for.
    pub(crate) fn local_addr(&self) -> Result<SocketAddr, Failure> {
        self.listener
            .local_addr()
            .map_err(|error| Failure::of("the admin listener has no address", &error))
    }

    /// Answers until `shutdown`, those who may ask with what `respond` says.
    pub(crate) async fn serve<R, F>(self, respond: R, shutdown: CancellationToken)
    where
        R: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let token = Arc::new(self.token);
        let handler = move |request: Request<Incoming>, _client| {
            let answer =
                allowed(token.as_ref().as_ref(), request.headers()).then(|| respond(request));
            async move {
                match answer {
                    Some(answer) => answer.await,
                    None => unauthorized(),
                }
            }
        };
        daemon::http::serve(self.listener, Limits::default(), handler, shutdown).await;
    }
}

fn unauthorized() -> Reply {
    let mut reply = text(
        StatusCode::UNAUTHORIZED,
        "the admin token is missing or wrong\n",
    );
    reply
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    reply
}

fn allowed(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let given = headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    let given = given.and_then(|value| value.split_at_checked(b"Bearer ".len()));
    given.is_some_and(|(scheme, given)| {
        scheme.eq_ignore_ascii_case(b"Bearer ") && same(given, token.expose().as_bytes())
    })
}

/// Whether two texts are the same, in a time that does not tell where they begin to differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one
        .iter()
        .zip(other)
        .fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    one.len() == other.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let token: Secret = "s3cret".parse().expect("a token");
        let cases = [
            (None, false),
            (Some("Bearer s3cret"), true),
            (Some("bearer s3cret"), true),
            (Some("Bearer s3cre"), false),
            (Some("Bearer s3cretX"), false),
            (Some("Bearer "), false),
            (Some("Basic s3cret"), false),
            (Some("s3cret"), false),
        ];
        for (given, want) in cases {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_static(given));
            }
            assert_eq!(allowed(Some(&token), &headers), want, "{given:?}");
            assert!(allowed(None, &headers), "without a token everybody may ask");
        }
    }

    #[tokio::test]
    async fn strangers_need_a_token() {
        let address = "0.0.0.0:0".parse().expect("a literal");
        let given = |token: Option<&str>, file: Option<PathBuf>| AdminToken {
            admin_token: token.map(|it| it.parse().expect("a token")),
            admin_token_file: file,
        };
        let Err(Failure::Failed(text)) = Admin::listen(address, given(None, None)) else {
            panic!("it listens");
        };
        assert!(text.contains("needs a token"), "{text}");
        assert!(Admin::listen(address, given(Some("t"), None)).is_ok());

        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        for (text, want) in [
            ("s3cret\n", Some("s3cret")),
            ("two words", None),
            ("", None),
        ] {
            std::fs::write(&file, text).expect("written");
            let secret = given(None, Some(file.clone())).secret().ok().flatten();
            assert_eq!(secret.as_ref().map(Secret::expose), want, "{text:?}");
        }
        let both = given(Some("t"), Some(file)).secret().ok().flatten();
        assert_eq!(both.as_ref().map(Secret::expose), Some("t"));
    }
}
