//! Lines of items, compressed.

use std::cell::RefCell;

use crate::LedgerError;

/// Most bytes that a page's items may have, unpacked.
pub const PACKED_MAX_BYTES: usize = 256 << 20;

/// Level 1: on pages of JSON a third of the bytes of none, at a cost far below that of the call itself
/// (`docs/benchmarks.md`).
const LEVEL: i32 = 1;

/// Items of one page, one JSON item a line, compressed by zstd. Packed where they are made, not where they are written:
/// there are many makers and one writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    bytes: Vec<u8>,
}

thread_local! {
    // Contexts are large; making one for each page costs more than the packing.
    static PACKER: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

impl Packed {
    /// Packs lines.
    ///
    /// # Errors
    /// When they are larger than [`PACKED_MAX_BYTES`], or zstd has no memory.
    pub fn pack(lines: &[u8]) -> Result<Self, LedgerError> {
        if lines.len() > PACKED_MAX_BYTES {
            return Err(LedgerError::corrupt(
                "a page",
                format!("{} bytes of items, at most {PACKED_MAX_BYTES} fit", lines.len()),
            ));
        }
        PACKER.with_borrow_mut(|packer| {
            let packer = match packer {
                Some(packer) => packer,
                none => none.insert(zstd::bulk::Compressor::new(LEVEL).map_err(|e| LedgerError::corrupt("a page", e))?),
            };
            packer.compress(lines).map(|bytes| Self { bytes }).map_err(|e| LedgerError::corrupt("a page", e))
        })
    }

    /// The lines, appended to `into`.
    ///
    /// # Errors
    /// When the bytes are not what [`Packed::pack`] made.
    pub fn unpack(&self) -> Result<Vec<u8>, LedgerError> {
        let size = self.unpacked_bytes().unwrap_or(0).min(PACKED_MAX_BYTES);
        UNPACKER.with_borrow_mut(|unpacker| {
            let unpacker = match unpacker {
                Some(unpacker) => unpacker,
                none => none.insert(zstd::bulk::Decompressor::new().map_err(|e| LedgerError::corrupt("a page", e))?),
            };
            unpacker.decompress(&self.bytes, size).map_err(|e| LedgerError::corrupt("a page", e))
        })
    }

    /// How many bytes the lines have, where the bytes say so: what [`Packed::pack`] made always does.
    #[must_use]
    pub fn unpacked_bytes(&self) -> Option<usize> {
        let size = zstd::zstd_safe::get_frame_content_size(&self.bytes).ok().flatten()?;
        usize::try_from(size).ok()
    }

    /// As stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Back from what was stored.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_as_they_were() {
        for lines in [&b""[..], b"{}\n", "[\"\u{e4}\"]\n".repeat(10_000).as_bytes()] {
            let packed = Packed::pack(lines).expect("packs");
            assert_eq!(packed.unpack().expect("unpacks"), lines);
            assert_eq!(packed.unpacked_bytes(), Some(lines.len()));
        }
    }

    #[test]
    fn bytes_that_are_no_page_are_an_error() {
        assert!(Packed::from_bytes(b"not zstd".to_vec()).unpack().is_err());
    }
}
