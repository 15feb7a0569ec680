//! Files from disk, for the command line. The rest of this crate reads no file.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::check::{check_provider, is_path};
use crate::credential::{Credential, CredentialError};
use crate::extend::inherit;
use crate::file::{JobFile, ProviderFile};
use crate::node::FILE_MAX_BYTES;
use crate::pack::{Pack, pack};
use crate::problem::FileError;
use crate::recorded::Recorded;
use crate::source::{Source, parse_job, parse_provider};

/// Most files in a chain of `extends`.
const EXTENDS_MAX: usize = 8;
/// Endings of a provider's file, in the order they are tried.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// A file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It can't be read.
    #[error("{} can't be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is none of this name.
    #[error("there is no provider {name}; looked for {name}.yaml, .yml and .json in {}", places(.folders))]
    NotFound {
        /// The name.
        name: String,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// Files extend each other in a circle, or too many do.
    #[error("{} extends itself, or more than {EXTENDS_MAX} files", path.display())]
    ExtendsTooDeep {
        /// The file it began with.
        path: PathBuf,
    },
    /// What was recorded of a provider can't be read.
    #[error("{}: {problem}", path.display())]
    Recorded {
        /// The file, or the pack's name.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// What is wrong in files, one line each.
    #[error("{}", lines(.0))]
    Wrong(Vec<FileError>),
}

/// Loads a job file.
///
/// # Errors
/// When it can't be read or something in it is wrong.
pub fn load_job(path: &Path) -> Result<Source<JobFile>, LoadError> {
    parse_job(&read(path)?, &path.display().to_string()).map_err(LoadError::Wrong)
}

/// Loads a provider file and what it extends, merged into it.
///
/// A name (of a provider that is extended) is looked for beside the file that names it, then in `folders`, then among
/// packs.
///
/// # Errors
/// When a file can't be found or read, or something in one is wrong.
pub fn load_provider(path: &Path, folders: &[PathBuf]) -> Result<Source<ProviderFile>, LoadError> {
    let mut source = read_provider(path)?;
    let mut at = path.to_owned();
    for _ in 0..EXTENDS_MAX {
        let Some(reference) = source.file.extends.take() else { return checked(source) };
        let parent = match find_or_pack(&reference, &at, folders)? {
            Place::File(file) => {
                at = file;
                read_provider(&at)?.file
            }
            // What a pack extends is another pack.
            Place::Pack(pack) => pack.merged().map_err(LoadError::Wrong)?.file,
        };
        let next = parent.extends.clone();
        source.file = ProviderFile { extends: next, ..inherit(source.file, parent) };
    }
    Err(LoadError::ExtendsTooDeep { path: path.to_owned() })
}

/// Loads the provider that a job file names: its path as seen from the job file, or its name in `folders`.
///
/// # Errors
/// As [`load_provider`].
pub fn load_provider_of(
    job: &JobFile,
    job_path: &Path,
    folders: &[PathBuf],
) -> Result<Source<ProviderFile>, LoadError> {
    load_provider(&find(&job.provider, job_path, folders)?, folders)
}

/// Loads the provider file that is meant by `reference`: a file of this path, else of this name in `folders`, else a pack.
///
/// # Errors
/// As [`load_provider`].
pub fn load_named(reference: &Path, folders: &[PathBuf]) -> Result<Source<ProviderFile>, LoadError> {
    let name = reference.to_string_lossy();
    if reference.is_file() || is_path(&name) {
        return load_provider(reference, folders);
    }
    match find_or_pack(&name, Path::new(""), folders)? {
        Place::File(file) => load_provider(&file, folders),
        Place::Pack(pack) => pack.merged().map_err(LoadError::Wrong),
    }
}

/// Loads what was recorded of the provider that is meant by `reference`: of a file of this path what stands in
/// `tests/NAME.yaml` beside it, if anything does; else of the pack of this name.
///
/// # Errors
/// When it can't be read or is none.
pub fn load_recorded(reference: &Path) -> Result<Option<Recorded>, LoadError> {
    let name = reference.to_string_lossy();
    let (path, text) = match pack(&name).filter(|_| !reference.is_file()) {
        Some(pack) if pack.is_family() => return Ok(None),
        Some(pack) => (PathBuf::from(pack.name), pack.recorded.to_owned()),
        None => {
            let beside = reference.parent().unwrap_or(Path::new("")).join("tests");
            let path = beside.join(reference.file_stem().unwrap_or_default()).with_extension("yaml");
            if !path.is_file() {
                return Ok(None);
            }
            let text = read(&path)?;
            (path, text)
        }
    };
    Recorded::parse(&text).map(Some).map_err(|problem| LoadError::Recorded { path, problem })
}

/// Loads a file of credentials. With them comes a warning when others on this machine can read it.
///
/// # Errors
/// When it can't be read or is none.
pub fn load_credentials(path: &Path) -> Result<(Vec<Credential>, Option<String>), LoadError> {
    let credentials =
        Credential::from_file_text(&read(path)?, &path.display().to_string()).map_err(LoadError::Wrong)?;
    let warning = is_open_to_others(path)
        .then(|| format!("{} holds secrets and others can read it; expected chmod 600", path.display()));
    Ok((credentials, warning))
}

/// The credential in the environment, if there is one ([`Credential::variable`]).
///
/// # Errors
/// When what is there is no credential.
pub fn credential_from_environment(name: &str) -> Result<Option<Credential>, CredentialError> {
    std::env::var(Credential::variable(name)).ok().map(|text| Credential::from_text(name, &text)).transpose()
}

/// One line for each error.
fn lines(errors: &[FileError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn places(folders: &[PathBuf]) -> String {
    let name = |folder: &PathBuf| match folder.as_os_str().is_empty() {
        true => ".".to_owned(),
        false => folder.display().to_string(),
    };
    folders.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn read_provider(path: &Path) -> Result<Source<ProviderFile>, LoadError> {
    parse_provider(&read(path)?, &path.display().to_string()).map_err(LoadError::Wrong)
}

/// Checks what could not be told before all was merged.
fn checked(source: Source<ProviderFile>) -> Result<Source<ProviderFile>, LoadError> {
    let problems = check_provider(&source.file);
    source.checked(&problems).map_err(LoadError::Wrong)
}

fn read(path: &Path) -> Result<String, LoadError> {
    let io = |source| LoadError::Io { path: path.to_owned(), source };
    let mut text = String::new();
    // One byte above what is allowed, so that the reader sees that it is too much.
    let file = std::fs::File::open(path).map_err(io)?;
    file.take(FILE_MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// The file that `reference`, found in the file `from`, means.
fn find(reference: &str, from: &Path, folders: &[PathBuf]) -> Result<PathBuf, LoadError> {
    let beside = from.parent().unwrap_or(Path::new("."));
    if is_path(reference) {
        return Ok(beside.join(reference));
    }
    let folders: Vec<PathBuf> = std::iter::once(beside.to_owned()).chain(folders.iter().cloned()).collect();
    let files = folders.iter().flat_map(|folder| ENDINGS.map(|ending| folder.join(format!("{reference}.{ending}"))));
    // The file that asks is never the one it asks for.
    let found = files.into_iter().find(|file| file != from && file.is_file());
    found.ok_or_else(|| LoadError::NotFound { name: reference.to_owned(), folders })
}

/// Where a provider file is.
enum Place {
    File(PathBuf),
    Pack(&'static Pack),
}

fn find_or_pack(reference: &str, from: &Path, folders: &[PathBuf]) -> Result<Place, LoadError> {
    match find(reference, from, folders) {
        Ok(file) => Ok(Place::File(file)),
        Err(error) => pack(reference).map(Place::Pack).ok_or(error),
    }
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_chain_of_files_is_merged_from_the_child_up() {
        let folder = folder(&[
            (
                "a.yaml",
                "tidegate: 1\nprovider: a\nextends: sub/b.yaml\nbase_url: https://a.example\nretry: { attempts: 2 }\n",
            ),
            (
                "sub/b.yaml",
                "tidegate: 1\nprovider: b\nextends: c\nheaders: { X-A: b }\nerrors: [ { status: 404, class: gone } ]\n",
            ),
            (
                "family/c.yml",
                "tidegate: 1\nprovider: c\nheaders: { X-A: c, X-C: c }\nerrors: [ { status: 404, class: invalid } ]\nretry: { attempts: 9, cap: 9s }\n",
            ),
        ]);
        let file = load_provider(&folder.path().join("a.yaml"), &[folder.path().join("family")]).unwrap().file;
        assert_eq!((file.provider.as_str(), file.extends.as_deref()), ("a", None));
        assert_eq!((file.headers["X-A"].as_str(), file.headers["X-C"].as_str()), ("b", "c"));
        assert_eq!((file.retry.attempts, file.retry.cap.unwrap().get().as_secs()), (Some(2), 9));
        let classes: Vec<_> = file.errors.iter().map(|rule| rule.class.name()).collect();
        assert_eq!(classes, ["gone", "invalid"]);
    }

    #[test]
    fn circles_and_missing_files_are_told() {
        let folder = folder(&[
            ("a.yaml", "tidegate: 1\nprovider: a\nextends: b\n"),
            ("b.yaml", "tidegate: 1\nprovider: b\nextends: a\n"),
            ("lost.yaml", "tidegate: 1\nprovider: lost\nextends: nowhere\n"),
            ("self.yaml", "tidegate: 1\nprovider: self\nextends: self\n"),
        ]);
        let error = |name: &str| load_provider(&folder.path().join(name), &[]).unwrap_err();
        assert!(matches!(error("a.yaml"), LoadError::ExtendsTooDeep { .. }));
        assert!(matches!(error("lost.yaml"), LoadError::NotFound { .. }), "{}", error("lost.yaml"));
        assert!(matches!(error("self.yaml"), LoadError::NotFound { .. }));
        assert!(matches!(error("none.yaml"), LoadError::Io { .. }));
    }

    #[test]
    fn what_only_the_merged_file_shows_is_told_with_its_place() {
        let folder = folder(&[
            (
                "a.yaml",
                "tidegate: 1\nprovider: a\nextends: b\nbase_url: https://a.example\nendpoints: { x: { get: / } }\nerrors:\n  - { status: 429, class: rate_limited, scope: tok }\n",
            ),
            ("b.yaml", "tidegate: 1\nprovider: b\nlimits: [ { id: token, told: {} } ]\n"),
        ]);
        let error = load_provider(&folder.path().join("a.yaml"), &[]).unwrap_err().to_string();
        assert!(error.ends_with("a.yaml:7:48: errors[0].scope: unknown limit tok; expected token"), "{error}");
    }

    #[test]
    fn a_pack_is_extended_and_meant_by_its_name_where_no_file_is() {
        let folder =
            folder(&[("own.yaml", "tidegate: 1\nprovider: own\nextends: github\nbase_url: https://a.example\n")]);
        let own = load_provider(&folder.path().join("own.yaml"), &[]).unwrap().file;
        assert!(own.errors.iter().any(|rule| rule.scope.as_deref() == Some("secondary")) && own.endpoints.is_empty());
        let named = |name: &str| load_named(Path::new(name), &[folder.path().to_owned()]).map(|source| source.file);
        assert_eq!(named("own").unwrap().provider.as_str(), "own");
        assert!(!named("facebook").unwrap().errors.is_empty(), "what it extends is merged in");
        assert!(matches!(named("nobody"), Err(LoadError::NotFound { .. })));
        assert!(matches!(named("github.yaml"), Err(LoadError::Io { .. })), "a path is a path");
    }

    #[test]
    fn config_that_only_the_extended_file_declares_may_be_used() {
        let folder = folder(&[
            ("a.yaml", "tidegate: 1\nprovider: a\nextends: b\nbase_url: \"https://a.example/{{ config.v }}\"\n"),
            ("b.yaml", "tidegate: 1\nprovider: b\nconfig: { v: { default: v1 } }\n"),
            ("c.yaml", "tidegate: 1\nprovider: c\nextends: b\nbase_url: \"https://a.example/{{ config.w }}\"\n"),
        ]);
        assert!(load_provider(&folder.path().join("a.yaml"), &[]).is_ok());
        let error = load_provider(&folder.path().join("c.yaml"), &[]).unwrap_err().to_string();
        assert!(error.ends_with("base_url: unknown config.w; expected v"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn an_open_file_of_credentials_brings_a_warning() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder(&[("c.yaml", "alice: abcdef\n")]);
        let path = folder.path().join("c.yaml");
        for (mode, warned) in [(0o644, true), (0o640, true), (0o600, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let (credentials, warning) = load_credentials(&path).unwrap();
            assert_eq!((credentials.len(), warning.is_some()), (1, warned), "{mode:o}");
            assert!(!warning.unwrap_or_default().contains("abcdef"));
        }
    }
}
