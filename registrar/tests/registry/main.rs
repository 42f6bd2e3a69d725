//! The embedded registry over real sockets: what is written is read, waiting queries wake when they should and only
//! then, checks run, limits hold, a stop leaves nobody hanging.

mod access;
mod agent;
mod blocking;
mod checks;
mod dns;
mod durable;
mod event;
mod http;
mod joining;
mod kv;
mod metrics;
mod prepared;
mod snapshot;
mod support;
mod tls;
