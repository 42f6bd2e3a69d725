//! A small kit for writing HTTP services, in the manner of Flask, and the sample services.
//!
//! An [`App`] is a name and routes; a handler is an async function from a [`Request`] to anything
//! that can be made a reply ([`IntoReply`]). What every service needs is done by the kit: 404 and
//! 405, `HEAD`, limits, panics, metrics, a clean end. It does not know that a registry or a
//! balancer exists: whoever starts a service registers it.
//!
//! ```
//! use microservice::{App, Json, Rejection, Request};
//!
//! async fn twice(request: Request) -> Result<Json<u64>, Rejection> {
//!     let n: u64 = request.param("n")?;
//!     Ok(Json(n.saturating_mul(2)))
//! }
//!
//! let app = App::new("sums").get("/", async |_| "ask /twice/21\n").get("/twice/{n}", twice);
//! assert!(app.check().is_ok());
//! ```

mod app;
pub mod hello;
mod metrics;
mod pattern;
mod percent;
mod reply;
mod request;
mod routes;

pub use app::App;
pub use daemon::http::Reply;
pub use pattern::{PARAMS_MAX, PatternError, SEGMENTS_MAX};
pub use reply::{IntoReply, Json};
pub use request::{Rejection, Request};
pub use routes::RouteError;
