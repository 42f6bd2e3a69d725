//! The helpers that read: what they ask for becomes a subscription, and nothing is written before all of it is known.

use std::path::PathBuf;

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, ScopedJson};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::{Permissions, Shared, failure};
use crate::template::dependency::{
    Dependency, Question, View, parse_health, parse_place, parse_service,
};
use crate::template::knowledge::kept;

/// The helpers and how they are called.
pub(super) const NAMES: &[(&str, &str)] = &[
    (
        "service",
        "(service \"[TAG.]NAME[@DC][~NEAR][|STATUS]\" [name= tag= dc= near= health= filter=])",
    ),
    ("safeService", "(safeService NAME min=N [as service])"),
    ("services", "(services [\"@DC\"] [dc=])"),
    ("node", "(node [\"NAME[@DC]\"] [dc=])"),
    ("nodes", "(nodes [\"@DC~NEAR\"] [dc= near= filter=])"),
    ("datacenters", "(datacenters)"),
    ("key", "(key \"PATH[@DC]\" [path= dc=])"),
    ("keyExists", "(keyExists \"PATH[@DC]\" [path= dc=])"),
    (
        "keyOrDefault",
        "(keyOrDefault \"PATH[@DC]\" OTHERWISE [path= dc=])",
    ),
    ("ls", "(ls \"PREFIX[@DC]\" [path= dc=])"),
    ("safeLs", "(safeLs \"PREFIX[@DC]\" [path= dc=])"),
    ("tree", "(tree \"PREFIX[@DC]\" [path= dc=])"),
    ("safeTree", "(safeTree \"PREFIX[@DC]\" [path= dc=])"),
    ("file", "(file PATH)"),
];

pub(super) fn register(
    handlebars: &mut Handlebars<'static>,
    session: &Shared,
    permissions: &Permissions,
) {
    for (name, usage) in NAMES {
        let helper = DataHelper {
            name,
            usage,
            session: Shared::clone(session),
            sandbox: permissions.sandbox.clone(),
        };
        handlebars.register_helper(name, Box::new(helper));
    }
}

struct DataHelper {
    name: &'static str,
    usage: &'static str,
    session: Shared,
    sandbox: Option<PathBuf>,
}

impl HelperDef for DataHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let a = Arguments(helper);
        self.read(&a, context)
            .map_err(|error| failure(self.name, self.usage, &error))
    }
}

