//! A consul-template-style watcher: templates that read the registry, rendered to files whenever what they read changes.
//!
//! The flow, top to bottom: `dependency` (what a template reads) → `subscriptions` (each followed once) → `knowledge`
//! (the newest answers) → `engine` (Handlebars and its `helpers`) → `quiet` (bursts become one rendering; removals do not
//! wait) → `output` (candidate, check, swap, command, roll back) → `watcher` (the loop). `config` reads a person's file,
//! `board` and `pages` show what goes on. It knows nothing of pools, pickers or live traffic.

mod board;
mod config;
mod dependency;
mod engine;
mod error;
#[cfg(test)]
pub(crate) mod generated;
mod helpers;
mod knowledge;
mod output;
mod pages;
mod quiet;
#[cfg(test)]
pub(crate) mod shipped;
mod slots;
mod spec;
mod subscriptions;
mod watcher;

pub(crate) use engine::Engine;
pub(crate) use knowledge::Knowledge;
pub(crate) use output::Output;
pub(crate) use quiet::QuietPeriod;

pub use config::TemplateFile;
pub use error::TemplateError;
pub use helpers::Permissions;
pub use pages::Pages;
pub use quiet::Wait;
pub use spec::TemplateSpec;
pub use watcher::{Options, Reload, Watcher};
