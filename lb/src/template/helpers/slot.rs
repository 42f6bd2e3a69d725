//! `slot`: a small number for an instance that it keeps while it is there, as `slots` gives them out.

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, ScopedJson};

use super::arguments::{Arguments, Outcome};
use super::{Session, Shared, failure};

/// The helper and how it is called.
pub(super) const NAMES: &[(&str, &str)] = &[("slot", "(slot GROUP NAME)")];

pub(super) fn register(handlebars: &mut Handlebars<'static>, session: &Shared) {
    for (name, usage) in NAMES {
        let helper = SlotHelper(name, usage, Shared::clone(session));
        handlebars.register_helper(name, Box::new(helper));
    }
}

struct SlotHelper(&'static str, &'static str, Shared);

impl HelperDef for SlotHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let mut session = self.2.lock().expect("no holder of this lock panics");
        slot(&Arguments(helper), &mut session)
            .map(ScopedJson::Derived)
            .map_err(|error| failure(self.0, self.1, &error))
    }
}

/// From 1, as people count servers.
fn slot(a: &Arguments<'_, '_>, session: &mut Session) -> Outcome {
    let (group, name) = (a.scalar(0)?, a.scalar(1)?);
    let number = session.slots.number(&group, &name);
    number
        .map(|number| (number + 1).into())
        .ok_or_else(|| format!("there are no more numbers for {group:?}"))
}
