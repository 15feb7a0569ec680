//! Bodies far larger than their senders: one block of bytes, sent again and again.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// Largest body that is sent, in bytes as the client sees them.
pub const BOMB_BYTES_MAX: u64 = 1 << 36;

/// Plain bytes of a repeated block.
const BLOCK_BYTES: u64 = 1 << 20;

/// What deflate makes of a block of blanks needs less than this.
const PACKED_BLOCK_MAX: usize = 8 * 1024;

/// A body in parts: `head`, then `block` so many `times`, then `tail`.
#[derive(Debug, Clone)]
pub(crate) struct Bomb {
    pub(crate) head: Bytes,
    pub(crate) block: Bytes,
    pub(crate) times: u64,
    pub(crate) tail: Bytes,
}

impl Bomb {
    /// Gzip (RFC 1952) of `bytes` blanks. Each block ends in a full flush, so the same packed block can follow itself.
    pub(crate) fn of(bytes: u64) -> Result<Self, String> {
        check(bytes)?;
        let blanks = vec![b' '; BLOCK_BYTES as usize];
        let (times, rest) = (bytes / BLOCK_BYTES, &blanks[..(bytes % BLOCK_BYTES) as usize]);
        let mut crc = Crc::new();
        let mut block_crc = Crc::new();
        block_crc.update(&blanks);
        (0..times).for_each(|_| crc.combine(&block_crc));
        let mut rest_crc = Crc::new();
        rest_crc.update(rest);
        crc.combine(&rest_crc);
        let mut tail = packed(rest, FlushCompress::Finish)?;
        tail.extend_from_slice(&crc.sum().to_le_bytes());
        // The size modulo 2^32, as the format has it.
        tail.extend_from_slice(&(bytes as u32).to_le_bytes());
        Ok(Self {
            head: Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]),
            block: packed(&blanks, FlushCompress::Full)?.into(),
            times,
            tail: tail.into(),
        })
    }

    /// JSON of `bytes` bytes, not packed.
    pub(crate) fn plain(bytes: u64) -> Self {
        let bytes = bytes.min(BOMB_BYTES_MAX);
        let (head, end) = ("{\"padding\":\"", "\"}");
        let padding = bytes.saturating_sub((head.len() + end.len()) as u64);
        let block = vec![b'x'; 64 * 1024];
        let mut tail = vec![b'x'; (padding % block.len() as u64) as usize];
        tail.extend_from_slice(end.as_bytes());
        Self { head: head.into(), times: padding / block.len() as u64, block: block.into(), tail: tail.into() }
    }

    /// Its parts, in order.
    pub(crate) fn parts(self) -> impl Iterator<Item = Bytes> {
        let blocks = (0..self.times).map(move |_| self.block.clone());
        std::iter::once(self.head).chain(blocks).chain(std::iter::once(self.tail))
    }
}

fn check(bytes: u64) -> Result<(), String> {
    if bytes > BOMB_BYTES_MAX { Err(format!("at most {BOMB_BYTES_MAX} were expected, not {bytes}")) } else { Ok(()) }
}

fn packed(plain: &[u8], flush: FlushCompress) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(PACKED_BLOCK_MAX);
    let mut deflate = Compress::new(Compression::best(), false);
    deflate.compress_vec(plain, &mut out, flush).map_err(|error| error.to_string())?;
    if deflate.total_in() != plain.len() as u64 {
        return Err("the blanks did not pack".to_owned());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_bomb_unpacks_to_its_size_and_is_a_thousandth_of_it() {
        for bytes in [0, 5, BLOCK_BYTES, 3 * BLOCK_BYTES + 17] {
            let packed: Vec<u8> = Bomb::of(bytes).unwrap().parts().flatten().collect();
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut plain).unwrap();
            assert_eq!(plain.len() as u64, bytes);
            assert!(packed.len() as u64 <= 100 + bytes / 500, "{} for {bytes}", packed.len());
        }
        assert!(Bomb::of(u64::MAX).is_err());
    }

    #[test]
    fn a_huge_body_is_json_of_its_size() {
        for bytes in [14, 100_000, 200_001] {
            let body: Vec<u8> = Bomb::plain(bytes).parts().flatten().collect();
            assert_eq!(body.len() as u64, bytes);
            serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        }
    }
}
