//! What the operator sets once for all calls.

use std::time::Duration;

use ipnet::IpNet;

use crate::address::AllowPrivate;
use crate::via::Via;

/// Settings of an [`Egress`](crate::Egress).
#[derive(Debug, Clone)]
pub struct EgressConfig {
    /// Where calls leave from. Default: this machine, as its routes say.
    pub via: Via,
    /// Which private networks may be called. Default: none.
    pub allow_private: AllowPrivate,
    /// Networks that may never be called, public or not: our own services, for example. Default: none.
    pub deny: Vec<IpNet>,
    /// The User-Agent of calls that bring none. Default: `tidegate/` and the version.
    pub user_agent: String,
    /// How many redirects one call may follow; the next one fails it. Default: 5.
    pub max_redirects: u8,
    /// Longest time to resolve a name, connect and set up TLS, taken together. Default: 5 s.
    pub connect: Duration,
    /// Most bytes of an answer's headers, names and values together. Default: 64 KiB.
    ///
    /// Over HTTP/1 the connection buffers up to 408 KiB before this is looked at, and breaks beyond.
    pub max_header_bytes: usize,
    /// Most header lines of an answer. Default: 100.
    pub max_headers: usize,
    /// Longest time a connection is kept for another call. Default: 50 s, below the 60 s that load balancers like to
    /// close at, so that few calls meet a connection which is just being closed.
    pub keep_idle: Duration,
    /// Most connections kept for other calls to one host. Default: 256.
    pub max_idle_per_host: usize,
    /// Certificates (PEM, any number) trusted besides the system's: a private authority, for example. Default: none.
    pub extra_roots_pem: Vec<u8>,
}

/// A configuration no client can be built from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The User-Agent has bytes that no header may have.
    #[error("user_agent must be visible ASCII")]
    UserAgent,
    /// The extra certificates are not PEM.
    #[error("extra_roots_pem must be certificates in PEM")]
    Roots(#[source] reqwest::Error),
    /// The client does not take the proxy's address.
    #[error("the proxy can't be used")]
    Proxy(#[source] reqwest::Error),
    /// TLS could not be set up: most often the system has no CA certificates (package `ca-certificates`).
    #[error("the HTTP client could not be built; are CA certificates installed?")]
    Client(#[source] reqwest::Error),
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            via: Via::Direct,
            allow_private: AllowPrivate::None,
            deny: Vec::new(),
            user_agent: concat!("tidegate/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_redirects: 5,
            connect: Duration::from_secs(5),
            max_header_bytes: 64 << 10,
            max_headers: 100,
            keep_idle: Duration::from_secs(50),
            max_idle_per_host: 256,
            extra_roots_pem: Vec::new(),
        }
    }
}
