//! Files and variables that a command is given.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use tidegate_contracts::Primitive;
use tidegate_egress::{AllowPrivate, Via};
use tidegate_provider::file::Auth;
use tidegate_provider::load::{self, LoadError};
use tidegate_provider::{
    Credential, FileError, JobFile, Part, Problem, ProviderFile, Source, Spec, Step, pack, refuse_push,
};

use crate::cli::Calls;
use crate::say;
use crate::serve::optional_secret;

/// What is wrong with what was given.
#[derive(Debug)]
pub(crate) struct FilesError(pub(crate) Vec<String>);

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\nerror: "))
    }
}

impl std::error::Error for FilesError {}

impl FilesError {
    pub(crate) fn one(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }
}

impl From<LoadError> for FilesError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Wrong(errors) => errors.into(),
            other => Self::one(format!("{:#}", anyhow::Error::from(other))),
        }
    }
}

impl From<Vec<FileError>> for FilesError {
    fn from(errors: Vec<FileError>) -> Self {
        Self(errors.iter().map(ToString::to_string).collect())
    }
}

/// A job file and the provider file that it names.
pub(crate) struct Loaded {
    pub(crate) job: Source<JobFile>,
    pub(crate) provider: Source<ProviderFile>,
}

impl Loaded {
    /// Compiles them together, or says what is wrong and where.
    pub(crate) fn compile(&self) -> Result<Spec, FilesError> {
        let explain = |problems: Vec<Problem>| {
            let (of_job, of_provider): (Vec<_>, Vec<_>) = problems.into_iter().partition(|p| p.part == Part::Job);
            FilesError::from([self.job.locate(&of_job), self.provider.locate(&of_provider)].concat())
        };
        Spec::compile(self.job.file.clone(), self.provider.file.clone()).map_err(explain)
    }

    /// Refuses what a single process does not have.
    pub(crate) fn check_alone(&self) -> Result<(), FilesError> {
        let refused = refuse_push(&self.job.file);
        if refused.is_empty() { Ok(()) } else { Err(self.job.locate(&refused).into()) }
    }
}

/// Reads a job file and the provider file that it names.
pub(crate) fn load_job(path: &Path, calls: &Calls) -> Result<Loaded, FilesError> {
    let mut job = load::load_job(path)?;
    job.file.config.extend(pairs("--set", &calls.set)?);
    let provider = match load::load_provider_of(&job.file, path, &calls.providers) {
        Err(LoadError::NotFound { .. }) if pack(&job.file.provider).is_some() => {
            load::load_named(Path::new(&job.file.provider), &[])?
        }
        loaded => loaded?,
    };
    Ok(Loaded { job, provider: moved(provider, calls) })
}

/// The provider at the address that `--at` names. What it can't be is said where the file is compiled.
pub(crate) fn moved(mut provider: Source<ProviderFile>, calls: &Calls) -> Source<ProviderFile> {
    if let Some(at) = &calls.at {
        if let Some(Auth::Oauth2(oauth2)) = &mut provider.file.auth {
            oauth2.token_url = format!("{}{}", at.trim_end_matches('/'), oauth2.token_path());
        }
        provider.file.base_url = Some(at.clone());
    }
    provider
}

/// `NAME=VALUE` pairs. Whole numbers and truth values are taken for what they are.
pub(crate) fn pairs(flag: &str, pairs: &[String]) -> Result<Vec<(String, Primitive)>, FilesError> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), primitive(value))),
        _ => Err(FilesError::one(format!("{flag} {text}: expected NAME=VALUE"))),
    };
    pairs.iter().map(pair).collect()
}

fn primitive(text: &str) -> Primitive {
    match text {
        "true" => Primitive::Bool(true),
        "false" => Primitive::Bool(false),
        // A number that would not read back as it was written is text: an id may begin with 0.
        _ => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Primitive::Integer(number),
            _ => Primitive::Text(text.to_owned()),
        },
    }
}

/// The credential of this name, from the file or the environment.
pub(crate) fn credential(name: &str, calls: &Calls) -> Result<Credential, FilesError> {
    if let Some(path) = &calls.credentials {
        let (all, warning) = load::load_credentials(path)?;
        if let Some(warning) = warning {
            say::note(&format!("warning: {warning}"));
        }
        if let Some(credential) = all.into_iter().find(|credential| credential.name() == name) {
            return Ok(credential);
        }
    }
    let variable = Credential::variable(name);
    match std::env::var(&variable) {
        Ok(text) => Credential::from_text(name, &text).map_err(|error| FilesError::one(format!("{variable}: {error}"))),
        Err(_) => {
            let file = calls.credentials.as_ref().map(|path| format!(" and it is not in {}", path.display()));
            let text = format!(
                "there is no credential {name}: the variable {variable} is not set{}",
                file.unwrap_or_default()
            );
            Err(FilesError::one(text))
        }
    }
}