impl DataHelper {
    fn read<'rc>(
        &self,
        a: &Arguments<'_, '_>,
        context: &'rc Context,
    ) -> Result<ScopedJson<'rc>, String> {
        match self.name {
            "service" => Ok(self.list(instances(a, &[])?, context)),
            "safeService" => self.guarded(a, context),
            "services" => {
                let datacenter = place(a, &["dc"])?.datacenter;
                Ok(self.list(whole(Question::Services { datacenter }), context))
            }
            "nodes" => {
                let place = place(a, &["dc", "near", "filter"])?;
                let question = Question::Nodes {
                    datacenter: place.datacenter,
                    near: place.near,
                    filter: a.named_text("filter")?,
                };
                Ok(self.list(whole(question), context))
            }
            "node" => {
                let place = place(a, &["dc"])?;
                let question = Question::Node {
                    name: Some(place.name).filter(|name| !name.is_empty()),
                    datacenter: place.datacenter,
                };
                Ok(self.ask(whole(question), context).unwrap_or_else(nothing))
            }
            "datacenters" => Ok(self.list(whole(Question::Datacenters), context)),
            "file" => self.file(a, context),
            "key" | "keyExists" | "keyOrDefault" => self.key(a, context),
            _ => self.keys(a, context),
        }
    }

    /// What is known of `dependency`, if anything; it is remembered that it was asked for.
    fn ask<'rc>(&self, dependency: Dependency, context: &'rc Context) -> Option<ScopedJson<'rc>> {
        let name = dependency.to_string();
        let value = context.data().get(&name);
        let mut session = self.session.lock().expect("no holder of this lock panics");
        if value.is_none() {
            session.missing.insert(dependency.question.clone());
        }
        session.asked.dependencies.insert(dependency);
        value.map(|value| ScopedJson::Context(value, vec![name]))
    }

    /// The same, where nothing is an empty list.
    fn list<'rc>(&self, dependency: Dependency, context: &'rc Context) -> ScopedJson<'rc> {
        self.ask(dependency, context)
            .unwrap_or_else(|| ScopedJson::Derived(json!([])))
    }

    /// Says that what was asked for is known not to be there, so that nothing can be written.
    fn absent(&self, what: String) {
        let mut session = self.session.lock().expect("no holder of this lock panics");
        session.absent.insert(what);
    }

    fn guarded<'rc>(
        &self,
        a: &Arguments<'_, '_>,
        context: &'rc Context,
    ) -> Result<ScopedJson<'rc>, String> {
        let min = a
            .named("min")
            .and_then(Value::as_u64)
            .filter(|min| *min > 0);
        let min = min.ok_or("expected min=NUMBER above 0")?;
        let min = usize::try_from(min).map_err(|_| "min= is too large")?;
        let dependency = instances(a, &["min"])?;
        self.session
            .lock()
            .expect("no holder of this lock panics")
            .asked
            .guards
            .insert((dependency.clone(), min));
        let Some(now) = self.ask(dependency.clone(), context) else {
            return Ok(ScopedJson::Derived(json!([])));
        };
        let count = now.as_json().as_array().map_or(0, Vec::len);
        if count >= min {
            return Ok(now);
        }
        let name = kept(&dependency, min);
        match context.data().get(&name) {
            Some(before) => Ok(ScopedJson::Context(before, vec![name])),
            None => {
                self.absent(format!(
                    "{} has {count} of at least {min} instances, and there is no earlier set to keep",
                    dependency.question
                ));
                Ok(now)
            }
        }
    }

    fn key<'rc>(
        &self,
        a: &Arguments<'_, '_>,
        context: &'rc Context,
    ) -> Result<ScopedJson<'rc>, String> {
        let (path, datacenter) = path(a)?;
        let path = path.trim_start_matches('/').to_owned();
        if path.is_empty() {
            return Err("expected the path of a key".to_owned());
        }
        let question = Question::Key { path, datacenter };
        let known = self.ask(whole(question.clone()), context);
        let value = known.as_ref().and_then(|pair| pair.as_json().get("Value"));
        let value = match (self.name, value) {
            ("keyExists", value) => value.is_some().into(),
            (_, Some(value)) => value.clone(),
            ("keyOrDefault", None) => a.any(usize::from(a.named("path").is_none()))?.clone(),
            (_, None) => {
                if known.is_some() {
                    self.absent(format!("{question} does not exist (see keyOrDefault)"));
                }
                "".into()
            }
        };
        Ok(ScopedJson::Derived(value))
    }

    fn keys<'rc>(
        &self,
        a: &Arguments<'_, '_>,
        context: &'rc Context,
    ) -> Result<ScopedJson<'rc>, String> {
        let (prefix, datacenter) = path(a)?;
        let prefix = prefix.trim_matches('/');
        let question = Question::Keys {
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
            datacenter,
        };
        let safe = matches!(self.name, "safeLs" | "safeTree");
        let view = if matches!(self.name, "ls" | "safeLs") {
            View::List
        } else {
            View::Tree
        };
        let dependency = Dependency {
            question: question.clone(),
            view,
        };
        let known = self.ask(dependency, context);
        let is_empty = known
            .as_ref()
            .is_some_and(|list| list.as_json() == &json!([]));
        if safe && is_empty {
            self.absent(format!("{question}: there are none"));
        }
        Ok(known.unwrap_or_else(|| ScopedJson::Derived(json!([]))))
    }

    fn file<'rc>(
        &self,
        a: &Arguments<'_, '_>,
        context: &'rc Context,
    ) -> Result<ScopedJson<'rc>, String> {
        a.only_named(&[])?;
        let path = PathBuf::from(a.text(0)?);
        if let Some(sandbox) = &self.sandbox {
            let inside = |path: &PathBuf| {
                let found = path.canonicalize().unwrap_or_else(|_| path.clone());
                let parts = found.components();
                let steps_out = parts.into_iter().any(|part| part.as_os_str() == "..");
                found.starts_with(sandbox) && !steps_out
            };
            if !inside(&path) {
                return Err(format!(
                    "{} is not in {}",
                    path.display(),
                    sandbox.display()
                ));
            }
        }
        let question = Question::File { path };
        let known = self.ask(whole(question.clone()), context);
        if known.as_ref().is_some_and(|text| text.as_json().is_null()) {
            self.absent(format!("{question} cannot be read"));
        }
        Ok(known.unwrap_or_else(|| ScopedJson::Derived("".into())))
    }
}

