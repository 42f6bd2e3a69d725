//! Rules: which access to what, by exact name and by prefix, as Consul's policies have them. Pure; it knows neither
//! tokens nor files nor requests.

use std::collections::BTreeMap;

/// How much is allowed. Consul's `list` on keys counts as `read`, as it does there by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Level {
    Deny,
    Read,
    Write,
}

impl Level {
    /// The word of a policy.
    pub(super) fn of(word: &str) -> Option<Level> {
        match word {
            "deny" => Some(Level::Deny),
            "read" | "list" => Some(Level::Read),
            "write" => Some(Level::Write),
            _ => None,
        }
    }
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// This process, by the node's name: `agent/self`, `agent/reload` and the like.
    Agent,
    /// Events, by name.
    Event,
    /// Keys and their values.
    Key,
    /// Nodes with the checks that belong to no instance, by name.
    Node,
    /// Prepared queries, by name.
    Query,
    /// Instances with their checks, by the name of their service.
    Service,
    /// Sessions, by the name of their node.
    Session,
    /// What is about the whole cluster; it has no names.
    Operator,
}

/// The kinds that have names, as policies call them; with `_prefix` after it a name is a prefix.
pub(super) const NAMED: [(&str, Kind); 7] = [
    ("agent", Kind::Agent),
    ("event", Kind::Event),
    ("key", Kind::Key),
    ("node", Kind::Node),
    ("query", Kind::Query),
    ("service", Kind::Service),
    ("session", Kind::Session),
];

/// How many kinds there are.
const KINDS: usize = 8;

/// The rules of one token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    kinds: [OfKind; KINDS],
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OfKind {
    exact: BTreeMap<String, Level>,
    prefixes: BTreeMap<String, Level>,
}

impl Rules {
    /// Adds a rule about a name, or about all that begin with it. Returns whether it is new.
    pub(super) fn add(&mut self, kind: Kind, name: &str, is_prefix: bool, level: Level) -> bool {
        let of_kind = &mut self.kinds[kind as usize];
        let rules = if is_prefix {
            &mut of_kind.prefixes
        } else {
            &mut of_kind.exact
        };
        rules.insert(name.to_owned(), level).is_none()
    }

    /// How many rules there are.
    pub(super) fn count(&self) -> usize {
        let each = self.kinds.iter();
        each.map(|kind| kind.exact.len() + kind.prefixes.len())
            .sum()
    }

    /// What the rules say of a name: the exact one, else that of the longest prefix; `None` if they say nothing.
    pub(super) fn level(&self, kind: Kind, name: &str) -> Option<Level> {
        let of_kind = &self.kinds[kind as usize];
        of_kind.exact.get(name).copied().or_else(|| {
            let fitting = of_kind.prefixes.iter();
            let fitting = fitting.filter(|(prefix, _)| name.starts_with(prefix.as_str()));
            fitting
                .max_by_key(|(prefix, _)| prefix.len())
                .map(|(_, level)| *level)
        })
    }

    /// The least that is allowed on any name that begins with `prefix`, where `otherwise` is what the rules leave open.
    pub(super) fn least_below(&self, kind: Kind, prefix: &str, otherwise: Level) -> Level {
        let of_kind = &self.kinds[kind as usize];
        let above = of_kind.prefixes.iter();
        let above = above.filter(|(rule, _)| prefix.starts_with(rule.as_str()));
        let base = above.max_by_key(|(rule, _)| rule.len());
        let base = base.map_or(otherwise, |(_, level)| *level);
        let below = of_kind.prefixes.iter().chain(&of_kind.exact);
        let below = below.filter(|(rule, _)| rule.starts_with(prefix));
        below.map(|(_, level)| *level).fold(base, Level::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let mut rules = Rules::default();
        for (name, is_prefix, level) in [
            ("app/", true, Level::Write),
            ("app/secret", true, Level::Deny),
            ("app/secret/open", false, Level::Read),
            ("cfg/", true, Level::Read),
        ] {
            assert!(rules.add(Kind::Key, name, is_prefix, level));
        }
        assert!(!rules.add(Kind::Key, "cfg/", true, Level::Deny) && rules.count() == 4);
        rules.add(Kind::Key, "cfg/", true, Level::Read);
        rules
    }

    #[test]
    fn the_exact_rule_counts_then_the_longest_prefix() {
        let table = [
            ("app/a", Some(Level::Write)),
            ("app/secret", Some(Level::Deny)),
            ("app/secret/x", Some(Level::Deny)),
            ("app/secret/open", Some(Level::Read)),
            ("app/secret/open/x", Some(Level::Deny)),
            ("cfg/b", Some(Level::Read)),
            ("app", None),
            ("", None),
        ];
        for (name, level) in table {
            assert_eq!(rules().level(Kind::Key, name), level, "{name}");
        }
        assert_eq!(rules().level(Kind::Service, "app/a"), None);
    }

    #[test]
    fn below_a_prefix_the_least_counts() {
        // As measured on Consul: a tree may be deleted only if all of it may be written.
        let table = [
            ("app/", Level::Deny),
            ("app/s", Level::Deny),
            ("app/other/", Level::Write),
            ("app/secret/open", Level::Deny),
            ("cfg/", Level::Read),
            ("", Level::Deny),
            ("none/", Level::Deny),
        ];
        for (prefix, level) in table {
            let least = rules().least_below(Kind::Key, prefix, Level::Deny);
            assert_eq!(least, level, "{prefix}");
        }
        let open = rules().least_below(Kind::Key, "none/", Level::Write);
        assert_eq!(open, Level::Write);
    }
}
