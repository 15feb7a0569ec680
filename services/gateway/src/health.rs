//! `/livez` and `/readyz`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use tidegate_daemon::Status;

use crate::app::App;
use crate::route::{Content, Route};
use crate::view::{Check, Ready};

/// Asked every few seconds by whoever looks after the process; no news while they are answered.
pub(crate) const ROUTES: [&str; 2] = ["/livez", "/readyz"];
/// Longest time that a database has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/livez", alive).summary("Whether the process runs; it asks nobody").answers(
            200,
            "It does.",
            Some(Content::Media("text/plain")),
        ),
        Route::get("/readyz", ready)
            .summary("Whether the gateway can take requests, by its checks")
            .answers(200, "It can.", Some(Content::Json("Ready")))
            .answers(503, "It can't: some check is down, or it is stopping.", Some(Content::Json("Ready"))),
    ]
}

async fn alive() -> &'static str {
    "ok\n"
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let ledger = timed("ledger", async { app.deps.ledger.kept("readyz").await.is_ok() });
    let registry = timed("registry", async { app.deps.registry.ping().await.is_ok() });
    let (ledger, registry) = futures_util::join!(ledger, registry);
    let mut checks = vec![ledger, registry];
    checks.extend(app.deps.health.report().into_iter().map(|(name, status)| {
        let reason = match status {
            Status::Up => None,
            Status::Down(reason) => Some(reason),
        };
        // Its owner keeps it: asking takes no time.
        Check { name, up: reason.is_none(), reason, ms: 0 }
    }));
    let ready = checks.iter().all(|check| check.up);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CACHE_CONTROL, "no-store")], Json(Ready { ready, checks })).into_response()
}

/// A check that asks somebody. Why it failed is in the log of whoever failed; here it would be told to anybody.
async fn timed(name: &'static str, ask: impl Future<Output = bool>) -> Check {
    let started = Instant::now();
    let answered = tokio::time::timeout(ANSWER_WITHIN, ask).await;
    let reason = match answered {
        Ok(true) => None,
        Ok(false) => Some("it refused".to_owned()),
        Err(_) => Some(format!("no answer within {} ms", ANSWER_WITHIN.as_millis())),
    };
    Check { name, up: reason.is_none(), reason, ms: started.elapsed().as_millis().try_into().unwrap_or(u64::MAX) }
}
