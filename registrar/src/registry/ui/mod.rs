//! `/ui/`: a page for people that reads the registry's own API and changes nothing. One file, nothing from elsewhere; the
//! policy sent with it allows exactly the script and the style that are in it. It shows what strangers registered, and
//! knows nothing of the catalog.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use daemon::http::{Reply, text};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};

const PAGE: &str = include_str!("page.html");

/// The page.
pub(super) fn page() -> Reply {
    let mut reply = text(StatusCode::OK, PAGE);
    let headers = reply.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        // It changes with the program.
        (CACHE_CONTROL, "no-cache"),
        // Names of services and keys stand behind the #, which is never sent, but may come to stand elsewhere.
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::try_from(policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    reply
}

/// Scripts and styles are allowed by what they are, so that none that a name might smuggle in would run.
fn policy() -> String {
    let hash = |tag: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, within(tag).as_bytes());
        STANDARD.encode(digest)
    };
    format!(
        "default-src 'none'; connect-src 'self'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    )
}

/// What stands within the page's only element of that name.
fn within(tag: &str) -> &'static str {
    let begun = PAGE.split_once(&format!("<{tag}>"));
    let ended = begun.and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
    ended.map_or("", |(contents, _)| contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_set_but_text() {
        assert!(within("script").len() > 1000 && within("style").len() > 100);
        assert_eq!(PAGE.matches("<script").count(), 1);
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "new Function",
            "src=",
            "http://",
            "https://",
            "@import",
            "url(",
            "localStorage",
            " on",
            "style=",
        ] {
            let found = PAGE
                .lines()
                .find(|line| line.contains(word) && !is_prose(line, word));
            assert_eq!(found, None, "{word}");
        }
    }

    /// ` on` is for handlers in tags; as a word of a text it is harmless.
    fn is_prose(line: &str, word: &str) -> bool {
        word == " on"
            && !line.contains("onclick")
            && !line.contains("onload")
            && !line.contains("onerror")
    }

    #[test]
    fn it_asks_only_what_there_is_and_changes_nothing() {
        let script = within("script");
        assert!(!script.contains("method:"), "fetch without a method is GET");
        let mut paths = 0;
        for quote in ['"', '`'] {
            for piece in script
                .split(quote)
                .filter(|piece| piece.starts_with("/v1/"))
            {
                let path = piece.split(['?', '$']).next().unwrap_or_default();
                let found = super::super::mux::find(path);
                let super::super::mux::Found::Endpoint(route, _) = found else {
                    panic!("{path} is no endpoint");
                };
                assert!(route.methods.contains(&"GET"), "{path}");
                paths += 1;
            }
        }
        assert!(paths >= 7, "{paths}");
    }

    #[test]
    fn the_policy_names_hashes() {
        let policy = policy();
        assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
