//! Items in the formats that people and programs read: one JSON text a line (NDJSON), CSV (RFC 4180), one JSON array.
//!
//! Pure: items go in one after the other, text comes out; what is held meanwhile is bounded ([`LOOK_AHEAD_ITEMS`],
//! [`LOOK_AHEAD_BYTES`]). Items are the JSON texts that the provider wrote, and what is copied from them is copied digit
//! by digit.
//!
//! It does not read items, choose them, leave out doubles, or write files. To add a format: a variant of [`Format`] and of
//! the encoder's `Kind`.

mod columns;
mod csv;
mod encoder;
mod fields;
mod format;
mod left_out;

pub use columns::{COLUMNS_MAX, Columns, ColumnsError};
pub use csv::{LOOK_AHEAD_BYTES, LOOK_AHEAD_ITEMS};
pub use encoder::{Encoder, Origin};
pub use fields::{Fields, text};
pub use format::Format;
pub use left_out::{LeftOut, NAMES_MAX};
