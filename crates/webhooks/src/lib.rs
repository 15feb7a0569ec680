//! Webhooks that tell of finished jobs and of parked credentials: what they say, how they are signed, and when they are tried again.
//!
//! By the [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
//! scheme, so that receivers verify them with a library that exists. Pure: no clock, no I/O; the executor's courier acts.
//!
//! To tell of another event: a row of the ledger's `notices`, and its `type` in [`message`].

mod judge;
mod message;
mod sign;

pub use judge::{ATTEMPTS_MAX, Answered, judge};
pub use message::{Message, message};
pub use sign::{Secret, SecretError};
