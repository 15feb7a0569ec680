//! The commands that talk to a gateway.

mod dead;
mod doctor;
mod explain;
mod items;
mod jobs;
mod limits;
mod patience;
mod screen;
mod stored;
mod submit;
mod tree;
mod watch;

use std::path::Path;

use tidegate_client::Client;
use tidegate_contracts::JobId;

use crate::cli::Gateway;
use crate::serve::secret;

pub(crate) use dead::dead;
pub(crate) use doctor::doctor;
pub(crate) use explain::explain;
pub(crate) use items::items;
pub(crate) use jobs::{cancel, jobs, pause, resume, retry, status};
pub(crate) use limits::limits;
pub(crate) use patience::Patience;
pub(crate) use stored::{credentials, list_keys, providers, revoke_key};
pub(crate) use submit::submit;
pub(crate) use tree::{failed_line, fetch_line, tree};
pub(crate) use watch::watch;

/// The job of a gateway that an argument names, if it names no file here.
pub(crate) fn job_of(argument: &Path) -> Option<JobId> {
    if argument.exists() { None } else { argument.to_str()?.parse().ok() }
}

/// A client of the gateway that is named, with the key of the environment.
pub(crate) fn connect(gateway: &Gateway) -> anyhow::Result<Client> {
    Ok(Client::new(gateway.url.clone(), Some(secret("TIDEGATE_API_KEY")?))?)
}
