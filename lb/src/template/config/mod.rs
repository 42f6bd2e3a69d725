//! The configuration file of the watcher: TOML as a person writes it. Anything may be missing, no key may be unknown, and
//! what is wrong is named with file, line, field and what was expected.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::output::{Output, group_id, user_id};
use super::spec::Source;
use super::{Permissions, TemplateError, TemplateSpec, Wait};

/// The longest time a command may take: what takes longer should be started, not waited for.
const LONGEST_COMMAND: Duration = Duration::from_secs(10 * 60);

/// What a configuration file says: complete, and true.
#[derive(Clone, Debug)]
pub struct TemplateFile {
    /// The templates, at least one.
    pub templates: Vec<TemplateSpec>,
    /// What templates may do.
    pub permissions: Permissions,
    /// Where the status page is.
    pub admin: Option<SocketAddr>,
    consul: RawConsul,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    admin: Option<Spanned<String>>,
    wait: Option<Spanned<String>>,
    check: Option<String>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
    sandbox: Option<Spanned<PathBuf>>,
    #[serde(default)]
    consul: RawConsul,
    #[serde(default, rename = "template")]
    templates: Vec<Spanned<RawTemplate>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConsul {
    address: Option<String>,
    datacenter: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    ca_cert: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    tls_server_name: Option<String>,
    verify: Option<bool>,
}

/// The token does not show.
impl std::fmt::Debug for RawConsul {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawConsul")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTemplate {
    source: Option<PathBuf>,
    contents: Option<String>,
    target: PathBuf,
    command: Option<String>,
    command_timeout: Option<Spanned<String>>,
    check: Option<String>,
    wait: Option<Spanned<String>>,
    mode: Option<Spanned<String>>,
    user: Option<Spanned<String>>,
    group: Option<Spanned<String>>,
    #[serde(default)]
    backup: bool,
    #[serde(default = "yes")]
    make_folders: bool,
}

fn yes() -> bool {
    true
}

/// The file being read: where it is, for paths, and its text, for lines.
struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
}

impl TemplateFile {
    /// Reads the file at `path`. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// [`TemplateError::File`]: it cannot be read; [`TemplateError::Config`]: what it says cannot be.
    pub fn load(path: &Path) -> Result<Self, TemplateError> {
        let text = std::fs::read_to_string(path).map_err(|source| TemplateError::File {
            what: "read",
            path: path.to_owned(),
            source,
        })?;
        let reading = Reading { path, text: &text };
        let raw: RawFile = toml::from_str(&text).map_err(|error| {
            let message = error.message().replace('\n', " ");
            reading.wrong(error.span().unwrap_or(0..0), message)
        })?;
        reading.complete(raw)
    }

    /// The registry to ask: what the file says of it counts more than `given`.
    #[must_use]
    pub fn consul(&self, given: consul::Config) -> consul::Config {
        let raw = self.consul.clone();
        let mut config = given;
        if let Some(address) = raw.address {
            config = config.with_address(address);
        }
        if let Some(datacenter) = raw.datacenter {
            config = config.with_datacenter(datacenter);
        }
        if let Some(path) = raw.token_file {
            config = config.with_token_file(path);
        }
        if let Some(token) = raw.token {
            config = config.with_token(token);
        }
        if let Some(path) = raw.ca_cert {
            config = config.with_ca_cert(path);
        }
        if let (Some(cert), Some(key)) = (raw.client_cert, raw.client_key) {
            config = config.with_client_cert(cert, key);
        }
        if let Some(name) = raw.tls_server_name {
            config = config.with_tls_server_name(name);
        }
        match raw.verify {
            Some(verify) => config.with_verify(verify),
            None => config,
        }
    }
}

