//! The admin listener: who may ask, before anything is answered.
//!
//! On loopback everybody on this machine may; anywhere else a token is needed, and without one turno
//! refuses to start. What the pages say is the business of whoever is given as their source.

use std::{future::Future, hint::black_box, net::SocketAddr, sync::Arc};

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
    pub(crate) admin_token: Option<Secret>,
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
        let token = token.admin_token;
        if !address.ip().is_loopback() && token.is_none() {
            return Err(Failure::failed(format!(
                "the admin address {address} is not on loopback, so it needs a token: give --admin-token \
                 or TURNO_ADMIN_TOKEN, or listen on 127.0.0.1"
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
        let Err(Failure::Failed(text)) = Admin::listen(address, AdminToken { admin_token: None })
        else {
            panic!("it listens");
        };
        assert!(text.contains("needs a token"), "{text}");
        let token = AdminToken {
            admin_token: "t".parse().ok(),
        };
        assert!(Admin::listen(address, token).is_ok());
    }
}
