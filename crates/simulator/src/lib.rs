//! A simulated third party: serves made-up lists over HTTP, keeps count of its own limits, and misbehaves as told.
//!
//! For tests ([`Simulator::start`]) and for `tidegate simulate`. Everything that it serves, and everything that goes
//! wrong, is a function of the spec's seed: the same call meets the same answer in any order and at any speed. Its
//! limits are its own (`counter.rs`), without any code of the limiter that they are to test. What it counted is in
//! [`Stats`], and [`Running::ids`] says which items a client must have in the end.
//!
//! What it is not: a model of any one provider. `derive.rs` takes over what a provider file declares and what was
//! recorded of the provider, and says what it could not; what providers do wrong is told by name (`quirks.rs`).
//!
//! A call goes through `serve.rs`: which endpoint (`route.rs`), token and limits (`gate.rs`), what it gets
//! (`answer.rs`, pure), and how that is sent, or broken (`broken.rs`, `connection.rs`).
//!
//! *To add a fault*: a share in [`Faults`], a variant of `Fault`, and its answer in `serve.rs`.

mod admin;
mod answer;
mod api;
mod bomb;
mod book;
mod broken;
mod builder;
mod busy;
mod clock;
mod connection;
mod counter;
mod derive;
mod draw;
mod fault;
mod gate;
mod header;
mod issuer;
mod item;
mod latency;
mod limit;
mod list;
mod page;
mod paging;
mod period;
mod quirks;
mod quota;
mod range;
mod reply;
mod route;
mod serve;
mod shape;
mod simulator;
mod spec;
mod stats;
mod tokens;
mod visit;

pub use bomb::BOMB_BYTES_MAX;
pub use busy::Busy;
pub use fault::Faults;
pub use issuer::TokenStats;
pub use item::{ITEM_BYTES_DEFAULT, ITEM_BYTES_MAX};
pub use latency::{LATENCY_MAX, Latency, Spread};
pub use limit::{Aligned, Bucket, By, HeaderNames, LimitHeaders, LimitSpec, Preset, ResetAs, Sliding, Whose, Window};
pub use list::{Between, ITEMS_MAX, Items, Per};
pub use page::{Lies, TotalLie};
pub use paging::{Cursors, OverMax, PAGE_SIZE_MAX, Paging, Style};
pub use period::Period;
pub use quirks::{Outage, Quirks};
pub use quota::{Each, Quota};
pub use range::Range;
pub use serve::REQUEST_BYTES_MAX;
pub use shape::{NoNext, Shape};
pub use simulator::{Running, Simulator, StartError};
pub use spec::{
    Answers, Canned, ENDPOINTS_MAX, EndpointSpec, Method, SPEC_BYTES_MAX, SimulatorSpec, SpecError, VERSION,
};
pub use stats::{EndpointStats, LimitStats, Stats};
pub use tokens::{TokenEndpoint, TokensSpec};
