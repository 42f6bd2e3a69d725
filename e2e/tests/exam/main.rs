//! The exam: the embedded registry is held against a real Consul 1.8.7, request by request, written and generated, and by
//! clients that know nothing of turno.
//!
//! What may differ stands in `intended.rs`, each with its reason; anything else that differs is a failure. It runs apart
//! from the other whole-system tests: `cargo test -p e2e --test exam`.

#![allow(missing_docs, reason = "a test's name says what it is")]

mod answer;
mod clients;
mod compare;
mod generated;
mod intended;
mod page;
mod pair;
mod script;
mod target;
mod waiting;
mod written;
