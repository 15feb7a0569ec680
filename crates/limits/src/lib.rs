//! What a provider's limits leave room for: a pure model, decided in one step for all limits of a call.
//!
//! [`Limiter::ask`] grants a call or names the time to come back and the limit that binds; [`Limiter::report`]
//! gives a permit back and believes what the answer's headers said ([`headers`]). No clock, no I/O, no
//! randomness: `now_ms` (Unix time in milliseconds) is an argument of everything.
//!
//! **Invariants.** A refusal leaves no trace. No limit is ever exceeded by what was granted, as far as the
//! limit is known. A reading that arrives late or out of order never makes a budget larger than it is.
//! Nothing here waits or retries. A limit that nobody tells is learnt only where a provider file says so ([`learn`]).
//!
//! *To add a kind of limit*: a variant in [`Rate`] with its checks, a file with an `impl Meter`, a line in
//! `meter.rs`, and an arm in the oracle of `limiter/tests/exactness.rs`.

mod aside;
mod block;
mod breaker;
mod bucket;
mod budget;
pub mod calendar;
pub mod charge;
mod concurrency;
pub mod headers;
pub mod http;
pub mod human_duration;
mod ietf;
mod in_flight;
mod instant;
pub mod learn;
pub mod limiter;
mod line;
mod meter;
pub mod overrides;
mod pace;
pub mod rate;
pub mod share;
pub mod sharing;
mod sliding;
pub mod slots;
pub mod terms;
mod usage;
mod window;

pub use breaker::Breaker;
pub use calendar::{Calendar, Period, Zone};
pub use charge::{Charge, Decision, Health, LEASE_MAX, Lasts, Permit, Question, Refused, Report, Told};
pub use headers::{HeaderNames, Reading, ReadingError, ResetAs};
pub use learn::Learn;
pub use limiter::{Down, Learnt, LearntSlots, Limiter, Snapshot, Usage};
pub use line::By;
pub use overrides::{Does, Override, OverrideError, OverrideKind, Why, targets};
pub use rate::{Aligned, Rate, RateError};
pub use sharing::{Headroom, Sharing, SharingError};
pub use slots::LearnSlots;
pub use terms::Terms;
