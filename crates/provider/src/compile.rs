//! What compiling a declaration needs at hand, and the list of what is wrong with it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

use tidegate_contracts::Primitive;

use crate::expression::{RenderError, SyntaxError};
use crate::file::ConfigField;
use crate::problem::{FieldPath, Part, Problem, Problems, choices};
use crate::scope::{Root, Scope};
use crate::template::Template;

/// Compiles declarations of one file; collects problems instead of stopping at the first.
pub(crate) struct Compiler<'a> {
    /// What a job may set.
    pub(crate) declared: &'a BTreeMap<String, Option<ConfigField>>,
    /// What is set.
    pub(crate) config: &'a BTreeMap<String, Primitive>,
    /// There is a job, so that what is not set now never will be.
    pub(crate) complete: bool,
    /// The file extends another, which may declare more that a job may set.
    extends: bool,
    problems: Problems,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(
        part: Part,
        declared: &'a BTreeMap<String, Option<ConfigField>>,
        config: &'a BTreeMap<String, Primitive>,
    ) -> Self {
        Self { declared, config, complete: true, extends: false, problems: Problems::of(part) }
    }

    /// The same without a job: what depends on its configuration is read, not rendered.
    pub(crate) fn without_job(self) -> Self {
        Self { complete: false, ..self }
    }

    /// The same of a file that may extend another one, not merged in yet.
    pub(crate) fn extending(self, extends: bool) -> Self {
        Self { extends, ..self }
    }

    pub(crate) fn add(&mut self, field: &FieldPath, message: impl std::fmt::Display) {
        self.problems.add(field.clone(), message);
    }

    /// The value, or a note of why there is none, causes included.
    pub(crate) fn take<T, E: Error>(&mut self, field: &FieldPath, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, chain(&error))).ok()
    }

    /// Reads a template that may see `roots`.
    pub(crate) fn template(&mut self, source: &str, roots: &[Root], field: &FieldPath) -> Option<Template> {
        self.known(Template::compile(source, roots), field)
    }

    /// The template, if it was read and all config that it names may be set.
    pub(crate) fn known(&mut self, template: Result<Template, SyntaxError>, field: &FieldPath) -> Option<Template> {
        let template = self.take(field, template)?;
        self.known_config(template.fields(Root::Config), field).then_some(template)
    }

    /// Whether all these fields of `config` may be set.
    pub(crate) fn known_config(&mut self, names: Vec<String>, field: &FieldPath) -> bool {
        for name in names {
            if !self.declared.contains_key(&name) && !self.extends {
                let known = choices(&name, self.declared.keys().map(String::as_str));
                self.add(field, format!("unknown config.{name}; expected {known}"));
                return false;
            }
        }
        true
    }

    /// What sees nothing that varies.
    pub(crate) fn config_scope(&self) -> Scope<'a> {
        Scope { config: Some(self.config), ..Scope::default() }
    }

    /// Renders a template of nothing but `config`; `None` while there is no job and something is not set.
    pub(crate) fn fixed(&mut self, template: &Template, field: &FieldPath) -> Option<Primitive> {
        match template.render(&self.config_scope()) {
            Err(RenderError::Missing(_)) if !self.complete => None,
            result => self.take(field, result),
        }
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_vec()
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Unwrap safety: not needed, writing to a String never fails.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
