//! Gathers a body piece by piece, decodes it on the way, and stops where it grows too large.
//!
//! Memory follows what has arrived, never what a Content-Length or a frame header promises.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;

use crate::encoding::{Coding, EncodingError};
use crate::error::{Failure, TooLarge};
use crate::request::BodyLimits;

/// Most bytes set aside at once for what a Content-Length promises.
const MAX_FORESEEN_BYTES: u64 = 256 << 10;

/// Brotli's output buffer.
const BROTLI_BUFFER_BYTES: usize = 16 << 10;

/// Largest zstd window, as a power of two: 8 MiB, which RFC 9659 sets for content coding. A frame may claim gigabytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge(TooLarge),
    Encoding(EncodingError),
}

/// A body while it arrives.
pub(crate) struct Inflow {
    limits: BodyLimits,
    coding: Coding,
    foreseen_bytes: u64,
    wire_bytes: u64,
    state: State,
}

/// What has arrived so far.
enum State {
    Empty,
    /// One plain piece, kept as it came.
    One(Bytes),
    Plain(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Room>>),
    Brotli(Box<DecompressorWriter<Room>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Room>>),
}

/// The room decoders write into.
struct Room {
    bytes: Vec<u8>,
    limits: BodyLimits,
    wire_bytes: u64,
    full: Option<TooLarge>,
}

impl Inflow {
    /// A body of which nothing has arrived yet; `content_length` is what the server promised, if it did.
    pub(crate) fn new(coding: Coding, content_length: Option<u64>, limits: BodyLimits) -> Result<Self, BodyError> {
        let foreseen_bytes = content_length.unwrap_or_default();
        if foreseen_bytes > limits.decoded_bytes {
            return Err(BodyError::TooLarge(TooLarge::Wire { limit_bytes: limits.decoded_bytes }));
        }
        Ok(Self { limits, coding, foreseen_bytes, wire_bytes: 0, state: State::Empty })
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: Bytes) -> Result<(), BodyError> {
        if piece.is_empty() {
            return Ok(());
        }
        self.wire_bytes += piece.len() as u64;
        if self.wire_bytes > self.limits.decoded_bytes {
            return Err(BodyError::TooLarge(TooLarge::Wire { limit_bytes: self.limits.decoded_bytes }));
        }
        match &mut self.state {
            State::Empty if self.coding == Coding::Identity => self.state = State::One(piece),
            State::Empty => {
                self.state = self.open().map_err(|_| BodyError::Encoding(EncodingError::Corrupt))?;
                return self.decode(&piece);
            }
            State::One(first) => {
                let foreseen = usize::try_from(self.foreseen_bytes.min(MAX_FORESEEN_BYTES)).unwrap_or_default();
                let mut bytes = Vec::with_capacity(foreseen.max(first.len() + piece.len()));
                bytes.extend_from_slice(first);
                bytes.extend_from_slice(&piece);
                self.state = State::Plain(bytes);
            }
            State::Plain(bytes) => bytes.extend_from_slice(&piece),
            State::Gzip(_) | State::Brotli(_) | State::Zstd(_) => return self.decode(&piece),
        }
        Ok(())
    }

    /// The body and its bytes on the wire, once the last piece is in.
    pub(crate) fn finish(self) -> Result<(Bytes, u64), BodyError> {
        let take = |room: &mut Room| std::mem::take(&mut room.bytes);
        let bytes = match self.state {
            State::Empty => return Ok((Bytes::new(), 0)),
            State::One(piece) => return Ok((piece, self.wire_bytes)),
            State::Plain(bytes) => return Ok((bytes.into(), self.wire_bytes)),
            State::Gzip(mut decoder) => match decoder.try_finish() {
                Ok(()) => take(decoder.get_mut()),
                Err(error) => return Err(refusal(decoder.get_ref(), &error)),
            },
            State::Brotli(mut decoder) => match decoder.close() {
                Ok(()) => take(decoder.get_mut()),
                // Bytes that break the coding have been refused in `push`, so what is wrong now is that no more came.
                Err(_) => return Err(refusal(decoder.get_ref(), &io::ErrorKind::UnexpectedEof.into())),
            },
            State::Zstd(mut decoder) => match decoder.do_finish() {
                Ok(()) => take(decoder.get_mut()),
                Err(error) => return Err(refusal(decoder.get_ref(), &error)),
            },
        };
        Ok((bytes.into(), self.wire_bytes))
    }

    fn open(&self) -> io::Result<State> {
        let room = Room { bytes: Vec::new(), limits: self.limits, wire_bytes: 0, full: None };
        Ok(match self.coding {
            Coding::Identity => State::Plain(room.bytes),
            Coding::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(room))),
            Coding::Brotli => State::Brotli(Box::new(DecompressorWriter::new(room, BROTLI_BUFFER_BYTES))),
            Coding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(room)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                State::Zstd(Box::new(decoder))
            }
        })
    }

    fn decode(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        let wire_bytes = self.wire_bytes;
        match &mut self.state {
            State::Gzip(decoder) => {
                decoder.get_mut().wire_bytes = wire_bytes;
                decoder.write_all(piece).map_err(|error| refusal(decoder.get_ref(), &error))
            }
            State::Brotli(decoder) => {
                decoder.get_mut().wire_bytes = wire_bytes;
                decoder.write_all(piece).map_err(|error| refusal(decoder.get_ref(), &error))
            }
            State::Zstd(decoder) => {
                decoder.get_mut().wire_bytes = wire_bytes;
                decoder.write_all(piece).map_err(|error| refusal(decoder.get_ref(), &error))
            }
            State::Empty | State::One(_) | State::Plain(_) => Ok(()),
        }
    }
}

/// Why a decoder stopped: its room was full, or its input was bad.
fn refusal(room: &Room, error: &io::Error) -> BodyError {
    match room.full {
        Some(limit) => BodyError::TooLarge(limit),
        None if error.kind() == io::ErrorKind::UnexpectedEof => BodyError::Encoding(EncodingError::Truncated),
        None => BodyError::Encoding(EncodingError::Corrupt),
    }
}

impl Room {
    fn limit_broken_by(&self, decoded_bytes: u64) -> Option<TooLarge> {
        let BodyLimits { decoded_bytes: limit_bytes, ratio, ratio_after_bytes } = self.limits;
        if decoded_bytes > limit_bytes {
            return Some(TooLarge::Decoded { limit_bytes });
        }
        let bomb = decoded_bytes > ratio_after_bytes && decoded_bytes > self.wire_bytes.saturating_mul(ratio.into());
        bomb.then_some(TooLarge::Ratio { limit: ratio })
    }
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full = self.full.or_else(|| self.limit_broken_by((self.bytes.len() + bytes.len()) as u64));
        if self.full.is_some() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(limit) => Self::TooLarge(limit),
            BodyError::Encoding(error) => Self::Encoding(error),
        }
    }
}

#[cfg(test)]
mod tests;
