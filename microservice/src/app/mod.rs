//! The service itself: routes, and what becomes of a request.
//!
//! [`App::handle`] needs no socket; [`App::serve`] puts a listener before it.

use std::any::Any;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use daemon::http::{BodyError, Limits, Reply, read_body, text};
use futures_util::FutureExt;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::metrics::Metrics;
use crate::pattern::SEGMENTS_MAX;
use crate::percent::decode;
use crate::routes::{Found, Route, RouteError, Routes};
use crate::{IntoReply, Request};

/// An HTTP service: a name, routes, limits.
///
/// A route that cannot be registered is remembered; [`App::check`] and [`App::serve`] return the
/// first such mistake, so that routes can be written as one chain.
pub struct App {
    name: String,
    routes: Routes,
    mistake: Option<RouteError>,
    limits: Limits,
    metrics: Option<Arc<Metrics>>,
}

impl App {
    /// A service without routes, with the default limits.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            routes: Routes::default(),
            mistake: None,
            limits: Limits::default(),
            metrics: None,
        }
    }

    /// Replaces the limits on connections, heads, bodies and the time to end.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Counts requests, and shows the numbers to Prometheus at this path.
    #[must_use]
    pub fn metrics(mut self, pattern: &str) -> Self {
        let name = &self.name;
        let metrics = Arc::clone(
            self.metrics
                .get_or_insert_with(|| Arc::new(Metrics::new(name))),
        );
        self.get(pattern, move |_| {
            let metrics = Arc::clone(&metrics);
            async move { metrics.page() }
        })
    }

    /// Registers a handler. A pattern is a path whose segments may be parameters: `/users/{id}`.
    /// Where several patterns match, literal segments win over parameters, from the left.
    #[must_use]
    pub fn route<H, F, R>(mut self, method: Method, pattern: &str, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: IntoReply,
    {
        let handler = Arc::new(handler);
        let boxed = Box::new(move |request| {
            let handler = Arc::clone(&handler);
            // The call stands inside, so that a panic before the first await is caught as well.
            async move { handler(request).await.into_reply() }.boxed()
        });
        if let Err(mistake) = self.routes.add(method, pattern, boxed) {
            self.mistake.get_or_insert(mistake);
        }
        self
    }

    /// Registers a handler for `GET`, and so for `HEAD`.
    #[must_use]
    pub fn get<H, F, R>(self, pattern: &str, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: IntoReply,
    {
        self.route(Method::GET, pattern, handler)
    }

    /// Registers a handler for `POST`.
    #[must_use]
    pub fn post<H, F, R>(self, pattern: &str, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: IntoReply,
    {
        self.route(Method::POST, pattern, handler)
    }

    /// Registers a handler for `PUT`.
    #[must_use]
    pub fn put<H, F, R>(self, pattern: &str, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: IntoReply,
    {
        self.route(Method::PUT, pattern, handler)
    }

    /// Registers a handler for `DELETE`.
    #[must_use]
    pub fn delete<H, F, R>(self, pattern: &str, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: IntoReply,
    {
        self.route(Method::DELETE, pattern, handler)
    }

    /// Whether every route could be registered.
    ///
    /// # Errors
    ///
    /// The first route that could not, and why.
    pub fn check(&self) -> Result<(), RouteError> {
        self.mistake.clone().map_or(Ok(()), Err)
    }

    /// Serves until `shutdown`, then finishes the requests in flight within the limit and returns.
    ///
    /// # Errors
    ///
    /// What [`App::check`] returns, before anything is served.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), RouteError> {
        self.check()?;
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let local = listener.local_addr().unwrap_or(unknown);
        info!(service = self.name, address = %local, "listening");
        let limits = self.limits.clone();
        let app = Arc::new(self);
        let handler = move |request, peer| {
            let app = Arc::clone(&app);
            async move { app.receive(request, peer, local).await }
        };
        daemon::http::serve(listener, limits, handler, shutdown).await;
        Ok(())
    }

    async fn receive(
        &self,
        request: http::Request<Incoming>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Reply {
        let (head, body) = request.into_parts();
        match read_body(body, self.limits.body_bytes).await {
            Ok(body) => {
                let request = http::Request::from_parts(head, body);
                self.handle(Request::new(request, peer, local)).await
            }
            Err(error) => {
                let status = match error {
                    BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                    BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
                    BodyError::Broken(_) => StatusCode::BAD_REQUEST,
                };
                text(status, format!("{error}\n"))
            }
        }
    }

    /// Answers one request. Never fails and never panics: whatever goes wrong is a reply.
    pub async fn handle(&self, request: Request) -> Reply {
        let in_flight = self.metrics.as_ref().map(Metrics::start);
        let (method, path) = (request.method().clone(), request.path().to_owned());
        let (route, reply) = self.dispatch(request).await;
        let template = route.map(|route| route.pattern.template());
        let reply = finished(&method, reply);
        if let Some(in_flight) = in_flight {
            in_flight.answered(template, reply.status());
        }
        debug!(service = self.name, %method, path, status = reply.status().as_u16(), "answered");
        reply
    }

    async fn dispatch(&self, request: Request) -> (Option<&Route>, Reply) {
        let Some(path) = segments(request.path()) else {
            let reply = text(StatusCode::BAD_REQUEST, "the path has a broken escape\n");
            return (None, reply);
        };
        match self.routes.find(request.method(), &path) {
            Found::Route(route, params) => (
                Some(route),
                self.call(route, request.with_params(params)).await,
            ),
            Found::WrongMethod(allow) => (None, wrong_method(request.method(), &allow)),
            Found::Nothing => (None, text(StatusCode::NOT_FOUND, "no such page\n")),
        }
    }

    async fn call(&self, route: &Route, request: Request) -> Reply {
        match AssertUnwindSafe((route.handler)(request))
            .catch_unwind()
            .await
        {
            Ok(reply) => reply,
            Err(panic) => {
                let (method, route) = (&route.method, route.pattern.template());
                let reason = panic_text(panic.as_ref());
                error!(service = self.name, %method, route, reason, "a handler panicked");
                text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
            }
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The decoded segments of a path; none at all for `/`. `None` if an escape is broken.
fn segments(path: &str) -> Option<Vec<String>> {
    match path.strip_prefix('/') {
        Some("") => Some(Vec::new()),
        // One more than any pattern has is enough to match nothing.
        Some(rest) => rest
            .split('/')
            .take(SEGMENTS_MAX + 1)
            .map(|s| decode(s, false))
            .collect(),
        // `OPTIONS *`: a segment no pattern can have.
        None => Some(vec![String::new()]),
    }
}

fn wrong_method(method: &Method, allow: &str) -> Reply {
    let body = format!("method {method} not allowed; allowed: {allow}\n");
    let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, body);
    if let Ok(allow) = HeaderValue::from_str(allow) {
        reply.headers_mut().insert(header::ALLOW, allow);
    }
    reply
}

/// The reply as it may go out for this method.
fn finished(method: &Method, mut reply: Reply) -> Reply {
    if reply.status().is_informational() {
        error!(
            status = reply.status().as_u16(),
            "a handler returned an interim status"
        );
        reply = text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n");
    }
    if *method == Method::HEAD {
        let length = reply.body().size_hint().exact().unwrap_or(0);
        *reply.body_mut() = Full::new(Bytes::new());
        reply
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    reply
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

#[cfg(test)]
mod tests;
