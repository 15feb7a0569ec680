//! Reading files: text in, a declaration out, or every error with its place.

use serde::de::DeserializeOwned;
use tidegate_answer::ErrorRule;
use tidegate_limits::Rate;

use crate::check::{check_job, check_provider};
use crate::document::Document;
use crate::file::{Endpoint, JobFile, ProviderFile, Step};
use crate::problem::{FieldPath, FileError, PROBLEMS_MAX, Part, Problem};
use crate::schema;

/// A declaration that was read, and where in its text everything stands.
#[derive(Debug, Clone)]
pub struct Source<T> {
    /// What was read.
    pub file: T,
    document: Document,
}

impl<T> Source<T> {
    /// Gives problems that were found later, those of [`crate::Spec::compile`], their places in the text. Of the two
    /// files each has its own [`crate::Part`].
    #[must_use]
    pub fn locate(&self, problems: &[Problem]) -> Vec<FileError> {
        self.document.locate_all(problems)
    }

    /// The source, if there are no problems with it.
    pub(crate) fn checked(self, problems: &[Problem]) -> Result<Self, Vec<FileError>> {
        if problems.is_empty() { Ok(self) } else { Err(self.document.locate_all(problems)) }
    }
}

/// Reads a provider file, YAML or JSON. `name` is what errors call it.
///
/// # Errors
/// All that is wrong with its syntax, else with its shape, else with its meaning.
pub fn parse_provider(text: &str, name: &str) -> Result<Source<ProviderFile>, Vec<FileError>> {
    read_provider(Document::parse(text, name, Part::Provider).map_err(|error| vec![error])?)
}

/// Reads a job file, YAML or JSON. `name` is what errors call it.
///
/// # Errors
/// All that is wrong with its syntax, else with its shape, else with its meaning; what depends on the provider is
/// found by [`crate::Spec::compile`].
pub fn parse_job(text: &str, name: &str) -> Result<Source<JobFile>, Vec<FileError>> {
    read_job(Document::parse(text, name, Part::Job).map_err(|error| vec![error])?)
}

/// A job file, and the provider file that it held.
pub type JobWithProvider = (Source<JobFile>, Option<Source<ProviderFile>>);

/// Reads a job file that may hold its provider file under `provider`, where else the provider's name stands.
///
/// # Errors
/// As [`parse_job`] and [`parse_provider`], of both files.
pub fn parse_job_with_provider(text: &str, name: &str) -> Result<JobWithProvider, Vec<FileError>> {
    let mut document = Document::parse(text, name, Part::Job).map_err(|error| vec![error])?;
    let provider = document.take_map("provider", Part::Provider).map(read_provider).transpose();
    match (read_job(document), provider) {
        (Ok(job), Ok(provider)) => Ok((job, provider)),
        (Err(mut errors), Err(more)) => {
            errors.extend(more);
            refuse(errors).and(Err(Vec::new()))
        }
        (Err(errors), Ok(_)) | (Ok(_), Err(errors)) => Err(errors),
    }
}

fn read_provider(document: Document) -> Result<Source<ProviderFile>, Vec<FileError>> {
    refuse(document.departures(schema::provider()))?;
    let root = FieldPath::root();
    let mut errors = Vec::new();
    for limit in document.children(&root.key("limits")) {
        errors.extend(document.read_at::<Rate>(&limit, &RATE_FIELDS).err());
    }
    for rule in document.children(&root.key("errors")) {
        errors.extend(document.read_at::<ErrorRule>(&rule, &[]).err());
    }
    for endpoint in document.children(&root.key("endpoints")) {
        errors.extend(document.read_at::<Endpoint>(&endpoint, &[]).err());
    }
    refuse(errors)?;
    let source: Source<ProviderFile> = read_whole(document)?;
    let problems = check_provider(&source.file);
    source.checked(&problems)
}

fn read_job(document: Document) -> Result<Source<JobFile>, Vec<FileError>> {
    refuse(document.departures(schema::job()))?;
    let steps = document.children(&FieldPath::root().key("steps"));
    refuse(steps.iter().filter_map(|step| document.read_at::<Step>(step, &[]).err()).collect())?;
    let source: Source<JobFile> = read_whole(document)?;
    let problems = check_job(&source.file);
    source.checked(&problems)
}

/// Fields of a limit that say how much of it there is.
const RATE_FIELDS: [&str; 8] = ["window", "sliding", "quota", "bucket", "concurrency", "learn", "breaker", "told"];

fn refuse(mut errors: Vec<FileError>) -> Result<(), Vec<FileError>> {
    errors.truncate(PROBLEMS_MAX);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn read_whole<T: DeserializeOwned>(document: Document) -> Result<Source<T>, Vec<FileError>> {
    let root = FieldPath::root();
    match document.read_at(&root, &[]) {
        Ok(Some(file)) => Ok(Source { file, document }),
        // The root is always there.
        Ok(None) => Err(Vec::new()),
        Err(error) => Err(vec![error]),
    }
}
