//! Checks a parsed expression against a kind of rows, and asks it of a row's JSON. A list of structs matches if any of
//! its elements does; what an absent map key answers is Consul's: no to `==` and `in`, yes to everything else.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::kinds::Kind;
use super::parse::{Match, Operator, Tree};
use crate::registry::request::truth;

/// Most bytes a compiled regular expression may take.
const REGEX_BYTES: usize = 1024 * 1024;
/// Most regular expressions in one filter: more than anybody writes, and together they stay within some megabytes.
const REGEX_MOST: usize = 32;

/// A tree whose selectors exist and whose values have the right types.
#[derive(Debug)]
pub(super) enum Checked {
    Or(Vec<Checked>),
    And(Vec<Checked>),
    Not(Box<Checked>),
    Match(CheckedMatch),
}

#[derive(Debug)]
pub(super) struct CheckedMatch {
    rows: &'static Kind,
    selector: Vec<String>,
    operator: Operator,
    value: Operand,
}

#[derive(Debug)]
enum Operand {
    None,
    Text(String),
    Int(i64),
    Bool(bool),
    Regex(Regex),
}

/// Checks every comparison of a tree.
pub(super) fn check(tree: Tree, rows: &'static Kind) -> Result<Checked, String> {
    if regexes(&tree) > REGEX_MOST {
        return Err(format!("more than {REGEX_MOST} regular expressions"));
    }
    check_part(tree, rows)
}

fn regexes(tree: &Tree) -> usize {
    match tree {
        Tree::Or(parts) | Tree::And(parts) => parts.iter().map(regexes).sum(),
        Tree::Not(a) => regexes(a),
        Tree::Match(found) => usize::from(matches!(
            found.operator,
            Operator::Matches | Operator::NotMatches
        )),
    }
}

fn check_part(tree: Tree, rows: &'static Kind) -> Result<Checked, String> {
    let all = |parts: Vec<Tree>| -> Result<Vec<Checked>, String> {
        parts
            .into_iter()
            .map(|part| check_part(part, rows))
            .collect()
    };
    Ok(match tree {
        Tree::Or(parts) => Checked::Or(all(parts)?),
        Tree::And(parts) => Checked::And(all(parts)?),
        Tree::Not(a) => Checked::Not(check_part(*a, rows)?.into()),
        Tree::Match(found) => Checked::Match(check_match(found, rows)?),
    })
}

fn check_match(found: Match, rows: &'static Kind) -> Result<CheckedMatch, String> {
    let kind = kind_of(&found.selector, rows)?;
    let shown = found.selector.join(".");
    let fits = match kind {
        Kind::Text => !matches!(found.operator, Operator::Empty | Operator::NotEmpty),
        Kind::Int | Kind::Bool => matches!(found.operator, Operator::Equal | Operator::NotEqual),
        Kind::Map(_) | Kind::List(Kind::Text | Kind::Int) => matches!(
            found.operator,
            Operator::In | Operator::NotIn | Operator::Empty | Operator::NotEmpty
        ),
        Kind::List(_) => matches!(found.operator, Operator::Empty | Operator::NotEmpty),
        Kind::Struct(_) => false,
    };
    if !fits {
        return Err(format!(
            "Invalid match operator {:?} for selector {shown:?}",
            found.operator.name()
        ));
    }
    let value = operand(&found, kind).map_err(|why| match found.operator {
        Operator::Matches | Operator::NotMatches => why,
        _ => format!(
            "Failed to coerce value {:?} for selector {shown:?}: {why}",
            found.value
        ),
    })?;
    Ok(CheckedMatch {
        rows,
        selector: found.selector,
        operator: found.operator,
        value,
    })
}

