//! What one asker may do: the rules of its token, or everything. It knows names of things, not where they are kept.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use super::rules::{Kind, Level, Rules};
use crate::catalog::Check;

/// Rights are told apart by number, so that answers made for one asker are never shown to another. They are made
/// anew when tokens are read again, and numbers are not used twice.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The rights of those who may do everything.
static EVERYTHING: LazyLock<Arc<Rights>> = LazyLock::new(|| Rights::new("everything", None));

/// What an asker may do.
pub(in super::super) struct Rights {
    id: u64,
    /// The token's name, for people. Never its secret.
    pub(super) name: String,
    /// `None`: everything.
    grant: Option<(Rules, Level)>,
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({})", self.name)
    }
}

impl Rights {
    fn new(name: &str, grant: Option<(Rules, Level)>) -> Arc<Rights> {
        Arc::new(Rights {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.to_owned(),
            grant,
        })
    }

    /// Those of the registry itself, of the token for everything, and of all where there is no access control.
    pub(in super::super) fn everything() -> Arc<Rights> {
        Arc::clone(&EVERYTHING)
    }

    /// Those of nobody.
    pub(in super::super) fn nothing() -> Arc<Rights> {
        Rights::ruled("nobody", Rules::default(), Level::Deny)
    }

    /// What the rules say, and `otherwise` where they say nothing.
    pub(super) fn ruled(name: &str, rules: Rules, otherwise: Level) -> Arc<Rights> {
        Rights::new(name, Some((rules, otherwise)))
    }

    /// What the token is called, for people.
    pub(in super::super) fn name(&self) -> &str {
        &self.name
    }

    /// A number that only these rights have.
    pub(in super::super) fn id(&self) -> u64 {
        self.id
    }

    pub(in super::super) fn is_everything(&self) -> bool {
        self.grant.is_none()
    }

    /// Whether no row is hidden from them.
    pub(in super::super) fn see_everything(&self) -> bool {
        match &self.grant {
            None => true,
            Some((rules, otherwise)) => rules.count() == 0 && *otherwise >= Level::Read,
        }
    }

    /// Whether they allow so much of that thing.
    pub(in super::super) fn allow(&self, kind: Kind, name: &str, level: Level) -> bool {
        match &self.grant {
            None => true,
            Some((rules, otherwise)) => rules.level(kind, name).unwrap_or(*otherwise) >= level,
        }
    }

    pub(in super::super) fn read(&self, kind: Kind, name: &str) -> bool {
        self.allow(kind, name, Level::Read)
    }

    pub(in super::super) fn write(&self, kind: Kind, name: &str) -> bool {
        self.allow(kind, name, Level::Write)
    }

    /// Whether everything that begins with `prefix` may be written.
    pub(in super::super) fn write_below(&self, kind: Kind, prefix: &str) -> bool {
        match &self.grant {
            None => true,
            Some((rules, otherwise)) => rules.least_below(kind, prefix, *otherwise) >= Level::Write,
        }
    }

    /// A check belongs to a service, or to its node.
    pub(in super::super) fn read_check(&self, node: &str, check: &Check) -> bool {
        self.read(Kind::Node, node)
            && (check.service_id.is_empty() || self.read(Kind::Service, &check.service_name))
    }
}
