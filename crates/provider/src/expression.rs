//! Expressions: minijinja's, within bounds.
//!
//! No function reaches files, environment or clock; work is bounded by [`FUEL`].

use std::fmt;
use std::sync::LazyLock;

use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Expression, UndefinedBehavior, Value};
use tidegate_contracts::Primitive;

use crate::problem::choices;
use crate::scope::{Found, Root, Scope};
use crate::template::OUTPUT_MAX_BYTES;

/// Work that one expression may do: an instruction costs 1, so do 64 bytes made.
pub const FUEL: u64 = 20_000;

/// Of templates: what is not there is an error.
static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| engine(UndefinedBehavior::SemiStrict));
/// Of conditions: what is not there is like nothing else, and not true.
static LENIENT: LazyLock<Environment<'static>> = LazyLock::new(|| engine(UndefinedBehavior::Chainable));

fn engine(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_fuel(Some(FUEL));
    engine.set_undefined_behavior(undefined);
    // `debug` shows everything in reach, secrets included; nothing needs the others.
    for function in ["debug", "dict", "namespace", "range"] {
        engine.remove_global(function);
    }
    engine
}

/// The template can't be read, or may not see what it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    /// `{{` without `}}`.
    #[error("expected }}}} after {{{{")]
    Open,
    /// `{% … %}`.
    #[error(
        "expected an expression {{{{ … }}}}, found a statement {{% … %}}; for a choice write {{{{ a if b else c }}}}"
    )]
    Statement,
    /// The expression can't be read.
    #[error("expected an expression, found {{{{{expression}}}}}: {reason}")]
    Expression {
        /// As written.
        expression: String,
        /// What the parser says.
        reason: String,
    },
    /// A name it may not use here.
    #[error("expected {allowed}, found {name}")]
    Variable {
        /// As written.
        name: String,
        /// What may stand here.
        allowed: String,
    },
}

/// The template could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// There is no such field or variable.
    #[error("{0} is not there")]
    Missing(String),
    /// The value is null.
    #[error("{0} is null; give it another value with `or`, or choose another field")]
    Null(String),
    /// The value is a list or a map.
    #[error("{0} is a list or a map, expected text, a number, true or false")]
    Compound(String),
    /// It does more than [`FUEL`] allows.
    #[error("{0} does too much work")]
    Fuel(String),
    /// It makes more than [`OUTPUT_MAX_BYTES`].
    #[error("the result is above {OUTPUT_MAX_BYTES} bytes")]
    TooLong,
    /// Anything else.
    #[error("{expression} failed: {reason}")]
    Failed {
        /// As written.
        expression: String,
        /// What the engine says.
        reason: String,
    },
}

/// An expression in a template.
pub(crate) struct Hole {
    source: String,
    /// What it names.
    pub(crate) roots: Vec<Root>,
    plan: Plan,
}

/// How an expression gets its value: a mere path, by far the most usual, needs no engine.
enum Plan {
    Path(Root, Vec<String>),
    Expression(Expression<'static, 'static>),
}

impl Hole {
    /// Reads an expression of a limit: a condition or a cost, where a parameter may well be absent.
    pub(crate) fn of_limit(source: &str, allowed: &[Root]) -> Result<Self, SyntaxError> {
        Self::compile(&LENIENT, source, allowed)
    }

    /// Reads the condition of a step. Anything but asking whether it is there fails on what is not there.
    pub(crate) fn of_condition(source: &str, allowed: &[Root]) -> Result<Self, SyntaxError> {
        Self::compile_expression(&STRICT, source, allowed)
    }

    /// Reads an expression of a template.
    pub(crate) fn of_template(source: &str, allowed: &[Root]) -> Result<Self, SyntaxError> {
        Self::compile(&STRICT, source, allowed)
    }

    fn compile(engine: &'static Environment<'static>, source: &str, allowed: &[Root]) -> Result<Self, SyntaxError> {
        let written = source.trim();
        if let Some((root, path)) = as_path(written, allowed) {
            return Ok(Self { source: written.to_owned(), roots: vec![root], plan: Plan::Path(root, path) });
        }
        Self::compile_expression(engine, source, allowed)
    }

