//! nginx: one worker, keep-alive on both sides, no access log, bodies never put on disk.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use e2e::parts::Part;

pub(super) fn command(listen: SocketAddr, origins: &[SocketAddr], folder: &Path) -> Command {
    let config = super::write(folder, "nginx.conf", &configuration(listen, origins));
    let mut command = Command::new(Part::Nginx.path());
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(config)
        .arg("-e")
        .arg(folder.join("error.log"));
    command
}

fn configuration(listen: SocketAddr, origins: &[SocketAddr]) -> String {
    let mut servers = String::new();
    for origin in origins {
        writeln!(servers, "        server {origin};").expect("a String takes everything");
    }
    format!(
        "daemon off;
pid nginx.pid;
error_log error.log;
worker_processes 1;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 100000000;
    keepalive_timeout 60s;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream web {{
{servers}        keepalive 512;
        keepalive_requests 100000000;
        keepalive_timeout 60s;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://web;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"
    )
}
