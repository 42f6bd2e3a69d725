//! CURVE keys in files: `turno mq keygen` makes them, the other parts read them.
//!
//! A secret key is one line in a file that its owner alone reads; a public key, and a list of those who are allowed, has one
//! on each line, and after it whatever helps to remember whose it is.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use ::broker::zsock::curve::{Guard, Keys, Pass, PublicKey};
use clap::Args;
use tracing::warn;

use crate::{failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno mq keygen broker                broker.key, which stays here, and broker.pub, for the others
  turno mq keygen alice
  cat alice.pub bob.pub > allowed
  turno mq broker --curve-key broker.key --curve-clients allowed
  turno mq client --curve-key alice.key --curve-server broker.pub --service echo hello

Keys are in Z85, as pyzmq and others take them.";

/// A new pair of CURVE keys: NAME.key and NAME.pub
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct KeygenArgs {
    /// Name of the files, without their endings; may have a path
    #[arg(value_name = "NAME")]
    name: PathBuf,
}

/// Keys of a part that listens.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Security")]
pub(super) struct ListenKeys {
    /// The file of the secret key (see turno mq keygen): connections are encrypted, and only allowed keys may connect
    #[arg(long, value_name = "FILE", requires = "curve_clients")]
    curve_key: Option<PathBuf>,
    /// The public keys that may connect, one on a line; read again for each connection
    #[arg(long, value_name = "FILE", requires = "curve_key")]
    curve_clients: Option<PathBuf>,
}

/// Keys of a part that brokers connect to.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Security")]
pub(super) struct BrokersKeys {
    /// The file of the secret key, if the brokers have keys: the same one, or one of its own that is in their --curve-brokers
    #[arg(long, value_name = "FILE")]
    curve_key: Option<PathBuf>,
    /// The public keys of the brokers, one on a line, besides that of --curve-key
    #[arg(long, value_name = "FILE", requires = "curve_key")]
    curve_brokers: Option<PathBuf>,
}

/// Keys of a part that connects.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Security")]
pub(super) struct ConnectKeys {
    /// The file of the secret key, for brokers that ask for one
    #[arg(long, value_name = "FILE", requires = "curve_server")]
    curve_key: Option<PathBuf>,
    /// The file of the brokers' public key
    #[arg(long, value_name = "FILE", requires = "curve_key")]
    curve_server: Option<PathBuf>,
}

impl ListenKeys {
    /// Whether strangers are kept out.
    pub(super) fn are_given(&self) -> bool {
        self.curve_key.is_some()
    }

    /// The public key, for others.
    pub(super) fn public(&self) -> Result<Option<PublicKey>, Failure> {
        let key = self.curve_key.as_deref();
        key.map(|it| Ok(secret(it)?.public())).transpose()
    }

    /// Who may connect, the other brokers among them; `None` if everybody may.
    pub(super) fn guard(&self, brokers: Option<Guard>) -> Result<Option<Guard>, Failure> {
        let (Some(key), Some(clients)) = (&self.curve_key, &self.curve_clients) else {
            return Ok(None);
        };
        let clients = list(clients)?;
        let is_broker = move |key| brokers.as_ref().is_some_and(|it| it.allows(key));
        Ok(Some(Guard::new(secret(key)?, move |key| {
            is_broker(key) || clients(key)
        })))
    }

    /// Who is another broker: who has the same key, or one in this file. `None` without keys.
    pub(super) fn brokers(&self, listed: Option<&Path>) -> Result<Option<Guard>, Failure> {
        brokers(self.curve_key.as_deref(), listed)
    }

    /// For connecting, with the same secret key, to a listener of the public key in this file.
    pub(super) fn pass_to(&self, server: Option<&Path>) -> Result<Option<Pass>, Failure> {
        match (&self.curve_key, server) {
            (Some(key), Some(server)) => pass(key, server).map(Some),
            (None, Some(_)) => Err(Failure::usage("--curve-logger needs --curve-key")),
            _ => Ok(None),
        }
    }
}

impl BrokersKeys {
    /// Who may connect; `None` if everybody may.
    pub(super) fn guard(&self) -> Result<Option<Guard>, Failure> {
        brokers(self.curve_key.as_deref(), self.curve_brokers.as_deref())
    }
}

impl ConnectKeys {
    /// How to connect; `None` without keys.
    pub(super) fn pass(&self) -> Result<Option<Pass>, Failure> {
        match (&self.curve_key, &self.curve_server) {
            (Some(key), Some(server)) => pass(key, server).map(Some),
            _ => Ok(None),
        }
    }
}

fn pass(key: &Path, server: &Path) -> Result<Pass, Failure> {
    Ok(Pass::new(secret(key)?, public_key(server)?))
}

/// Those who have this key, or one that is listed.
fn brokers(key: Option<&Path>, listed: Option<&Path>) -> Result<Option<Guard>, Failure> {
    let Some(key) = key else { return Ok(None) };
    let keys = secret(key)?;
    let own = keys.public();
    Ok(Some(match listed {
        None => Guard::new(keys, move |key| key == own),
        Some(listed) => {
            let listed = list(listed)?;
            Guard::new(keys, move |key| key == own || listed(key))
        }
    }))
}

/// Whether a key is in a file, which is read anew each time.
fn list(path: &Path) -> Result<impl Fn(PublicKey) -> bool + Send + Sync + 'static, Failure> {
    public_keys(path)?; // a mistake is told now rather than to the first who connects
    let path = path.to_owned();
    Ok(move |key| match public_keys(&path) {
        Ok(allowed) => allowed.contains(&key),
        Err(failure) => {
            warn!(file = %path.display(), ?failure, "nobody new may connect");
            false
        }
    })
}

