//! One call that was let in, from then to the end of its answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;

use crate::api::{Api, Endpoint};
use crate::book::{Book, Served};
use crate::busy::Workers;
use crate::clock::Clock;
use crate::connection::Cut;
use crate::gate::Hold;
use crate::issuer::TokenStats;
use crate::quirks::Quirks;
use crate::stats::Stats;
use crate::{SimulatorSpec, TokensSpec};

/// Everything a running simulator has.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) api: Api,
    pub(crate) clock: Clock,
    /// Those that are no fault, lie or limit of an endpoint.
    pub(crate) quirks: Quirks,
    /// Where calls wait for one of them.
    pub(crate) workers: Option<Workers>,
    /// Where tokens are fetched.
    pub(crate) tokens: Option<TokensSpec>,
    pub(crate) seed: u64,
    book: Mutex<Book>,
}

/// A call that was let in. The limits have their room back when it is dropped.
pub(crate) struct Visit {
    pub(crate) site: Arc<Site>,
    pub(crate) endpoint: usize,
    /// What the limits said; part of any answer.
    pub(crate) headers: HeaderMap,
    /// Ends the connection that the call came by.
    pub(crate) cut: Cut,
    holds: Vec<Hold>,
    ended: bool,
}

impl Site {
    pub(crate) fn new(api: Api, quirks: Quirks, spec: SimulatorSpec) -> Self {
        let book = Book::new(&api, spec.token);
        let workers = quirks.slow_when_busy.as_ref().map(Workers::new);
        let (clock, book) = (Clock::start(), Mutex::new(book));
        Self { api, clock, quirks, workers, tokens: spec.tokens, seed: spec.seed, book }
    }

    /// Never held across an await.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the start.
    pub(crate) fn elapsed_ms(&self, now_us: u64) -> u64 {
        (now_us - self.clock.started_us()) / 1000
    }

    pub(crate) fn stats(&self) -> Stats {
        self.book().stats(&self.api, self.clock.started_us() / 1000)
    }

    /// As if nothing had been called. Tokens that are accepted, and those that were issued, stay.
    pub(crate) fn reset(&self) {
        let mut book = self.book();
        let before = std::mem::replace(&mut *book, Book::new(&self.api, None));
        (book.token, book.token_endpoint) = (before.token, before.token_endpoint);
        book.issuer = before.issuer;
        book.issuer.stats = TokenStats::default();
    }

    /// Ids of the items that are served to who pages through the whole list; none where there is no such endpoint.
    pub(crate) fn ids(&self, endpoint: &str, parent: &str) -> Option<Vec<String>> {
        let list = self.api.named(endpoint)?.list(parent);
        Some(list.served(0, list.len).map(|position| list.id(position).to_string()).collect())
    }
}

impl Visit {
    pub(crate) fn begin(site: Arc<Site>, endpoint: usize, holds: Vec<Hold>, headers: HeaderMap, cut: Cut) -> Self {
        site.book().begin(endpoint);
        Self { site, endpoint, headers, cut, holds, ended: false }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.site.api.endpoints[self.endpoint]
    }

    /// The page is handed over whole.
    pub(crate) fn served(&mut self, served: Served) {
        self.ended = true;
        self.site.book().serve(self.endpoint, served);
    }

    /// Something else than a page is handed over, of so many bytes.
    pub(crate) fn failed(&mut self, kind: &str, bytes: usize) {
        self.ended = true;
        self.site.book().fail(self.endpoint, kind, bytes as u64);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut book = self.site.book();
        if !self.ended {
            book.fail(self.endpoint, "abandoned", 0);
        }
        book.end(self.endpoint, &self.holds);
    }
}
