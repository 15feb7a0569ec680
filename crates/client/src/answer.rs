//! What the gateway answers. Its OpenAPI document says what each field means.
#![expect(missing_docs, reason = "the OpenAPI document says what each field means")]

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_contracts::{JobId, Lane, Parked};
use tidegate_limits::{Override, Usage};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    pub id: JobId,
    pub location: String,
    /// The same was submitted before under the same key: this is that job.
    #[serde(default)]
    pub replayed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub name: String,
    pub provider: String,
    pub lane: Lane,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane_asked: Option<Lane>,
    pub state: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extend: bool,
    pub reason: Option<String>,
    pub submitted_at_ms: i64,
    pub started_at_ms: Option<i64>,
    pub finished_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_at_ms: Option<i64>,
    pub counts: Counts,
}

impl Job {
    /// Nothing more will happen by itself.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkPage {
    pub marks: Vec<Mark>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub job: String,
    pub step: String,
    pub params: Value,
    pub value: String,
    pub kind: String,
    pub seen_by: JobId,
    pub moved_at_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarksReset {
    pub marks: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub calls_planned: u64,
    pub calls_open: u64,
    pub calls_released: u64,
    #[serde(default)]
    pub calls_held: u64,
    pub calls_succeeded: u64,
    pub calls_skipped: u64,
    pub calls_failed: u64,
    pub calls_tolerated: u64,
    pub calls_cancelled: u64,
    pub fetches_planned: u64,
    pub fetches_open: u64,
    pub items: u64,
    pub requests: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    #[serde(flatten)]
    pub job: Job,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    pub steps: Vec<Step>,
    #[serde(default)]
    pub economy: Vec<Economy>,
    pub waiting: Vec<Wait>,
    pub failures: Vec<Failure>,
    #[serde(default)]
    pub notifications: Vec<Notification>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Economy {
    pub step: String,
    pub calls: u64,
    pub fewest: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub event: String,
    pub at_ms: i64,
    pub state: String,
    pub attempts: u32,
    pub next_at_ms: Option<i64>,
    pub ended_at_ms: Option<i64>,
    pub last: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub step: String,
    pub fetches: u64,
    pub fetches_done: u64,
    pub calls_planned: u64,
    pub calls_open: u64,
    pub calls_failed: u64,
    pub calls_skipped: u64,
    pub items: u64,
    #[serde(default)]
    pub left_out: u64,
    #[serde(default)]
    pub guards: Vec<Guard>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    pub guard: String,
    pub fetches: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    pub reason: String,
    pub calls: u64,
    pub until_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub step: String,
    pub state: String,
    pub class: String,
    pub status: Option<u16>,
    pub message: String,
    pub calls: u64,
    pub example: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPage {
    pub jobs: Vec<Job>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    #[serde(flatten)]
    pub job: Job,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    pub waiting: Vec<Wait>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub fraction: f64,
    pub eta_ms: Option<i64>,
    pub eta_low_ms: Option<i64>,
    pub eta_high_ms: Option<i64>,
    pub basis: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    pub sentence: String,
    pub reasons: Vec<Reason>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    pub calls: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_due_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_due_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Value>,
    pub words: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FetchPage {
    pub fetches: Vec<Fetch>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fetch {
    pub id: String,
    pub parent: Option<String>,
    pub step: String,
    pub params: Value,
    pub total: Option<u64>,
    pub fetch_end: Option<String>,
    pub calls_planned: u64,
    pub calls_open: u64,
    pub calls_failed: u64,
    pub calls_skipped: u64,
    pub children_open: u64,
    pub items: u64,
    pub finished_at_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedPage {
    pub calls: Vec<Failed>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    pub id: String,
    pub fetch: String,
    pub step: String,
    pub params: Value,
    pub page: String,
    pub state: String,
    pub class: String,
    pub status: Option<u16>,
    pub message: String,
    pub attempt: u32,
}

/// How many calls are made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    pub calls: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    pub name: String,
    pub version: i64,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    /// Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCredential {
    pub name: String,
    pub version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    pub name: String,
    pub version: i64,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub id: String,
    pub name: String,
    pub scopes: String,
    pub created_at_ms: i64,
    pub expires_at_ms: Option<i64>,
    pub last_used_at_ms: Option<i64>,
    pub revoked_at_ms: Option<i64>,
}

/// A key that was made; its secret is shown only by the one who exposes it.
#[derive(Debug, Deserialize)]
pub struct MadeKey {
    pub id: String,
    pub key: secrecy::SecretString,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetPage {
    pub budgets: Vec<Usage>,
    pub overrides: Vec<Override>,
    pub next: Option<String>,
}

/// An answer that no error rule speaks of, and those like it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnmatchedAnswer {
    pub endpoint: String,
    pub status: u16,
    pub class: String,
    pub message: String,
    pub count: u64,
    pub first_seen_ms: i64,
    pub last_seen_ms: i64,
    pub rule: Option<Value>,
    pub answer: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadPage {
    pub dead: Vec<Dead>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dead {
    pub id: String,
    pub queue: String,
    pub kind: Option<String>,
    pub job: Option<String>,
    pub reason: String,
    pub redelivered: u32,
    pub died_at_ms: i64,
    pub kept_at_ms: i64,
    pub bytes: u64,
    pub replayed_at_ms: Option<i64>,
    /// What it says; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub ready: bool,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub up: bool,
    pub reason: Option<String>,
    pub ms: u64,
}
