//! turno's own note beside HAProxy's file: who stands in which slot, and which text HAProxy has loaded.
//!
//! With it a restarted turno takes over a running HAProxy without a reload, and instances keep their slots. A note that
//! cannot be read is no note: then HAProxy is given a new file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::render::Backends;
use super::slots::{Backend, Occupant};
use super::word::Word;
use crate::snapshot::EndpointId;
use crate::template::{Output, TemplateError};

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// The sum of the text that HAProxy has loaded, without its servers; `None`: not known.
    pub(super) loaded: Option<u32>,
    pub(super) backends: Backends,
}

#[derive(Debug, Deserialize, Serialize)]
struct Stored {
    loaded: Option<u32>,
    backends: BTreeMap<String, Vec<Option<StoredOccupant>>>,
}

#[derive(Debug, Deserialize, Serialize)]
struct StoredOccupant {
    node: String,
    instance: String,
    address: SocketAddr,
    weight: u16,
    #[serde(default)]
    drained: bool,
}

/// Where the note for HAProxy's `file` is.
pub(super) fn path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".slots.json");
    PathBuf::from(name)
}

impl Note {
    /// Reads the note of `file`, if there is one.
    pub(super) fn load(file: &Path) -> Option<Self> {
        let path = path(file);
        let text = std::fs::read_to_string(&path).ok()?;
        match serde_json::from_str::<Stored>(&text) {
            Ok(stored) => Some(stored.into()),
            Err(error) => {
                tracing::warn!("{} is not understood and not used: {error}", path.display());
                None
            }
        }
    }

    /// Writes it.
    pub(super) async fn save(&self, file: &Path) -> Result<(), TemplateError> {
        let text = serde_json::to_string_pretty(&Stored::from(self))
            .expect("texts, numbers and lists are JSON");
        Output::plain(path(file)).write(&text).await.map(drop)
    }
}

impl From<Stored> for Note {
    fn from(stored: Stored) -> Self {
        let occupant = |o: StoredOccupant| Occupant {
            id: EndpointId {
                node: o.node.into(),
                instance: o.instance.into(),
            },
            address: o.address,
            weight: o.weight,
            drained: o.drained,
        };
        let backend = |(name, slots): (String, Vec<Option<StoredOccupant>>)| {
            let slots = slots.into_iter().map(|slot| slot.map(occupant)).collect();
            (Word::of(&name), Backend { slots, unplaced: 0 })
        };
        Self {
            loaded: stored.loaded,
            backends: stored.backends.into_iter().map(backend).collect(),
        }
    }
}

impl From<&Note> for Stored {
    fn from(note: &Note) -> Self {
        let occupant = |o: &Occupant| StoredOccupant {
            node: o.id.node.to_string(),
            instance: o.id.instance.to_string(),
            address: o.address,
            weight: o.weight,
            drained: o.drained,
        };
        let backends = note.backends.iter().map(|(name, backend)| {
            let slots = backend.slots.iter().map(|s| s.as_ref().map(occupant));
            (name.to_string(), slots.collect())
        });
        Self {
            loaded: note.loaded,
            backends: backends.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_saved_is_loaded_and_nonsense_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("haproxy.cfg");
        assert_eq!(Note::load(&file), None);
        let occupant = Occupant {
            id: EndpointId {
                node: "n".into(),
                instance: "a \"b\"\n".into(),
            },
            address: "[::1]:80".parse().expect("a literal"),
            weight: 7,
            drained: true,
        };
        let backend = Backend {
            slots: vec![None, Some(occupant)],
            unplaced: 0,
        };
        let note = Note {
            loaded: Some(5),
            backends: BTreeMap::from([(Word::of("web"), backend)]),
        };
        note.save(&file).await.expect("saved");
        assert_eq!(Note::load(&file), Some(note));
        std::fs::write(path(&file), "{").expect("written");
        assert_eq!(Note::load(&file), None);
    }
}
