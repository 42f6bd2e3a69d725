//! The table of routes: which handler answers a method and a path.
//!
//! Pure. Knows nothing of sockets, bodies or replies.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use http::Method;

use crate::pattern::{Pattern, PatternError};
use crate::{Reply, Request};

pub(crate) type Handler = Box<dyn Fn(Request) -> BoxFuture<'static, Reply> + Send + Sync>;

/// Why a route cannot be part of a service. A mistake in the program, found when it starts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The pattern is malformed.
    #[error("route {method} {pattern}: {problem}")]
    Pattern {
        /// The route's method.
        method: Method,
        /// The pattern as it was written.
        pattern: String,
        /// What is wrong with it.
        problem: PatternError,
    },
    /// Another route of the same method matches exactly the same paths.
    #[error("route {method} {pattern}: it is the same as {method} {earlier}, registered before")]
    Twice {
        /// The method of both.
        method: Method,
        /// The later one.
        pattern: String,
        /// The earlier one; may differ in the names of parameters.
        earlier: String,
    },
}

pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) pattern: Pattern,
    pub(crate) handler: Handler,
}

/// Routes in the order in which they are asked.
#[derive(Default)]
pub(crate) struct Routes(Vec<Route>);

/// What the table says about a request.
pub(crate) enum Found<'a> {
    /// This route, with the values of its parameters.
    Route(&'a Route, Vec<(String, String)>),
    /// The path exists, with other methods: those of the `Allow` header.
    WrongMethod(String),
    /// There is no such path.
    Nothing,
}

impl Routes {
    pub(crate) fn add(
        &mut self,
        method: Method,
        pattern: &str,
        handler: Handler,
    ) -> Result<(), RouteError> {
        let pattern = Pattern::parse(pattern).map_err(|problem| RouteError::Pattern {
            method: method.clone(),
            pattern: pattern.to_owned(),
            problem,
        })?;
        let same = |route: &&Route| route.pattern.precedence(&pattern).is_eq();
        if let Some(earlier) = self
            .0
            .iter()
            .filter(same)
            .find(|route| route.method == method)
        {
            return Err(RouteError::Twice {
                method,
                pattern: pattern.template().to_owned(),
                earlier: earlier.pattern.template().to_owned(),
            });
        }
        let place = self
            .0
            .partition_point(|route| route.pattern.precedence(&pattern).is_le());
        self.0.insert(
            place,
            Route {
                method,
                pattern,
                handler,
            },
        );
        Ok(())
    }

    /// Finds the route for a path, given as decoded segments. Of the patterns that match, the most
    /// literal one with the right method answers. `HEAD` is answered by `GET` unless it has a
    /// route of its own.
    pub(crate) fn find(&self, method: &Method, path: &[String]) -> Found<'_> {
        let matching: Vec<_> = self
            .0
            .iter()
            .filter_map(|route| route.pattern.matches(path).map(|params| (route, params)))
            .collect();
        if matching.is_empty() {
            return Found::Nothing;
        }
        let with = |method: &Method| {
            let mut routes = matching.iter();
            routes.find(|(route, _)| route.method == *method).cloned()
        };
        let found = with(method).or_else(|| {
            (*method == Method::HEAD)
                .then(|| with(&Method::GET))
                .flatten()
        });
        match found {
            Some((route, params)) => Found::Route(route, params),
            None => Found::WrongMethod(allowed(matching.iter().map(|(route, _)| &route.method))),
        }
    }
}

