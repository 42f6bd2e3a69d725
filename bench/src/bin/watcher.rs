//! `watcher`: what it costs `turno template` to follow 1,000 services with 10 instances each, when one of them changes.
//!
//! A registry, the watcher, and a proxy between them that counts bytes. For each change: how long until the file has it,
//! queries answered, renderings, bytes read, CPU time of the watcher, and what a rendering of the whole file takes. It
//! judges nothing but that one change is one query and one rendering.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use e2e::http::{self, Connection};
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::turno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Measures the watcher.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many services
    #[arg(long, default_value_t = 1_000)]
    services: u32,
    /// Instances of each
    #[arg(long, default_value_t = 10)]
    instances: u32,
    /// How many changes are measured
    #[arg(long, default_value_t = 20)]
    changes: usize,
    /// Ask a real Consul (of `scripts/real-parts`) instead of the embedded registry
    #[arg(long)]
    consul: bool,
}

/// Everything in one file, as a configuration of a balancer would have it.
const TEMPLATE: &str = "{{#each (services) as |e|}}
backend {{haproxyEscape e.Name}}
    balance roundrobin
{{#each (service e.Name health=\"usable\") as |s|}}
    server {{haproxyEscape s.Node}}-{{haproxyEscape s.ID}} {{s.Address}}:{{s.Port}} weight {{s.Weight}}
{{/each}}
{{/each}}
";

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("watcher: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    allow_many_files();
    let kind = if arguments.consul {
        Kind::Consul
    } else {
        Kind::Embedded
    };
    let registry = Registry::start_for_many(kind);
    let mut client = Connection::open(registry.address).map_err(|error| error.to_string())?;
    for service in 0..arguments.services {
        for id in 0..arguments.instances {
            put(&mut client, service, id, 1_000 + id)?;
        }
    }
    let bytes = Arc::new(AtomicU64::new(0));
    let counted = counting_proxy(registry.address, &bytes)?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (source, target) = (folder.path().join("t.hbs"), folder.path().join("out"));
    fs::write(&source, TEMPLATE).map_err(|error| error.to_string())?;
    let files = format!("{}:{}", source.display(), target.display());
    let url = format!("http://{counted}");
    let mut process = Process::start(
        "turno template",
        turno::command(&[
            "template",
            "-t",
            &files,
            "--consul",
            &url,
            "--wait",
            "1ms",
            "--admin",
            "127.0.0.1:0",
        ]),
    );
    let admin = turno::listening(&mut process, "admin listening on http://");
    let started = Instant::now();
    let lines = (arguments.services * arguments.instances) as usize;
    // A registry may be a service of its own, as Consul is: its server does not count.
    let count = |text: &str| text.matches("-svc-").count();
    await_true("the first file", || count(&read(&target)) == lines)?;
    println!(
        "{kind}, {} services × {} instances: first file after {:?}, {} bytes; {} bytes read; CPU {:?}",
        arguments.services,
        arguments.instances,
        started.elapsed(),
        read(&target).len(),
        bytes.load(Ordering::Relaxed),
        cpu(process.id()),
    );
    measure(
        arguments,
        &mut client,
        &Watched {
            admin,
            target,
            bytes,
            id: process.id(),
        },
    )
}

/// The running watcher, as it is measured.
struct Watched {
    admin: SocketAddr,
    target: std::path::PathBuf,
    bytes: Arc<AtomicU64>,
    id: u32,
}

fn measure(
    arguments: &Arguments,
    client: &mut Connection,
    watched: &Watched,
) -> Result<(), String> {
    let mut rows: [Vec<f64>; 6] = Default::default();
    for change in 0..arguments.changes {
        let (service, port) = (
            u32::try_from(change).unwrap_or(0) % arguments.services,
            5_000 + change,
        );
        // Long polls that end by themselves are answers too: the quiet before a change shows how many there are.
        let before = watched.figures()?;
        let started = Instant::now();
        put(client, service, 0, u32::try_from(port).unwrap_or(1))?;
        let expected = format!(":{port} ");
        await_true("the change in the file", || {
            read(&watched.target).contains(&expected)
        })?;
        let took = started.elapsed();
        let after = watched.figures()?;
        rows[0].push(took.as_secs_f64() * 1e3);
        for (row, (after, before)) in rows[1..5].iter_mut().zip(after.iter().zip(before)) {
            row.push(after - before);
        }
        rows[5].push(after[4] * 1e3);
    }
    println!(
        "per change (median, lowest–highest of {}):",
        arguments.changes
    );
    let names = [
        "change → file, ms",
        "queries answered",
        "renderings",
        "bytes read",
        "CPU time, ms",
        "one rendering, ms",
    ];
    for (name, row) in names.iter().zip(&mut rows) {
        row.sort_by(f64::total_cmp);
        println!(
            "  {name:20} {:10.1}  ({:.1}–{:.1})",
            row[row.len() / 2],
            row[0],
            row[row.len() - 1]
        );
    }
    if rows[2][rows[2].len() / 2] > 1.0 {
        return Err("a change cost more than one rendering".to_owned());
    }
    Ok(())
}

impl Watched {
    /// Queries answered, renderings, bytes read, CPU time in ms, and what the last rendering took in seconds.
    fn figures(&self) -> Result<[f64; 5], String> {
        let bytes = self.bytes.load(Ordering::Relaxed) as f64;
        let cpu = cpu(self.id).as_secs_f64() * 1e3;
        let answer = http::get(self.admin, "/metrics").map_err(|error| error.to_string())?;
        let sum = |name: &str| -> f64 {
            let text = answer.text();
            let series = text.lines().filter(|line| line.starts_with(name));
            series
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
                .sum()
        };
        Ok([
            sum("turno_dependency_answers_total"),
            sum("turno_template_renders_total"),
            bytes,
            cpu,
            sum("turno_template_render_seconds"),
        ])
    }
}

fn put(client: &mut Connection, service: u32, id: u32, port: u32) -> Result<(), String> {
    // By the catalog: one Consul agent with ten thousand instances of its own would be busy with itself.
    let body = format!(
        r#"{{"Node":"bench","Address":"10.255.0.1","Service":{{"Service":"svc-{service}","ID":"svc-{service}-{id}","Address":"10.{}.{}.{id}","Port":{port},"Tags":["v1","rack{id}"],"Meta":{{"zone":"z{}"}}}}}}"#,
        service / 250,
        service % 250,
        id % 3
    );
    let answer = client
        .request("PUT", "/v1/catalog/register", &[], body.as_bytes())
        .map_err(|error| error.to_string())?;
    if answer.status == 200 {
        Ok(())
    } else {
        Err(format!("the registry refused: {}", answer.text()))
    }
}

/// Passes connections on to `registry`, and counts what comes back.
fn counting_proxy(registry: SocketAddr, bytes: &Arc<AtomicU64>) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let bytes = Arc::clone(bytes);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(upstream) = TcpStream::connect(registry) else {
                continue;
            };
            let (Ok(from), Ok(to)) = (stream.try_clone(), upstream.try_clone()) else {
                continue;
            };
            let bytes = Arc::clone(&bytes);
            std::thread::spawn(move || copy(from, to, None));
            std::thread::spawn(move || copy(upstream, stream, Some(&bytes)));
        }
    });
    Ok(address)
}

fn copy(mut from: TcpStream, mut to: TcpStream, count: Option<&AtomicU64>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if let Some(count) = count {
            count.fetch_add(read as u64, Ordering::Relaxed);
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other side sees the end as well; it may have gone first.
    let _ = to.shutdown(Shutdown::Write);
}

fn read(path: &std::path::Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// User and system time of a process (proc(5), fields 14 and 15 of `stat`).
fn cpu(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let hertz = Command::new("getconf").arg("CLK_TCK").output();
    let hertz = hertz.ok().and_then(|out| {
        String::from_utf8_lossy(&out.stdout)
            .trim()
            .parse::<u64>()
            .ok()
    });
    Duration::from_secs_f64(ticks as f64 / hertz.unwrap_or(100) as f64)
}

/// Every service is a connection of the watcher, and two of the proxy.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let more = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Without it, fewer services can be measured; the failure will say so.
    let _ = setrlimit(Resource::Nofile, more);
}

fn await_true(what: &str, mut condition: impl FnMut() -> bool) -> Result<(), String> {
    /// Long enough for any machine.
    const LIMIT: Duration = Duration::from_secs(120);
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if condition() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(format!("{what} did not come within {LIMIT:?}"))
}
