//! `/v1/jobs/{id}/explain`: why a job, or a fetch of it, is not finished.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use tidegate_contracts::FetchId;
use tidegate_progress::{Explanation, explain, explain_fetch};
use tidegate_registry::Scope;

use crate::app::App;
use crate::job_id::{OwnJob, has_tree};
use crate::problem::Problem;
use crate::route::{Content, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/jobs/{id}/explain", of_job)
            .needs(Scope::Read)
            .summary("Why a job is not finished: a sentence, and what its open calls wait for, until when")
            .answers(
                200,
                "The reasons, the most calls first; none when it is finished.",
                Some(Content::Json("Explanation")),
            ),
        Route::get("/v1/jobs/{id}/fetches/{fetch}/explain", of_fetch)
            .needs(Scope::Read)
            .summary("Why a fetch of a job is not finished")
            .answers(
                200,
                "The reasons, the most calls first; none when it is finished.",
                Some(Content::Json("Explanation")),
            )
            .problems(&[410]),
    ]
}

pub(crate) async fn of_job(State(app): State<Arc<App>>, OwnJob(job): OwnJob) -> Result<Json<Explanation>, Problem> {
    let now_ms = app.now_ms();
    let out = app.deps.ledger.out(job.id, None, now_ms).await?;
    Ok(Json(explain(&job, &out, now_ms)))
}

async fn of_fetch(
    State(app): State<Arc<App>>,
    OwnJob(job): OwnJob,
    Path((_, fetch)): Path<(String, String)>,
) -> Result<Json<Explanation>, Problem> {
    has_tree(&job)?;
    let nothing = || Problem::not_found("fetch");
    let id: FetchId = fetch.parse().map_err(|_| nothing())?;
    let fetch = app.deps.ledger.fetch(job.id, id).await?.ok_or_else(nothing)?;
    let now_ms = app.now_ms();
    let out = app.deps.ledger.out(job.id, Some(id), now_ms).await?;
    Ok(Json(explain_fetch(&job, &fetch, &out, now_ms)))
}