fn allowed<'a>(methods: impl Iterator<Item = &'a Method>) -> String {
    let mut names: BTreeSet<&str> = methods.map(Method::as_str).collect();
    if names.contains("GET") {
        names.insert("HEAD");
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IntoReply;

    fn add(routes: &mut Routes, method: Method, pattern: &str) -> Result<(), RouteError> {
        routes.add(
            method,
            pattern,
            Box::new(|_| Box::pin(async { "".into_reply() })),
        )
    }

    fn table(of: &[(Method, &str)]) -> Routes {
        let mut routes = Routes::default();
        for (method, pattern) in of {
            add(&mut routes, method.clone(), pattern).expect("a good route");
        }
        routes
    }

    fn found(routes: &Routes, method: Method, path: &str) -> String {
        let segments: Vec<String> = path
            .split('/')
            .skip(1)
            .filter(|_| path != "/")
            .map(str::to_owned)
            .collect();
        match routes.find(&method, &segments) {
            Found::Route(route, params) => {
                let params: Vec<_> = params.iter().map(|(n, v)| format!(" {n}={v}")).collect();
                format!(
                    "{} {}{}",
                    route.method,
                    route.pattern.template(),
                    params.concat()
                )
            }
            Found::WrongMethod(allow) => format!("405 {allow}"),
            Found::Nothing => "404".into(),
        }
    }

    #[test]
    fn a_route_is_found_by_method_and_path() {
        let routes = table(&[
            (Method::GET, "/"),
            (Method::GET, "/users/{id}"),
            (Method::DELETE, "/users/{id}"),
            (Method::POST, "/users"),
        ]);
        assert_eq!(found(&routes, Method::GET, "/"), "GET /");
        assert_eq!(
            found(&routes, Method::GET, "/users/7"),
            "GET /users/{id} id=7"
        );
        assert_eq!(
            found(&routes, Method::DELETE, "/users/7"),
            "DELETE /users/{id} id=7"
        );
        assert_eq!(
            found(&routes, Method::PUT, "/users/7"),
            "405 DELETE, GET, HEAD"
        );
        assert_eq!(found(&routes, Method::GET, "/users"), "405 POST");
        assert_eq!(found(&routes, Method::GET, "/nobody"), "404");
    }

    #[test]
    fn the_most_literal_pattern_answers_in_whatever_order_they_were_registered() {
        let mut of = [
            (Method::GET, "/users/{id}"),
            (Method::GET, "/users/me"),
            (Method::GET, "/{any}/me"),
            (Method::POST, "/{any}/{thing}"),
        ];
        for _ in 0..of.len() {
            of.rotate_left(1);
            let routes = table(&of);
            assert_eq!(found(&routes, Method::GET, "/users/me"), "GET /users/me");
            assert_eq!(
                found(&routes, Method::GET, "/users/x"),
                "GET /users/{id} id=x"
            );
            assert_eq!(found(&routes, Method::GET, "/a/me"), "GET /{any}/me any=a");
            // A more literal pattern without the method does not hide one that has it.
            let posted = found(&routes, Method::POST, "/users/me");
            assert_eq!(posted, "POST /{any}/{thing} any=users thing=me");
        }
    }

    #[test]
    fn head_is_answered_by_get_unless_it_has_a_route() {
        let routes = table(&[
            (Method::GET, "/a"),
            (Method::GET, "/b"),
            (Method::HEAD, "/b"),
        ]);
        assert_eq!(found(&routes, Method::HEAD, "/a"), "GET /a");
        assert_eq!(found(&routes, Method::HEAD, "/b"), "HEAD /b");
    }

    #[test]
    fn the_same_route_twice_is_an_error_that_names_both() {
        let mut routes = table(&[(Method::GET, "/users/{id}")]);
        let error = add(&mut routes, Method::GET, "/users/{name}").expect_err("the same paths");
        let text = error.to_string();
        assert!(
            text.contains("GET /users/{name}") && text.contains("GET /users/{id}"),
            "{text}"
        );
        assert_eq!(add(&mut routes, Method::PUT, "/users/{name}"), Ok(()));
        assert_eq!(add(&mut routes, Method::GET, "/users/me"), Ok(()));
    }

    #[test]
    fn a_malformed_pattern_is_an_error_that_names_it() {
        let error = add(&mut Routes::default(), Method::GET, "/a/{b").expect_err("malformed");
        assert!(
            error.to_string().starts_with("route GET /a/{b: "),
            "{error}"
        );
    }
}
