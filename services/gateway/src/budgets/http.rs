//! The budgets of arbiters behind HTTP, over one store: asked one after the other until one answers.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tidegate_daemon::Clock;
use tidegate_limits::http::{DeleteQuery, LIMITS_PATH, LimitsQuery, LimitsReply, OVERRIDES_PATH, OverrideRequest};
use tidegate_limits::{Override, OverrideKind};
use tidegate_telemetry::inject;

use super::{Budgets, BudgetsError};

/// Longest answer, in bytes: 10,000 budgets fit.
const ANSWER_MAX_BYTES: usize = 32 << 20;
/// Of a refusal, what is shown of its reason, in characters.
const REASON_MAX_CHARS: usize = 300;

/// How arbiters are asked.
#[derive(Debug, Clone)]
pub struct HttpBudgetsConfig {
    /// Addresses of arbiters: `http://HOST:PORT`, perhaps with a path before the arbiter's own.
    pub urls: Vec<String>,
    /// What arbiters ask for as `Authorization: Bearer`.
    pub token: Option<SecretString>,
    /// Longest time for one request. Default 5 s.
    pub request_within: Duration,
}

impl HttpBudgetsConfig {
    /// The defaults, with these addresses.
    #[must_use]
    pub fn new(urls: Vec<String>) -> Self {
        Self { urls, token: None, request_within: Duration::from_secs(5) }
    }
}

/// Arbiters behind HTTP.
pub struct HttpBudgets {
    config: HttpBudgetsConfig,
    client: Client,
    clock: Clock,
}

impl HttpBudgets {
    /// A client; connects when it is first asked.
    ///
    /// # Errors
    /// When the HTTP client can't be made.
    pub fn new(config: HttpBudgetsConfig, clock: Clock) -> Result<Self, BudgetsError> {
        // The HTTP client looks for the process's provider; if there is one already, it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        #[expect(clippy::disallowed_methods, reason = "our own arbiter, not a provider")]
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.timeout(config.request_within).build().map_err(|error| unavailable(&error))?;
        Ok(Self { config, client, clock })
    }

    /// Asks one arbiter after the other; what one of them says, others would say too.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        more: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), BudgetsError> {
        let mut last = BudgetsError::Unavailable("no address of an arbiter is set".to_owned());
        for url in &self.config.urls {
            let target = format!("{}{path}", url.trim_end_matches('/'));
            let mut request = more(self.client.request(method.clone(), target));
            if let Some(token) = &self.config.token {
                request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
            }
            if let Some(traceparent) = inject() {
                request = request.header("traceparent", traceparent);
            }
            match answer(request).await {
                Ok((status, body)) if status.is_server_error() => last = BudgetsError::Unavailable(said(status, &body)),
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn answer(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), BudgetsError> {
    let mut response = request.send().await.map_err(|error| unavailable(&error.without_url()))?;
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(&error.without_url()))? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(BudgetsError::Unavailable(format!("its answer is longer than {ANSWER_MAX_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

fn unavailable(error: &dyn std::error::Error) -> BudgetsError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    BudgetsError::Unavailable(text)
}

fn said(status: StatusCode, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(REASON_MAX_CHARS).collect();
    format!("{status}: {text}")
}

fn json(request: RequestBuilder, body: &impl Serialize) -> RequestBuilder {
    // Our own types: nothing that JSON can't write.
    request.header(CONTENT_TYPE, "application/json").body(serde_json::to_vec(body).unwrap_or_default())
}

#[async_trait]
impl Budgets for HttpBudgets {
    async fn limits(&self, query: &LimitsQuery) -> Result<LimitsReply, BudgetsError> {
        let (status, body) = self.ask(Method::GET, LIMITS_PATH, |request| request.query(query)).await?;
        if !status.is_success() {
            return Err(BudgetsError::Refused(said(status, &body)));
        }
        let reply: LimitsReply = serde_json::from_slice(&body)
            .map_err(|error| BudgetsError::Unavailable(format!("its answer makes no sense: {error}")))?;
        Ok(reply.by_clock((self.clock)()))
    }

    async fn put_override(&self, wanted: Override) -> Result<bool, BudgetsError> {
        let request = OverrideRequest { now_ms: (self.clock)(), wanted };
        match self.ask(Method::PUT, OVERRIDES_PATH, |builder| json(builder, &request)).await? {
            (status, _) if status.is_success() => Ok(true),
            (StatusCode::CONFLICT, _) => Ok(false),
            (status, body) => Err(BudgetsError::Refused(said(status, &body))),
        }
    }

    async fn delete_override(&self, key: &str, kind: Option<OverrideKind>) -> Result<bool, BudgetsError> {
        let query = DeleteQuery { key: key.to_owned(), does: kind };
        match self.ask(Method::DELETE, OVERRIDES_PATH, |request| request.query(&query)).await? {
            (status, _) if status.is_success() => Ok(true),
            (StatusCode::NOT_FOUND, _) => Ok(false),
            (status, body) => Err(BudgetsError::Refused(said(status, &body))),
        }
    }
}
