//! A step of a job, ready to use.

use std::borrow::Cow;
use std::sync::Arc;

use tidegate_contracts::{Class, Mark, NewPages, PagePointer, Params, Primitive};
use tidegate_pagination::{Paging, begin, begin_range, shrink};

use crate::barrier::Barrier;
use crate::compile::Compiler;
use crate::endpoint::Endpoint;
use crate::expression::{Hole, RenderError, SyntaxError};
use crate::file::{self, OnFailure};
use crate::limit::Budgeted;
use crate::problem::{FieldPath, choices};
use crate::range::{RangeError, range};
use crate::scope::{Root, Scope};
use crate::template::Template;

/// What parameters of a `for_each` step may see.
const ITEM_ROOTS: &[Root] = &[Root::Item, Root::Parent, Root::Config];
/// What those of any other step may see.
const PLAIN_ROOTS: &[Root] = &[Root::Config];

/// A parameter of a step could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {param} of step {step} can't be rendered")]
pub struct TemplateError {
    /// The step.
    pub step: String,
    /// The parameter, a name under `with`.
    pub param: String,
    /// Why.
    #[source]
    pub source: RenderError,
}

/// Whether a step is to be done could not be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("when of step {step} can't be told")]
pub struct WhenError {
    /// The step.
    pub step: String,
    /// Why.
    #[source]
    pub source: RenderError,
}

/// One kind of call of a job, ready to use.
#[derive(Debug)]
pub struct Step {
    id: String,
    endpoint: Arc<Endpoint>,
    for_each: Option<String>,
    after: Vec<Barrier>,
    when: Option<Hole>,
    on_failure: OnFailure,
    max_pages: Option<u32>,
    limit: Option<u64>,
    pub(crate) pushed: bool,
    with: Vec<(String, With)>,
    pub(crate) limits: Vec<Arc<Budgeted>>,
}

/// Where a parameter's value comes from.
#[derive(Debug)]
enum With {
    Fixed(Primitive),
    Template(Template),
}

impl Step {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it calls.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The step for each of whose items it is done.
    #[must_use]
    pub fn for_each(&self) -> Option<&str> {
        self.for_each.as_deref()
    }

    /// What its fetches wait for.
    #[must_use]
    pub fn after(&self) -> &[Barrier] {
        &self.after
    }

    /// What a failed call means for the job.
    #[must_use]
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// Whether its pages are pushed to the results exchange.
    #[must_use]
    pub fn is_pushed(&self) -> bool {
        self.pushed
    }

    /// How its fetches page.
    #[must_use]
    pub fn paging(&self) -> Paging {
        let paging = self.endpoint.paging();
        Paging { max_pages: self.max_pages.unwrap_or(paging.max_pages), limit: self.limit, ..paging }
    }

    /// How a fetch pages that takes only what is new: one page after the other where the newest items come first, so that
    /// the first page that is known is the last that is asked for.
    #[must_use]
    pub fn paging_since(&self, since: Option<&Mark>) -> Paging {
        let paging = self.paging();
        Paging { in_order: paging.in_order || (since.is_some() && self.stops_at_seen()), ..paging }
    }

    /// A page whose last item is known is the last one that a fetch of what is new asks for.
    #[must_use]
    pub fn stops_at_seen(&self) -> bool {
        self.endpoint.since().is_some_and(|since| since.stop_at_seen)
    }

