//! What a template reads: a question that is asked once, however many templates and helpers ask it, and the view that
//! each of them takes of the answer.
//!
//! `query` reads consul-template's packed form, `follow` asks for ever, `memory` says what to believe after an outage,
//! `reply` compares answers, `shape` makes JSON of them. This folder is the one place in `template` that knows Consul's
//! wire types; what leaves it are plain values with the field names consul-template's users know.

mod follow;
mod memory;
mod query;
mod reply;
mod shape;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

pub(crate) use follow::{News, follow};
pub(crate) use query::{Packed as Place, parse_health, parse_place, parse_service};
pub(crate) use reply::Reply;
pub(crate) use shape::shape;

/// One question, which is one subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Question {
    /// The instances of a service, whatever their health.
    Service {
        name: String,
        tag: Option<String>,
        datacenter: Option<String>,
        near: Option<String>,
        filter: Option<String>,
    },
    /// The names of all services, with their tags.
    Services { datacenter: Option<String> },
    /// The nodes.
    Nodes {
        datacenter: Option<String>,
        near: Option<String>,
        filter: Option<String>,
    },
    /// A node with its instances; without a name, the agent's own.
    Node {
        name: Option<String>,
        datacenter: Option<String>,
    },
    /// The names of the datacenters.
    Datacenters,
    /// One key.
    Key {
        path: String,
        datacenter: Option<String>,
    },
    /// All keys that begin so.
    Keys {
        prefix: String,
        datacenter: Option<String>,
    },
    /// A file on this machine.
    File { path: PathBuf },
}

/// What a helper wants to see of an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum View {
    /// All of it.
    Whole,
    /// The instances in good enough health.
    Healthy(Health),
    /// The keys right below the prefix.
    List,
    /// The keys anywhere below the prefix.
    Tree,
}

/// Which instances a template wants to see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Health {
    /// All.
    Any,
    /// Those that the balancer would send requests to: also with a warning, if their weight for it is not 0.
    Usable,
    /// Those whose aggregated status is one of these: `passing`, `warning`, `critical`, `maintenance`.
    Status(BTreeSet<String>),
}

impl Default for Health {
    fn default() -> Self {
        Self::Status(BTreeSet::from(["passing".to_owned()]))
    }
}

/// What one call of a helper reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Dependency {
    pub(crate) question: Question,
    pub(crate) view: View,
}

/// ` NAME=VALUE` for those that are set.
fn settings(f: &mut fmt::Formatter<'_>, settings: [(&str, &Option<String>); 4]) -> fmt::Result {
    for (name, value) in settings {
        if let Some(value) = value {
            write!(f, " {name}={value}")?;
        }
    }
    Ok(())
}

/// As it stands in logs, metrics and the status page.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NONE: &Option<String> = &None;
        let (tag, dc, near, filter) = match self {
            Self::Service {
                name,
                tag,
                datacenter,
                near,
                filter,
            } => {
                write!(f, "service {name}")?;
                (tag, datacenter, near, filter)
            }
            Self::Services { datacenter } => {
                f.write_str("services")?;
                (NONE, datacenter, NONE, NONE)
            }
            Self::Nodes {
                datacenter,
                near,
                filter,
            } => {
                f.write_str("nodes")?;
                (NONE, datacenter, near, filter)
            }
            Self::Node { name, datacenter } => {
                write!(f, "node {}", name.as_deref().unwrap_or("(the agent's own)"))?;
                (NONE, datacenter, NONE, NONE)
            }
            Self::Datacenters => return f.write_str("datacenters"),
            Self::Key { path, datacenter } => {
                write!(f, "key {path}")?;
                (NONE, datacenter, NONE, NONE)
            }
            Self::Keys { prefix, datacenter } => {
                write!(f, "keys {prefix}")?;
                (NONE, datacenter, NONE, NONE)
            }
            Self::File { path } => return write!(f, "file {}", path.display()),
        };
        settings(
            f,
            [("tag", tag), ("dc", dc), ("near", near), ("filter", filter)],
        )
    }
}

/// The name under which what is known of it stands while a template is rendered: distinct for each dependency.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.question)?;
        match &self.view {
            View::Whole => Ok(()),
            View::Healthy(Health::Any) => f.write_str("|any"),
            View::Healthy(Health::Usable) => f.write_str("|usable"),
            View::Healthy(Health::Status(words)) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                write!(f, "|{}", words.join(","))
            }
            View::List => f.write_str("|ls"),
            View::Tree => f.write_str("|tree"),
        }
    }
}
