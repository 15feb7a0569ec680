//! The ledger: jobs, their trees, and the pages; the one truth that survives every process.
//!
//! [`Ledger`] has an implementation for SQLite ([`SqliteLedger`], one file) and one for Postgres ([`PostgresLedger`], for
//! several processes); both are held to the same [`conformance`] suite.
//!
//! **Invariants**, checked by the schema and the suite:
//! * `planned = open + succeeded + skipped + failed + cancelled`, for each fetch and each job;
//! * a fetch is finished exactly when neither a call nor a child of it is open;
//! * what follows from a call is inserted in the transaction that ends it, so an open count never reaches zero early;
//! * a held call is open, so nobody above it finishes, and it is released or given up in the transaction that finishes the
//!   last fetch it waits for;
//! * everything is keyed by deterministic ids: committing a plan or storing a page twice changes nothing.

mod audit;
pub mod conformance;
mod dead;
mod error;
mod head;
mod job;
mod marks;
mod notices;
mod packed;
mod patient;
mod postgres;
mod prune;
mod shown;
mod sqlite;
mod submit;
mod tally;
mod tree;
mod unmatched;
mod window;

use async_trait::async_trait;
use tidegate_contracts::{Call, CallId, FetchId, JobId, Mark, PageFacts, Plan};

pub use dead::{DEAD_BODY_MAX_BYTES, DeadBounds, DeadFilter, DeadLetters, DeadRow, NewDead};
pub use error::LedgerError;
pub use job::{
    FailureGroup, JobCounts, JobFilter, JobRow, JobState, OutCall, OutGroup, Pace, SpecRow, StepRow, Waiting,
};
pub use marks::{MarkFilter, MarkRow};
pub use notices::{Notice, NoticeEvent, NoticeRow, Notices, Then, Tried};
pub use packed::{PACKED_MAX_BYTES, Packed};
pub use patient::Patient;
pub use postgres::{PostgresConfig, PostgresLedger};
pub use prune::{PRUNE_ROWS, Prunable, PruneFilter, PrunePart, Pruned, PrunedRows, prune};
pub use sqlite::{SqliteLedger, Sync};
pub use submit::{Bounds, DEFAULT_TENANT, Idempotency, NewJob, Submitted};
pub use tree::{FailedCall, FailedFilter, FetchFilter, FetchRow, RetryFilter};
pub use unmatched::{NewUnmatched, UNMATCHED_AGE_MS, UNMATCHED_MAX, UnmatchedAnswers, UnmatchedRow};
pub use window::{OpenLane, Windows};

/// Jobs, trees and pages.
#[async_trait]
pub trait Ledger: Send + std::marker::Sync {
    /// Stores a job before anything else happens with it, unless its id is known, or its tenant has a job under its key.
    /// Two at once make one job.
    async fn submit(&self, job: &NewJob, now_ms: i64) -> Result<Submitted, LedgerError>;

    /// The job's state and counters; `None` if there is no such job.
    async fn job(&self, id: JobId) -> Result<Option<JobRow>, LedgerError>;

    /// Jobs, newest first.
    async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobRow>, LedgerError>;

    /// Providers and lanes of the jobs that are not finished, each pair once, in order.
    async fn lanes_open(&self) -> Result<Vec<OpenLane>, LedgerError>;

    /// The newest job with this fingerprint, whoever's it is.
    async fn job_like(&self, fingerprint: &str) -> Result<Option<JobRow>, LedgerError>;

    /// The newest job with this fingerprint that takes all, or the oldest one if none does, and those after it, oldest
    /// first: what they have brought together is what there is.
    async fn runs(&self, fingerprint: &str) -> Result<Vec<JobRow>, LedgerError>;

    /// The job's specification, as submitted, and what else its calls need to know of it.
    async fn spec(&self, id: JobId) -> Result<Option<SpecRow>, LedgerError>;

