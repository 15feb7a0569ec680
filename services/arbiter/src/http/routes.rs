//! What each path does: read, check, ask the arbiter, answer.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tidegate_daemon::Status;
use tidegate_limits::http::{
    DeleteQuery, LimitsQuery, LimitsReply, OverrideRequest, PermitsReply, PermitsRequest, ReportsRequest,
};
use tidegate_limits::overrides::OVERRIDES_MAX;

use super::json::{Json, Query};
use super::problem::Problem;
use super::{Shared, check};

/// Decides questions. Not idempotent: a permit whose answer is lost comes back as one that is never reported.
pub(super) async fn permits(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<PermitsRequest>,
) -> Result<Json<PermitsReply>, Problem> {
    check::questions(&request.questions, (shared.config.max_batch, shared.config.max_choices))?;
    let decisions = shared.arbiter.ask(request.questions).await?;
    Ok(Json(PermitsReply { now_ms: shared.arbiter.now_ms(), decisions }))
}

/// Takes permits back. Idempotent by permit.
pub(super) async fn reports(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<ReportsRequest>,
) -> Result<StatusCode, Problem> {
    check::reports(&request.reports, request.now_ms, shared.config.max_batch)?;
    let ahead_ms = shared.arbiter.now_ms().saturating_sub(request.now_ms);
    let reports = request.reports.into_iter().map(|report| report.by_clock(ahead_ms)).collect();
    shared.arbiter.report(reports).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Budgets in use.
pub(super) async fn limits(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<LimitsQuery>,
) -> Result<Json<LimitsReply>, Problem> {
    Ok(Json(shared.arbiter.limits(&query).await?))
}

/// Sets an override. Idempotent by key and kind.
pub(super) async fn put_override(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<OverrideRequest>,
) -> Result<StatusCode, Problem> {
    check::wanted(&request.wanted)?;
    let wanted = request.wanted.by_clock(shared.arbiter.now_ms().saturating_sub(request.now_ms));
    let key = wanted.key.clone();
    if !shared.arbiter.put_override(wanted).await? {
        return Err(Problem::full(format!("there are {OVERRIDES_MAX} overrides of this provider already")));
    }
    tracing::info!(key, "an override is set");
    Ok(StatusCode::NO_CONTENT)
}

/// Ends an override. Idempotent: there is none afterwards.
pub(super) async fn delete_override(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, Problem> {
    if !shared.arbiter.delete_override(&query.key, query.does).await? {
        return Err(Problem::not_found());
    }
    tracing::info!(key = query.key, "an override is ended");
    Ok(StatusCode::NO_CONTENT)
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
