//! Several arbiters, one as good as the other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tidegate_telemetry::inject;
use url::Url;

use super::HttpPermitsConfig;
use crate::permits::PermitsError;
use crate::prepare::chain;

/// An arbiter that failed is asked last for so long.
const SHUN_FOR: Duration = Duration::from_secs(2);
/// Longest answer, in bytes: 256 decisions with 32 keys of 1 KiB each fit.
const ANSWER_MAX_BYTES: usize = 16 << 20;
/// Of a refusal, what is shown of its reason, in bytes.
const REASON_MAX_BYTES: usize = 300;

/// All arbiters.
pub(super) struct Arbiters {
    client: Client,
    token: Option<SecretString>,
    all: Vec<Arbiter>,
    turn: AtomicUsize,
}

struct Arbiter {
    url: Url,
    shunned_until: Mutex<Option<Instant>>,
}

impl Arbiter {
    fn is_shunned(&self, now: Instant) -> bool {
        self.shunned_until.lock().is_ok_and(|until| until.is_some_and(|until| now < until))
    }

    fn shun(&self, until: Option<Instant>) {
        if let Ok(mut shunned_until) = self.shunned_until.lock() {
            *shunned_until = until;
        }
    }
}

/// Why a request came to nothing.
pub(super) struct Failed {
    /// The arbiter has surely charged nothing, so another may be asked.
    is_unheard: bool,
    /// It makes no sense to an arbiter: it will make none the next time either.
    pub(super) is_refused: bool,
    pub(super) reason: String,
}

impl From<Failed> for PermitsError {
    fn from(failed: Failed) -> Self {
        Self(failed.reason)
    }
}

impl Failed {
    fn new(reason: String) -> Self {
        Self { is_unheard: false, is_refused: false, reason }
    }
}

impl Arbiters {
    pub(super) fn new(config: &HttpPermitsConfig) -> Result<Self, PermitsError> {
        if config.urls.is_empty() {
            return Err(PermitsError("no address of an arbiter is set".to_owned()));
        }
        // The HTTP client looks for the process's provider; if there is one already, it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(config).map_err(|error| PermitsError(chain(&error)))?;
        let all = config.urls.iter().map(|url| Arbiter { url: url.clone(), shunned_until: Mutex::default() }).collect();
        Ok(Self { client, token: config.token.clone(), all, turn: AtomicUsize::new(0) })
    }

    /// Sends a request to one arbiter after the other until one has heard it: each once, those that failed lately last.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Vec<u8>, Failed> {
        let body = serde_json::to_vec(body).map_err(|error| Failed::new(error.to_string()))?;
        let mut last = Failed::new(String::new());
        for arbiter in self.in_turn() {
            match self.post_to(&arbiter.url, path, body.clone()).await {
                Ok(answer) => {
                    arbiter.shun(None);
                    return Ok(answer);
                }
                // Another would say the same.
                Err(failed) if failed.is_refused => return Err(failed),
                Err(failed) => {
                    arbiter.shun(Some(Instant::now() + SHUN_FOR));
                    if !failed.is_unheard {
                        return Err(failed);
                    }
                    last = failed;
                }
            }
        }
        Err(last)
    }

    fn in_turn(&self) -> Vec<&Arbiter> {
        let (now, first) = (Instant::now(), self.turn.fetch_add(1, Ordering::Relaxed));
        let mut arbiters: Vec<&Arbiter> =
            (0..self.all.len()).map(|place| &self.all[(first.wrapping_add(place)) % self.all.len()]).collect();
        arbiters.sort_by_key(|arbiter| arbiter.is_shunned(now)); // Stable: those in favour stay in turn.
        arbiters
    }

    async fn post_to(&self, url: &Url, path: &str, body: Vec<u8>) -> Result<Vec<u8>, Failed> {
        let target = format!("{}{path}", url.as_str().trim_end_matches('/'));
        let mut request = self.client.post(target).header(CONTENT_TYPE, "application/json").body(body);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        if let Some(traceparent) = inject() {
            request = request.header("traceparent", traceparent);
        }
        let failed = |error: reqwest::Error| {
            let is_unheard = error.is_connect();
            Failed { is_unheard, ..Failed::new(chain(&error.without_url())) }
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if answer.len() + chunk.len() > ANSWER_MAX_BYTES {
                return Err(Failed::new(format!("its answer is longer than {ANSWER_MAX_BYTES} bytes")));
            }
            answer.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(answer);
        }
        let reason = String::from_utf8_lossy(&answer[..answer.len().min(REASON_MAX_BYTES)]).into_owned();
        // Turned away before anything was decided; another arbiter may have room, or reach its store.
        Err(Failed {
            is_unheard: status == StatusCode::SERVICE_UNAVAILABLE,
            is_refused: matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY),
            reason: format!("{status}: {reason}"),
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "our own arbiter, not a provider")]
fn client(config: &HttpPermitsConfig) -> Result<Client, reqwest::Error> {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(config.connect_within)
        .timeout(config.request_within)
        .pool_max_idle_per_host(2 * config.requests_max)
        .tcp_nodelay(true)
        .build()
}
