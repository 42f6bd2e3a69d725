//! What endpoints return, and how it becomes an HTTP reply: Consul's headers, JSON as Go writes it, bare text errors.
//! It does not know any endpoint.

use bytes::Bytes;
use daemon::http::Reply;
use http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, VARY,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::gzip;
use super::request::Consistency;
use crate::catalog::CatalogError;
use crate::durable::NotKept;

const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
const CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");

/// An answer on its way to becoming a reply.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) content_type: Option<&'static str>,
    pub(super) body: Bytes,
    /// Whether the body is packed already.
    pub(super) packed: bool,
    /// Not that it depends on what the client accepts: it never came to that.
    pub(super) bare: bool,
}

/// A refusal: a status and a line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// Consul sends index headers with some errors of queries.
    far: bool,
}

impl Answer {
    /// 200 and nothing else, as the agent endpoints answer writes.
    pub(super) fn empty() -> Answer {
        Answer {
            status: StatusCode::OK,
            headers: Vec::new(),
            content_type: None,
            body: Bytes::new(),
            packed: false,
            bare: false,
        }
    }

    /// Without the header `Vary`.
    pub(super) fn without_vary(self) -> Answer {
        Answer { bare: true, ..self }
    }

    /// A JSON body made elsewhere.
    pub(super) fn json(body: Bytes) -> Answer {
        Answer {
            content_type: Some("application/json"),
            body,
            ..Answer::empty()
        }
    }

    /// A plain text body.
    pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Answer {
        Answer {
            status,
            content_type: Some("text/plain"),
            body: Bytes::from(body.into()),
            ..Answer::empty()
        }
    }

    pub(super) fn status(mut self, status: StatusCode) -> Answer {
        self.status = status;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers
            .push((HeaderName::from_static(name), value.into()));
        self
    }

    /// The headers of a query: its index, and how fresh it is.
    pub(super) fn indexed(mut self, index: u64, consistency: Option<Consistency>) -> Answer {
        self.headers.push((INDEX, index.max(1).to_string()));
        self.headers.push((KNOWN_LEADER, "true".to_owned()));
        self.headers.push((LAST_CONTACT, "0".to_owned()));
        if let Some(consistency) = consistency {
            self.headers
                .push((CONSISTENCY, consistency.as_str().to_owned()));
        }
        self
    }

    /// `gzip`: the asker takes a body packed so.
    pub(super) fn into_reply(mut self, gzip: bool) -> Reply {
        if gzip
            && !self.packed
            && !self.body.is_empty()
            && let Some(packed) = gzip::compress(&self.body)
        {
            self.body = packed;
            self.packed = true;
        }
        let mut reply = Response::new(Full::new(self.body));
        *reply.status_mut() = self.status;
        let headers = reply.headers_mut();
        if !self.bare {
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if self.packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(content_type) = self.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in self.headers {
            // A value from a request may hold what a header cannot; the header is then left out.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        reply
    }
}

impl Failure {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Failure {
        Failure {
            status,
            text: text.into(),
            far: false,
        }
    }

    /// 400.
    pub(super) fn invalid(text: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, text)
    }

    /// 404.
    pub(super) fn not_found(text: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, text)
    }

