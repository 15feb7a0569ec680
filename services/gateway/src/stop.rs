//! Cancelling and pausing jobs, and making their failed calls again.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, Event, JobId, Message, Plan};
use tidegate_registry::Scope;
use tidegate_telemetry::inject;

use crate::app::{App, Caller};
use crate::job_id::{OwnJob, has_tree};
use crate::problem::{Kind, Problem};
use crate::route::{Content, Parameter, Route};
use crate::tree::Alike;
use crate::view;

/// Calls that are made again.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Retried {
    /// How many.
    calls: u64,
}

pub(crate) fn routes() -> Vec<Route> {
    const ALIKE: &[Parameter] = &[
        Parameter { name: "fetch", kind: "string", description: "Of this fetch, without those below it." },
        Parameter { name: "step", kind: "string", description: "Of this step." },
        Parameter { name: "class", kind: "string", description: "Of this failure class." },
        Parameter { name: "status", kind: "integer", description: "Answered with this HTTP status." },
        Parameter { name: "message", kind: "string", description: "With this message, all of it." },
    ];
    vec![
        Route::delete("/v1/jobs/{id}", cancel)
            .needs(Scope::Submit)
            .summary("Cancel a job: no new call of it goes out")
            .description(
                "Calls that are on the wire still count; the job is `cancelled` when they have ended. What was stored \
                 stays. A job that is finished stays as it is.",
            )
            .answers(200, "The job as it is now.", Some(Content::Json("Job"))),
        Route::post("/v1/jobs/{id}/pause", pause)
            .needs(Scope::Submit)
            .summary("Pause a job: no new call of it goes out until it is resumed")
            .description(
                "Calls that are on the wire end, and their pages are stored; calls that wait stay. A job that is paused \
                 stays so. `paused_at_ms` tells since when.",
            )
            .answers(200, "The job as it is now.", Some(Content::Json("Job")))
            .problems(&[409]),
        Route::post("/v1/jobs/{id}/resume", resume)
            .needs(Scope::Submit)
            .summary("Go on with a paused job, at once")
            .description("A job that is not paused goes on as it does.")
            .answers(200, "The job as it is now.", Some(Content::Json("Job")))
            .problems(&[409]),
        Route::post("/v1/jobs/{id}/retry-failed", retry_failed)
            .needs(Scope::Submit)
            .summary("Make a finished job's failed and cancelled calls again, and nothing else")
            .description(
                "Of the failed ones those that the query tells, as `failures` of the job groups them; the others stay \
                 failed. Where none is such, nothing happens.",
            )
            .query(ALIKE)
            .answers(202, "They will be made.", Some(Content::Json("Retried")))
            .problems(&[409, 410, 422]),
    ]
}

/// Idempotent by job: what is stopped stays so.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    OwnJob(job): OwnJob,
) -> Result<Json<view::Job>, Problem> {
    if job.state.is_final() {
        return Ok(Json(job.into()));
    }
    let (id, ledger) = (job.id, &app.deps.ledger);
    ledger.cancel(id, &format!("cancelled by key {}", caller.id), app.now_ms()).await?;
    tracing::info!(job.id = %id, key.id = caller.id, "job cancelled");
    let row = ledger.job(id).await?.ok_or_else(|| Problem::not_found("job"))?;
    let mut events = vec![Event::JobStopped { job: id }];
    events.extend(row.state.is_final().then_some(Event::JobFinished { job: id }));
    let event = |event| Envelope::new(Message::Event(event), app.now_ms(), inject());
    // The ledger releases nothing more; executors that don't hear of it only make what they have in hand.
    if let Err(error) = app.deps.bus.publish(&Queue::Events, events.into_iter().map(event).collect()).await {
        tracing::warn!(job.id = %id, error = &error as &dyn std::error::Error, "can't tell that a job is cancelled");
    }
    Ok(Json(row.into()))
}

/// Idempotent by job: what is paused stays so.
pub(crate) async fn pause(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    OwnJob(job): OwnJob,
) -> Result<Json<view::Job>, Problem> {
    let (id, ledger) = (job.id, &app.deps.ledger);
    if !ledger.pause(id, app.now_ms()).await? {
        let row = ledger.job(id).await?.ok_or_else(|| Problem::not_found("job"))?;
        let state = if row.state.is_final() { row.state.name() } else { "being stopped" };
        return Err(Problem::new(Kind::Finished, format!("the job is {state}; only a job that goes on can be paused")));
    }
    tracing::info!(job.id = %id, key.id = caller.id, "job paused");
    tell(&app, Event::JobPaused { job: id }).await;
    shown(&app, id).await
}

/// Idempotent by job: one that is not paused goes on as it does.
pub(crate) async fn resume(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    OwnJob(job): OwnJob,
) -> Result<Json<view::Job>, Problem> {
    if job.state.is_final() {
        return Err(Problem::new(Kind::Finished, format!("the job is {}", job.state.name())));
    }
    app.deps.ledger.resume(job.id).await?;
    if job.paused_at_ms.is_some() {
        tracing::info!(job.id = %job.id, key.id = caller.id, "job resumed");
    }
    // Also when it was not paused: the first to ask may have died before it told anybody.
    tell(&app, Event::JobResumed { job: job.id }).await;
    nudge(&app, job.id).await;
    shown(&app, job.id).await
}

async fn shown(app: &App, job: JobId) -> Result<Json<view::Job>, Problem> {
    let row = app.deps.ledger.job(job).await?.ok_or_else(|| Problem::not_found("job"))?;
    Ok(Json(row.into()))
}

/// Has jobs go on whose credential was renewed.
pub(crate) async fn go_on(app: &App, jobs: Vec<JobId>) {
    for job in jobs {
        tell(app, Event::JobResumed { job }).await;
        nudge(app, job).await;
    }
}

/// Tells executors, who otherwise find out by themselves within a second or so.
async fn tell(app: &App, event: Event) {
    let event = Envelope::new(Message::Event(event), app.now_ms(), inject());
    if let Err(error) = app.deps.bus.publish(&Queue::Events, vec![event]).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "can't tell that a job is paused or resumed");
    }
}

/// Idempotent by the job's state: once it runs again, it is not finished.
pub(crate) async fn retry_failed(
    State(app): State<Arc<App>>,
    OwnJob(job): OwnJob,
    Query(alike): Query<Alike>,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    if !job.state.is_final() {
        let detail = format!("the job is {}; cancel it, or wait until it is finished", job.state.name());
        return Err(Problem::new(Kind::NotFinished, detail));
    }
    has_tree(&job)?;
    let calls = app.deps.ledger.retry_failed(job.id, &alike.filter()?, app.now_ms()).await?;
    tracing::info!(job.id = %job.id, calls, "failed calls are made again");
    if calls > 0 {
        nudge(&app, job.id).await;
    }
    Ok((StatusCode::ACCEPTED, Json(Retried { calls })))
}

/// Has the tracker release a job's planned calls now.
async fn nudge(app: &App, job: JobId) {
    let plan = Envelope::new(Message::Plan(Plan::nothing(job)), app.now_ms(), inject());
    if let Err(error) = app.deps.bus.publish(&Queue::plans_of(job), vec![plan]).await {
        tracing::warn!(job.id = %job, error = &error as &dyn std::error::Error, "the sweeper will release the calls");
    }
}
