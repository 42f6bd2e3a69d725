//! HAProxy: one thread, keep-alive on both sides, connections to origins shared by all clients, no log, no statistics.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use e2e::parts::Part;

pub(super) fn command(listen: SocketAddr, origins: &[SocketAddr], folder: &Path) -> Command {
    let config = super::write(folder, "haproxy.cfg", &configuration(listen, origins));
    let mut command = Command::new(Part::Haproxy.path());
    command.arg("-db").arg("-f").arg(config);
    command
}

fn configuration(listen: SocketAddr, origins: &[SocketAddr]) -> String {
    let mut text = format!(
        "global
    nbthread 1
    maxconn 8000

defaults
    mode http
    maxconn 8000
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    option http-keep-alive
    option forwardfor
    http-reuse always
    balance roundrobin

frontend in
    bind {listen} backlog 4096
    default_backend web

backend web
"
    );
    for (number, origin) in origins.iter().enumerate() {
        writeln!(
            text,
            "    server s{number} {origin} pool-max-conn -1 pool-purge-delay 60s"
        )
        .expect("a String takes everything");
    }
    text
}
