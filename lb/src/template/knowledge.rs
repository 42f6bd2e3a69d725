//! What is known of everything that templates read: the answers, and the values the templates see of them.
//!
//! The values stand in one place, under the name of their dependency, so that a rendering reads them without a copy of
//! them being made.

use std::collections::{BTreeMap, BTreeSet};

use handlebars::Context;
use serde_json::{Map, Value};

use super::dependency::{Dependency, News, Question, Reply, View, shape};

/// What a rendering has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Everything.
    pub(crate) dependencies: BTreeSet<Dependency>,
    /// Lists that must not fall below a number of members.
    pub(crate) guards: BTreeSet<(Dependency, usize)>,
}

impl Asked {
    /// Adds what another rendering has read.
    pub(crate) fn extend(&mut self, other: Asked) {
        self.dependencies.extend(other.dependencies);
        self.guards.extend(other.guards);
    }
}

/// What is known. One for all templates.
#[derive(Debug)]
pub(crate) struct Knowledge {
    replies: BTreeMap<Question, Reply>,
    views: BTreeMap<Question, BTreeSet<View>>,
    guards: BTreeMap<Dependency, BTreeSet<usize>>,
    context: Context,
}

impl Default for Knowledge {
    fn default() -> Self {
        Self {
            replies: BTreeMap::new(),
            views: BTreeMap::new(),
            guards: BTreeMap::new(),
            context: Context::from(Value::Object(Map::new())),
        }
    }
}

/// Under which name the last set with `min` members is kept.
pub(super) fn kept(dependency: &Dependency, min: usize) -> String {
    format!("{dependency} kept at {min}")
}

impl Knowledge {
    /// Takes an answer in. Returns whether something has left or got worse: then there is no time to wait.
    pub(crate) fn learn(&mut self, News { question, reply }: News) -> bool {
        let urgent = self
            .replies
            .get(&question)
            .is_some_and(|before| reply.is_worse_than(before));
        for view in self.views.get(&question).cloned().unwrap_or_default() {
            let dependency = Dependency {
                question: question.clone(),
                view,
            };
            let value = shaped(&reply, &dependency);
            self.keep_if_it_falls_short(&dependency, &value);
            self.values().insert(dependency.to_string(), value);
        }
        self.replies.insert(question, reply);
        urgent
    }

    /// Makes visible what `asked` reads, as far as it is known. Returns whether anything became visible.
    pub(crate) fn show(&mut self, asked: &Asked) -> bool {
        let mut more = false;
        for dependency in &asked.dependencies {
            let views = self.views.entry(dependency.question.clone()).or_default();
            if !views.insert(dependency.view.clone()) {
                continue;
            }
            if let Some(reply) = self.replies.get(&dependency.question) {
                let value = shaped(reply, dependency);
                self.values().insert(dependency.to_string(), value);
                more = true;
            }
        }
        for (dependency, min) in &asked.guards {
            self.guards
                .entry(dependency.clone())
                .or_default()
                .insert(*min);
        }
        more
    }

    /// Forgets everything but what `asked` reads.
    pub(crate) fn forget_all_but(&mut self, asked: &Asked) {
        let mut names = BTreeSet::new();
        let mut views: BTreeMap<Question, BTreeSet<View>> = BTreeMap::new();
        for dependency in &asked.dependencies {
            names.insert(dependency.to_string());
            let seen = views.entry(dependency.question.clone()).or_default();
            seen.insert(dependency.view.clone());
        }
        self.guards.clear();
        for (dependency, min) in &asked.guards {
            names.insert(kept(dependency, *min));
            self.guards
                .entry(dependency.clone())
                .or_default()
                .insert(*min);
        }
        self.replies
            .retain(|question, _| views.contains_key(question));
        self.values().retain(|name, _| names.contains(name));
        self.views = views;
    }

    /// The values by name, for a rendering.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    fn keep_if_it_falls_short(&mut self, dependency: &Dependency, value: &Value) {
        let Some(guards) = self.guards.get(dependency).cloned() else {
            return;
        };
        let count = value.as_array().map_or(0, Vec::len);
        for min in guards {
            if count >= min {
                self.values().remove(&kept(dependency, min));
                continue;
            }
            let name = dependency.to_string();
            let before = self
                .values()
                .get(&name)
                .filter(|v| length(v) >= min)
                .cloned();
            if let Some(before) = before {
                tracing::warn!(
                    dependency = %dependency.question,
                    "{count} of at least {min} instances are left: the last {} are kept",
                    length(&before)
                );
                self.values().insert(kept(dependency, min), before);
            }
        }
    }

    fn values(&mut self) -> &mut Map<String, Value> {
        let data = self.context.data_mut();
        if !data.is_object() {
            *data = Value::Object(Map::new());
        }
        data.as_object_mut().expect("it was just made one")
    }
}

fn shaped(reply: &Reply, dependency: &Dependency) -> Value {
    let prefix = match &dependency.question {
        Question::Keys { prefix, .. } => prefix.as_str(),
        _ => "",
    };
    shape(reply, &dependency.view, prefix)
}

fn length(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}
