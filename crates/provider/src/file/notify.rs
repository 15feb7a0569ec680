//! Who is told when a job has finished, or its credential is parked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Name;
use crate::compile::Compiler;
use crate::problem::FieldPath;

/// Longest address, in bytes.
const URL_MAX_BYTES: usize = 2_000;

/// Who is told when the job has finished, or waits for its credential to be renewed: a webhook by the Standard Webhooks scheme, tried for a day until it is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Where to: https, or http within networks that the operator has opened. It is kept with the job as it is; what is
    /// secret belongs into `secret`.
    #[schemars(length(max = 2000))]
    pub url: String,
    /// Of what; of all unless said.
    #[serde(default = "all")]
    #[schemars(length(min = 1, max = 4))]
    pub on: Vec<Event>,
    /// Name of the credential whose `secret` (or `token`), `whsec_…`, signs it; without, it is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Name>,
}

/// What is told of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Every call succeeded, was skipped, or failed where that is tolerated.
    Succeeded,
    /// At least one call failed.
    Failed,
    /// Its owner stopped it.
    Cancelled,
    /// The provider takes its credential no more: its calls wait until that is renewed.
    CredentialParked,
}

fn all() -> Vec<Event> {
    vec![Event::Succeeded, Event::Failed, Event::Cancelled, Event::CredentialParked]
}

impl Notify {
    /// Says what is wrong with it.
    pub(crate) fn check(&self, at: &FieldPath, compiler: &mut Compiler<'_>) {
        let url = at.key("url");
        match url::Url::parse(&self.url) {
            _ if self.url.len() > URL_MAX_BYTES => {
                compiler.add(&url, format!("expected at most {URL_MAX_BYTES} bytes, found {}", self.url.len()));
            }
            Ok(parsed) if !matches!(parsed.scheme(), "https" | "http") || parsed.host().is_none() => {
                compiler.add(&url, format!("expected an https address, found {}", parsed.scheme()));
            }
            Ok(parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
                compiler.add(&url, "expected an address without a user and password; sign with `secret` instead");
            }
            Ok(_) => {}
            Err(error) => compiler.add(&url, format!("expected an https address: {error}")),
        }
        if self.on.is_empty() {
            compiler.add(&at.key("on"), "expected at least one of succeeded, failed, cancelled, credential_parked");
        }
    }
}
