//! A page's items as lines.

use crate::raw;
use crate::unreadable::Unreadable;

/// Most items on a page.
pub const ITEMS_MAX: u32 = 100_000;

/// Items so far: one a line, each as it came, without line breaks.
#[derive(Debug, Default)]
pub(crate) struct Lines<'b> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u32,
    /// The last item as it came.
    pub(crate) last: Option<&'b str>,
    /// There are line breaks somewhere in the body, so each item is looked at.
    breaks: bool,
}

impl<'b> Lines<'b> {
    /// For items of `body`.
    pub(crate) fn of(body: &str) -> Self {
        Self { bytes: Vec::with_capacity(body.len() + 1), count: 0, last: None, breaks: raw::has_breaks(body) }
    }

    /// Adds an item.
    ///
    /// # Errors
    ///
    /// It is one too many.
    pub(crate) fn push(&mut self, item: &'b str) -> Result<(), Unreadable> {
        if self.count == ITEMS_MAX {
            return Err(Unreadable::TooManyItems);
        }
        if self.breaks && raw::has_breaks(item) {
            raw::compact(item, &mut self.bytes);
        } else {
            self.bytes.extend_from_slice(item.as_bytes());
        }
        self.bytes.push(b'\n');
        self.count += 1;
        self.last = Some(item);
        Ok(())
    }

    /// Forgets all items.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        self.last = None;
    }
}
