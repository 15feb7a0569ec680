//! Messages and their envelope.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{CallId, FetchId, JobId, Lane, Mark, Outcome, PagePointer, Params, Plan};

/// Version of the messages this build writes. Readers take their own version and older ones.
pub const VERSION: u32 = 1;

/// A call to make. Tracker → executor.
///
/// Idempotent by `call`: an executor that finds its page stored emits the outcome again and calls nobody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The job.
    pub job: JobId,
    /// Its fetch.
    pub fetch: FetchId,
    /// Derived from fetch and pointer.
    pub call: CallId,
    /// The job's step.
    pub step: String,
    /// Parameters of the endpoint.
    pub params: Params,
    /// Which page.
    pub pointer: PagePointer,
    /// Its place in its fetch's chain, from 0.
    pub ordinal: u32,
    /// The highest value that earlier runs have seen: only what is above it is new. Absent in a run that takes all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Mark>,
    /// Attempts spent so far: failed ones that count. Waiting for a limit costs none.
    #[serde(default)]
    pub attempt: u32,
    /// Requests sent so far, refused ones included.
    #[serde(default)]
    pub requests: u32,
    /// Unix time in milliseconds of the first failure; the retry time budget runs from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since_ms: Option<i64>,
    /// Id of the limit that it was told to wait for last, if it has waited and was not granted since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<String>,
    /// Released before: its page may be stored already, and is looked for before anybody is called.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Name of the provider; with the lane, the queue the call goes to.
    pub provider: String,
    /// The job's lane.
    pub lane: Lane,
}

impl Call {
    /// The call at `pointer` of a fetch without parent, first in its chain and not tried yet; of no provider, in the normal lane.
    #[must_use]
    pub fn root(job: JobId, step: &str, params: Params, pointer: PagePointer) -> Self {
        let fetch = FetchId::derive(job, None, step, &params);
        Self {
            job,
            fetch,
            call: CallId::derive(fetch, &pointer),
            step: step.to_owned(),
            params,
            pointer,
            ordinal: 0,
            since: None,
            attempt: 0,
            requests: 0,
            failing_since_ms: None,
            waited_for: None,
            again: false,
            provider: String::new(),
            lane: Lane::Normal,
        }
    }
}

/// A job was accepted and stored. Gateway → planner. Idempotent by `job`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSubmitted {
    /// The job.
    pub job: JobId,
}

/// Something worth telling watchers. Tracker → gateway, command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Calls of a job ended; read the ledger for how many.
    JobProgressed {
        /// The job.
        job: JobId,
    },
    /// No new call of the job may go out; those on their way still count.
    JobStopped {
        /// The job.
        job: JobId,
    },
    /// No new call of the job may go out until it is resumed, or the credential that it waits for is renewed.
    JobPaused {
        /// The job.
        job: JobId,
    },
    /// Calls of a job that was paused, or waited for a credential, may go out again.
    JobResumed {
        /// The job.
        job: JobId,
    },
    /// The job is done, whatever came of it.
    JobFinished {
        /// The job.
        job: JobId,
    },
    /// A call of the job is parked.
    CallWaiting {
        /// The job.
        job: JobId,
        /// Until when and why.
        wait: crate::Wait,
    },
}

/// What travels on the bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum Message {
    /// To the planner.
    JobSubmitted(JobSubmitted),
    /// To the planner.
    Outcome(Outcome),
    /// To the tracker.
    Plan(Plan),
    /// To an executor.
    Call(Call),
    /// To watchers.
    Event(Event),
}

impl Event {
    /// The job it speaks of.
    #[must_use]
    pub fn job(&self) -> JobId {
        match self {
            Self::JobProgressed { job }
            | Self::JobStopped { job }
            | Self::JobPaused { job }
            | Self::JobResumed { job }
            | Self::JobFinished { job }
            | Self::CallWaiting { job, .. } => *job,
        }
    }
}

impl Message {
    /// The kind, as it travels.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::JobSubmitted(_) => "job_submitted",
            Self::Outcome(_) => "outcome",
            Self::Plan(_) => "plan",
            Self::Call(_) => "call",
            Self::Event(_) => "event",
        }
    }

    /// The job it speaks of.
    #[must_use]
    pub fn job(&self) -> JobId {
        match self {
            Self::JobSubmitted(submitted) => submitted.job,
            Self::Outcome(outcome) => outcome.call().job,
            Self::Plan(plan) => plan.job,
            Self::Call(call) => call.job,
            Self::Event(event) => event.job(),
        }
    }
}

/// A message with what every message has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Of this sending; a message sent twice has two.
    pub id: Uuid,
    /// Unix time in milliseconds.
    pub sent_at_ms: i64,
    /// W3C trace context of the sender, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What it says.
    #[serde(flatten)]
    pub message: Message,
}

/// The bytes are not a message this build can read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Written by a newer build.
    #[error("message version {0} is newer than {1}, the newest this build reads")]
    Newer(u32, u32),
    /// Not a message.
    #[error("not a message: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Envelope {
    /// Wraps a message under a new id; the time is the caller's (no clock here).
    #[must_use]
    pub fn new(message: Message, sent_at_ms: i64, traceparent: Option<String>) -> Self {
        Self { version: VERSION, id: Uuid::now_v7(), sent_at_ms, traceparent, message }
    }

    /// JSON, as it travels.
    ///
    /// # Errors
    /// When a number in it has no JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads what [`Envelope::encode`] of this or an older build wrote.
    ///
    /// # Errors
    /// [`MessageError::Newer`] before anything else is looked at, else [`MessageError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        refuse_newer(bytes, VERSION)?;
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// Looks at the version alone: the rest of what is newer may be of any shape.
pub(crate) fn refuse_newer(bytes: &[u8], newest: u32) -> Result<(), MessageError> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let head: Head = serde_json::from_slice(bytes)?;
    if head.version > newest { Err(MessageError::Newer(head.version, newest)) } else { Ok(()) }
}
