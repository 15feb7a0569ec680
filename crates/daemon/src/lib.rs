//! What every service process shares: the clock, the end, the tasks, and whether it is ready.
//!
//! A service's `start` takes a [`Shutdown`] and returns a [`Handle`] that holds its tasks; the process then
//! awaits [`Handle::join_within`]. A task that dies takes the process down in order, and the cause is kept,
//! so nothing ends silently.

pub mod clock;
mod handle;
pub mod health;
mod shutdown;
mod signal;

pub use clock::Clock;
pub use handle::{Handle, JoinError};
pub use health::{Check, Flag, Health, Heartbeat, Status};
pub use shutdown::{Cause, Shutdown, TaskError};