    /// The parameters of a call that takes only what is new.
    #[must_use]
    pub fn params_since<'a>(&self, params: &'a Params, since: Option<&Mark>) -> Cow<'a, Params> {
        let param = self.endpoint.since().and_then(|since| since.param.as_ref());
        let Some((param, since)) = param.zip(since) else { return Cow::Borrowed(params) };
        let mut params = params.clone();
        params.0.insert(param.clone(), since.value());
        Cow::Owned(params)
    }

    /// The pages that a fetch with these parameters begins with; none where its range is empty. `made_at_ms`: when the job
    /// was submitted, Unix ms.
    ///
    /// # Errors
    /// The parameters give no range where one is read in slices.
    pub fn first_pages(&self, params: &Params, made_at_ms: Option<i64>) -> Result<Vec<NewPages>, RangeError> {
        let Some(slices) = self.endpoint.slices() else { return Ok(vec![begin(&self.paging())]) };
        let (from, until) = range(slices, params, made_at_ms)?;
        Ok(begin_range(&self.paging(), from, until).into_iter().collect())
    }

    /// The pages to ask for in place of one that failed by this class: the same items in smaller ones. `None`: that would be
    /// no help, can't be, or the third party may have acted on the call and must not twice.
    #[must_use]
    pub fn smaller(&self, class: Class, pointer: &PagePointer, ordinal: u32) -> Option<Vec<NewPages>> {
        let is_safe = class == Class::TooMuchData || self.endpoint.is_idempotent();
        if class.may_fit_smaller() && is_safe { shrink(&self.paging(), pointer, ordinal) } else { None }
    }

    /// Reads a step; what it calls is `endpoint`.
    pub(crate) fn compile(
        step: &file::Step,
        endpoint: Arc<Endpoint>,
        (limits, after): (Vec<Arc<Budgeted>>, Vec<Barrier>),
        (at, compiler): (&FieldPath, &mut Compiler<'_>),
    ) -> Self {
        let when = step.when.as_ref().and_then(|source| {
            let hole = compiler.take(&at.key("when"), compile_when(source, step))?;
            compiler.known_config(hole.fields(Root::Config), &at.key("when")).then_some(hole)
        });
        let at_with = at.key("with");
        let mut with = Vec::new();
        for (name, value) in &step.with {
            let field = at_with.key(name);
            if !endpoint.params.contains_key(name) {
                let known = choices(name, endpoint.params.keys().map(String::as_str));
                compiler
                    .add(&at_with.name(name), format!("{} has no parameter {name}; expected {known}", endpoint.name()));
            }
            let value = match value {
                Primitive::Text(source) => compile_text(source, step, &field, compiler),
                other => Some(With::Fixed(other.clone())),
            };
            with.extend(value.map(|value| (name.clone(), value)));
        }
        for (name, known) in endpoint.params.iter().filter(|(name, _)| !step.with.contains_key(*name)) {
            match &known.default {
                Some(default) => with.push((name.clone(), With::Fixed(default.clone()))),
                None if known.required => {
                    compiler.add(&at_with, format!("{} needs a parameter {name}, found none", endpoint.name()));
                }
                None => {}
            }
        }
        if step.limit.is_some() && endpoint.slices().is_some() {
            compiler.add(&at.key("limit"), format!("expected none, since {} is read in slices", endpoint.name()));
        }
        Self {
            id: step.id.to_string(),
            endpoint,
            for_each: step.for_each.as_ref().map(ToString::to_string),
            after,
            when,
            on_failure: step.on_failure,
            max_pages: step.max_pages,
            limit: step.limit,
            // What the job says may come before.
            pushed: step.push.unwrap_or(false),
            with,
            limits,
        }
    }

    pub(crate) fn is_wanted(&self, scope: &Scope<'_>) -> Result<bool, WhenError> {
        let Some(when) = &self.when else { return Ok(true) };
        when.holds_if_there(scope).map_err(|source| WhenError { step: self.id.clone(), source })
    }

    pub(crate) fn params(&self, scope: &Scope<'_>) -> Result<Params, TemplateError> {
        let value = |(name, with): &(String, With)| match with {
            With::Fixed(value) => Ok((name.clone(), value.clone())),
            With::Template(template) => match template.render(scope) {
                Ok(value) => Ok((name.clone(), value)),
                Err(source) => Err(TemplateError { step: self.id.clone(), param: name.clone(), source }),
            },
        };
        Ok(Params(self.with.iter().map(value).collect::<Result<_, _>>()?))
    }
}

fn compile_text(source: &str, step: &file::Step, field: &FieldPath, compiler: &mut Compiler<'_>) -> Option<With> {
    let template = compiler.known(compile_template(source, step), field)?;
    if template.roots().all(|root| root == Root::Config) {
        return compiler.fixed(&template, field).map(With::Fixed);
    }
    Some(With::Template(template))
}

/// Whether steps stand in an order in which they can be done.
pub(crate) fn check_order(steps: &[file::Step], compiler: &mut Compiler<'_>) {
    for (index, step) in steps.iter().enumerate() {
        let at = FieldPath::root().key("steps").index(index);
        let above = &steps[..index];
        if above.iter().any(|other| other.id == step.id) {
            compiler.add(&at.key("id"), format!("expected another id, found \"{}\" a second time", step.id));
        }
        let Some(parent) = &step.for_each else { continue };
        if above.iter().any(|other| other.id == *parent) {
            continue;
        }
        let message = if *parent == step.id {
            "expected another step; a step can't follow from its own items".to_owned()
        } else if steps.iter().any(|other| other.id == *parent) {
            format!("expected a step above this one, found {parent} below it")
        } else {
            format!(
                "unknown step {parent}; expected {}",
                choices(parent.as_str(), above.iter().map(|step| step.id.as_str()))
            )
        };
        compiler.add(&at.key("for_each"), message);
    }
}

/// Reads a template among a step's parameters.
pub(crate) fn compile_template(source: &str, step: &file::Step) -> Result<Template, SyntaxError> {
    Template::compile(source, roots(step)).map_err(without_item)
}

/// Reads a step's condition.
pub(crate) fn compile_when(source: &str, step: &file::Step) -> Result<Hole, SyntaxError> {
    Hole::of_condition(source, roots(step)).map_err(without_item)
}

fn roots(step: &file::Step) -> &'static [Root] {
    if step.for_each.is_some() { ITEM_ROOTS } else { PLAIN_ROOTS }
}

fn without_item(error: SyntaxError) -> SyntaxError {
    match error {
        SyntaxError::Variable { name, allowed } if ITEM_ROOTS.iter().any(|root| root.name() == name) => {
            SyntaxError::Variable { name, allowed: format!("{allowed} in a step without for_each") }
        }
        error => error,
    }
}
