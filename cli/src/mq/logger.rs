//! `turno mq logger`: takes lines from brokers and appends them to a file.
//!
//! It registers, so that brokers find it by name; SIGHUP opens the file anew.

use std::path::PathBuf;

use ::broker::{
    logger::{self, Format, LogFile, MAX_LINE},
    zsock::Pull,
};
use clap::{Args, ValueEnum};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{curve::ListenKeys, presence::MqPresence};
use crate::{
    args::{Global, zmq_address},
    failure::Failure,
    output,
};

const AFTER_HELP: &str = "\
Examples:
  turno mq logger --file /var/log/mq.jsonl
  turno mq logger --file mq.log --format text --rotate-size 10000000
  turno mq broker --logger log                          finds it by its name in the registry
  kill -HUP PID                                         opens the file anew, after it was moved away

Any PUSH socket may send to it. Lines are written within 100 ms.";

/// A logger: writes the lines of brokers to a file
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct LoggerArgs {
    /// Where brokers connect to
    #[arg(long, value_name = "ADDR", default_value = "tcp://127.0.0.1:9995", value_parser = zmq_address)]
    bind: String,
    /// The file to append to
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// How lines are written: as they come (json), or objects as text
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LineFormat::Json)]
    format: LineFormat,
    /// Move the file away at this size, in bytes; five are kept
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    rotate_size: Option<u64>,
    /// The name it is registered under
    #[arg(long, value_name = "NAME", default_value = "log")]
    name: String,
    /// Do not register
    #[arg(long)]
    no_register: bool,
    #[command(flatten)]
    keys: ListenKeys,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LineFormat {
    Json,
    Text,
}

/// Writes until a signal stops it.
pub(super) async fn run(args: LoggerArgs, global: &Global) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    let format = match args.format {
        LineFormat::Json => Format::Json,
        LineFormat::Text => Format::Text,
    };
    let file = LogFile::open(&args.file, args.rotate_size, matches!(format, Format::Json))?;
    let pull = Pull::bind_with(&args.bind, MAX_LINE, args.keys.guard(None)?.as_ref()).await?;
    output::line(&format!("{} listening on {}", args.name, pull.bound()))?;
    daemon::systemd::watchdog(Vec::new(), shutdown.clone());
    output::ready()?;
    let presence = if args.no_register {
        None
    } else {
        let meta = [("protocol", "zeromq-push".to_owned())];
        tokio::select! {
            presence = MqPresence::start(&args.name, pull.bound(), None, (&meta, &[]), global) => presence?,
            () = shutdown.cancelled() => None,
        }
    };
    let (hang_up, reopen) = mpsc::channel(1);
    let mut signals = signal(SignalKind::hangup())
        .map_err(|error| Failure::of("cannot watch for SIGHUP", &error))?;
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            // One that waits already is enough.
            let _ = hang_up.try_send(());
        }
    });
    let stop = tokio_util::sync::CancellationToken::new();
    let leave = async {
        shutdown.cancelled().await;
        if let Some(presence) = presence {
            presence.leave().await;
        }
        stop.cancel();
        Ok::<(), Failure>(())
    };
    let write =
        async { Ok::<(), Failure>(logger::run(pull, file, format, reopen, stop.clone()).await?) };
    tokio::try_join!(write, leave)?;
    Ok(())
}
