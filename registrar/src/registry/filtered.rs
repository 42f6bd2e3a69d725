//! The `filter` parameter. Consul's filter language is not implemented yet: a filter is refused in Consul's style
//! rather than ignored, because rows that should have been left out are worse than an error.

use serde::Serialize;

use super::agent::answer;
use super::answer::{Answer, Failure};
use super::request::Call;

/// What kind of row a filter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Node,
    NodeService,
    CatalogService,
    Health,
    Check,
    AgentService,
}

/// A filter that takes every row.
pub(super) struct Filter;

impl Filter {
    pub(super) fn of(call: &Call, _shape: Shape) -> Result<Filter, Failure> {
        match call.parameter("filter") {
            None | Some("") => Ok(Filter),
            Some(_) => Err(Failure::failed(
                "Failed to create boolean expression evaluator: this registry has no filter language yet",
            )),
        }
    }

    pub(super) fn takes(&self, _row: &impl Serialize) -> bool {
        true
    }
}

/// A JSON object of the rows the filter takes.
pub(super) fn map<'a, V: Serialize>(
    call: &Call,
    shape: Shape,
    rows: impl Iterator<Item = (&'a str, V)>,
) -> Result<Answer, Failure> {
    let filter = Filter::of(call, shape)?;
    let taken: std::collections::BTreeMap<&str, V> =
        rows.filter(|(_, row)| filter.takes(row)).collect();
    answer(call, &taken)
}
