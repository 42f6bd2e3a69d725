//! One template: Handlebars with the helpers that read the registry.
//!
//! A rendering is a function of the template and of what is known. What it asks for and nobody knows yet is reported, and
//! then there is no text: half a configuration is never written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use handlebars::{
    Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason,
    ScopedJson,
};
use serde_json::Value;

use super::TemplateError;
use super::dependency::{Answer, Dependency, Health};

/// The name a template has inside its engine. Each engine has one.
const NAME: &str = "template";

/// A template that can be rendered.
#[derive(Debug)]
pub(crate) struct Engine {
    handlebars: Handlebars<'static>,
    view: Arc<Mutex<View>>,
}

/// What the helpers see during one rendering.
#[derive(Debug, Default)]
struct View {
    known: BTreeMap<Dependency, Arc<Value>>,
    asked: BTreeSet<Dependency>,
    missing: bool,
}

/// What came of a rendering.
#[derive(Debug)]
pub(crate) struct Rendering {
    /// The text, if everything it reads is known.
    pub(crate) text: Option<String>,
    /// Everything it reads.
    pub(crate) asked: BTreeSet<Dependency>,
}

impl Engine {
    /// Reads `text`, the template at `path`.
    pub(crate) fn new(path: &Path, text: &str) -> Result<Self, TemplateError> {
        let mut handlebars = Handlebars::new();
        // Configuration files are not HTML, and a name that is not there is a mistake.
        handlebars.register_escape_fn(handlebars::no_escape);
        handlebars.set_strict_mode(true);
        let view = Arc::new(Mutex::new(View::default()));
        handlebars.register_helper("service", Box::new(ServiceHelper(Arc::clone(&view))));
        handlebars.register_helper("services", Box::new(ServicesHelper(Arc::clone(&view))));
        for (name, helper) in PURE {
            handlebars.register_helper(name, Box::new(PureHelper { name, helper }));
        }
        handlebars
            .register_template_string(NAME, text)
            .map_err(|error| {
                let (line, column) = error.pos().unwrap_or_default();
                let reason = error
                    .reason()
                    .to_string()
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ");
                TemplateError::Template {
                    path: path.to_owned(),
                    line,
                    column,
                    reason,
                }
            })?;
        Ok(Self { handlebars, view })
    }

    /// Renders with what is `known`.
    pub(super) fn render(
        &self,
        path: &Path,
        known: &BTreeMap<Dependency, Answer>,
    ) -> Result<Rendering, TemplateError> {
        self.render_with(path, known, &Value::Null)
    }

    /// Renders with what is `known`, and with `data` as the template's own names.
    pub(crate) fn render_with(
        &self,
        path: &Path,
        known: &BTreeMap<Dependency, Answer>,
        data: &Value,
    ) -> Result<Rendering, TemplateError> {
        let known = known
            .iter()
            .map(|(dependency, answer)| (dependency.clone(), Arc::clone(&answer.value)));
        *self.lock() = View {
            known: known.collect(),
            ..View::default()
        };
        let rendered = self.handlebars.render(NAME, data);
        let view = std::mem::take(&mut *self.lock());
        match rendered {
            Ok(text) => Ok(Rendering {
                text: (!view.missing).then_some(text),
                asked: view.asked,
            }),
            // What failed for want of an answer may succeed with it.
            Err(_) if view.missing => Ok(Rendering {
                text: None,
                asked: view.asked,
            }),
            Err(error) => {
                let (line, column) = (error.line_no.unwrap_or(0), error.column_no.unwrap_or(0));
                let reason = error.reason().to_string();
                Err(TemplateError::Template {
                    path: path.to_owned(),
                    line,
                    column,
                    reason,
                })
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().expect("no holder of this lock panics")
    }
}

fn ask(view: &Mutex<View>, dependency: Dependency) -> ScopedJson<'static> {
    let mut view = view.lock().expect("no holder of this lock panics");
    let value = view.known.get(&dependency).map(|value| (**value).clone());
    view.missing |= value.is_none();
    view.asked.insert(dependency);
    ScopedJson::Derived(value.unwrap_or_else(|| Value::Array(Vec::new())))
}

/// `(service "web" tag="v2" dc="dc2" health="passing|usable|any")`
#[derive(Debug)]
struct ServiceHelper(Arc<Mutex<View>>);

impl HelperDef for ServiceHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let name = text(helper, 0, "service", "the name of a service")?;
        let health = match named(helper, "health") {
            None => Health::default(),
            Some(name) => Health::named(&name).ok_or_else(|| {
                other(format!(
                    "service: health={name:?}; expected passing, usable or any"
                ))
            })?,
        };
        let dependency = Dependency::Service {
            name,
            tag: named(helper, "tag"),
            datacenter: named(helper, "dc"),
            health,
        };
        Ok(ask(&self.0, dependency))
    }
}

