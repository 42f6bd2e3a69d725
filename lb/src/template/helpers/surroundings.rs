//! What comes from neither the registry nor the arguments: the environment and the time.
//!
//! A rendering must give the same text for the same data, so the time is an argument of the rendering, and whoever
//! renders knows that it was read.

use std::time::UNIX_EPOCH;

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, ScopedJson};

use super::arguments::{Arguments, Outcome};
use super::{Session, Shared, failure};

/// The helpers and how they are called.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("env", "(env NAME)"),
    ("mustEnv", "(mustEnv NAME)"),
    ("envOrDefault", "(envOrDefault NAME OTHERWISE)"),
    (
        "timestamp",
        "(timestamp), (timestamp \"unix\") or (timestamp \"%Y-%m-%d\")",
    ),
];

pub(super) fn register(handlebars: &mut Handlebars<'static>, session: &Shared) {
    for (name, usage) in NAMES {
        let helper = SurroundingsHelper {
            name,
            usage,
            session: Shared::clone(session),
        };
        handlebars.register_helper(name, Box::new(helper));
    }
}

struct SurroundingsHelper {
    name: &'static str,
    usage: &'static str,
    session: Shared,
}

impl HelperDef for SurroundingsHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let a = Arguments(helper);
        let said = match self.name {
            "timestamp" => {
                let mut session = self.session.lock().expect("no holder of this lock panics");
                timestamp(&a, &mut session)
            }
            name => environment(name, &a),
        };
        said.map(ScopedJson::Derived)
            .map_err(|error| failure(self.name, self.usage, &error))
    }
}

fn environment(name: &str, a: &Arguments<'_, '_>) -> Outcome {
    let variable = a.text(0)?;
    let found = std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned());
    match name {
        "env" => Ok(found.unwrap_or_default().into()),
        "mustEnv" => found
            .map(Into::into)
            .ok_or_else(|| format!("the variable {variable} is not set")),
        _ => match found.filter(|value| !value.is_empty()) {
            Some(value) => Ok(value.into()),
            None => Ok(a.any(1)?.clone()),
        },
    }
}

fn timestamp(a: &Arguments<'_, '_>, session: &mut Session) -> Outcome {
    session.used_time = true;
    let since = session.now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let format = if a.count() > 0 {
        a.text(0)?
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    if format == "unix" {
        return Ok(seconds.into());
    }
    let time = jiff::Timestamp::from_second(seconds).map_err(|error| error.to_string())?;
    let text = jiff::fmt::strtime::format(format, time);
    Ok(text.map_err(|error| format!("{format:?}: {error}"))?.into())
}
