//! What can go wrong with a call, in the terms its caller decides by.

use std::error::Error;
use std::fmt;

use crate::address::{Range, Space};
use crate::encoding::EncodingError;
use crate::redirect::RedirectError;
use crate::url_check::MAX_URL_BYTES;

/// A call that gave no answer.
///
/// It reads as its failure, and its source is the failure's, so that a chain of causes says nothing twice.
#[derive(Debug)]
pub struct EgressError {
    /// What went wrong.
    pub failure: Failure,
    /// How many redirects had been followed by then.
    pub redirects: u8,
}

/// Whether the third party may have seen the call; an unsafe one may be repeated only after [`Sent::NotSent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Not one byte of the request left.
    NotSent,
    /// Some or all of it may have arrived, and even have been acted upon.
    Unknown,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The target is none that may be called; nothing was sent to it.
    #[error("`{host}` may not be called: {reason}")]
    Blocked {
        /// The host as the URL names it.
        host: Box<str>,
        /// The rule it met.
        reason: Refusal,
    },
    /// The host's name could not be resolved.
    #[error("`{host}` could not be resolved")]
    Dns {
        /// The name.
        host: Box<str>,
        /// The resolver's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// No connection was made, or it died before the request was written.
    #[error("no connection to {origin}")]
    Connect {
        /// Scheme, host and port.
        origin: Box<str>,
        /// The network's error.
        #[source]
        source: reqwest::Error,
    },
    /// The server could not be trusted or understood while TLS was set up.
    #[error("no secure connection to {origin}")]
    Tls {
        /// Scheme, host and port.
        origin: Box<str>,
        /// The TLS error.
        #[source]
        source: reqwest::Error,
    },
    /// A deadline passed.
    #[error("{phase} within {limit_ms} ms")]
    Timeout {
        /// Which one.
        phase: Phase,
        /// Its length.
        limit_ms: u64,
    },
    /// The server sent the call somewhere it may not go.
    #[error("a redirect was not followed: {0}")]
    Redirect(RedirectError),
    /// The answer is larger than the call's limits.
    #[error("the answer is too large: {0}")]
    TooLarge(TooLarge),
    /// The answer's body is not what its Content-Encoding says.
    #[error("the answer cannot be decoded: {0}")]
    Encoding(EncodingError),
    /// The connection ended, or what came is not HTTP, before the answer was complete.
    #[error("the connection broke before the answer was complete")]
    Broken {
        /// The connection's error.
        #[source]
        source: reqwest::Error,
    },
}

/// The stretch of a call that took too long; reads as the start of its error's sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Resolving, connecting and TLS.
    Connect,
    /// From the start of one request, connecting included, to the headers of its answer.
    FirstByte,
    /// Between two pieces of the body.
    Idle,
    /// The whole call, redirects and body included.
    Total,
}

/// The rule a blocked target met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only http and https are spoken.
    #[error("its scheme is `{scheme}`, and only http and https are spoken")]
    Scheme {
        /// The URL's scheme.
        scheme: Box<str>,
    },
    /// A URL with a user name or password is a secret in the wrong place.
    #[error("its URL carries a user name or password; put them into an Authorization header")]
    Userinfo,
    /// The URL is longer than 32 KiB, has no host, or has bytes that cannot be sent.
    #[error("its URL is longer than {} bytes, or names no host that can be called", MAX_URL_BYTES)]
    Url,
    /// CONNECT and TRACE make a tunnel and an echo, not a call.
    #[error("{method} is not a method for calls")]
    Method {
        /// The request's method.
        method: Box<str>,
    },
    /// The address, or one that the name resolves to, is special and not opened.
    #[error("{}", AddressAdvice(.0))]
    Address(Range),
    /// The address, or one that the name resolves to, is closed by the operator.
    #[error("the operator denies its address")]
    Denied,
    /// Plain http to a public address was not asked for.
    #[error("plain http to a public host needs `insecure_http: true`; use https")]
    PlainHttp,
}