    /// 500, which Consul uses for most of what it will not do.
    pub(super) fn failed(text: impl Into<String>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// 403, as Consul refuses what a token does not allow.
    pub(super) fn denied() -> Failure {
        Failure::new(StatusCode::FORBIDDEN, "Permission denied")
    }

    /// 403, as Consul's agent refuses a write and says what it would take.
    pub(super) fn missing(right: &str, name: &str) -> Failure {
        let text = format!("Permission denied: Missing {right} on {name}");
        Failure::new(StatusCode::FORBIDDEN, text)
    }

    /// 403, for a token nobody has.
    pub(super) fn unknown_token() -> Failure {
        Failure::new(StatusCode::FORBIDDEN, "ACL not found")
    }

    pub(super) fn no_path_to_datacenter() -> Failure {
        Failure::failed("No path to datacenter").with_index()
    }

    /// Sends the headers of a query that was answered by nobody.
    pub(super) fn with_index(self) -> Failure {
        Failure { far: true, ..self }
    }

    /// A token nobody has is told so by the server, which sends the headers of a query with it.
    pub(super) fn far_if_denied(self) -> Failure {
        let far = self.far || self.status == StatusCode::FORBIDDEN;
        Failure { far, ..self }
    }

    /// Sends no index headers.
    pub(super) fn without_index(self) -> Failure {
        Failure { far: false, ..self }
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Failure {
        let text = error.to_string();
        match error {
            CatalogError::Invalid(_) => Failure::invalid(text),
            CatalogError::NotFound(_) => Failure::not_found(text),
            CatalogError::Failed(_) => Failure::failed(text),
        }
    }
}

impl From<NotKept> for Failure {
    fn from(error: NotKept) -> Failure {
        Failure::failed(error.to_string())
    }
}

impl From<super::body::BodyError> for Failure {
    fn from(error: super::body::BodyError) -> Failure {
        Failure::invalid(error.to_string())
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Answer {
        let answer = Answer {
            content_type: Some("text/plain; charset=utf-8"),
            ..Answer::text(failure.status, failure.text)
        };
        if !failure.far {
            return answer;
        }
        answer
            .header("x-consul-index", "1")
            .header("x-consul-knownleader", "false")
            .header("x-consul-lastcontact", "0")
    }
}

/// 404 without a word, for paths nobody serves.
pub(super) fn nothing() -> Reply {
    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() = StatusCode::NOT_FOUND;
    reply
}

/// 301 to another path of this server, with the query as it was.
pub(super) fn moved(method: &http::Method, path: &str, query: Option<&str>) -> Reply {
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let link = target.replace('&', "&amp;").replace('"', "&#34;");
    let link = link.replace('<', "&lt;").replace('>', "&gt;");
    let page = format!("<a href=\"{link}\">Moved Permanently</a>.\n\n");
    // Go's server says it in a page only to who reads pages.
    let is_read = method == http::Method::GET;
    let mut reply = Response::new(Full::new(Bytes::from(if is_read {
        page
    } else {
        String::new()
    })));
    // A target that no header can hold cannot come out of a request's own path.
    if let Ok(value) = HeaderValue::try_from(target) {
        *reply.status_mut() = StatusCode::MOVED_PERMANENTLY;
        reply.headers_mut().insert(LOCATION, value);
        if is_read {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            reply.headers_mut().insert(CONTENT_TYPE, html);
        }
    }
    reply
}

/// The answer to OPTIONS, or to a method the endpoint does not have.
pub(super) fn methods(allowed: &[&str], refused: Option<&http::Method>, gzip: bool) -> Reply {
    let mut answer = match refused {
        None => Answer::empty(),
        Some(method) => Answer::from(Failure::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("method {method} not allowed"),
        )),
    };
    let list: Vec<&str> = ["OPTIONS"]
        .into_iter()
        .chain(allowed.iter().copied())
        .collect();
    answer.headers.push((ALLOW, list.join(",")));
    answer.into_reply(gzip)
}

/// JSON as Consul writes it: compact, or indented by four with a final newline; `<`, `>` and `&` escaped.
pub(super) fn to_json(value: &impl Serialize, pretty: bool) -> Result<Bytes, Failure> {
    let mut text = Vec::with_capacity(256);
    let written = if pretty {
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, indent);
        value.serialize(&mut serializer)
    } else {
        serde_json::to_writer(&mut text, value)
    };
    written.map_err(|error| Failure::failed(format!("cannot write the answer: {error}")))?;
    if pretty {
        text.push(b'\n');
    }
    Ok(escape_html(text).into())
}

/// Outside of strings JSON has none of these characters, so they can be replaced wherever they are.
fn escape_html(text: Vec<u8>) -> Vec<u8> {
    let odd = |byte: &u8| matches!(byte, b'<' | b'>' | b'&');
    if !text.iter().any(odd) {
        return text;
    }
    let mut escaped = Vec::with_capacity(text.len() + 64);
    for byte in text {
        match byte {
            b'<' => escaped.extend_from_slice(b"\\u003c"),
            b'>' => escaped.extend_from_slice(b"\\u003e"),
            b'&' => escaped.extend_from_slice(b"\\u0026"),
            byte => escaped.push(byte),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_go_does() {
        let value = serde_json::json!({"a": ["<&>"], "b": []});
        let compact = to_json(&value, false).expect("JSON");
        assert_eq!(&compact[..], br#"{"a":["\u003c\u0026\u003e"],"b":[]}"#);
        let pretty = to_json(&value, true).expect("JSON");
        assert_eq!(
            &pretty[..],
            b"{\n    \"a\": [\n        \"\\u003c\\u0026\\u003e\"\n    ],\n    \"b\": []\n}\n"
        );
    }
}
