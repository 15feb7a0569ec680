//! What a call brought back.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::mask::masked;

/// What a call brought back, whatever its status.
///
/// `Debug` shows header names without values, the URL without query values, and the body's length.
#[derive(Clone)]
pub struct Answer {
    /// The status of the last answer.
    pub status: StatusCode,
    /// Its headers. When the body was decoded, Content-Encoding and Content-Length are gone, as they no longer hold.
    pub headers: HeaderMap,
    /// The body, decoded.
    pub body: Bytes,
    /// Where the answer came from, after redirects; its query may hold the call's secrets.
    pub url: Url,
    /// How many redirects were followed.
    pub redirects: u8,
    /// From the start of the call to the headers of this answer, in milliseconds.
    pub first_byte_ms: u64,
    /// From the start of the call to the end of its body, in milliseconds.
    pub total_ms: u64,
    /// Bytes of the body on the wire, before decoding.
    pub wire_bytes: u64,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("header_names", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .field("url", &masked(&self.url))
            .field("redirects", &self.redirects)
            .field("first_byte_ms", &self.first_byte_ms)
            .field("total_ms", &self.total_ms)
            .field("wire_bytes", &self.wire_bytes)
            .finish()
    }
}
