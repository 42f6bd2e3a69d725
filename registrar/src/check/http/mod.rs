//! One run of an HTTP check: a request, its status, and the end of its body as output.
//!
//! Knows nothing of intervals or thresholds; the time limit is set around it. Every run uses a
//! connection of its own, as Consul's does: a check shall find out whether the instance accepts
//! connections, not whether an old one is still open.

use std::error::Error;
use std::sync::Arc;

use consul::types::Status;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{self, Attempt};
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode, Url};
use tokio::sync::OnceCell;

use super::spec::without_password;
use super::tail::Tail;
use super::{Outcome, Tls, reason, target, tls};

/// How many redirects one run follows, each to the same scheme, host and port.
pub const REDIRECTS_MAX: usize = 3;

/// How much of an answer's body is read; the rest is left, and the status alone decides. Far above
/// the output that is kept, and small enough that an endless body costs next to nothing.
pub const BODY_READ_MAX: usize = 1024 * 1024;

/// What Consul's checks send; services tell checks from traffic by it.
const USER_AGENT: &str = "Consul Health Check";
const ACCEPT: &str = "text/plain, text/*, */*";

/// One HTTP check as it was registered.
#[derive(Clone, Copy)]
pub(super) struct HttpCheck<'a> {
    pub(super) url: &'a str,
    pub(super) method: &'a str,
    pub(super) headers: &'a [(String, String)],
    pub(super) body: &'a str,
    pub(super) tls: &'a Tls,
    pub(super) disable_redirects: bool,
    pub(super) output_limit: usize,
}

/// The HTTP clients all checks share, each made when first needed: reading the system's
/// certificates takes time, and a machine without any must still be able to run `http://` checks.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// By whether they verify certificates, then by whether they follow redirects.
    shared: [[OnceCell<Client>; 2]; 2],
    /// For checks that name another server than the one they connect to.
    tls: Arc<tls::Settings>,
}

impl Clients {
    /// Clients that share `tls` with the other kinds of checks.
    pub(super) fn new(tls: Arc<tls::Settings>) -> Self {
        Self {
            shared: Default::default(),
            tls,
        }
    }

    /// Runs one check. Never fails: whatever goes wrong is a critical outcome that says what.
    pub(super) async fn check(&self, check: HttpCheck<'_>) -> Outcome {
        let method = or_get(check.method);
        let url = without_password(check.url);
        match self.request(method, check).await {
            Ok(answer) => Outcome {
                status: status_of(answer.status),
                output: format!("HTTP {method} {url}: {answer}"),
            },
            Err(text) => Outcome::critical(format!("{}: {text}", attempt(method, check.url))),
        }
    }

    async fn request(&self, method: &str, check: HttpCheck<'_>) -> Result<Answer, String> {
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| String::from("invalid method"))?;
        let mut url = target_of(check.url)?;
        let place = place_of(&url);
        let mut headers = headers_of(check.headers)?;
        let secure = url.scheme() == "https";
        let verify = secure && !check.tls.skip_verify;
        let named = secure && !check.tls.server_name.is_empty();
        let client = if named {
            self.named(&mut url, &mut headers, check).await?
        } else {
            self.client(verify, !check.disable_redirects).await?
        };
        let response = client
            .request(method, url)
            .headers(headers)
            .body(check.body.to_owned())
            .send()
            .await
            .map_err(|error| refused(&error, &place).unwrap_or_else(|| reason(&error)))?;
        Answer::read(response, check.output_limit).await
    }

    async fn client(&self, verify: bool, redirects: bool) -> Result<Client, String> {
        let cell = &self.shared[usize::from(verify)][usize::from(redirects)];
        let client = cell.get_or_try_init(|| async move {
            tokio::task::spawn_blocking(move || {
                // Fails when the program has chosen its provider already, which is just as well.
                let _ = rustls::crypto::ring::default_provider().install_default();
                builder(redirects)
                    .tls_danger_accept_invalid_certs(!verify)
                    .build()
            })
            .await
            .map_err(|_| String::from("the HTTP client could not be made"))?
            .map_err(|error| unmade(&error))
        });
        client.await.cloned()
    }

    /// A client for one run of a check that names its TLS server: the URL is made to lead to that name, the name to
    /// the addresses of the check's own host, and the `Host` header stays what it was.
    async fn named(
        &self,
        url: &mut Url,
        headers: &mut HeaderMap,
        check: HttpCheck<'_>,
    ) -> Result<Client, String> {
        let place = place_of(url);
        let addresses = target::resolve(&place)
            .await
            .map_err(|error| format!("dial tcp {place}: {}", reason(&error)))?;
        if !headers.contains_key(header::HOST) {
            let host = match url.port() {
                Some(_) => place,
                None => url.host_str().unwrap_or_default().to_owned(),
            };
            let host = HeaderValue::from_str(&host).map_err(|_| String::from("invalid host"))?;
            headers.insert(header::HOST, host);
        }
        let name = &check.tls.server_name;
        let invalid = || format!("{name:?} is not a server name");
        if name.parse::<std::net::IpAddr>().is_ok() {
            return Err(invalid());
        }
        url.set_host(Some(name)).map_err(|_| invalid())?;
        let config = self.tls.get(!check.tls.skip_verify).await?;
        builder(!check.disable_redirects)
            .tls_backend_preconfigured((*config).clone())
            .resolve_to_addrs(url.host_str().unwrap_or_default(), &addresses)
            .build()
            .map_err(|error| unmade(&error))
    }
}

