//! The parameters that choose rows: `node-meta` and `tag` (each may be repeated, all must hold), and `near`.

use super::answer::Failure;
use super::request::Call;
use crate::catalog::{Key, Node, fold};

/// What a query asks of the rows.
pub(super) struct Selection<'a> {
    node_meta: Vec<(&'a str, &'a str)>,
    tags: Vec<Key>,
}

impl<'a> Selection<'a> {
    #[allow(clippy::unnecessary_wraps)] // parameters are refused in one way everywhere
    pub(super) fn of(call: &'a Call) -> Result<Selection<'a>, Failure> {
        Ok(Selection {
            node_meta: call.node_meta(),
            tags: call.all("tag").map(fold).collect(),
        })
    }

    /// Nothing is asked of nodes.
    pub(super) fn any_node(&self) -> bool {
        self.node_meta.is_empty()
    }

    pub(super) fn takes_node(&self, node: &Node) -> bool {
        self.node_meta.iter().all(|(key, value)| {
            let meta = node.meta.as_ref().and_then(|meta| meta.get(*key));
            meta.is_some_and(|found| found == value)
        })
    }

    /// Every tag asked for is there; case does not matter.
    pub(super) fn takes_tags(&self, tags: &[Key]) -> bool {
        self.tags
            .iter()
            .all(|wanted| tags.iter().any(|tag| fold(tag) == *wanted))
    }
}

/// `near=_agent` (or the local node's name) puts the local node's rows first. Distances between machines are not
/// measured, so any other node changes nothing.
pub(super) fn near_first<T>(call: &Call, local: &str, rows: &mut [T], node: impl Fn(&T) -> &Key) {
    let here = fold(local);
    let near = call.parameter("near").map(fold);
    if near.is_some_and(|near| *near == *"_agent" || near == here) {
        rows.sort_by_key(|row| fold(node(row)) != here);
    }
}
