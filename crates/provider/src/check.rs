//! What is wrong with a file by itself.

use std::collections::BTreeMap;

use tidegate_contracts::Primitive;

use crate::access::Access;
use crate::barrier::barriers;
use crate::compile::Compiler;
use crate::endpoint::Endpoints;
use crate::file::{CredentialPool, JobFile, ProviderFile};
use crate::limit::Limits;
use crate::problem::{FieldPath, Part, Problem, choices};
use crate::step::{check_order, compile_template, compile_when};

/// All that is wrong with a provider file, every endpoint of it. A file that extends another is checked for what does
/// not depend on the other; one without endpoints, which is there to be extended, needs no address.
#[must_use]
pub fn check_provider(provider: &ProviderFile) -> Vec<Problem> {
    let config = defaults(provider);
    let mut compiler =
        Compiler::new(Part::Provider, &provider.config, &config).without_job().extending(provider.extends.is_some());
    let access = Access::compile(provider, &mut compiler);
    let limits = Limits::compile(provider, &mut compiler);
    let endpoints = Endpoints::new(provider, &access, &limits, &mut compiler);
    for name in provider.endpoints.keys() {
        endpoints.compile(name, &mut compiler);
    }
    compiler.into_problems()
}

/// What is wrong with a job file whatever its provider: the order of its steps and the form of its templates.
#[must_use]
pub fn check_job(job: &JobFile) -> Vec<Problem> {
    let (declared, config) = (BTreeMap::new(), BTreeMap::new());
    let mut compiler = Compiler::new(Part::Job, &declared, &config);
    check_order(&job.steps, &mut compiler);
    check_notify(job, &mut compiler);
    barriers(&job.steps, &mut compiler);
    for (index, step) in job.steps.iter().enumerate() {
        let at = FieldPath::root().key("steps").index(index);
        if let Some(when) = &step.when {
            compiler.take(&at.key("when"), compile_when(when, step));
        }
        let at = at.key("with");
        for (name, value) in &step.with {
            if let Primitive::Text(source) = value {
                compiler.take(&at.key(name), compile_template(source, step));
            }
        }
    }
    compiler.into_problems()
}

/// Who is told, if anybody.
fn check_notify(job: &JobFile, compiler: &mut Compiler<'_>) {
    if let Some(notify) = &job.notify {
        notify.check(&FieldPath::root().key("notify"), compiler);
    }
}

/// What is wrong with a job file where there is no results exchange to push its pages to.
#[must_use]
pub fn refuse_push(job: &JobFile) -> Vec<Problem> {
    let root = FieldPath::root();
    let of_steps = job.steps.iter().enumerate().filter(|(_, step)| step.push == Some(true));
    let of_steps = of_steps.map(|(index, _)| root.key("steps").index(index).key("push"));
    let fields = job.push.then(|| root.key("push")).into_iter().chain(of_steps);
    let message = "expected false (pages are pushed over RabbitMQ, which only a cluster has)";
    fields.map(|field| Problem { part: Part::Job, field, message: message.to_owned() }).collect()
}

/// Whether a job is one for this provider, and sets what it has to.
pub(crate) fn job_fits(job: &JobFile, provider: &ProviderFile, compiler: &mut Compiler<'_>) {
    let root = FieldPath::root();
    check_notify(job, compiler);
    if job.steps.is_empty() {
        compiler.add(&root.key("steps"), "expected at least 1 of them, found 0");
    }
    if !is_path(&job.provider) && job.provider != provider.provider.as_str() {
        let (found, expected) = (&job.provider, &provider.provider);
        compiler.add(&root.key("provider"), format!("expected {expected}, found {found}"));
    }
    check_pool(job, provider, compiler);
    for name in job.config.keys().filter(|name| !provider.config.contains_key(*name)) {
        let known = choices(name, provider.config.keys().map(String::as_str));
        compiler.add(
            &root.key("config").name(name),
            format!("{} has no config {name}; expected {known}", provider.provider),
        );
    }
    for (name, field) in &provider.config {
        let required = field.as_ref().is_some_and(|field| field.required && field.default.is_none());
        if required && !job.config.contains_key(name) {
            compiler.add(&root.key("config"), format!("expected a field {name}, found none"));
        }
    }
}

/// Several credentials for one job are a way around a limit that was meant for each user, where the terms do not allow it.
fn check_pool(job: &JobFile, provider: &ProviderFile, compiler: &mut Compiler<'_>) {
    let is_allowed = !matches!(provider.credential_pool, None | Some(CredentialPool::Refused));
    let names = job.credential.as_ref().map_or(&[][..], |names| names.as_slice());
    if names.len() > 1 && !is_allowed {
        let message = format!(
            "expected one name: the file of provider {} allows no pool (`credential_pool: by_chain` there, if the \
             provider's terms let one job use several credentials)",
            provider.provider
        );
        compiler.add(&FieldPath::root().key("credential"), message);
    }
}

/// The config of a provider for a job that sets nothing.
pub(crate) fn defaults(provider: &ProviderFile) -> BTreeMap<String, Primitive> {
    let default = |(name, field): (&String, &Option<crate::file::ConfigField>)| {
        Some((name.clone(), field.as_ref()?.default.clone()?))
    };
    provider.config.iter().filter_map(default).collect()
}

/// Whether a reference to another file is its path; else it is a name.
#[must_use]
pub fn is_path(reference: &str) -> bool {
    reference.contains(['/', '\\']) || [".yaml", ".yml", ".json"].iter().any(|ending| reference.ends_with(ending))
}
