//! Tells apart what the HTTP client reports as one kind of error.

use std::error::Error;
use std::io;

use url::{Host, Url};

use crate::error::{Failure, Phase, Refusal, TooLarge};
use crate::mask::origin_text;

/// Most bytes of a host that an error repeats: as many as a name in the DNS can have.
const MAX_HOST_BYTES: usize = 253;

/// The limits that an error text has to name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connect_ms: u64,
    pub(crate) max_headers: usize,
    pub(crate) max_header_bytes: usize,
}

/// What an error before the answer's headers means.
pub(crate) fn classify(error: reqwest::Error, url: &Url, limits: Limits) -> Failure {
    let source = error.without_url();
    let origin = || origin_text(url).into();
    if let Some(refusal) = find::<Refusal>(&source) {
        return Failure::Blocked { host: host_text(url), reason: refusal.clone() };
    }
    if source.is_builder() {
        return Failure::Blocked { host: host_text(url), reason: Refusal::Url };
    }
    if source.is_connect() {
        return match () {
            () if source.is_timeout() => Failure::Timeout { phase: Phase::Connect, limit_ms: limits.connect_ms },
            () if source.is_dns() => Failure::Dns { host: host_text(url), source: source.into() },
            () if find::<rustls::Error>(&source).is_some() => Failure::Tls { origin: origin(), source },
            () => Failure::Connect { origin: origin(), source },
        };
    }
    match find::<hyper::Error>(&source) {
        // "Canceled" is hyper's word for a request that it gave back unwritten, since the connection had closed.
        Some(error) if error.is_canceled() => Failure::Connect { origin: origin(), source },
        Some(error) if error.is_parse_too_large() => {
            Failure::TooLarge(TooLarge::Headers { max_headers: limits.max_headers, max_bytes: limits.max_header_bytes })
        }
        _ => Failure::Broken { source },
    }
}

/// The host as an error may name it, without brackets around IPv6.
pub(crate) fn host_text(url: &Url) -> Box<str> {
    match url.host() {
        Some(Host::Domain(name)) => name.chars().take(MAX_HOST_BYTES).collect::<String>().into(),
        Some(Host::Ipv4(address)) => address.to_string().into(),
        Some(Host::Ipv6(address)) => address.to_string().into(),
        None => "".into(),
    }
}

/// The first `T` in a chain of causes. An I/O error hides what it was made of from `source`, so it is opened.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
