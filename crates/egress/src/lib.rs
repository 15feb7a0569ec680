//! The one client for all outgoing HTTP calls.
//!
//! Users hand Tidegate URLs and secrets, and third parties answer what they like. This crate is where both meet the
//! network, so it keeps four promises:
//!
//! - **Guarded**: a call reaches only addresses that are public, or that the operator opened ([`AllowPrivate`]).
//!   Literal hosts are judged in the URL, names where they are resolved, and every redirect is judged anew. Nothing is
//!   looked up twice, so a name cannot change between check and connection; but for a [`Proxy`], which looks up for itself
//!   what was judged here.
//! - **Bounded**: time ([`Deadlines`]), headers ([`EgressConfig`]) and bodies ([`BodyLimits`]) have limits that hold
//!   whatever the server sends; a compressed body stops growing where its limit is.
//! - **Discreet**: secrets leave with a change of origin, and neither `Debug` nor an error shows one.
//! - **Honest**: no call is repeated in here, and an error says whether anything may have been sent ([`Sent`]).
//!
//! It is not a retrying client, a cookie store or a cache: those belong to the executor or to nobody.
//!
//! Deciding is kept apart from acting: `address`, `url_check`, `redirect`, `request_headers`, `encoding` and `body` are
//! pure; `resolver` and `client` do the I/O. To open another special range, add it to the table in `address.rs`; to
//! speak another content coding, add it to `encoding.rs` and `body.rs`.

mod address;
mod answer;
mod body;
mod client;
mod config;
mod encoding;
mod error;
mod fault;
mod mask;
mod redirect;
mod request;
mod request_headers;
mod resolver;
mod url_check;
mod via;

pub use address::{AddressRules, AllowPrivate, AllowPrivateParseError, Range, Reach, Space, locate};
pub use answer::Answer;
pub use client::Egress;
pub use config::{ConfigError, EgressConfig};
pub use encoding::EncodingError;
pub use error::{EgressError, Failure, Phase, Refusal, Sent, TooLarge};
pub use mask::masked;
pub use redirect::RedirectError;
pub use request::{BodyLimits, Deadlines, Request};
pub use url_check::{Passage, inspect};
pub use via::{Proxy, Via, ViaParseError};
