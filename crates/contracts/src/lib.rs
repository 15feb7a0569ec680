//! What the services say to each other: ids, page pointers, messages and the names of exchanges and queues.
//!
//! No I/O, no clock, no randomness beyond making ids. Everything here is small: ids, counts and
//! primitives, never API data, so a message's size does not depend on what a third party answers. The one exception is made
//! for others: a [`PushedPage`].
//!
//! *To add a message*: a variant in [`Message`], a golden file under `golden/`, a row in [`topology`].
//! Fields are added, never changed; see `ARCHITECTURE.md`, "Messages".

mod batch;
mod class;
mod fetch;
mod id;
mod lane;
mod mark;
mod message;
mod outcome;
mod page;
mod params;
mod parked;
mod plan;
mod pushed;
pub mod topology;

pub use batch::{BATCH_TYPE, BATCH_VERSION, Batch, ENVELOPE_TYPE};
pub use class::Class;
pub use fetch::FetchEnd;
pub use id::{CallId, DeadId, FetchId, JobId, MarkId, ParseIdError};
pub use lane::Lane;
pub use mark::{Mark, MarkError, MarkKind};
pub use message::{Call, Envelope, Event, JobSubmitted, Message, MessageError, VERSION};
pub use outcome::{Failure, Outcome, Wait, WaitReason};
pub use page::{Fingerprint, Next, PageFacts, PagePointer, Trail};
pub use params::{Params, Primitive};
pub use parked::Parked;
pub use plan::{CallEnd, End, NewFetch, NewPages, Plan};
pub use pushed::PushedPage;
