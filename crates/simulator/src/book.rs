//! The simulator's book of calls: attempts at each page, counters of limits, statistics.

use std::collections::HashMap;

use crate::api::Api;
use crate::draw::Draw;
use crate::gate::{CALLERS_MAX, Gate, Hold};
use crate::issuer::Issuer;
use crate::stats::{EndpointStats, Stats};
use crate::tokens::TokenEndpoint;

/// Most pages whose attempts are remembered. Pages that come after meet no passing faults, since the simulator could
/// not tell when to cease.
pub(crate) const PAGES_MAX: usize = 4_000_000;

/// All that changes while a simulator runs.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) gate: Gate,
    /// The token that is accepted; any if none.
    pub(crate) token: Option<String>,
    pub(crate) issuer: Issuer,
    pub(crate) token_endpoint: TokenEndpoint,
    endpoints: Vec<EndpointStats>,
    /// When the first call came, in milliseconds after the start.
    first_call_ms: Option<u64>,
    /// Calls by token.
    uses: HashMap<u64, u64>,
    pages: HashMap<u64, PageRecord>,
    unmatched: u64,
    in_flight: u64,
    max_in_flight: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct PageRecord {
    attempts: u32,
    served: bool,
}

/// A page that was served whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served {
    pub(crate) page: u64,
    pub(crate) items: u64,
    pub(crate) bytes: u64,
}

impl Book {
    pub(crate) fn new(api: &Api, token: Option<String>) -> Self {
        Self {
            gate: Gate::new(&api.limits),
            token,
            issuer: Issuer::default(),
            token_endpoint: TokenEndpoint::default(),
            endpoints: vec![EndpointStats::default(); api.endpoints.len()],
            first_call_ms: None,
            uses: HashMap::new(),
            pages: HashMap::new(),
            unmatched: 0,
            in_flight: 0,
            max_in_flight: 0,
        }
    }

    pub(crate) fn miss(&mut self) {
        self.unmatched += 1;
    }

    /// A call came, `at_ms` after the start.
    pub(crate) fn arrive(&mut self, endpoint: usize, at_ms: u64) {
        let stats = &mut self.endpoints[endpoint];
        stats.requests += 1;
        stats.first_call_ms.get_or_insert(at_ms);
        stats.last_call_ms = Some(at_ms);
    }

    /// Milliseconds since the first call came.
    pub(crate) fn since_first_ms(&mut self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(*self.first_call_ms.get_or_insert(at_ms))
    }

    /// A call came with this token: the number of those before it. Of more tokens than can be kept apart, those that come
    /// after are taken for unused.
    pub(crate) fn uses(&mut self, token: &str) -> u64 {
        let token = Draw::seeded(0).with_text(token).bits();
        if self.uses.len() >= CALLERS_MAX && !self.uses.contains_key(&token) {
            return 0;
        }
        let uses = self.uses.entry(token).or_default();
        *uses += 1;
        *uses - 1
    }

    /// A call was let in.
    pub(crate) fn begin(&mut self, endpoint: usize) {
        let stats = &mut self.endpoints[endpoint];
        stats.in_flight += 1;
        stats.max_in_flight = stats.max_in_flight.max(stats.in_flight);
        self.in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
    }

    /// A limit refused a call.
    pub(crate) fn refuse(&mut self, endpoint: usize, bytes: u64) {
        let stats = &mut self.endpoints[endpoint];
        stats.limited += 1;
        stats.bytes += bytes;
    }

    /// The number of this attempt at `page`, from 0.
    pub(crate) fn attempt(&mut self, page: u64) -> u32 {
        if self.pages.len() >= PAGES_MAX && !self.pages.contains_key(&page) {
            return u32::MAX;
        }
        let record = self.pages.entry(page).or_default();
        record.attempts = record.attempts.saturating_add(1);
        record.attempts - 1
    }

    /// A call that was let in has ended.
    pub(crate) fn end(&mut self, endpoint: usize, holds: &[Hold]) {
        // Saturating, since the book may have been made new while the call was under way.
        let stats = &mut self.endpoints[endpoint];
        stats.in_flight = stats.in_flight.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.gate.end(holds);
    }

    pub(crate) fn fail(&mut self, endpoint: usize, kind: &str, bytes: u64) {
        let stats = &mut self.endpoints[endpoint];
        match stats.errors.get_mut(kind) {
            Some(count) => *count += 1,
            None => _ = stats.errors.insert(kind.to_owned(), 1),
        }
        stats.bytes += bytes;
    }

    pub(crate) fn serve(&mut self, endpoint: usize, served: Served) {
        let stats = &mut self.endpoints[endpoint];
        stats.ok += 1;
        stats.items += served.items;
        stats.bytes += served.bytes;
        match self.pages.get_mut(&served.page) {
            Some(record) if record.served => stats.duplicates += 1,
            Some(record) => {
                record.served = true;
                stats.pages += 1;
            }
            None => {}
        }
    }

    pub(crate) fn stats(&self, api: &Api, started_ms: u64) -> Stats {
        let endpoints = api.endpoints.iter().zip(&self.endpoints);
        let limits = api.limits.iter().enumerate();
        Stats {
            started_ms,
            endpoints: endpoints.map(|(endpoint, stats)| (endpoint.name.clone(), stats.clone())).collect(),
            limits: limits.map(|(index, limit)| (limit.id.clone(), self.gate.stats(index))).collect(),
            tokens: self.issuer.stats.clone(),
            unmatched: self.unmatched,
            in_flight: self.in_flight,
            max_in_flight: self.max_in_flight,
        }
    }
}
