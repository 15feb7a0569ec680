//! The gateway's API, typed, for the command line.
//!
//! What it is not: it does not try again and keeps nothing. Who asks knows whether asking twice is harmless, and has the
//! cursors and ids of events to go on with. Types have the fields that are of use here; what a newer gateway adds is
//! ignored. That they are those of the gateway is held by the gateway's own tests.

mod answer;
mod client;
mod error;
mod events;
mod items;

pub use answer::{
    BudgetPage, Check, Counts, Credential, Dead, DeadPage, Economy, Explanation, Failed, FailedPage, Failure, Fetch,
    FetchPage, Guard, Job, JobDetail, JobEvent, JobPage, Key, MadeKey, Mark, MarkPage, MarksReset, Progress, Provider,
    Ready, Reason, Retried, Step, StoredCredential, Submitted, UnmatchedAnswer, Wait,
};
pub use client::{BudgetQuery, Client, DeadQuery, JobQuery};
pub use error::{ClientError, FieldProblem, Problem};
pub use events::Events;
pub use items::{ItemQuery, Items};