/// Which private networks may be called. Nothing named is none: a variable that is set but empty allows nothing.
pub(crate) fn allow_private(nets: &[String]) -> Result<AllowPrivate, FilesError> {
    let nets: Vec<&String> = nets.iter().filter(|net| !net.trim().is_empty()).collect();
    if nets.is_empty() {
        return Ok(AllowPrivate::None);
    }
    if nets.iter().any(|net| matches!(net.as_str(), "all" | "true" | "1")) {
        return Ok(AllowPrivate::All);
    }
    let net = |text: &&String| {
        let address = || text.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from);
        text.parse().ok().or_else(address).ok_or_else(|| {
            FilesError::one(format!(
                "--allow-private={text}: expected a network such as 127.0.0.0/8, or nothing for all"
            ))
        })
    };
    Ok(AllowPrivate::Nets(nets.iter().map(net).collect::<Result<_, _>>()?))
}

/// Most ways out of one executor.
const WAYS_OUT_MAX: usize = 16;
/// Longest name of one, in characters.
const WAY_OUT_MAX_CHARS: usize = 64;
/// What variables that say where a way out leads begin with.
const VIA_PREFIX: &str = "TIDEGATE_EGRESS_VIA_";

/// The ways out of these names, each where its variable says.
pub(crate) fn ways_out(names: &[String]) -> Result<Vec<(String, Via)>, FilesError> {
    let wrong = |text: String| Err(FilesError::one(format!("--egress: expected {text}")));
    if !(1..=WAYS_OUT_MAX).contains(&names.len()) {
        return wrong(format!("1 to {WAYS_OUT_MAX} names, found {}", names.len()));
    }
    let mut ways: Vec<(String, Via)> = Vec::new();
    for name in names {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=WAY_OUT_MAX_CHARS).contains(&name.len()) || !name.chars().all(is_fine) {
            return wrong(format!("names of 1 to {WAY_OUT_MAX_CHARS} letters, digits, -, _ and ., found {name:?}"));
        }
        if ways.iter().any(|(other, _)| other == name) {
            return wrong(format!("each name once, found {name} a second time"));
        }
        let variable = format!("{VIA_PREFIX}{}", name.to_ascii_uppercase().replace(['-', '.'], "_"));
        let named = optional_secret(&variable).map_err(|error| FilesError::one(error.to_string()))?;
        let via = named.map_or(Ok(Via::Direct), |text| text.expose_secret().parse());
        ways.push((name.clone(), via.map_err(|error| FilesError::one(format!("{variable}: {error}")))?));
    }
    Ok(ways)
}

/// Refuses a `--step` that the job does not have: it would write nothing, and nobody would know why.
pub(crate) fn check_steps(named: &[String], spec: &Spec) -> Result<(), FilesError> {
    let known: Vec<&str> = spec.steps().iter().map(Step::id).collect();
    let unknown = named.iter().filter(|name| !known.contains(&name.as_str()));
    let text = |name| format!("--step {name}: the job has no such step; expected {}", known.join(" or "));
    let unknown: Vec<String> = unknown.map(text).collect();
    if unknown.is_empty() { Ok(()) } else { Err(FilesError(unknown)) }
}

/// The state file of a job file, where none is named.
pub(crate) fn default_state(job: &Path) -> PathBuf {
    let stem = job.file_stem().unwrap_or_else(|| "job".as_ref());
    let beside = job.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    beside.join(".tidegate").join(stem).with_extension("db")
}

/// A name for people: what the job says, else its file's.
pub(crate) fn job_name(job: &JobFile, path: &Path) -> String {
    let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    job.name.clone().or_else(stem).unwrap_or_else(|| "job".to_owned())
}

/// Reads a provider file, or the pack of this name, and what it extends.
pub(crate) fn load_provider(path: &Path, folders: &[PathBuf]) -> Result<Source<ProviderFile>, FilesError> {
    Ok(load::load_named(path, folders)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_opens_no_private_network() {
        assert_eq!(allow_private(&[String::new()]).ok(), Some(AllowPrivate::None));
        let named = allow_private(&["10.0.0.0/8".to_owned(), " ".to_owned()]).ok();
        assert_eq!(named, Some(AllowPrivate::Nets(vec!["10.0.0.0/8".parse().expect("a network")])));
    }
}
