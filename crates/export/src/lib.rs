//! Items into files that others read: NDJSON, CSV, JSON and Parquet, compressed and cut by size, into a folder or a bucket.
//!
//! [`Exporter`] takes items and makes parts of them, a step's into files of its own. A part is written to a temporary file
//! and appears at its destination when it is whole: by renaming, or as an object whose upload is complete. `manifest.json`,
//! which lists all parts, comes last: where it stands, the export is whole.
//!
//! Memory is bounded by a row group ([`ROW_GROUP_MAX_BYTES`]) for each step, disk by a part. It does not read items from
//! anywhere. To add a destination: a variant of [`Destination`]. To add a format: a variant of [`Form`] and of a part's
//! writer.

mod destination;
mod error;
mod exporter;
mod part;
mod schema;
mod table;

pub use destination::{Destination, Place};
pub use error::ExportError;
pub use exporter::{Exporter, Manifest, PartLine, Settings};
pub use part::{Compression, Form};
pub use table::ROW_GROUP_MAX_BYTES;
