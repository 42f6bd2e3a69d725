//! turno: one worker, endpoints from a list, metrics on (they always are), access log off (it is unless asked for).

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use e2e::ports;

pub(super) fn command(listen: SocketAddr, origins: &[SocketAddr], folder: &Path) -> Command {
    let config = super::write(folder, "lb.toml", &configuration(listen, origins));
    let mut command = e2e::turno::command(&["lb", "--config"]);
    command.arg(config);
    command
}

fn configuration(listen: SocketAddr, origins: &[SocketAddr]) -> String {
    let endpoints: Vec<String> = origins
        .iter()
        .map(|origin| format!("\"{origin}\""))
        .collect();
    format!(
        "listen = \"{listen}\"
admin = \"{admin}\"
workers = 1
policy = \"round-robin\"

[[route]]
path = \"/\"
service = \"web\"

[[fixed]]
service = \"web\"
endpoints = [{endpoints}]
",
        admin = ports::free_address(),
        endpoints = endpoints.join(", "),
    )
}
