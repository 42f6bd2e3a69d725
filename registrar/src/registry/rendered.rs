//! Bodies already written: a thousand waiters of one service that wake at once share one rendering. An entry holds only
//! for the catalog's revision it was made at. It does not know what the bodies mean.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Most bytes kept. Beyond it everything is forgotten and built up anew, which is seldom and cheap.
const MOST_BYTES: usize = 32 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Rendered {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    revision: u64,
    bytes: usize,
    bodies: HashMap<String, Bytes>,
}

impl Rendered {
    /// The body of a query as of a revision, if it is there.
    pub(super) fn get(&self, revision: u64, key: &str) -> Option<Bytes> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.revision == revision)
            .then(|| inner.bodies.get(key).cloned())
            .flatten()
    }

    /// Keeps a body, unless a newer revision is being kept already.
    pub(super) fn put(&self, revision: u64, key: String, body: Bytes) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.revision > revision || body.len() > MOST_BYTES {
            return;
        }
        let size = key.len() + body.len();
        if inner.revision < revision || inner.bytes + size > MOST_BYTES {
            inner.bodies.clear();
            inner.bytes = 0;
            inner.revision = revision;
        }
        if inner.bodies.insert(key, body).is_none() {
            inner.bytes += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_revision_counts_and_size_is_bounded() {
        let rendered = Rendered::default();
        rendered.put(2, "a".into(), Bytes::from_static(b"x"));
        assert!(rendered.get(2, "a").is_some());
        assert!(rendered.get(3, "a").is_none());
        rendered.put(1, "b".into(), Bytes::from_static(b"old"));
        assert!(rendered.get(1, "b").is_none());
        for n in 0..5 {
            rendered.put(3, n.to_string(), Bytes::from(vec![0; MOST_BYTES / 3]));
        }
        let inner = rendered.inner.lock().expect("no panic under the lock");
        assert!(inner.bytes <= MOST_BYTES && inner.bodies.len() < 4);
    }
}
