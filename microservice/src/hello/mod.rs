//! `hello`: the service that says who answered.
//!
//! For trying out a balancer and for showing one to others: it can be slowed, failed and looked
//! through on request. Whoever can reach it can do so; it is a demonstration, not a model of what
//! to expose. It does not know that a registry or a balancer exists.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | one line that names the instance |
//! | `GET /health` | 200 `{"status":"passing","instance":…}`, or 503 and `critical` after a `fail` |
//! | `POST` or `PUT /health/fail`, `/health/pass` | from now on `/health` fails, or passes again; all else goes on |
//! | `GET /sleep/{ms}` | the same line after that many milliseconds, at most [`SLEEP_MAX`] |
//! | `GET /status/{code}` | that status, 200 to 599 |
//! | `POST` or `PUT /echo` | the body it was sent, with its content type |
//! | `GET /headers` | the headers it was sent, as JSON: what the balancer has added |
//! | `GET /metrics` | numbers for Prometheus |

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;

use crate::{App, IntoReply, Json, Rejection, Reply, Request};

/// The longest `/sleep/{ms}`: longer than any deadline one may want to see passed, short enough
/// that forgotten requests do not pile up.
pub const SLEEP_MAX: Duration = Duration::from_secs(60);

/// What the line begins with when no message is given.
const GREETING: &str = "Hello";

/// Who this copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The instance's name, as registered.
    pub instance: String,
    /// Stands for the word `Hello` in the line. Line breaks in it become spaces.
    pub message: Option<String>,
}

/// The service.
pub fn app(config: Config) -> App {
    let hello = Arc::new(Hello::new(config));
    // Each handler gets its own handle on the one state.
    let with = |run: fn(&Hello, Request) -> Reply| {
        let hello = Arc::clone(&hello);
        move |request| {
            let reply = run(&hello, request);
            async move { reply }
        }
    };
    let sleeper = Arc::clone(&hello);
    let mut app = App::new("hello")
        .get(
            "/",
            with(|hello, request| hello.line(request.local()).into_reply()),
        )
        .get("/health", with(|hello, _| hello.health()))
        .get("/sleep/{ms}", move |request| {
            sleep(Arc::clone(&sleeper), request)
        })
        .get(
            "/status/{code}",
            with(|_, request| status(&request).into_reply()),
        )
        .get(
            "/headers",
            with(|_, request| Json(headers(request.headers())).into_reply()),
        )
        .metrics("/metrics");
    for method in [Method::POST, Method::PUT] {
        app = app
            .route(
                method.clone(),
                "/health/fail",
                with(|hello, _| hello.set_failing(true)),
            )
            .route(
                method.clone(),
                "/health/pass",
                with(|hello, _| hello.set_failing(false)),
            )
            .route(method, "/echo", with(|_, request| echo(&request)));
    }
    app
}

#[derive(Debug)]
struct Hello {
    instance: String,
    greeting: String,
    failing: AtomicBool,
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    instance: &'a str,
}

impl Hello {
    fn new(config: Config) -> Self {
        let greeting = config.message.unwrap_or_else(|| GREETING.to_owned());
        let greeting = greeting.replace(char::is_control, " ");
        Self {
            instance: config.instance,
            greeting,
            failing: AtomicBool::new(false),
        }
    }

    fn line(&self, address: SocketAddr) -> String {
        let Self {
            greeting, instance, ..
        } = self;
        format!("{greeting} from {instance} ({address})\n")
    }

    fn health(&self) -> Reply {
        let (code, status) = if self.failing.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "critical")
        } else {
            (StatusCode::OK, "passing")
        };
        (
            code,
            Json(Health {
                status,
                instance: &self.instance,
            }),
        )
            .into_reply()
    }

    fn set_failing(&self, failing: bool) -> Reply {
        self.failing.store(failing, Ordering::Relaxed);
        let health = if failing { "critical" } else { "passing" };
        format!("{} is {health} from now on\n", self.instance).into_reply()
    }
}

async fn sleep(hello: Arc<Hello>, request: Request) -> Result<String, Rejection> {
    let ms: u64 = request.param("ms")?;
    let time = Duration::from_millis(ms);
    if time > SLEEP_MAX {
        return Err(Rejection::Param {
            name: "ms".into(),
            value: ms.to_string(),
            reason: format!("at most {}", SLEEP_MAX.as_millis()),
        });
    }
    tokio::time::sleep(time).await;
    Ok(hello.line(request.local()))
}

/// A final status; an interim one (1xx) would leave the client waiting for the real answer.
fn status(request: &Request) -> Result<(StatusCode, String), Rejection> {
    let code: u16 = request.param("code")?;
    match StatusCode::from_u16(code) {
        Ok(status) if (200..=599).contains(&code) => Ok((
            status,
            format!(
                "{code} {}\n",
                status.canonical_reason().unwrap_or("(no name)")
            ),
        )),
        _ => Err(Rejection::Param {
            name: "code".into(),
            value: code.to_string(),
            reason: "a final status is 200 to 599".into(),
        }),
    }
}

fn echo(request: &Request) -> Reply {
    let mut reply = request.body().clone().into_reply();
    if let Some(kind) = request.headers().get(header::CONTENT_TYPE) {
        reply
            .headers_mut()
            .insert(header::CONTENT_TYPE, kind.clone());
    }
    reply
}

/// Every header with all its values, in the order of names.
fn headers(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut shown = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        shown.entry(name.as_str()).or_default().push(value);
    }
    shown
}

#[cfg(test)]
mod tests;
