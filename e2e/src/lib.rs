//! The harness of the whole-system tests: it starts real programs (Consul, turno, HAProxy, Chromium, wrk …) on free ports with folders
//! of their own, waits for conditions within limits, sends requests, and kills everything it started when a test ends.
//!
//! It knows turno only from outside, as a user does: its command line, its ports, its HTTP answers. It links no crate of the
//! workspace, so a test here cannot pass because of a shortcut inside.

pub mod browser;
pub mod haproxy;
pub mod http;
pub mod load;
pub mod namespace;
pub mod parts;
pub mod ports;
pub mod process;
pub mod registry;
pub mod turno;
pub mod wait;
pub mod wrk;