    /// Those of these jobs of which no new call may go out: stopped or finished ones, and those that are not there.
    async fn stopped(&self, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError>;

    /// Those of these jobs that are paused, or whose credential is parked.
    async fn paused(&self, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError>;

    /// Jobs of the tenant that wait for this credential, and would go on if it was renewed.
    async fn parked(&self, tenant: &str, credential: &str) -> Result<Vec<JobId>, LedgerError>;

    /// Commits plans in one transaction, rolls their counts up, and releases calls into the windows that have room.
    /// The page of a call that succeeded is stored before ([`Ledger::put_pages`]).
    ///
    /// Idempotent by call: a plan whose call has ended before changes nothing.
    async fn commit(&self, plans: &[Plan], windows: &Windows, now_ms: i64) -> Result<Committed, LedgerError>;

    /// The bus has what a commit released, by its receipt. Without this, as when the process dies in between, a later
    /// [`Ledger::sweep`] takes those calls for lost. Idempotent by receipt.
    async fn published(&self, receipt: i64) -> Result<(), LedgerError>;

    /// Calls that were released and are due (by their lease or wait) at `now_ms`, released again; planned calls whose
    /// job's window has room, as after [`Ledger::retry_failed`], released; also jobs that were submitted and never
    /// planned. Jobs whose time is over are stopped before, and their parked calls given up. `everything`: all released calls, due or not, because the bus is known to be empty; those that wait keep
    /// their due time.
    async fn sweep(&self, everything: bool, windows: &Windows, now_ms: i64) -> Result<Swept, LedgerError>;

    /// Plans failed calls of a finished job again, and with them those that were cancelled; the next [`Ledger::sweep`]
    /// releases them. Returns how many: none, where a filter meets no failed call. Fetches that could not begin stay failed: nothing is known to call anybody with; so does what waits for
    /// them. The job has its time and its calls ([`Bounds`]) anew.
    async fn retry_failed(&self, job: JobId, which: &RetryFilter, now_ms: i64) -> Result<u64, LedgerError>;

    /// No new call of the job may go out; it ends as cancelled when the released ones have come back, or here if none
    /// are out. What those that come back lead to is planned and given up at once, for [`Ledger::retry_failed`] to find.
    async fn cancel(&self, job: JobId, reason: &str, now_ms: i64) -> Result<(), LedgerError>;

    /// No new call of the job may go out until it is resumed: what is out comes back and is planned, what waits stays.
    /// Whether it is paused now: not, when it is finished, being stopped, or not there. Idempotent.
    async fn pause(&self, job: JobId, now_ms: i64) -> Result<bool, LedgerError>;

    /// The opposite of [`Ledger::pause`]; the next commit or sweep releases what is planned. Idempotent.
    async fn resume(&self, job: JobId) -> Result<(), LedgerError>;

    /// Stores pages in one transaction. Idempotent by call: the first one stays. Answers, in order, with the facts as
    /// stored, `repeated` filled in.
    async fn put_pages(&self, pages: &[NewPage], now_ms: i64) -> Result<Vec<PageFacts>, LedgerError>;

    /// Facts of a call's page, if it is stored.
    async fn page_facts(&self, call: CallId) -> Result<Option<PageFacts>, LedgerError>;

    /// Items of a call's page, if it is stored and the call is the job's.
    async fn page_lines(&self, job: JobId, call: CallId) -> Result<Option<Packed>, LedgerError>;

    /// Pages of a job stored after `seq`, in the order of storing, at most `limit`.
    async fn pages_after(&self, job: JobId, seq: i64, limit: u32) -> Result<Vec<PageRow>, LedgerError>;

    /// Failed and skipped calls, grouped by step, class, status and message: failed before skipped, then the largest
    /// groups first, at most `limit`.
    async fn failures(&self, job: JobId, limit: u32) -> Result<Vec<FailureGroup>, LedgerError>;

    /// Failed and skipped calls of a job, in the order of planning.
    async fn failed_calls(&self, job: JobId, filter: &FailedFilter) -> Result<Vec<FailedCall>, LedgerError>;

    /// Fetches of a job, in the order of planning.
    async fn fetches(&self, job: JobId, filter: &FetchFilter) -> Result<Vec<FetchRow>, LedgerError>;

    /// Counters by step.
    async fn steps(&self, job: JobId) -> Result<Vec<StepRow>, LedgerError>;

    /// What the job's parked calls wait for at `now_ms`, and until when: what most wait for first, then what is due last.
    async fn waiting(&self, job: JobId, now_ms: i64) -> Result<Vec<Waiting>, LedgerError>;

    /// What of the job, or of one fetch of it, is out at `now_ms`, by what it waits for: the most calls first.
    async fn out(&self, job: JobId, fetch: Option<FetchId>, now_ms: i64) -> Result<Vec<OutGroup>, LedgerError>;

    /// A fetch of the job.
    async fn fetch(&self, job: JobId, fetch: FetchId) -> Result<Option<FetchRow>, LedgerError>;

    /// Since when the job's last pages were stored, at most `pages` of them; `None` before there is one.
    async fn pace(&self, job: JobId, pages: u32) -> Result<Option<Pace>, LedgerError>;

    /// Marks: how far fetches of jobs of one name have seen what they ask for. In order of the job's name and of ids.
    ///
    /// They move in the transaction that finishes a job, for fetches that are whole: no call of them failed or was given
    /// up, no guard or `limit` ended them, and nothing failed untolerated or was given up below them. Never backwards.
    async fn marks(&self, filter: &MarkFilter) -> Result<Vec<MarkRow>, LedgerError>;

    /// Forgets marks, whatever the filter says of pages. Returns how many. Idempotent.
    async fn reset_marks(&self, filter: &MarkFilter) -> Result<u64, LedgerError>;

    /// Jobs to prune, those that finished first first.
    async fn prunable(&self, filter: &PruneFilter) -> Result<Vec<Prunable>, LedgerError>;

    /// From now on the pages and trees of these jobs are gone, as far as anybody is told. Returns those of them that are
    /// finished. Idempotent.
    async fn prune_mark(&self, jobs: &[JobId], now_ms: i64) -> Result<Vec<JobId>, LedgerError>;

    /// Deletes at most about `rows` rows of marked jobs, in one transaction. Idempotent.
    async fn prune_rows(&self, jobs: &[JobId], part: PrunePart, rows: u32) -> Result<PrunedRows, LedgerError>;

    /// Recounts every counter from the rows it counts, and looks for rows that belong to nothing. Returns what differs,
    /// for people: nothing, in a sound ledger. Reads everything; not for while work goes on at speed.
    #[doc(hidden)]
    async fn audit(&self) -> Result<Vec<String>, LedgerError>;

    /// Keeps a small text under a name.
    async fn keep(&self, name: &str, value: &str, now_ms: i64) -> Result<(), LedgerError>;

    /// The text kept under a name.
    async fn kept(&self, name: &str) -> Result<Option<String>, LedgerError>;
}

/// What a commit brought about.
#[derive(Debug, Default)]
pub struct Committed {
    /// Calls to publish.
    pub released: Vec<Call>,
    /// To be given to [`Ledger::published`] once they are.
    pub receipt: Option<i64>,
    /// Jobs of the plans.
    pub progressed: Vec<JobId>,
    /// Jobs that this commit stopped.
    pub stopped: Vec<JobId>,
    /// Jobs that are done with this commit.
    pub finished: Vec<JobId>,
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Swept {
    /// Calls to publish again, each with the time before which it need not run (0: at once).
    pub calls: Vec<(Call, i64)>,
    /// Jobs that no planner has seen.
    pub unplanned: Vec<JobId>,
    /// Jobs that it stopped, since their time is over.
    pub stopped: Vec<JobId>,
    /// Those of them that are done with that.
    pub finished: Vec<JobId>,
}

/// A page to store.
#[derive(Debug, Clone)]
pub struct NewPage {
    /// The call it answers.
    pub call: CallId,
    /// Its fetch.
    pub fetch: FetchId,
    /// Its job.
    pub job: JobId,
    /// Its step.
    pub step: String,
    /// What it said.
    pub facts: PageFacts,
    /// Its highest value of those that tell what is new.
    pub top: Option<Mark>,
    /// Its items.
    pub lines: Packed,
}

/// A stored page, to read items from.
#[derive(Debug, Clone)]
pub struct PageRow {
    /// Order of storing.
    pub seq: i64,
    /// Its fetch.
    pub fetch: FetchId,
    /// Its step.
    pub step: String,
    /// How many items.
    pub items: u32,
    /// Parameters of its fetch, JSON.
    pub params: String,
    /// The items.
    pub lines: Packed,
}