/// `(services dc="dc2")`
#[derive(Debug)]
struct ServicesHelper(Arc<Mutex<View>>);

impl HelperDef for ServicesHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        Ok(ask(
            &self.0,
            Dependency::Services {
                datacenter: named(helper, "dc"),
            },
        ))
    }
}

/// A helper that is a function of its arguments.
type Pure = fn(&[&Value]) -> Result<Value, &'static str>;

/// The pure helpers, by name. Operands stand in natural order: the text first.
const PURE: [(&str, Pure); 6] = [
    ("contains", contains),
    ("haproxyEscape", haproxy_escape),
    ("join", join),
    ("replaceAll", replace_all),
    ("toLower", |args| Ok(string(args, 0)?.to_lowercase().into())),
    ("toUpper", |args| Ok(string(args, 0)?.to_uppercase().into())),
];

struct PureHelper {
    name: &'static str,
    helper: Pure,
}

impl HelperDef for PureHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let args: Vec<&Value> = helper
            .params()
            .iter()
            .map(handlebars::PathAndJson::value)
            .collect();
        (self.helper)(&args)
            .map(ScopedJson::Derived)
            .map_err(|expected| other(format!("{}: expected {expected}", self.name)))
    }
}

/// Whether a list has a member, or a text a part.
fn contains(args: &[&Value]) -> Result<Value, &'static str> {
    match args {
        [Value::Array(list), member] => Ok(list.contains(member).into()),
        [Value::String(text), Value::String(part)] => Ok(text.contains(part.as_str()).into()),
        _ => Err("(contains LIST MEMBER) or (contains TEXT PART)"),
    }
}

/// A text as a name in HAProxy's configuration: what no name may have becomes `_` (configuration manual, §2.2).
fn haproxy_escape(args: &[&Value]) -> Result<Value, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    Ok(string(args, 0)?
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect::<String>()
        .into())
}

fn join(args: &[&Value]) -> Result<Value, &'static str> {
    let [Value::Array(list), Value::String(separator)] = args else {
        return Err("(join LIST SEPARATOR)");
    };
    let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    Ok(texts
        .ok_or("(join LIST SEPARATOR) with a list of texts")?
        .join(separator)
        .into())
}

fn replace_all(args: &[&Value]) -> Result<Value, &'static str> {
    let [Value::String(text), Value::String(from), Value::String(to)] = args else {
        return Err("(replaceAll TEXT FROM TO)");
    };
    Ok(text.replace(from.as_str(), to).into())
}

fn string<'a>(args: &[&'a Value], index: usize) -> Result<&'a str, &'static str> {
    args.get(index)
        .and_then(|value| value.as_str())
        .ok_or("a text")
}

fn text(helper: &Helper<'_>, index: usize, name: &str, what: &str) -> Result<String, RenderError> {
    let value = helper.param(index).and_then(|param| param.value().as_str());
    value
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| other(format!("{name}: expected {what}")))
}