    fn compile_expression(
        engine: &'static Environment<'static>,
        source: &str,
        allowed: &[Root],
    ) -> Result<Self, SyntaxError> {
        let written = source.trim();
        let expression =
            engine.compile_expression_owned(written.to_owned()).map_err(|error| SyntaxError::Expression {
                expression: source.to_owned(),
                reason: error.detail().unwrap_or("it can't be read").to_owned(),
            })?;
        let mut names: Vec<_> = expression.undeclared_variables(false).into_iter().collect();
        names.sort_unstable();
        let root = |name: String| allowed.iter().copied().find(|root| root.name() == name).ok_or(name);
        let roots = names.into_iter().map(root).collect::<Result<_, _>>().map_err(|name| {
            let allowed: Vec<_> = allowed.iter().map(|root| root.name()).collect();
            SyntaxError::Variable { name, allowed: choices("", allowed) }
        })?;
        Ok(Self { source: written.to_owned(), roots, plan: Plan::Expression(expression) })
    }

    /// Its value.
    pub(crate) fn eval(&self, scope: &Scope<'_>) -> Result<Primitive, RenderError> {
        let name = || self.source.clone();
        match &self.plan {
            Plan::Path(root, path) => match scope.find(*root, path) {
                Found::Value(value) => Ok(value),
                Found::Null => Err(RenderError::Null(name())),
                Found::Compound => Err(RenderError::Compound(name())),
                Found::Nothing => Err(RenderError::Missing(name())),
            },
            Plan::Expression(expression) => {
                let value = expression.eval(scope.to_jinja(&self.roots)).map_err(|error| self.failed(&error))?;
                primitive(&value).map_err(|kind| match kind {
                    ValueKind::Undefined => RenderError::Missing(name()),
                    ValueKind::None => RenderError::Null(name()),
                    _ => RenderError::Compound(name()),
                })
            }
        }
    }

    /// Whether a condition of a step holds; what needs something that is not there does not.
    pub(crate) fn holds_if_there(&self, scope: &Scope<'_>) -> Result<bool, RenderError> {
        match self.holds(scope) {
            Err(RenderError::Missing(_)) => Ok(false),
            // Of arithmetic the engine says it so: "… on unsupported types undefined and number".
            Err(RenderError::Failed { reason, .. })
                if reason.contains("types undefined and") || reason.contains("and undefined") =>
            {
                Ok(false)
            }
            known => known,
        }
    }

    /// Whether it is true; what is not there is not true.
    pub(crate) fn holds(&self, scope: &Scope<'_>) -> Result<bool, RenderError> {
        match &self.plan {
            Plan::Path(..) => match self.eval(scope) {
                Ok(value) => Ok(is_true(&value)),
                Err(RenderError::Missing(_)) => Ok(false),
                Err(error) => Err(error),
            },
            Plan::Expression(expression) => {
                let value = expression.eval(scope.to_jinja(&self.roots)).map_err(|error| self.failed(&error))?;
                Ok(value.is_true())
            }
        }
    }

    /// Names of fields it takes from `root`, as far as they can be told without evaluating it.
    pub(crate) fn fields(&self, root: Root) -> Vec<String> {
        match &self.plan {
            Plan::Path(own, path) => path.first().filter(|_| *own == root).cloned().into_iter().collect(),
            Plan::Expression(expression) => {
                let paths = expression.undeclared_variables(true);
                let below = |path: &String| {
                    let field = path.strip_prefix(root.name())?.strip_prefix('.')?.split('.').next()?;
                    Some(field.to_owned())
                };
                let mut fields: Vec<String> = paths.iter().filter_map(below).collect();
                fields.sort_unstable();
                fields
            }
        }
    }

