//! The job file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_contracts::{Lane, Primitive};

use super::{CredentialNames, EndpointName, Name, Notify, Period, Version};

/// What to fetch from a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobFile {
    /// The version of the file format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tidegate: Option<Version>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The provider's name, or the relative path of its file.
    pub provider: String,
    /// Values of what the provider lets a job set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Primitive>,
    /// Name of the credential that calls are made with; without, they are made without. Several, where the provider file allows
    /// it: each call takes the one with the most room left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialNames>,
    /// How urgent it is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lane: Lane,
    /// Most calls of this job at once; as many as the lane allows unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_in_flight: Option<u32>,
    /// How long it may take, from when it was submitted: `2h`. Then no new call goes out, and it ends as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Period>,
    /// Never more calls than so many are released; what would come after ends the job as failed. A call that is tried
    /// again is still one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000u64))]
    pub max_calls: Option<u64>,
    /// Who is told when it has finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// Its pages are pushed to the results exchange as they are stored, of steps that do not say otherwise. Needs RabbitMQ.
    #[serde(default, skip_serializing_if = "is_default")]
    pub push: bool,
    /// What to call.
    #[schemars(length(min = 1, max = 100))]
    pub steps: Vec<Step>,
}

/// One kind of call of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, unique in the job.
    pub id: Name,
    /// The endpoint to call.
    pub call: EndpointName,
    /// The step above for each of whose items this one is done, as they arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Name>,
    /// Steps that must be done first, with all that follows from them: for the same item, if both steps follow from one,
    /// else in the whole job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub after: Vec<Name>,
    /// Only where this holds: an expression over `item`, `parent` and `config`. What compares with a field that is not
    /// there does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000))]
    pub when: Option<String>,
    /// Parameters of the endpoint: plain values, or templates over `item`, `parent` and `config`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Primitive>,
    /// What a failed call means for the job.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    /// Most pages of each of its fetches, before what the provider file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_pages: Option<u32>,
    /// Most items of each of its fetches, from the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
    /// Whether its pages are pushed to the results exchange; as the job says unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
}

/// What a failed call means for its job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Nothing: the job may still succeed.
    Continue,
    /// What would follow from it is not done; the rest is.
    #[default]
    SkipChildren,
    /// The job fails.
    FailJob,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
