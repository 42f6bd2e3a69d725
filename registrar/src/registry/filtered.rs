//! The `filter` parameter: which kind of rows it is about, and asking it of the rows an endpoint would show.

use serde::Serialize;

use super::agent::answer;
use super::answer::{Answer, Failure};
use super::filter::{self, Expression, Kind};
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
    AgentCheck,
}

impl Shape {
    fn kind(self) -> &'static Kind {
        match self {
            Shape::Node => &filter::NODE,
            Shape::NodeService => &filter::NODE_SERVICE,
            Shape::CatalogService => &filter::CATALOG_SERVICE,
            Shape::Health => &filter::HEALTH,
            Shape::Check => &filter::CHECK,
            Shape::AgentService => &filter::AGENT_SERVICE,
            Shape::AgentCheck => &filter::CHECK,
        }
    }

    /// Consul says it with the headers of a query that nobody answered, where it is a query to the catalog.
    fn refusal(self, text: String) -> Failure {
        match self {
            Shape::AgentService => Failure::failed(text),
            // Here Consul finds out only when it has a row in hand, and then says no more than that.
            Shape::AgentCheck => Failure::failed(match text.split_once(": Selector ") {
                Some((_, rest)) => format!("Selector {rest}"),
                None => text,
            }),
            _ => Failure::failed(text).with_index(),
        }
    }
}

/// A filter, or none, which takes every row.
pub(super) struct Filter(Option<Expression>);

impl Filter {
    pub(super) fn of(call: &Call, shape: Shape) -> Result<Filter, Failure> {
        match call.parameter("filter") {
            None | Some("") => Ok(Filter(None)),
            Some(text) => Expression::new(text, shape.kind())
                .map(|expression| Filter(Some(expression)))
                .map_err(|error| shape.refusal(error.to_string())),
        }
    }

    /// Whether there is anything to ask.
    pub(super) fn is_any(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the row, in the JSON it would be shown in, is one of those asked for.
    pub(super) fn takes(&self, row: &impl Serialize) -> bool {
        let Some(expression) = &self.0 else {
            return true;
        };
        // Every view writes maps with text keys, which cannot fail.
        serde_json::to_value(row).is_ok_and(|row| expression.takes(&row))
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
