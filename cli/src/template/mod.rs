//! `turno template`: files rendered from what the registry says.
//!
//! It makes options of the command line and runs the watcher; what a template can say is the lb crate's business.

use ::lb::template::{Options, TemplateError, TemplateSpec, Wait, Watcher};
use clap::Args;

use crate::{args::Global, connect, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno template -t haproxy-reload.cfg.hbs:/etc/haproxy/haproxy.cfg:'systemctl reload haproxy' \\
      --check 'haproxy -c -f {candidate}'
  turno template -t templates/haproxy-reload.cfg.hbs:haproxy.cfg --once
  turno template -t templates/hosts.hbs:hosts --once --dry

In a template (Handlebars):
  {{#each (service \"web\") as |s|}} {{s.ID}} {{s.Address}}:{{s.Port}} {{/each}}
  (service NAME tag=\"v2\" dc=\"dc2\" health=\"passing|usable|any\")   (services)
  contains  haproxyEscape  join  replaceAll  toLower  toUpper";

/// Renders files from what the registry says, and again whenever it changes
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct TemplateArgs {
    /// A template, the file it makes, and a command to run when that has changed; repeatable
    #[arg(
        short = 't',
        long = "template",
        value_name = "IN:OUT[:COMMAND]",
        required = true
    )]
    templates: Vec<String>,
    /// A command that judges a new file before it is put in place; `{candidate}` is its path
    #[arg(long, value_name = "COMMAND")]
    check: Option<String>,
    /// Render once, as soon as everything is known, and end
    #[arg(long)]
    once: bool,
    /// Print what would be written; write nothing and run nothing
    #[arg(long)]
    dry: bool,
    /// How long additions wait for more of them: so long after the last, and at most so long after the first. Removals never wait
    #[arg(long, value_name = "MIN[:MAX]", default_value = "200ms:2s")]
    wait: String,
}

/// Follows the registry until a signal stops it.
pub(crate) async fn run(args: TemplateArgs, global: &Global) -> Result<(), Failure> {
    let templates: Result<Vec<TemplateSpec>, TemplateError> =
        args.templates.iter().map(|text| text.parse()).collect();
    let options = Options {
        templates: templates.map_err(|error| Failure::usage(error.to_string()))?,
        check: args.check,
        once: args.once,
        dry: args.dry,
        wait: args
            .wait
            .parse::<Wait>()
            .map_err(|error| Failure::usage(format!("--wait: {error}")))?,
    };
    let watcher = Watcher::new(options, connect::client(global)?)?;
    let shutdown = daemon::shutdown::on_signal();
    let follows = !(args.once || args.dry);
    daemon::systemd::watchdog(Vec::new(), shutdown.clone());
    let written = watcher.written();
    let announce = async {
        written.cancelled().await;
        if follows {
            output::ready()?;
        }
        std::future::pending().await
    };
    tokio::select! {
        ended = watcher.run(shutdown) => Ok(ended?),
        failed = announce => failed,
    }
}
