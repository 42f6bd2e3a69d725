//! Access control: who asks, by the token of a request, and what those may see and change.
//!
//! Tokens are given at the start and read again on a reload; none are made over HTTP. What Consul 1.8.7 answers to each
//! kind of asker was measured on it and is followed, but for the differences that `docs/registry.md` lists.

mod file;
mod rights;
mod rules;
mod secret;
mod sight;
mod writes;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use self::file::{ANONYMOUS, Source};
pub(super) use self::rights::Rights;
use self::rules::Rules;
pub(super) use self::rules::{Kind, Level};
pub use self::secret::{BadSecret, Secret};
pub(super) use self::sight::{Own, Sight};
pub(super) use self::writes::{faults, permit};

/// Most tokens in all; each request with a token is compared with every one.
const MOST_TOKENS: usize = 1000;
/// Longest token file, as long as a definition file may be.
const FILE_LIMIT: u64 = 1 << 20;

/// What those may do about whom no rule says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// See everything, change nothing.
    Read,
    /// Nothing at all.
    Deny,
}

/// Who may do what. The default is no access control: everybody may do everything.
#[derive(Debug, Clone, Default)]
pub struct AccessConfig {
    /// Tokens that may do everything.
    pub tokens: Vec<Secret>,
    /// Files whose first line is such a token.
    pub token_files: Vec<PathBuf>,
    /// Tokens that may see everything and change nothing.
    pub read_tokens: Vec<Secret>,
    /// Files whose first line is such a token.
    pub read_token_files: Vec<PathBuf>,
    /// Files with tokens and rules, in HCL or JSON.
    pub files: Vec<PathBuf>,
    /// What is allowed where no rule says anything, to those without a token as well. `None`: reading, if no other
    /// tokens are given than those for everything; nothing, if there are some.
    pub otherwise: Option<Otherwise>,
}

impl AccessConfig {
    /// Whether there is any access control.
    pub fn is_on(&self) -> bool {
        !self.tokens.is_empty() || !self.token_files.is_empty() || self.has_lesser()
    }

    /// Whether there are tokens that may not do everything.
    fn has_lesser(&self) -> bool {
        !self.read_tokens.is_empty() || !self.read_token_files.is_empty() || !self.files.is_empty()
    }

    fn otherwise(&self) -> Level {
        match self.otherwise {
            Some(Otherwise::Read) => Level::Read,
            Some(Otherwise::Deny) => Level::Deny,
            None if self.has_lesser() => Level::Deny,
            None => Level::Read,
        }
    }
}

/// Why tokens cannot be used. None of the texts shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read.
    #[error("cannot read the token file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The first line of a file is no token.
    #[error("the first line of {} is no token: {error}", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: BadSecret,
    },
    /// A file with rules has a mistake.
    #[error("{}:{text}", path.display())]
    Mistake {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        text: String,
    },
    /// The same secret twice, so that it cannot be told what its bearer may do.
    #[error("the tokens {0:?} and {1:?} have the same secret")]
    Twice(String, String),
    /// The same name twice.
    #[error("there are two tokens {0:?}")]
    Name(String),
    /// More than are looked through for each request.
    #[error("there are more than {MOST_TOKENS} tokens")]
    TooMany,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers, so no token can be made")]
    Random,
    /// Rules without any token that could be asked for.
    #[error(
        "access rules are given, but no token: give --acl-token, --acl-token-file or --acl-file"
    )]
    None,
}

/// The tokens in force.
#[derive(Debug)]
pub(super) struct Access {
    config: AccessConfig,
    /// For whoever runs the registry in the same process; made at random, known to nobody else.
    own: Secret,
    table: RwLock<Arc<Table>>,
}

#[derive(Debug)]
struct Table {
    bearers: Vec<(Secret, Arc<Rights>)>,
    anonymous: Arc<Rights>,
}

/// A token nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownToken;

impl Access {
    /// Reads all files there are. Blocks.
    pub(super) fn load(config: AccessConfig) -> Result<Access, AccessError> {
        let table = RwLock::new(Arc::new(Table::load(&config)?));
        let own = Secret::random().ok_or(AccessError::Random)?;
        Ok(Access { config, own, table })
    }

    /// Reads the files again; an error leaves everything as it was. Blocks.
    pub(super) fn reload(&self) -> Result<(), AccessError> {
        let table = Arc::new(Table::load(&self.config)?);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        Ok(())
    }

    /// Whether there is any access control.
    pub(super) fn is_on(&self) -> bool {
        self.config.is_on()
    }