/// The one public key in a file.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    match public_keys(path)?.as_slice() {
        [key] => Ok(*key),
        _ => Err(wrong(path, "it has to hold one public key")),
    }
}

/// Makes a pair; overwrites nothing.
pub(super) fn keygen(args: &KeygenArgs) -> Result<(), Failure> {
    let keys = Keys::generate();
    let file = |ending: &str| {
        let mut name = args.name.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let (secret, public) = (file(".key"), file(".pub"));
    write(&secret, 0o600, &keys.expose_secret())?;
    write(&public, 0o644, &keys.public().to_string())?;
    output::line(&format!(
        "{} is secret and stays here; {} is for the others: {}",
        secret.display(),
        public.display(),
        keys.public()
    ))
}

fn write(path: &Path, mode: u32, key: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| writeln!(file, "{key}"))
        .map_err(|error| Failure::of(format!("cannot write {}", path.display()), &error))
}

fn wrong(path: &Path, why: &str) -> Failure {
    Failure::failed(format!("{}: {why}", path.display()))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::of(format!("cannot read {}", path.display()), &error))
}

/// The keys of the secret in a file that nobody else reads.
fn secret(path: &Path) -> Result<Keys, Failure> {
    let text = read(path)?;
    let mode = fs::metadata(path).map_or(0, |it| it.permissions().mode());
    if mode & 0o077 != 0 {
        return Err(wrong(path, "others can read this secret key: chmod 600 it"));
    }
    Keys::parse(text.trim()).map_err(|error| wrong(path, &error.to_string()))
}

/// The public keys in a file. What follows a key on its line, empty lines, and lines that begin with `# ` are for people.
fn public_keys(path: &Path) -> Result<Vec<PublicKey>, Failure> {
    let text = read(path)?;
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match line.split_whitespace().next() {
            None | Some("#") => {}
            Some(key) => keys.push(
                PublicKey::parse(key)
                    .map_err(|error| wrong(path, &format!("line {}: {error}", number + 1)))?,
            ),
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_read_back_and_mistakes_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = KeygenArgs {
            name: folder.path().join("a"),
        };
        keygen(&args).expect("it can be written");
        assert!(keygen(&args).is_err(), "nothing is overwritten");
        let (key, public) = (folder.path().join("a.key"), folder.path().join("a.pub"));
        let keys = secret(&key).expect("a key");
        assert_eq!(public_keys(&public).ok(), Some(vec![keys.public()]));
        let list = folder.path().join("list");
        let text = format!("# ours\n\n{} alice\n{}\n", keys.public(), keys.public());
        fs::write(&list, text).expect("a list");
        assert_eq!(public_keys(&list).map(|it| it.len()).ok(), Some(2));
        fs::write(&list, "# ours\nnonsense\n").expect("a list");
        let Err(Failure::Failed(text)) = public_keys(&list) else {
            panic!("it is no key");
        };
        assert!(text.contains("list: line 2: not a CURVE key"), "{text}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
        assert!(secret(&key).is_err(), "others can read it");
    }
}
