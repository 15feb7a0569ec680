//! The gateway's limits.

use std::time::Duration;

use crate::page::LocalPass;

/// How the gateway works. Every field is a bound on what clients can take; the defaults suit one process of a cluster.
#[derive(Debug, Clone)]
pub struct Config {
    /// Largest body of a request, in bytes; above it the answer is 413. Default 1 MiB, the largest file that is read.
    pub body_max_bytes: usize,
    /// Largest head of a request, in bytes; above it the answer is 431. At least 8 KiB. Default 32 KiB.
    pub head_max_bytes: usize,
    /// Longest time that the head of a request takes to arrive. Default 10 s.
    pub head_timeout: Duration,
    /// Longest time from a request to the head of its answer, its body's arrival included; streams go on after that.
    /// Default 30 s.
    pub request_timeout: Duration,
    /// Most connections at once; further ones wait to be accepted. Default 2,048.
    pub connections_max: usize,
    /// Jobs that a key may submit in a minute, in each gateway; above it the answer is 429. Default 120.
    pub jobs_per_minute: u32,
    /// Logins to the page with a key in a minute, in each gateway; above it the answer is 429. Default 20.
    pub logins_per_minute: u32,
    /// For how long a session of the page lasts that is not used. Default 1 h.
    pub session_idle: Duration,
    /// For how long a session of the page lasts at most. Default 12 h.
    pub session_max: Duration,
    /// A way into the page without a key, once; only for a gateway that listens on loopback. Default none.
    pub local_pass: Option<LocalPass>,
    /// Jobs of a tenant that may be unfinished; above it the answer is 429. Of many submitted at once a few may come in
    /// above it. Default 1,000.
    pub open_jobs_max: u32,
    /// Different names of providers that jobs of a tenant may name, all jobs it ever submitted together: each has queues at
    /// the broker, one for each lane, which stay. Above it the answer is 422. Default 100.
    pub provider_names_max: usize,
    /// Streams of events at once, in each gateway, for each tenant; above it the answer is 429. Default 50.
    pub watchers_max: usize,
    /// Streams of items at once, in each gateway, for each tenant; above it the answer is 429. Default 16.
    pub item_streams_max: usize,
    /// Shortest time between two events of a stream, which then tell all that happened meanwhile. Default 250 ms.
    pub events_gap: Duration,
    /// Between two signs of life of a stream of events, and between two looks for what its messages may have missed.
    /// Default 15 s.
    pub keep_alive: Duration,
    /// The tenant that runs the deployment: it sees all budgets, and alone may change those that tenants share. Default
    /// `default`.
    pub operator: String,
    /// Longest time that requests in hand are waited for at the end. Default 10 s.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_max_bytes: tidegate_provider::FILE_MAX_BYTES,
            head_max_bytes: 32 << 10,
            head_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            connections_max: 2_048,
            jobs_per_minute: 120,
            logins_per_minute: 20,
            session_idle: Duration::from_secs(3_600),
            session_max: Duration::from_secs(12 * 3_600),
            local_pass: None,
            open_jobs_max: 1_000,
            provider_names_max: 100,
            watchers_max: 50,
            item_streams_max: 16,
            events_gap: Duration::from_millis(250),
            keep_alive: Duration::from_secs(15),
            operator: "default".to_owned(),
            drain: Duration::from_secs(10),
        }
    }
}