    /// The token of whoever runs the registry in the same process.
    pub(super) fn own(&self) -> &Secret {
        &self.own
    }

    /// Whether this is that token, so that the request comes from this very process.
    pub(super) fn is_own(&self, token: &str) -> bool {
        self.own.is(token)
    }

    /// Whether it is a token of this registry's.
    pub(super) fn knows(&self, token: &str) -> bool {
        self.is_own(token) || (self.is_on() && self.rights(Some(token)).is_ok())
    }

    /// What the bearer of a token may do, or those without one.
    pub(super) fn rights(&self, token: Option<&str>) -> Result<Arc<Rights>, UnknownToken> {
        let table = Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner));
        let Some(token) = token.filter(|_| self.is_on()) else {
            return Ok(Arc::clone(&table.anonymous));
        };
        // Every one is looked at, so that the time this takes does not tell which it was.
        let bearers = table.bearers.iter();
        let own = self.is_own(token).then(Rights::everything);
        let found = bearers.fold(own.as_ref(), |found, (secret, rights)| {
            if secret.is(token) {
                Some(rights)
            } else {
                found
            }
        });
        found.cloned().ok_or(UnknownToken)
    }
}

impl Table {
    fn load(config: &AccessConfig) -> Result<Table, AccessError> {
        let otherwise = config.otherwise();
        let mut table = Table {
            bearers: Vec::new(),
            anonymous: if config.is_on() {
                Rights::ruled(ANONYMOUS, Rules::default(), otherwise)
            } else {
                Rights::everything()
            },
        };
        for secret in all(&config.tokens, &config.token_files)? {
            // The same for everything may come from a file and the environment.
            let rights = Rights::everything();
            if !table
                .bearers
                .iter()
                .any(|(other, _)| other.is(secret.expose()))
            {
                table.bearers.push((secret, rights));
            }
        }
        for secret in all(&config.read_tokens, &config.read_token_files)? {
            table.add(secret, Rights::ruled("read", Rules::default(), Level::Read))?;
        }
        let mut names = Vec::new();
        for path in &config.files {
            table.add_file(path, otherwise, &mut names)?;
        }
        if (config.is_on() || config.otherwise.is_some()) && table.bearers.is_empty() {
            return Err(AccessError::None);
        }
        Ok(table)
    }

    fn add_file(
        &mut self,
        path: &Path,
        otherwise: Level,
        names: &mut Vec<String>,
    ) -> Result<(), AccessError> {
        let tokens = file::parse(path, &read(path)?).map_err(|mistake| AccessError::Mistake {
            path: path.to_owned(),
            text: mistake.to_string(),
        })?;
        for token in tokens {
            if names.contains(&token.name) {
                return Err(AccessError::Name(token.name));
            }
            names.push(token.name.clone());
            let rights = Rights::ruled(&token.name, token.rules, otherwise);
            match token.secret {
                None => self.anonymous = rights,
                Some(Source::Here(secret)) => self.add(secret, rights)?,
                // A relative path is beside the file that names it.
                Some(Source::File(name)) => {
                    let beside = path.parent().unwrap_or(Path::new("")).join(name);
                    self.add(first_line(&beside)?, rights)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, secret: Secret, rights: Arc<Rights>) -> Result<(), AccessError> {
        let mut others = self.bearers.iter();
        if let Some((_, other)) = others.find(|(other, _)| other.is(secret.expose())) {
            return Err(AccessError::Twice(other.name.clone(), rights.name.clone()));
        }
        if self.bearers.len() == MOST_TOKENS {
            return Err(AccessError::TooMany);
        }
        self.bearers.push((secret, rights));
        Ok(())
    }
}

fn all(given: &[Secret], files: &[PathBuf]) -> Result<Vec<Secret>, AccessError> {
    let mut secrets = given.to_vec();
    for path in files {
        secrets.push(first_line(path)?);
    }
    Ok(secrets)
}

fn first_line(path: &Path) -> Result<Secret, AccessError> {
    let text = read(path)?;
    let line = text.lines().next().unwrap_or_default().trim();
    Secret::new(line).map_err(|error| AccessError::NoToken {
        path: path.to_owned(),
        error,
    })
}

fn read(path: &Path) -> Result<String, AccessError> {
    use std::io::Read as _;
    let read = || {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(FILE_LIMIT + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_LIMIT {
            // Cut short it might still be read, without the rules at its end.
            let reason = format!("it is longer than {FILE_LIMIT} bytes");
            return Err(std::io::Error::other(reason));
        }
        Ok(text)
    };
    read().map_err(|error| AccessError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests;
