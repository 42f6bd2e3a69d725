//! `turno template`: files rendered from what the registry says.
//!
//! It makes options of the command line or of a file, runs the watcher and shows its pages; what a template can say is the
//! lb crate's business.

use std::{net::SocketAddr, path::PathBuf};

use ::lb::template::{
    Options, Pages, Permissions, Reload, TemplateError, TemplateFile, TemplateSpec, Wait, Watcher,
};
use clap::Args;
use daemon::systemd::{self, State};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    admin::{Admin, AdminToken},
    args::Global,
    connect,
    failure::Failure,
    output,
};

/// Exit statuses beyond 1 and 2: those that consul-template has for the same.
const INTERRUPTED: u8 = 12;
const NOT_RENDERED: u8 = 14;
const BAD_CONFIG: u8 = 15;

const AFTER_HELP: &str = "\
Examples:
  turno template -t haproxy-reload.cfg.hbs:/etc/haproxy/haproxy.cfg:'systemctl reload haproxy' \\
      --check 'haproxy -c -f {candidate}'
  turno template -t templates/hosts.hbs:hosts --once --dry
  turno template --config template.toml --admin 127.0.0.1:8082
  kill -HUP PID                 read the configuration file again

In a template (Handlebars):
  {{#each (service \"web\") as |s|}} {{s.ID}} {{s.Address}}:{{s.Port}} {{/each}}
  (service \"v2.web@dc2|passing,warning\")  (services)  (nodes)  (key \"a/b\")  (tree \"a\")
  All helpers, and what consul-template calls them: docs/template-helpers.md

Exit status: 0 done, 1 failed, 2 usage; 12 stopped before everything was rendered (--once), 14 a
template could not be rendered or its file not be written (--once), 15 the configuration file is
wrong.";

/// Renders files from what the registry says, and again whenever it changes
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct TemplateArgs {
    /// A template, the file it makes, and a command to run when that has changed; repeatable
    #[arg(
        short = 't',
        long = "template",
        value_name = "IN:OUT[:COMMAND]",
        required_unless_present = "config"
    )]
    templates: Vec<String>,
    /// A configuration file (TOML); SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A command that judges a new file of -t before it is put in place; `{candidate}` is its path
    #[arg(long, value_name = "COMMAND")]
    check: Option<String>,
    /// Render once, as soon as everything is known, and end
    #[arg(long)]
    once: bool,
    /// Print what would be written, and how it differs from what is there; write nothing and run nothing
    #[arg(long)]
    dry: bool,
    /// How long additions wait for more of them: so long after the last, and at most so long after the first. Removals never wait [default: 200ms:2s]
    #[arg(long, value_name = "MIN[:MAX]")]
    wait: Option<String>,
    /// Switch a helper off, as `file` or `env`; repeatable
    #[arg(long, value_name = "HELPER")]
    deny: Vec<String>,
    /// Where to answer for health, metrics and status; nowhere if not given
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    token: AdminToken,
}

/// Follows the registry until a signal stops it.
pub(crate) async fn run(args: TemplateArgs, global: &Global) -> Result<(), Failure> {
    // Before anything can take time: a SIGHUP must not end it.
    let hangup = signal(SignalKind::hangup())?;
    let (options, file) = options(&args)?;
    let client = client(global, file.as_ref())?;
    let admin = args.admin.or(file.as_ref().and_then(|file| file.admin));
    let watcher = Watcher::new(options, client).map_err(failed)?;
    let stop_admin = CancellationToken::new();
    let served = match admin {
        Some(address) => Some(serve(
            address,
            args.token.clone(),
            watcher.pages(),
            &stop_admin,
        )?),
        None => None,
    };
    let (once, dry) = (args.once, args.dry);
    // One that waits is enough: the newest configuration is read when its turn comes.
    let (sender, reloads) = mpsc::channel(1);
    let follow = tokio::spawn(follow(args, global.clone(), hangup, sender));
    let shutdown = daemon::shutdown::on_signal();
    systemd::watchdog(Vec::new(), shutdown.clone());
    let announced = announce(watcher.written(), !(once || dry));
    let ended = tokio::select! {
        ended = watcher.run(reloads, shutdown) => ended,
        failure = announced => return Err(failure),
    };
    follow.abort();
    stop_admin.cancel();
    if let Some(served) = served {
        served.await?;
    }
    ended.map_err(failed)
}

/// Says that everything is written for the first time, if that is of interest. Ends only if it cannot be said.
async fn announce(written: CancellationToken, wanted: bool) -> Failure {
    written.cancelled().await;
    if wanted && let Err(failure) = output::ready() {
        return failure;
    }
    std::future::pending().await
}

fn serve(
    address: SocketAddr,
    token: AdminToken,
    pages: Pages,
    stop: &CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let admin = Admin::listen(address, token)?;
    output::line(&format!(
        "admin listening on http://{}",
        admin.local_addr()?
    ))?;
    let respond = move |request: http::Request<hyper::body::Incoming>| {
        let pages = pages.clone();
        async move {
            let page = pages.respond(request.method(), request.uri().path());
            page.unwrap_or_else(|| {
                let text = "no such page; there are /v1/status /health /ready /metrics\n";
                daemon::http::text(http::StatusCode::NOT_FOUND, text)
            })
        }
    };
    Ok(tokio::spawn(admin.serve(respond, stop.clone())))
}

/// Reads the configuration file at each SIGHUP. A broken one changes nothing.
async fn follow(
    args: TemplateArgs,
    global: Global,
    mut hangup: Signal,
    reloads: mpsc::Sender<Reload>,
) {
    while hangup.recv().await.is_some() {
        if args.config.is_none() {
            warn!("SIGHUP: there is no --config FILE to read again; templates are watched anyway");
            continue;
        }
        systemd::notify(State::Reloading);
        let read = options(&args).and_then(|(options, file)| {
            let client = client(&global, file.as_ref())?;
            Ok(Reload {
                options,
                client: Some(client),
            })
        });
        match read {
            Ok(reload) => {
                if reloads.send(reload).await.is_err() {
                    return;
                }
            }
            Err(failure) => {
                let text = failure.text();
                warn!("{text}; the configuration in use stays");
                systemd::notify(State::Status(&format!("the file has a mistake: {text}")));
            }
        }
        systemd::notify(State::Ready);
    }
}

fn client(global: &Global, file: Option<&TemplateFile>) -> Result<consul::Client, Failure> {
    connect::client_with(global, |config| match file {
        Some(file) => file.consul(config),
        None => config,
    })
}

/// What the command line and the file it names ask for.
fn options(args: &TemplateArgs) -> Result<(Options, Option<TemplateFile>), Failure> {
    let wait = args.wait.as_deref().map(str::parse::<Wait>).transpose();
    let wait = wait.map_err(|error| Failure::usage(format!("--wait: {error}")))?;
    let file = args.config.as_deref().map(TemplateFile::load).transpose();
    let file = file.map_err(|error| Failure::Special(BAD_CONFIG, error.to_string()))?;
    let given: Result<Vec<TemplateSpec>, TemplateError> =
        args.templates.iter().map(|text| text.parse()).collect();
    let mut templates = given.map_err(|error| Failure::usage(error.to_string()))?;
    for spec in &mut templates {
        *spec = spec.clone().with_check(args.check.clone());
    }
    let mut permissions = Permissions::default();
    if let Some(file) = &file {
        templates.extend(file.templates.iter().cloned());
        permissions = file.permissions.clone();
    }
    if let Some(wait) = wait {
        templates = templates
            .into_iter()
            .map(|spec| spec.with_wait(wait))
            .collect();
    }
    let permissions = permissions
        .deny(args.deny.iter().cloned())
        .map_err(|error| Failure::usage(format!("--deny: {error}")))?;
    let options = Options {
        templates,
        permissions,
        once: args.once,
        dry: args.dry,
    };
    Ok((options, file))
}

fn failed(error: TemplateError) -> Failure {
    let status = match error {
        TemplateError::Interrupted { .. } => INTERRUPTED,
        TemplateError::SameTarget { .. } => BAD_CONFIG,
        _ => NOT_RENDERED,
    };
    Failure::Special(status, error.to_string())
}
