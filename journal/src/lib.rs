//! What has to survive a crash: a folder with a whole state, a log of what changed since, and checksums over both.
//!
//! What was appended is on disk when `append` returns. A log that was cut off in its last frame goes on before it; anything
//! else that was not written like this is refused by name and place, since to guess would be to forget. It does not know
//! what states and changes are, nor threads or clocks.

mod error;
mod folder;
pub mod frame;

pub use self::{
    error::Error,
    folder::{Folder, Piece, private},
};