fn named(helper: &Helper<'_>, name: &str) -> Option<String> {
    helper
        .hash_get(name)
        .and_then(|value| value.value().as_str())
        .map(str::to_owned)
}

fn other(message: String) -> RenderError {
    RenderErrorReason::Other(message).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(name: &str) -> Dependency {
        Dependency::Service {
            name: name.into(),
            tag: None,
            datacenter: None,
            health: Health::Passing,
        }
    }

    fn known(entries: &[(&str, Value)]) -> BTreeMap<Dependency, Answer> {
        let answer = |value: &Value| Answer {
            value: Arc::new(value.clone()),
            members: BTreeSet::new(),
        };
        entries
            .iter()
            .map(|(name, value)| (service(name), answer(value)))
            .collect()
    }

    fn rendered(
        template: &str,
        known: &BTreeMap<Dependency, Answer>,
    ) -> Result<Rendering, TemplateError> {
        let path = Path::new("t.hbs");
        Engine::new(path, template)?.render(path, known)
    }

    #[test]
    fn nothing_is_rendered_before_everything_is_known() {
        let template = r#"{{#each (service "web") as |s|}}{{s.ID}} {{/each}}{{#each (service "api") as |s|}}{{s.ID}}{{/each}}"#;
        let first =
            rendered(template, &known(&[("web", json!([{"ID": "<w1>"}]))])).expect("a template");
        assert_eq!(first.text, None);
        assert_eq!(
            first.asked,
            BTreeSet::from([service("web"), service("api")])
        );
        let all = known(&[("web", json!([{"ID": "<w1>"}])), ("api", json!([]))]);
        assert_eq!(
            rendered(template, &all)
                .expect("a template")
                .text
                .as_deref(),
            Some("<w1> ")
        );
    }

    #[test]
    fn named_arguments_make_another_question() {
        let asked = rendered(
            r#"{{#each (service "web" tag="v2" dc="d" health="any")}}{{/each}}{{#each (services)}}{{/each}}"#,
            &known(&[]),
        );
        let expected = Dependency::Service {
            name: "web".into(),
            tag: Some("v2".into()),
            datacenter: Some("d".into()),
            health: Health::Any,
        };
        let services = Dependency::Services { datacenter: None };
        assert_eq!(
            asked.expect("a template").asked,
            BTreeSet::from([expected, services])
        );
    }

    #[test]
    fn pure_helpers() {
        for (template, expected) in [
            (r#"{{toUpper "ab"}}{{toLower "AB"}}"#, "ABab"),
            (r#"{{replaceAll "a.b.c" "." "-"}}"#, "a-b-c"),
            (r#"{{haproxyEscape "web app/1"}}"#, "web_app_1"),
            (
                r#"{{#each (service "web") as |s|}}{{join s.Tags ","}}{{#if (contains s.Tags "v2")}}!{{/if}}{{/each}}"#,
                "v1,v2!",
            ),
        ] {
            let known = known(&[("web", json!([{"Tags": ["v1", "v2"]}]))]);
            assert_eq!(
                rendered(template, &known).expect(template).text.as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let known = known(&[("web", json!([{"ID": "w1"}]))]);
        for (template, expected) in [
            ("a\n{{#each x}}", "t.hbs: line 2"),
            (
                "{{#each (service \"web\") as |s|}}\n{{s.Adress}}{{/each}}",
                "t.hbs: line 2, column",
            ),
            ("{{nonsense \"x\"}}", "nonsense"),
            (
                "{{#each (service)}}{{/each}}",
                "expected the name of a service",
            ),
            (
                "{{#each (service \"web\" health=\"good\")}}{{/each}}",
                "expected passing, usable or any",
            ),
            ("{{toUpper 1}}", "toUpper: expected a text"),
        ] {
            let error = rendered(template, &known).expect_err(template).to_string();
            assert!(error.contains(expected), "{template}: {error}");
        }
    }
}