fn nothing<'rc>() -> ScopedJson<'rc> {
    ScopedJson::Derived(json!({ "Node": { "Node": "", "Address": "" }, "Services": [] }))
}

fn whole(question: Question) -> Dependency {
    Dependency {
        question,
        view: View::Whole,
    }
}

/// What `service` is asked for: the packed form, and named arguments that count more.
fn instances(a: &Arguments<'_, '_>, more: &[&str]) -> Result<Dependency, String> {
    let mut known = vec!["name", "tag", "dc", "near", "health", "filter"];
    known.extend(more);
    a.only_named(&known)?;
    // consul-template joins several arguments with `|`.
    let words: Result<Vec<&str>, String> = (0..a.count()).map(|place| a.text(place)).collect();
    let words = words?;
    let named = a.named_text("name")?;
    let packed = match (&named, words.is_empty()) {
        (None, true) => return Err("expected the name of a service".to_owned()),
        (None, false) => {
            let (name, filters) = words.split_at(1);
            let filters = filters.join(",");
            let bar = if filters.is_empty() { "" } else { "|" };
            parse_service(&format!("{}{bar}{filters}", name[0]))?
        }
        (Some(_), _) => parse_place("")?,
    };
    let health = match a.named_text("health")? {
        Some(health) => parse_health(&health).map_err(|error| format!("health: {error}"))?,
        None => packed.health.unwrap_or_default(),
    };
    Ok(Dependency {
        question: Question::Service {
            name: named.unwrap_or(packed.name),
            tag: a.named_text("tag")?.or(packed.tag),
            datacenter: a.named_text("dc")?.or(packed.datacenter),
            near: a.named_text("near")?.or(packed.near),
            filter: a.named_text("filter")?,
        },
        view: View::Healthy(health),
    })
}

fn place(
    a: &Arguments<'_, '_>,
    named: &[&str],
) -> Result<crate::template::dependency::Place, String> {
    a.only_named(named)?;
    a.at_most(1)?;
    let packed = if a.count() > 0 { a.text(0)? } else { "" };
    let mut place = parse_place(packed)?;
    place.datacenter = a.named_text("dc")?.or(place.datacenter);
    place.near = a.named_text("near")?.or(place.near);
    Ok(place)
}

/// The path of a key or prefix, and the datacenter. `path=` is taken as it is, whatever characters it has.
fn path(a: &Arguments<'_, '_>) -> Result<(String, Option<String>), String> {
    a.only_named(&["path", "dc"])?;
    let datacenter = a.named_text("dc")?;
    if let Some(path) = a.named_text("path")? {
        return Ok((path, datacenter));
    }
    let place = parse_place(a.text(0)?)?;
    if place.near.is_some() {
        return Err(
            "~ is not for keys; a key with such a character goes into path=\"…\"".to_owned(),
        );
    }
    Ok((place.name, datacenter.or(place.datacenter)))
}
