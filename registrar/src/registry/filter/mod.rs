//! Consul's filter language (`go-bexpr` as of Consul 1.8): `Service.Meta.k == "v" and "a" in Service.Tags`.
//!
//! An expression is parsed, then checked against the kind of rows it is about, so that a selector that does not exist
//! or an operator that does not fit is an error before any row is looked at; then it is asked of each row's JSON. It
//! knows nothing of requests.

mod eval;
mod kinds;
mod parse;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub(super) use kinds::{AGENT_SERVICE, CATALOG_SERVICE, CHECK, HEALTH, Kind, NODE, NODE_SERVICE};

/// Why an expression was refused, in Consul's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Failed to create boolean expression evaluator: {0}")]
pub(super) struct FilterError(pub(super) String);

/// A checked expression.
#[derive(Debug)]
pub(super) struct Expression(eval::Checked);

impl Expression {
    /// Parses and checks.
    pub(super) fn new(text: &str, rows: &'static Kind) -> Result<Expression, FilterError> {
        let parsed = parse::parse(text).map_err(FilterError)?;
        eval::check(parsed, rows)
            .map(Expression)
            .map_err(FilterError)
    }

    /// Whether a row, as JSON, is one of those asked for.
    pub(super) fn takes(&self, row: &Value) -> bool {
        self.0.takes(row)
    }
}
