//! One request's hold on an upstream.

use std::sync::Arc;

use super::Upstream;

/// Counted as in flight while it lives, however it ends. It is held until the response's last byte is on its way.
#[derive(Debug)]
pub(crate) struct Lease {
    upstream: Arc<Upstream>,
}

impl Lease {
    /// Takes hold.
    pub(crate) fn take(upstream: &Arc<Upstream>) -> Self {
        upstream.enter();
        Self {
            upstream: Arc::clone(upstream),
        }
    }

    /// What is held.
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.leave();
    }
}
