//! Reading a third party's HTTP answer: is it a page or a failure, which items does it hold, and what does it say
//! about other pages.
//!
//! Pure: no I/O, no clock. What a provider file says about answers is declared here ([`Pages`], [`ErrorRule`],
//! [`Selector`], [`JsonPath`]) and compiled once into what each call uses:
//!
//! | declared | compiled | tells |
//! | --- | --- | --- |
//! | [`ErrorRule`] | [`Classifier`] | a page, or a failure of a class |
//! | `items`, `key`, [`Pages`] | [`Reader`] | the items as lines, and the facts that pagination needs |
//! | [`Since`] | [`Newness`] | which of a page's items are new |
//!
//! Items that stand on two pages are left out by [`Seen`] when they are read back.
//!
//! What cannot be read for sure is [`Unreadable`], never an empty page: an answer without the items field, HTML
//! or broken JSON must not pass for the end of a list.
//!
//! Items are not decoded. Paths made of names only (`$.data.items[*]`) are found in one walk over the text
//! (`walk.rs`); other paths build a tree first (`tree.rs`), which still keeps the text of every value. So numbers
//! and texts reach the store as the third party wrote them, however many digits they have.
//!
//! *To add a way of paging*: a field of [`Pages`], its variant in `pages/way.rs`, and its reading in `reader.rs`.

mod address;
mod body;
mod classifier;
mod cursors;
mod default_class;
mod error_rule;
mod evidence;
mod expected;
mod finder;
mod json_path;
mod lines;
mod link;
mod message;
mod pages;
mod pattern;
mod problem;
mod raw;
mod reader;
mod seen;
mod selector;
mod since;
mod statuses;
mod told;
mod tree;
mod unreadable;
mod values;
mod walk;

pub use classifier::{Classified, Classifier, Verdict};
pub use error_rule::{BodyKind, ErrorRule, Lasts};
pub use expected::{Expected, ScalarValue};
pub use json_path::{JSON_PATH_MAX_BYTES, JsonPath, ParseJsonPathError};
pub use lines::ITEMS_MAX;
pub use pages::{CountCall, PageSize, Pages, SliceForm, Slices};
pub use pattern::{PATTERN_MAX_BYTES, ParsePatternError, Pattern};
pub use problem::Problem;
pub use raw::DEPTH_MAX;
pub use reader::{PageRead, Reader};
pub use seen::Seen;
pub use selector::{HeaderField, ParseHeaderFieldError, Selector};
pub use since::{Newness, Since};
pub use statuses::{ParseStatusesError, Statuses};
pub use told::CURSOR_MAX_BYTES;
pub use unreadable::Unreadable;
pub use values::Values;