    fn failed(&self, error: &minijinja::Error) -> RenderError {
        let expression = self.source.clone();
        // What the engine says may quote values, and here one may be secret.
        let quotable = !self.roots.contains(&Root::Credential);
        match error.kind() {
            ErrorKind::OutOfFuel => RenderError::Fuel(expression),
            ErrorKind::UndefinedError => RenderError::Missing(format!("what {expression} needs")),
            kind => {
                let detail = error.detail().filter(|_| quotable).map_or(kind.to_string(), str::to_owned);
                RenderError::Failed { expression, reason: detail }
            }
        }
    }
}

impl fmt::Debug for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

fn is_true(value: &Primitive) -> bool {
    match value {
        Primitive::Bool(value) => *value,
        Primitive::Integer(value) => *value != 0,
        Primitive::Float(value) => *value != 0.0,
        Primitive::Text(value) => !value.is_empty(),
    }
}

fn primitive(value: &Value) -> Result<Primitive, ValueKind> {
    match value.kind() {
        ValueKind::Bool => Ok(Primitive::Bool(value.is_true())),
        ValueKind::Number if value.is_integer() => {
            // Above what an integer holds it goes as text, which loses nothing.
            Ok(value.as_i64().map_or_else(|| Primitive::Text(value.to_string()), Primitive::Integer))
        }
        ValueKind::Number => f64::try_from(value.clone()).map(Primitive::Float).map_err(|_| ValueKind::Number),
        ValueKind::String => value.as_str().map(Primitive::from).ok_or(ValueKind::String),
        kind => Err(kind),
    }
}

/// `item.owner.id` as root and path; `None` for anything more.
fn as_path(source: &str, allowed: &[Root]) -> Option<(Root, Vec<String>)> {
    let mut names = source.split('.');
    let first = names.next()?;
    let root = allowed.iter().copied().find(|root| root.name() == first)?;
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let path: Vec<String> = names.map(str::to_owned).collect();
    path.iter().all(|name| is_name(name)).then_some((root, path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_condition_of_a_step_does_not_hold_for_what_is_not_there() {
        let item = serde_json::json!({
            "n": 7, "zero": 0, "none": null, "text": "ab", "list": [1], "empty": [], "owner": { "bot": false },
        });
        let scope = Scope { item: Some(&item), ..Scope::default() };
        let holds = |source: &str| Hole::of_condition(source, &[Root::Item]).unwrap().holds_if_there(&scope);
        for (source, expected) in [
            ("item.n", true),
            ("item.n > 5", true),
            ("item.n < 5", false),
            ("item.zero", false),
            ("item.none", false),
            ("item.none == 7", false),
            ("item.list", true),
            ("item.empty", false),
            ("item.owner", true),
            ("not item.owner.bot", true),
            ("'a' in item.text", true),
            ("item.text == 'ab' and item.n == 7", true),
            ("item.gone", false),
            ("not item.gone", true),
            ("item.gone is defined", false),
            ("item.gone < 5", false),
            ("item.gone + 1 > 0", false),
            ("1 - item.gone < 5", false),
            ("item.gone != 5", false),
            ("item.gone.more == 5", false),
            ("item.gone | default(1) == 1", true),
        ] {
            assert_eq!(holds(source), Ok(expected), "{source}");
        }
        for source in ["item.text + 1 > 5", "item.list | int > 0", "'x' * 1000000000"] {
            assert!(holds(source).is_err(), "{source}: {:?}", holds(source));
        }
    }

    #[test]
    fn a_condition_holds_for_what_is_true_and_there() {
        let config = BTreeMap::from([("on".to_owned(), Primitive::Bool(true)), ("off".to_owned(), 0.into())]);
        let scope = Scope { config: Some(&config), ..Scope::default() };
        for (source, holds) in [
            ("config.on", true),
            ("config.off", false),
            ("config.gone", false),
            ("not config.gone", true),
            ("config.gone == 'x'", false),
            ("config.off == 0 and config.on", true),
        ] {
            assert_eq!(Hole::of_limit(source, &[Root::Config]).unwrap().holds(&scope), Ok(holds), "{source}");
        }
    }
}
