//! `turno snapshot`: the whole state of an embedded registry as a file, and back.
//!
//! It moves bytes between the registry and a file; what they mean is the registry's, except for `inspect`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use consul::RawRequest;
use http::{HeaderMap, Method};
use registrar::durable::snapshot;

use crate::{args::Global, connect, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno snapshot save backup.snap
  turno snapshot inspect backup.snap
  turno snapshot restore backup.snap

The file is turno's own format, and holds everything: services with their checks, keys, sessions,
prepared queries. Restoring replaces all there is, at once; a damaged file, one of Consul's, or one
of another node is refused, and changes nothing.";

/// The whole state may be large, and the disk slow.
const LIMIT: Duration = Duration::from_secs(120);
/// Longest snapshot, as long as the registry takes back.
const MOST: usize = 512 << 20;

/// Saves or restores everything that an embedded registry holds
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct SnapshotArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write everything the registry holds to a file
    #[command(after_help = "Example:\n  turno snapshot save backup.snap")]
    Save {
        /// The file; it is replaced when the new one is whole
        file: PathBuf,
    },
    /// Replace everything the registry holds by what is in a file
    #[command(after_help = "Example:\n  turno snapshot restore backup.snap")]
    Restore {
        /// The file
        file: PathBuf,
    },
    /// Show what is in a file, after checking that it is whole
    #[command(after_help = "Example:\n  turno snapshot inspect backup.snap")]
    Inspect {
        /// The file
        file: PathBuf,
    },
}

pub(crate) async fn run(args: SnapshotArgs, global: &Global) -> Result<(), Failure> {
    match args.action {
        Action::Save { file } => {
            let bytes = ask(global, Method::GET, Vec::new()).await?;
            // What cannot be restored is not saved: it may be a real Consul's.
            check(&bytes, "the registry's answer")?;
            replace(&file, &bytes)
                .map_err(|error| Failure::of(format!("cannot write {}", file.display()), &error))?;
            output::line(&format!(
                "{} bytes saved to {}",
                bytes.len(),
                file.display()
            ))
        }
        Action::Restore { file } => {
            let bytes = load(&file)?;
            check(&bytes, &file.display().to_string())?;
            ask(global, Method::PUT, bytes).await?;
            output::line(&format!("restored from {}", file.display()))
        }
        Action::Inspect { file } => {
            let bytes = load(&file)?;
            let snapshot = check(&bytes, &file.display().to_string())?;
            let (catalog, inventory) = (&snapshot.catalog, snapshot.catalog.inventory());
            let node = catalog.local_node();
            for (name, value) in [
                ("node", node.name.to_string()),
                ("datacenter", catalog.datacenter().to_string()),
                ("index", catalog.index().to_string()),
                ("services", catalog.service_tags().len().to_string()),
                ("instances", inventory.services.len().to_string()),
                ("nodes from outside", inventory.foreign.len().to_string()),
                (
                    "keys",
                    (inventory.keys.len() + inventory.ephemeral.len()).to_string(),
                ),
                ("sessions", inventory.sessions.to_string()),
                ("prepared queries", catalog.prepared().len().to_string()),
                ("bytes", bytes.len().to_string()),
            ] {
                output::line(&format!("{name:<20}{}", output::printable(&value)))?;
            }
            Ok(())
        }
    }
}

fn check(bytes: &[u8], what: &str) -> Result<registrar::catalog::Snapshot, Failure> {
    snapshot::read(bytes).map_err(|error| Failure::of(what, &error))
}

fn load(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|error| Failure::of(format!("cannot read {}", file.display()), &error))
}

/// Writes beside the file and renames, so that an old one stays until the new one is whole. Only its owner may read it.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = file.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    std::fs::rename(&fresh, file)
}

async fn ask(global: &Global, method: Method, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let request = RawRequest {
        method,
        target: "/v1/snapshot".to_owned(),
        headers: HeaderMap::new(),
        body,
        limit: LIMIT,
        most: MOST,
    };
    let answer = connect::client(global)?.pass_on(request).await?;
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let said = String::from_utf8_lossy(&answer.body);
    Err(Failure::failed(format!(
        "the registry refuses: {}: {}",
        answer.status,
        output::printable(said.trim())
    )))
}