/// The limit that an answer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// More header lines, or more bytes of them, than allowed.
    #[error("its headers have more than {max_headers} lines or {max_bytes} bytes")]
    Headers {
        /// Lines allowed.
        max_headers: usize,
        /// Bytes allowed, names and values together.
        max_bytes: usize,
    },
    /// More bytes on the wire than the body may have.
    #[error("more than {limit_bytes} bytes on the wire")]
    Wire {
        /// Bytes allowed.
        limit_bytes: u64,
    },
    /// More decoded bytes than the body may have.
    #[error("more than {limit_bytes} bytes once decoded")]
    Decoded {
        /// Bytes allowed.
        limit_bytes: u64,
    },
    /// The body grows too much when decoded: a decompression bomb.
    #[error("it grows more than {limit}-fold when decoded")]
    Ratio {
        /// Decoded bytes allowed for each byte on the wire.
        limit: u32,
    },
}

impl EgressError {
    /// Whether the third party may have seen the call.
    pub fn sent(&self) -> Sent {
        let before_sending = match &self.failure {
            Failure::Blocked { .. } | Failure::Dns { .. } | Failure::Connect { .. } | Failure::Tls { .. } => true,
            Failure::Timeout { phase, .. } => *phase == Phase::Connect,
            Failure::Redirect(_) | Failure::TooLarge(_) | Failure::Encoding(_) | Failure::Broken { .. } => false,
        };
        // A redirect is an answer: whoever gave it has seen the call, whatever became of the next hop.
        if before_sending && self.redirects == 0 { Sent::NotSent } else { Sent::Unknown }
    }
}

impl fmt::Display for EgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.redirects {
            0 => {}
            1 => f.write_str("after a redirect: ")?,
            hops => write!(f, "after {hops} redirects: ")?,
        }
        self.failure.fmt(f)
    }
}

impl Error for EgressError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failure.source()
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "not connected",
            Self::FirstByte => "no answer",
            Self::Idle => "no further piece of the answer",
            Self::Total => "the call did not end",
        })
    }
}

/// Says what a special address is and what would open it, but never the address a name resolved to.
struct AddressAdvice<'a>(&'a Range);

impl fmt::Display for AddressAdvice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { net, space, name } = self.0;
        match space {
            Space::Private => write!(f, "it has an address in {net} ({name}); `--allow-private={net}` would open it"),
            Space::Metadata => {
                write!(f, "it has a {name} address; only `--allow-private` with exactly that address would open it")
            }
            Space::Reserved => write!(f, "it has an address in {net} ({name}), which is no place for an API"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::locate;

    fn blocked(address: &str) -> Failure {
        let range = locate(address.parse().expect("an address")).expect("a special address");
        Failure::Blocked { host: "db.internal".into(), reason: Refusal::Address(range) }
    }

    #[test]
    fn a_blocked_private_target_says_which_flag_would_open_it() {
        let text = blocked("10.1.2.3").to_string();
        assert!(text.contains("`db.internal`") && text.contains("`--allow-private=10.0.0.0/8`"), "{text}");
        assert!(!text.contains("10.1.2.3"), "the resolved address is not the user's to know: {text}");
    }

    #[test]
    fn nothing_counts_as_unsent_once_a_redirect_was_followed() {
        let sent = |failure, redirects| EgressError { failure, redirects }.sent();
        assert_eq!(sent(blocked("10.1.2.3"), 0), Sent::NotSent);
        assert_eq!(sent(blocked("10.1.2.3"), 1), Sent::Unknown);
        assert_eq!(sent(Failure::Timeout { phase: Phase::Connect, limit_ms: 1 }, 0), Sent::NotSent);
        assert_eq!(sent(Failure::Timeout { phase: Phase::FirstByte, limit_ms: 1 }, 0), Sent::Unknown);
        assert_eq!(sent(Failure::TooLarge(TooLarge::Ratio { limit: 1 }), 0), Sent::Unknown);
    }

    #[test]
    fn the_texts_name_the_limit() {
        let text = |failure| EgressError { failure, redirects: 2 }.to_string();
        let slow = Failure::Timeout { phase: Phase::FirstByte, limit_ms: 30_000 };
        assert_eq!(text(slow), "after 2 redirects: no answer within 30000 ms");
        let large = Failure::TooLarge(TooLarge::Decoded { limit_bytes: 5 });
        assert_eq!(text(large), "after 2 redirects: the answer is too large: more than 5 bytes once decoded");
    }

    #[test]
    fn the_error_stays_small_enough_to_be_returned_by_value() {
        assert!(size_of::<EgressError>() <= 96, "{}", size_of::<EgressError>());
    }
}
