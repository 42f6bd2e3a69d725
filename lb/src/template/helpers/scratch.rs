//! A memory for the time of one rendering: what one part of a template puts there, a later part can take.

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, ScopedJson};
use serde_json::{Map, Value, json};

use super::arguments::{Arguments, Outcome};
use super::{Shared, failure};

/// The helpers and how they are called.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("scratchKey", "(scratchKey NAME)"),
    ("scratchGet", "(scratchGet NAME)"),
    ("scratchSet", "{{scratchSet NAME VALUE}}"),
    ("scratchSetX", "{{scratchSetX NAME VALUE}}"),
    ("scratchMapSet", "{{scratchMapSet NAME KEY VALUE}}"),
    ("scratchMapSetX", "{{scratchMapSetX NAME KEY VALUE}}"),
    ("scratchMapValues", "(scratchMapValues NAME)"),
];

pub(super) fn register(handlebars: &mut Handlebars<'static>, session: &Shared) {
    for (name, usage) in NAMES {
        let helper = ScratchHelper {
            name,
            usage,
            session: Shared::clone(session),
        };
        handlebars.register_helper(name, Box::new(helper));
    }
}

struct ScratchHelper {
    name: &'static str,
    usage: &'static str,
    session: Shared,
}

impl HelperDef for ScratchHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let mut session = self.session.lock().expect("no holder of this lock panics");
        act(self.name, &Arguments(helper), &mut session.scratch)
            .map(ScopedJson::Derived)
            .map_err(|error| failure(self.name, self.usage, &error))
    }
}

/// What changes something says nothing: it may stand anywhere in a text.
fn act(name: &str, a: &Arguments<'_, '_>, scratch: &mut Map<String, Value>) -> Outcome {
    let key = a.scalar(0)?;
    match name {
        "scratchKey" => return Ok(scratch.contains_key(&key).into()),
        "scratchGet" => return Ok(scratch.get(&key).cloned().unwrap_or_default()),
        "scratchMapValues" => {
            let map = scratch.get(&key).and_then(Value::as_object);
            return Ok(map
                .map(|map| map.values().cloned().collect())
                .unwrap_or_else(|| json!([])));
        }
        "scratchSetX" if scratch.contains_key(&key) => {}
        "scratchSet" | "scratchSetX" => {
            scratch.insert(key, a.any(1)?.clone());
        }
        _ => {
            let (field, value) = (a.scalar(1)?, a.any(2)?.clone());
            let map = scratch.entry(key.as_str()).or_insert_with(|| json!({}));
            let map = map
                .as_object_mut()
                .ok_or_else(|| format!("{key:?} is no map"))?;
            if name == "scratchMapSet" || !map.contains_key(&field) {
                map.insert(field, value);
            }
        }
    }
    Ok("".into())
}
