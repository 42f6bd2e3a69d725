//! One template: Handlebars with our helpers, as a function of the template, of what is known, and of the time.
//!
//! What it asks for and nobody knows yet is reported, and then there is no text: half a configuration is never written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use handlebars::{
    BlockContext, Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext,
    RenderErrorReason, Renderable, TemplateErrorReason,
};
use serde_json::{Value, json};

use super::TemplateError;
use super::dependency::Question;
use super::helpers::{self, Permissions, Session, Shared};
use super::knowledge::{Asked, Knowledge};
use super::slots::Slots;

/// The name a template has inside its engine. Each engine has one.
const NAME: &str = "template";

/// The template around it: see [`Inside`].
const ENTRY: &str = "entry";

/// A template that can be rendered.
#[derive(Debug)]
pub(crate) struct Engine {
    path: PathBuf,
    handlebars: Handlebars<'static>,
    session: Shared,
    /// The numbers of the last complete rendering.
    slots: Mutex<Slots>,
}

/// What came of a rendering.
#[derive(Debug)]
pub(crate) struct Rendering {
    /// The text, if everything it reads is known and there.
    pub(crate) text: Option<String>,
    /// Everything it reads.
    pub(crate) asked: Asked,
    /// What of that is not known yet.
    pub(crate) missing: BTreeSet<Question>,
    /// What is known not to be there, though the template cannot do without: a sentence each.
    pub(crate) absent: BTreeSet<String>,
    /// Whether the text depends on the time.
    pub(crate) used_time: bool,
}

impl Engine {
    /// Reads `text`, the template at `path`, which may use every helper.
    ///
    /// # Errors
    /// [`TemplateError::Template`]: it is none; with line and column.
    pub(crate) fn new(path: &Path, text: &str) -> Result<Self, TemplateError> {
        Self::restricted(path, text, &Permissions::default())
    }

    /// [`Engine::new`], where not every helper may be allowed.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn restricted(
        path: &Path,
        text: &str,
        permissions: &Permissions,
    ) -> Result<Self, TemplateError> {
        let mut handlebars = Handlebars::new();
        // Configuration files are not HTML, and a name that is not there is a mistake.
        handlebars.register_escape_fn(handlebars::no_escape);
        handlebars.set_strict_mode(true);
        let session = Arc::new(Mutex::new(Session::at(SystemTime::UNIX_EPOCH)));
        helpers::register(&mut handlebars, &session, permissions);
        handlebars.register_helper(ENTRY, Box::new(Inside(Arc::clone(&session))));
        handlebars
            .register_template_string(ENTRY, "{{entry}}")
            .expect("it is a template");
        handlebars
            .register_template_string(NAME, text)
            .map_err(|error| {
                let (line, column) = error.pos().unwrap_or_default();
                let reason = match error.reason() {
                    // What the parser could have gone on with is a list of its own terms.
                    TemplateErrorReason::InvalidSyntax(_) => UNFINISHED.to_owned(),
                    reason => reason.to_string(),
                };
                TemplateError::Template {
                    path: path.to_owned(),
                    line,
                    column,
                    reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
                }
            })?;
        Ok(Self {
            path: path.to_owned(),
            handlebars,
            session,
            slots: Mutex::default(),
        })
    }

    /// Takes over numbers that were given before.
    pub(crate) fn with_slots(self, slots: Slots) -> Self {
        Self {
            slots: Mutex::new(slots),
            ..self
        }
    }

    /// The numbers of the last complete rendering.
    pub(crate) fn slots(&self) -> Slots {
        let slots = self.slots.lock().expect("no holder of this lock panics");
        slots.clone()
    }

    /// Renders with what is known, taking `now` for the time.
    ///
    /// # Errors
    /// [`TemplateError::Template`]: it asks for what cannot be; with line and column.
    pub(crate) fn render(
        &self,
        known: &Knowledge,
        now: SystemTime,
    ) -> Result<Rendering, TemplateError> {
        self.render_with(known, &json!({}), now)
    }

    /// [`Engine::render`], with `data` as what the template finds by plain names.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn render_with(
        &self,
        known: &Knowledge,
        data: &Value,
        now: SystemTime,
    ) -> Result<Rendering, TemplateError> {
        let mut slots = self.slots();
        slots.begin();
        *self.lock() = Session {
            data: data.clone(),
            slots,
            ..Session::at(now)
        };
        let rendered = self.handlebars.render_with_context(ENTRY, known.context());
        let mut session = std::mem::replace(&mut *self.lock(), Session::at(now));
        let complete = session.missing.is_empty() && session.absent.is_empty();
        let text = match rendered {
            Ok(text) => Some(text).filter(|_| complete),
            // What failed for want of an answer may succeed with it.
            Err(_) if !complete => None,
            Err(error) => {
                return Err(TemplateError::Template {
                    path: self.path.clone(),
                    line: error.line_no.unwrap_or(0),
                    column: error.column_no.unwrap_or(0),
                    reason: reason(error.reason()),
                });
            }
        };
        if text.is_some() {
            session.slots.complete();
            *self.slots.lock().expect("no holder of this lock panics") = session.slots;
        }
        Ok(Rendering {
            text,
            asked: session.asked,
            missing: session.missing,
            absent: session.absent,
            used_time: session.used_time,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().expect("no holder of this lock panics")
    }
}

/// What is wrong where the parser cannot go on.
const UNFINISHED: &str = "this is no Handlebars: what stands in {{…}} cannot be read, a {{ is not closed, or a block {{#…}} has no {{/…}} of its name";

fn reason(reason: &RenderErrorReason) -> String {
    match reason {
        RenderErrorReason::MissingVariable(Some(name)) => format!("there is no {name}"),
        RenderErrorReason::MissingVariable(None) => "there is no such field".to_owned(),
        RenderErrorReason::HelperNotFound(name) => format!("there is no helper {name}"),
        RenderErrorReason::PartialNotFound(name) => format!("there is no template {name}"),
        other => other.to_string(),
    }
}

/// Renders the template with the session's data as `this`. What is known stands in the root of the context, where helpers point into
/// it without a copy; a template should not see it there.
struct Inside(Shared);

impl HelperDef for Inside {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        handlebars: &'reg Handlebars<'reg>,
        context: &'rc Context,
        rendering: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let template = handlebars
            .get_template(NAME)
            .ok_or_else(|| RenderErrorReason::TemplateNotFound(NAME.to_owned()))?;
        let mut block = BlockContext::new();
        let data = self
            .0
            .lock()
            .expect("no holder of this lock panics")
            .data
            .take();
        block.set_base_value(data);
        rendering.push_block(block);
        let rendered = template.render(handlebars, context, rendering, out);
        rendering.pop_block();
        rendered
    }
}

#[cfg(test)]
pub(super) mod tests;
