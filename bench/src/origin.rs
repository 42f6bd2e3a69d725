//! The three servers behind every proxy: nginx, answering from memory.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use e2e::parts::Part;
use e2e::process::Process;
use e2e::{http, ports, wait};

use crate::machine::Cores;

/// As many as in the balancer's own demonstration; enough that rotation matters.
const COUNT: usize = 3;

/// What `/` answers: as long as the line of turno's own `hello`.
const SMALL_BODY: &str = "hello from an origin of bench\\n";

/// Running origins.
#[derive(Debug)]
pub(crate) struct Origins {
    /// Where they listen.
    pub(crate) addresses: Vec<SocketAddr>,
    _processes: Vec<Process>,
    _folder: tempfile::TempDir,
}

impl Origins {
    /// Starts them and waits until each answers.
    pub(crate) fn start(cores: &Cores) -> Origins {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, length) in [("16k", 16 * 1024), ("1m", 1024 * 1024)] {
            fs::write(folder.path().join(name), vec![b'x'; length])
                .expect("the folder was just made");
        }
        let addresses: Vec<SocketAddr> = (0..COUNT).map(|_| ports::free_address()).collect();
        let processes = addresses
            .iter()
            .map(|address| start(*address, folder.path(), cores))
            .collect();
        Origins {
            addresses,
            _processes: processes,
            _folder: folder,
        }
    }
}

fn start(address: SocketAddr, folder: &Path, cores: &Cores) -> Process {
    let prefix = folder.join(address.port().to_string());
    let config = prefix.join("nginx.conf");
    fs::create_dir(&prefix).expect("the folder was just made");
    fs::write(&config, configuration(address, folder)).expect("the folder was just made");
    let mut command = Command::new(Part::Nginx.path());
    command
        .arg("-p")
        .arg(&prefix)
        .arg("-c")
        .arg(&config)
        .arg("-e")
        .arg(prefix.join("error.log"));
    let mut process = Process::start("origin", cores.on_load_core(&command));
    wait::until_true("an origin to answer", wait::SOON, || {
        process.assert_running();
        http::get(address, "/").is_ok_and(|answer| answer.status == 200)
    });
    process
}

fn configuration(address: SocketAddr, folder: &Path) -> String {
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
    open_file_cache max=16 inactive=1h;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {address} backlog=4096;
        default_type text/plain;
        location = / {{ return 200 \"{SMALL_BODY}\"; }}
        location / {{ root {root}; }}
    }}
}}
",
        root = folder.display(),
    )
}