/// The kind at the end of a selector; an error names the selector up to the part that does not exist.
fn kind_of(selector: &[String], rows: &'static Kind) -> Result<&'static Kind, String> {
    let mut kind = rows;
    for (at, part) in selector.iter().enumerate() {
        let inner = match kind {
            Kind::List(element @ Kind::Struct(_)) => element,
            other => other,
        };
        let next = match inner {
            Kind::Struct(fields) => fields
                .iter()
                .find(|(name, _)| name == part)
                .map(|(_, kind)| kind),
            Kind::Map(value) => Some(*value),
            _ => None,
        };
        kind =
            next.ok_or_else(|| format!("Selector {:?} is not valid", selector[..=at].join(".")))?;
    }
    Ok(kind)
}

fn operand(found: &Match, kind: &Kind) -> Result<Operand, String> {
    let value = &found.value;
    match (found.operator, kind) {
        (Operator::Empty | Operator::NotEmpty, _) => Ok(Operand::None),
        (Operator::Matches | Operator::NotMatches, _) => RegexBuilder::new(value)
            .size_limit(REGEX_BYTES)
            .build()
            .map(Operand::Regex)
            .map_err(|error| {
                let last = error.to_string();
                let last = last.lines().last().unwrap_or_default().trim().to_owned();
                format!("Failed to compile regular expression {value:?}: {last}")
            }),
        (_, Kind::Int | Kind::List(Kind::Int)) => {
            value
                .parse()
                .map(Operand::Int)
                .map_err(|error: std::num::ParseIntError| {
                    let why = match error.kind() {
                        std::num::IntErrorKind::PosOverflow
                        | std::num::IntErrorKind::NegOverflow => "value out of range",
                        _ => "invalid syntax",
                    };
                    format!("strconv.ParseInt: parsing {value:?}: {why}")
                })
        }
        (_, Kind::Bool) => truth(value)
            .map(Operand::Bool)
            .ok_or_else(|| format!("strconv.ParseBool: parsing {value:?}: invalid syntax")),
        _ => Ok(Operand::Text(value.clone())),
    }
}

impl Checked {
    pub(super) fn takes(&self, row: &Value) -> bool {
        match self {
            Checked::Or(parts) => parts.iter().any(|part| part.takes(row)),
            Checked::And(parts) => parts.iter().all(|part| part.takes(row)),
            Checked::Not(a) => !a.takes(row),
            Checked::Match(found) => found.holds(found.rows, &found.selector, row),
        }
    }
}

impl CheckedMatch {
    fn holds(&self, kind: &'static Kind, selector: &[String], value: &Value) -> bool {
        let Some((part, rest)) = selector.split_first() else {
            return self.compare(kind, value);
        };
        match kind {
            Kind::Struct(fields) => {
                let field = fields.iter().find(|(name, _)| name == part);
                let inner = value.get(part).unwrap_or(&Value::Null);
                field.is_some_and(|(_, kind)| self.holds(kind, rest, inner))
            }
            Kind::Map(inner_kind) => match value.get(part) {
                Some(inner) => self.holds(inner_kind, rest, inner),
                None => !matches!(self.operator, Operator::Equal | Operator::In),
            },
            Kind::List(element) => value
                .as_array()
                .is_some_and(|items| items.iter().any(|item| self.holds(element, selector, item))),
            Kind::Text | Kind::Int | Kind::Bool => false,
        }
    }

    /// What a field's value says to the operator. A value that is not there is the zero value of its kind.
    fn compare(&self, kind: &Kind, value: &Value) -> bool {
        match self.operator {
            Operator::Equal => self.equal(value),
            Operator::NotEqual => !self.equal(value),
            Operator::In => self.within(kind, value),
            Operator::NotIn => !self.within(kind, value),
            Operator::Empty => is_empty(value),
            Operator::NotEmpty => !is_empty(value),
            Operator::Matches => self.matches(value),
            Operator::NotMatches => !self.matches(value),
        }
    }

    fn equal(&self, value: &Value) -> bool {
        match &self.value {
            Operand::Text(text) => value.as_str().unwrap_or_default() == text,
            Operand::Int(number) => value.as_i64().unwrap_or_default() == *number,
            Operand::Bool(yes) => value.as_bool().unwrap_or_default() == *yes,
            Operand::None | Operand::Regex(_) => false,
        }
    }

    fn within(&self, kind: &Kind, value: &Value) -> bool {
        match (kind, &self.value) {
            (Kind::Map(_), Operand::Text(key)) => value.get(key).is_some(),
            (Kind::List(_), _) => value
                .as_array()
                .is_some_and(|items| items.iter().any(|item| self.equal(item))),
            (_, Operand::Text(part)) => value.as_str().unwrap_or_default().contains(part.as_str()),
            _ => false,
        }
    }

    fn matches(&self, value: &Value) -> bool {
        match &self.value {
            Operand::Regex(regex) => regex.is_match(value.as_str().unwrap_or_default()),
            _ => false,
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => true,
    }
}