impl Reading<'_> {
    fn wrong(&self, span: Range<usize>, reason: impl Into<String>) -> TemplateError {
        let before = &self.text[..span.start.min(self.text.len())];
        TemplateError::Config {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            reason: reason.into(),
        }
    }

    /// A value that is read from a text; the error says what was expected.
    fn value<T, E: ToString>(
        &self,
        field: &str,
        text: Option<Spanned<String>>,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, TemplateError> {
        let Some(text) = text else { return Ok(None) };
        let value = read(text.get_ref());
        let wrong = |error: E| self.wrong(text.span(), format!("{field}: {}", error.to_string()));
        value.map(Some).map_err(wrong)
    }

    fn beside(&self, path: PathBuf) -> PathBuf {
        match self.path.parent() {
            Some(folder) => folder.join(path),
            None => path,
        }
    }

    fn complete(&self, raw: RawFile) -> Result<TemplateFile, TemplateError> {
        let wait = self
            .value("wait", raw.wait, Wait::from_str)?
            .unwrap_or_default();
        let admin = self.value("admin", raw.admin, |text| {
            text.parse()
                .map_err(|_| format!("expected ADDRESS:PORT, as 127.0.0.1:8082, found {text:?}"))
        })?;
        let mut permissions = Permissions::default();
        for name in raw.deny {
            let span = name.span();
            permissions = permissions
                .deny([name.into_inner()])
                .map_err(|error| self.wrong(span, format!("deny: {error}")))?;
        }
        if let Some(folder) = raw.sandbox {
            let (span, path) = (folder.span(), self.beside(folder.into_inner()));
            permissions = permissions.sandbox(path.clone()).map_err(|error| {
                self.wrong(
                    span,
                    format!(
                        "sandbox: expected a folder, found {}: {error}",
                        path.display()
                    ),
                )
            })?;
        }
        if raw.consul.client_cert.is_some() != raw.consul.client_key.is_some() {
            return Err(self.wrong(0..0, "consul: client_cert and client_key need each other"));
        }
        let consul = RawConsul {
            token_file: raw.consul.token_file.map(|path| self.beside(path)),
            ca_cert: raw.consul.ca_cert.map(|path| self.beside(path)),
            client_cert: raw.consul.client_cert.map(|path| self.beside(path)),
            client_key: raw.consul.client_key.map(|path| self.beside(path)),
            ..raw.consul
        };
        if raw.templates.is_empty() {
            return Err(self.wrong(0..0, "template: expected at least one [[template]]"));
        }
        let templates = raw.templates.into_iter();
        let templates = templates.map(|template| self.template(template, wait, raw.check.as_ref()));
        Ok(TemplateFile {
            templates: templates.collect::<Result<_, _>>()?,
            permissions,
            admin,
            consul,
        })
    }

    fn template(
        &self,
        raw: Spanned<RawTemplate>,
        wait: Wait,
        check: Option<&String>,
    ) -> Result<TemplateSpec, TemplateError> {
        let span = raw.span();
        let raw = raw.into_inner();
        let target = self.beside(raw.target);
        let source = match (raw.source, raw.contents) {
            (Some(path), None) => Source::File(self.beside(path)),
            (None, Some(text)) => Source::Contents {
                text,
                name: self.path.to_owned(),
            },
            _ => return Err(self.wrong(span, "template: expected either source or contents")),
        };
        let field = |name: &str| format!("template.{name}");
        let limit = self.value(&field("command_timeout"), raw.command_timeout, |text| {
            let limit = crate::config::parse_duration(text)?;
            if limit.is_zero() || limit > LONGEST_COMMAND {
                return Err(format!("expected 1ms to 10m, found {text:?}"));
            }
            Ok(limit)
        })?;
        let plain = Output::plain(target);
        let output = Output {
            check: raw
                .check
                .or_else(|| check.cloned())
                .filter(|c| !c.trim().is_empty()),
            command: raw.command.filter(|c| !c.trim().is_empty()),
            command_limit: limit.unwrap_or(plain.command_limit),
            mode: self.value(&field("mode"), raw.mode, mode)?,
            owner: (
                self.value(&field("user"), raw.user, user_id)?,
                self.value(&field("group"), raw.group, group_id)?,
            ),
            backup: raw.backup,
            make_folders: raw.make_folders,
            ..plain
        };
        Ok(TemplateSpec {
            source,
            output,
            wait: self
                .value(&field("wait"), raw.wait, Wait::from_str)?
                .unwrap_or(wait),
        })
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| format!("expected an octal mode, as \"0640\", found {text:?}"))
}

#[cfg(test)]
mod tests;
