//! What each path does: read, check, ask the arbiter, answer.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tidegate_daemon::Status;
use tidegate_limits::http::{LimitsReply, PermitsReply, PermitsRequest, ReportsRequest};

use super::json::Json;
use super::problem::Problem;
use super::{Shared, check};

/// Most budgets in an answer: about 2 MiB.
const LIMITS_MAX: usize = 10_000;

/// Decides questions. Not idempotent: a permit whose answer is lost comes back as one that is never reported.
pub(super) async fn permits(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<PermitsRequest>,
) -> Result<Json<PermitsReply>, Problem> {
    check::questions(&request.questions, shared.config.max_batch)?;
    let decisions = shared.arbiter.ask(request.questions).await?;
    Ok(Json(PermitsReply { now_ms: shared.arbiter.now_ms(), decisions }))
}

/// Takes permits back. Idempotent by permit.
pub(super) async fn reports(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<ReportsRequest>,
) -> Result<StatusCode, Problem> {
    check::reports(&request.reports, shared.config.max_batch)?;
    let ahead_ms = shared.arbiter.now_ms().saturating_sub(request.now_ms);
    let reports = request.reports.into_iter().map(|report| report.by_clock(ahead_ms)).collect();
    shared.arbiter.report(reports).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Every budget in use.
pub(super) async fn limits(State(shared): State<Arc<Shared>>) -> Result<Json<LimitsReply>, Problem> {
    let mut limits = shared.arbiter.usage().await?;
    let left_off = limits.len().saturating_sub(LIMITS_MAX);
    limits.truncate(LIMITS_MAX);
    Ok(Json(LimitsReply { now_ms: shared.arbiter.now_ms(), limits, left_off }))
}

pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Result<&'static str, Problem> {
    let down: Vec<String> = shared
        .health
        .report()
        .into_iter()
        .filter_map(|(name, status)| match status {
            Status::Up => None,
            Status::Down(reason) => Some(format!("{name}: {reason}")),
        })
        .collect();
    if down.is_empty() { Ok("ready\n") } else { Err(Problem::not_ready(&down.join("; "))) }
}
