//! A step of a job, ready to use.

use std::sync::Arc;

use tidegate_contracts::{Params, Primitive};
use tidegate_pagination::Paging;

use crate::compile::Compiler;
use crate::endpoint::Endpoint;
use crate::expression::{RenderError, SyntaxError};
use crate::file::{self, OnFailure};
use crate::limit::Budgeted;
use crate::problem::{FieldPath, choices};
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

/// One kind of call of a job, ready to use.
#[derive(Debug)]
pub struct Step {
    id: String,
    endpoint: Arc<Endpoint>,
    for_each: Option<String>,
    on_failure: OnFailure,
    max_pages: Option<u32>,
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

    /// What a failed call means for the job.
    #[must_use]
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// How its fetches page.
    #[must_use]
    pub fn paging(&self) -> Paging {
        let paging = self.endpoint.paging();
        Paging { max_pages: self.max_pages.unwrap_or(paging.max_pages), ..paging }
    }

    /// Reads a step; what it calls is `endpoint`.
    pub(crate) fn compile(
        step: &file::Step,
        endpoint: Arc<Endpoint>,
        limits: Vec<Arc<Budgeted>>,
        (at, compiler): (&FieldPath, &mut Compiler<'_>),
    ) -> Self {
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
        Self {
            id: step.id.to_string(),
            endpoint,
            for_each: step.for_each.as_ref().map(ToString::to_string),
            on_failure: step.on_failure,
            max_pages: step.max_pages,
            with,
            limits,
        }
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
    let roots = if step.for_each.is_some() { ITEM_ROOTS } else { PLAIN_ROOTS };
    Template::compile(source, roots).map_err(|error| match error {
        SyntaxError::Variable { name, allowed } if ITEM_ROOTS.iter().any(|root| root.name() == name) => {
            SyntaxError::Variable { name, allowed: format!("{allowed} in a step without for_each") }
        }
        error => error,
    })
}