fn unmade(error: &reqwest::Error) -> String {
    format!("the HTTP client could not be made: {}", reason(error))
}

fn builder(redirects: bool) -> ClientBuilder {
    let policy = if redirects {
        redirect::Policy::custom(follow)
    } else {
        redirect::Policy::none()
    };
    Client::builder()
        .dns_resolver(target::Resolver)
        .redirect(policy)
        .referer(false)
        .retry(reqwest::retry::never())
        .http1_only()
        // A proxy named by the environment is for the program's own calls, not for checks.
        .no_proxy()
        .pool_max_idle_per_host(0)
}

/// Follows a redirect only to where the check was sent in the first place. One that is not
/// followed is the answer, and being 3xx it is critical.
fn follow(attempt: Attempt<'_>) -> redirect::Action {
    let same_place = attempt.previous().first().is_some_and(|first| {
        let next = attempt.url();
        first.scheme() == next.scheme()
            && first.host_str() == next.host_str()
            && first.port_or_known_default() == next.port_or_known_default()
    });
    if same_place && attempt.previous().len() <= REDIRECTS_MAX {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn target_of(url: &str) -> Result<Url, String> {
    let url = Url::parse(url).map_err(|error| format!("invalid URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("unsupported protocol scheme \"{}\"", url.scheme()));
    }
    // Names are judged when they are resolved; an address in the URL never is.
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse() {
        Ok(ip) if target::is_refused(ip) => Err(target::refusal(ip)),
        _ => Ok(url),
    }
}

fn headers_of(given: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("invalid header name {name:?}"))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of header {name} cannot be sent"))?;
        headers.append(key, value);
    }
    for (name, value) in [(header::USER_AGENT, USER_AGENT), (header::ACCEPT, ACCEPT)] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}

fn status_of(status: StatusCode) -> Status {
    match status {
        _ if status.is_success() => Status::Passing,
        StatusCode::TOO_MANY_REQUESTS => Status::Warning,
        _ => Status::Critical,
    }
}

/// Where a URL leads, as `host:port`.
fn place_of(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// The text for a connection that the system would not make, in the form that Consul gives it.
fn refused(error: &reqwest::Error, place: &str) -> Option<String> {
    let mut cause = error.source().filter(|_| error.is_connect());
    while let Some(error) = cause {
        if let Some(system) = error.downcast_ref::<std::io::Error>()
            && system.raw_os_error().is_some()
        {
            return Some(format!("dial tcp {place}: connect: {}", reason(system)));
        }
        cause = error.source();
    }
    None
}

fn or_get(method: &str) -> &str {
    if method.is_empty() { "GET" } else { method }
}

/// How the text of a failed request begins, as Consul's does: `Get "http://127.0.0.1:1"`.
pub(super) fn attempt(method: &str, url: &str) -> String {
    let mut letters = or_get(method).chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let rest = letters.map(|letter| letter.to_ascii_lowercase());
    let method: String = first.into_iter().chain(rest).collect();
    format!("{method} \"{}\"", without_password(url))
}

/// An answer as a check's output shows it.
struct Answer {
    status: StatusCode,
    /// Where a redirect that was not followed led.
    leads_elsewhere: Option<String>,
    body: String,
}

impl Answer {
    async fn read(mut response: Response, output_limit: usize) -> Result<Self, String> {
        let status = response.status();
        let location = response
            .headers()
            .get(header::LOCATION)
            .filter(|_| status.is_redirection());
        let leads_elsewhere =
            location.map(|to| without_password(&String::from_utf8_lossy(to.as_bytes())));
        let mut tail = Tail::new(output_limit);
        let mut read = 0;
        while read < BODY_READ_MAX {
            match response.chunk().await.map_err(|error| reason(&error))? {
                Some(chunk) => {
                    read += chunk.len();
                    tail.push(&chunk);
                }
                None => break,
            }
        }
        Ok(Self {
            status,
            leads_elsewhere,
            body: tail.into_text(),
        })
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.status.as_u16();
        write!(
            f,
            "{code} {}",
            self.status.canonical_reason().unwrap_or_default()
        )?;
        if let Some(location) = &self.leads_elsewhere {
            write!(f, " (redirect to {location:.200} not followed)")?;
        }
        write!(f, " Output: {}", self.body)
    }
}

#[cfg(test)]
mod tests;
