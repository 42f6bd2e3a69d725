//! The helpers: what a template can call. Those in `data` read and subscribe; `scratch` and `surroundings` know the
//! rendering they are in; all others are functions of their arguments, in tables by subject.
//!
//! To add one, put it into the table of its subject and into docs/template-helpers.md: a test compares the two.

mod arguments;
mod arithmetic;
mod balancing;
mod codec;
mod collection;
mod data;
mod format;
mod grouping;
mod logic;
mod scratch;
mod slot;
mod string;
mod surroundings;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy, Output, RenderContext,
    RenderError, RenderErrorReason, Renderable, ScopedJson,
};
use serde_json::{Map, Value};

use super::dependency::Question;
use super::knowledge::Asked;
use super::slots::Slots;
use arguments::{Arguments, Outcome};

/// One rendering, as the helpers see it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) asked: Asked,
    /// What was asked for and is not known yet.
    pub(super) missing: BTreeSet<Question>,
    /// What is known not to be there, though the template cannot do without.
    pub(super) absent: BTreeSet<String>,
    pub(super) scratch: Map<String, Value>,
    /// The numbers that `slot` gives.
    pub(super) slots: Slots,
    /// What the template finds by plain names.
    pub(super) data: Value,
    /// The time that this rendering takes for now.
    pub(super) now: SystemTime,
    pub(super) used_time: bool,
}

impl Session {
    pub(super) fn at(now: SystemTime) -> Self {
        Self {
            asked: Asked::default(),
            missing: BTreeSet::new(),
            absent: BTreeSet::new(),
            scratch: Map::new(),
            slots: Slots::default(),
            data: Value::Object(Map::new()),
            now,
            used_time: false,
        }
    }
}

/// A session that helpers and engine share; rendering is the only time it is locked.
pub(super) type Shared = Arc<Mutex<Session>>;

/// What templates may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Helpers that are switched off.
    pub(crate) denied: BTreeSet<String>,
    /// The only folder that `file` reads from.
    pub(crate) sandbox: Option<PathBuf>,
}

impl Permissions {
    /// Switches helpers off by name.
    ///
    /// # Errors
    /// No helper has that name.
    pub fn deny(mut self, names: impl IntoIterator<Item = String>) -> Result<Self, String> {
        for name in names {
            match name.as_str() {
                // Who forbids the environment means all ways to it.
                "env" => self
                    .denied
                    .extend(["env", "mustEnv", "envOrDefault"].map(str::to_owned)),
                _ if all_names().any(|(known, _)| known == name) => {
                    self.denied.insert(name);
                }
                _ => {
                    return Err(format!(
                        "expected the name of a helper, as file or env; found {name:?}"
                    ));
                }
            }
        }
        Ok(self)
    }

    /// Lets `file` read only what is in this folder.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn sandbox(mut self, folder: PathBuf) -> std::io::Result<Self> {
        self.sandbox = Some(folder.canonicalize()?);
        Ok(self)
    }
}

/// A helper that is a function of its arguments: name, how it is called, function.
#[derive(Clone, Copy)]
struct Pure(
    &'static str,
    &'static str,
    fn(&Arguments<'_, '_>) -> Outcome,
);

/// The pure helpers, by subject.
const PURE: [&[Pure]; 7] = [
    arithmetic::HELPERS,
    balancing::HELPERS,
    codec::HELPERS,
    collection::HELPERS,
    grouping::HELPERS,
    logic::HELPERS,
    string::HELPERS,
];

/// Every helper of ours, with how it is called.
pub(crate) fn all_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let pure = PURE.iter().flat_map(|table| table.iter());
    let others = [
        data::NAMES,
        scratch::NAMES,
        slot::NAMES,
        surroundings::NAMES,
    ];
    pure.map(|pure| (pure.0, pure.1))
        .chain(others.into_iter().flatten().copied())
}

/// Gives `handlebars` all helpers that `permissions` allow, reading into `session`.
pub(super) fn register(
    handlebars: &mut Handlebars<'static>,
    session: &Shared,
    permissions: &Permissions,
) {
    for pure in PURE.iter().flat_map(|table| table.iter()) {
        handlebars.register_helper(pure.0, Box::new(PureHelper(*pure)));
    }
    data::register(handlebars, session, permissions);
    scratch::register(handlebars, session);
    slot::register(handlebars, session);
    surroundings::register(handlebars, session);
    for name in &permissions.denied {
        handlebars.register_helper(name, Box::new(DeniedHelper));
    }
}

/// The one form of a helper's error.
fn failure(name: &str, usage: &str, error: &str) -> RenderError {
    RenderErrorReason::Other(format!("{name}: {error}; it is {usage}")).into()
}

struct PureHelper(Pure);

impl HelperDef for PureHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let Pure(name, usage, function) = self.0;
        function(&Arguments(helper))
            .map(ScopedJson::Derived)
            .map_err(|error| failure(name, usage, &error))
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        handlebars: &'reg Handlebars<'reg>,
        context: &'rc Context,
        rendering: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = self.call_inner(helper, handlebars, context, rendering)?;
        if !helper.is_block() {
            out.write(&value.render())?;
            return Ok(());
        }
        // `{{#eq a b}} … {{else}} … {{/eq}}`
        let chosen = if value.as_json().is_truthy(false) {
            helper.template()
        } else {
            helper.inverse()
        };
        match chosen {
            Some(template) => template.render(handlebars, context, rendering, out),
            None => Ok(()),
        }
    }
}

struct DeniedHelper;

impl HelperDef for DeniedHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let error = format!("{} is switched off (deny)", helper.name());
        Err(RenderErrorReason::Other(error).into())
    }
}

#[cfg(test)]
mod tests;
