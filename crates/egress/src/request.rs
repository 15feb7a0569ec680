//! One call to make, and the limits it runs under.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use url::Url;

use crate::mask::masked;

/// One call to make.
///
/// `Debug` shows header names without values, the URL without query values, and the body's length.
#[derive(Clone)]
pub struct Request {
    /// The method; CONNECT and TRACE are refused.
    pub method: Method,
    /// Where to; a fragment is ignored.
    pub url: Url,
    /// Headers as they are sent, besides those that belong to the connection (Host, Content-Length and the like), which
    /// are dropped. Values marked sensitive leave the call when a redirect leaves the origin.
    pub headers: HeaderMap,
    /// The body, if any.
    pub body: Option<Bytes>,
    /// Names of query parameters whose values are secret; they leave the call when a redirect leaves the origin.
    pub secret_query: Arc<[String]>,
    /// Whether a public host may be called over plain http. Private ones may be in any case.
    pub insecure_http: bool,
    /// Limits of time.
    pub deadlines: Deadlines,
    /// Limits of the answer's body.
    pub limits: BodyLimits,
}

/// How long the stretches of a call may take, each a day at most. Connecting has its limit in
/// [`EgressConfig`](crate::EgressConfig).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the start of each request, connecting included, to its answer's headers. Default: 30 s.
    pub first_byte: Duration,
    /// Between two pieces of the body. Default: 30 s.
    pub idle: Duration,
    /// For the whole call, redirects and body included. Default: 120 s.
    pub total: Duration,
}

/// How large an answer's body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Most bytes of the decoded body, and most bytes on the wire. Default: 50 MiB.
    pub decoded_bytes: u64,
    /// Most decoded bytes for each byte on the wire. Default: 100.
    pub ratio: u32,
    /// Decoded bytes from which on the ratio counts: small bodies may shrink as well as they like. Default: 1 MiB.
    pub ratio_after_bytes: u64,
}

impl Request {
    /// A call without headers and body, under the default limits.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            secret_query: Arc::default(),
            insecure_http: false,
            deadlines: Deadlines::default(),
            limits: BodyLimits::default(),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        let (first_byte, idle, total) = (Duration::from_secs(30), Duration::from_secs(30), Duration::from_secs(120));
        Self { first_byte, idle, total }
    }
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { decoded_bytes: 50 << 20, ratio: 100, ratio_after_bytes: 1 << 20 }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &masked(&self.url))
            .field("header_names", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("insecure_http", &self.insecure_http)
            .field("deadlines", &self.deadlines)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    #[test]
    fn debug_shows_neither_header_values_nor_query_values_nor_the_body() {
        let url = Url::parse("https://api.example/v1/items?page=CANARY-q&token=CANARY-t").expect("a URL");
        let mut request = Request::new(Method::POST, url);
        request.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer CANARY-h"));
        request.body = Some(Bytes::from_static(b"CANARY-b"));
        let text = format!("{request:?} {request:#?}");
        assert!(!text.contains("CANARY"), "{text}");
        assert!(text.contains("https://api.example/v1/items?page=***&token=***"), "{text}");
        assert!(text.contains("authorization"), "{text}");
    }
}
