//! What a folder held: the last whole state, with everything in the log done again by the same functions that did it first.
//!
//! It does not know files; what it refuses is named by whoever reads them.

use std::{io, path::Path, time::Duration};

use journal::Piece;

use super::{DurableError, Record};
use crate::catalog::Catalog;

/// A catalog on its way back, and the time of the last that was done to it.
#[derive(Debug, Default)]
pub(super) struct Restored(Option<(Duration, Catalog)>);

/// A whole state as bytes.
pub(super) fn encode_state(now: Duration, catalog: &Catalog) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec_named(&(now, catalog)).map_err(io::Error::other)
}

impl Restored {
    /// Takes the next piece of what the folder holds.
    pub(super) fn take(&mut self, piece: Piece<'_>) -> Result<(), String> {
        match piece {
            Piece::State(state) => {
                let (now, catalog): (Duration, Catalog) =
                    rmp_serde::from_slice(state).map_err(|error| error.to_string())?;
                if !catalog.is_whole() {
                    return Err("the state lacks its own node".to_owned());
                }
                self.0 = Some((now, catalog));
                Ok(())
            }
            Piece::Change {
                contents,
                file,
                offset,
            } => self.change(contents, file, offset),
        }
    }

    fn change(&mut self, contents: &[u8], file: &Path, offset: usize) -> Result<(), String> {
        let (then, index, command) = Record::decode(contents)?;
        let (now, catalog) = self.0.as_mut().ok_or("a change before the state")?;
        *now = then.max(*now);
        if let Err(error) = catalog.apply(then, command) {
            tracing::warn!(file = %file.display(), offset, %error, "a kept change is refused now and left out");
        }
        if catalog.index() != index {
            tracing::warn!(
                file = %file.display(), offset, then = index, now = catalog.index(),
                "a kept change led to another index than now; it was written by another version"
            );
            catalog.index_at_least(index);
        }
        Ok(())
    }

    /// The catalog and its time.
    pub(super) fn whole(self, path: &Path) -> Result<(Duration, Catalog), DurableError> {
        let missing = || journal::Error::Missing {
            path: path.join("state"),
        };
        Ok(self.0.ok_or_else(missing)?)
    }
}
