//! `/v1/jobs/{id}/tree` and `/failures`: down into a job.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use tidegate_contracts::FetchId;
use tidegate_ledger::{FailedFilter, FetchFilter, RetryFilter};
use tidegate_registry::Scope;

use crate::app::App;
use crate::job_id::{OwnJob, has_tree};
use crate::jobs::{LIMIT, cursor, next_page, page_size};
use crate::problem::Problem;
use crate::route::{Content, Parameter, Route};
use crate::view;

pub(crate) fn routes() -> Vec<Route> {
    const TREE: &[Parameter] = &[
        Parameter { name: "parent", kind: "string", description: "Those below this fetch; the roots unless said." },
        Parameter { name: "step", kind: "string", description: "Of this step." },
        Parameter { name: "after", kind: "string", description: "`next` of the page before." },
        LIMIT,
    ];
    const FAILURES: &[Parameter] = &[
        Parameter { name: "fetch", kind: "string", description: "Of this fetch, without those below it." },
        Parameter { name: "step", kind: "string", description: "Of this step." },
        Parameter { name: "class", kind: "string", description: "Of this failure class." },
        Parameter { name: "after", kind: "string", description: "`next` of the page before." },
        LIMIT,
    ];
    vec![
        Route::get("/v1/jobs/{id}/tree", fetches)
            .needs(Scope::Read)
            .summary("One level of a job's tree, with counters")
            .query(TREE)
            .answers(200, "A page of fetches.", Some(Content::Json("FetchList")))
            .problems(&[410, 422]),
        Route::get("/v1/jobs/{id}/failures", failures)
            .needs(Scope::Read)
            .summary("Failed and skipped calls, one by one")
            .query(FAILURES)
            .answers(200, "A page of calls.", Some(Content::Json("FailedCallList")))
            .problems(&[410, 422]),
    ]
}

/// Which level of a tree is wanted, and which page of it.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Level {
    pub(crate) parent: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<u32>,
}

pub(crate) async fn fetches(
    State(app): State<Arc<App>>,
    OwnJob(job): OwnJob,
    Query(level): Query<Level>,
) -> Result<Json<view::FetchList>, Problem> {
    has_tree(&job)?;
    let limit = page_size(level.limit)?;
    let filter = FetchFilter {
        parent: fetch_id("parent", level.parent)?,
        step: level.step,
        after: level.after.as_deref().map(cursor).transpose()?,
        limit: limit + 1,
    };
    let mut rows = app.deps.ledger.fetches(job.id, &filter).await?;
    let next = next_page(&mut rows, limit, |row| row.id.to_string());
    Ok(Json(view::FetchList { fetches: rows.into_iter().map(view::Fetch::from).collect(), next }))
}

/// Which failed calls are wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failures {
    pub(crate) fetch: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) class: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<u32>,
}

pub(crate) async fn failures(
    State(app): State<Arc<App>>,
    OwnJob(job): OwnJob,
    Query(wanted): Query<Failures>,
) -> Result<Json<view::FailedCallList>, Problem> {
    has_tree(&job)?;
    let limit = page_size(wanted.limit)?;
    let filter = FailedFilter {
        fetch: fetch_id("fetch", wanted.fetch)?,
        step: wanted.step,
        class: wanted.class,
        after: wanted.after.as_deref().map(cursor).transpose()?,
        limit: limit + 1,
    };
    let mut calls = app.deps.ledger.failed_calls(job.id, &filter).await?;
    let next = next_page(&mut calls, limit, |call| call.call.to_string());
    Ok(Json(view::FailedCallList { calls: calls.into_iter().map(view::Failed::from).collect(), next }))
}

/// Which failed calls are made again.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alike {
    pub(crate) fetch: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) class: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) message: Option<String>,
}

impl Alike {
    pub(crate) fn filter(self) -> Result<RetryFilter, Problem> {
        let Self { fetch, step, class, status, message } = self;
        Ok(RetryFilter { fetch: fetch_id("fetch", fetch)?, step, class, status, message })
    }
}

fn fetch_id(field: &'static str, id: Option<String>) -> Result<Option<FetchId>, Problem> {
    id.map(|id| id.parse()).transpose().map_err(|_| Problem::field(field, "expected the id of a fetch"))
}
