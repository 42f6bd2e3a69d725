//! Why a request was not proxied, and the answer the client gets for it.

use std::io;

use crate::config::Limits;
use crate::observe::Failure;
use crate::pool::Upstream;

/// A request that no upstream answers. Each becomes one line of text, and a status code in [`ProxyError::status`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// The client's message is not one we pass on.
    #[error("{reason}")]
    Refused { status: u16, reason: &'static str },
    /// No route matches.
    #[error("no route for this host and path")]
    NoRoute,
    /// The service has nobody to answer.
    #[error("service {service} has no endpoint in rotation")]
    NoEndpoint { service: String },
    /// Nobody could be reached.
    #[error("cannot connect to {upstream}: {source}")]
    Connect { upstream: String, source: io::Error },
    /// The upstream went away before it answered.
    #[error("{upstream} closed the connection before it answered")]
    Closed { upstream: String },
    /// The upstream's answer is not HTTP that can be passed on.
    #[error("{upstream} gave an answer that is not valid HTTP: {reason}")]
    BadAnswer {
        upstream: String,
        reason: &'static str,
    },
    /// No answer in time.
    #[error("{upstream} did not answer within {seconds} s")]
    Late { upstream: String, seconds: f32 },
    /// The client did not wait. Who has only closed one side can still read this.
    #[error("the connection was closed on the client's side before the answer")]
    ClientLeft,
}

impl ProxyError {
    pub(crate) fn closed(upstream: &Upstream) -> Self {
        Self::Closed {
            upstream: name(upstream),
        }
    }

    pub(crate) fn bad_answer(upstream: &Upstream, reason: &'static str) -> Self {
        Self::BadAnswer {
            upstream: name(upstream),
            reason,
        }
    }

    pub(crate) fn late(upstream: &Upstream, limits: &Limits) -> Self {
        Self::Late {
            upstream: name(upstream),
            seconds: limits.response.as_secs_f32(),
        }
    }

    pub(crate) fn connect(upstream: &Upstream, source: io::Error) -> Self {
        Self::Connect {
            upstream: name(upstream),
            source,
        }
    }

    /// The status code of the answer.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Refused { status, .. } => *status,
            Self::NoRoute => 404,
            Self::NoEndpoint { .. } => 503,
            Self::Connect { .. } | Self::Closed { .. } | Self::BadAnswer { .. } => 502,
            Self::Late { .. } => 504,
            // No registered code says so; this is the one that nginx logs.
            Self::ClientLeft => 499,
        }
    }

    /// What it is counted as.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Refused { .. } => Failure::BadRequest,
            Self::NoRoute => Failure::NoRoute,
            Self::NoEndpoint { .. } => Failure::NoEndpoint,
            Self::Connect { .. } => Failure::Connect,
            Self::Closed { .. } | Self::BadAnswer { .. } => Failure::UpstreamAnswer,
            Self::Late { .. } => Failure::Deadline,
            Self::ClientLeft => Failure::ClientLeft,
        }
    }

    /// The whole answer. `body` is false for HEAD; `close` says that the connection ends with it.
    pub(crate) fn answer(&self, body: bool, close: bool) -> Vec<u8> {
        let status = self.status();
        let text = format!("{status} {}: {self}\n", reason_phrase(status));
        let mut answer = format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n",
            reason_phrase(status),
            text.len()
        );
        answer.push_str(if close {
            "connection: close\r\n\r\n"
        } else {
            "\r\n"
        });
        if body {
            answer.push_str(&text);
        }
        answer.into_bytes()
    }
}

/// An upstream as a client may know it: the instance's id. Its address stays ours.
fn name(upstream: &Upstream) -> String {
    upstream.id().to_string()
}

/// The reason phrases of the codes the balancer itself answers with (RFC 9110 §15, but for 499).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        499 => "Client Closed Request",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_which_failure_it_is() {
        let error = ProxyError::NoEndpoint {
            service: "web".into(),
        };
        let answer = String::from_utf8(error.answer(true, false)).expect("text");
        assert!(
            answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{answer}"
        );
        assert!(
            answer.ends_with(
                "\r\n\r\n503 Service Unavailable: service web has no endpoint in rotation\n"
            ),
            "{answer}"
        );
        let head = String::from_utf8(ProxyError::NoRoute.answer(false, true)).expect("text");
        assert!(head.ends_with("connection: close\r\n\r\n"), "{head}");
    }
}
