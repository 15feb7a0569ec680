//! `/v1/jobs`: what jobs there are, and how each of them stands.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use tidegate_ledger::{JobFilter, JobState};
use tidegate_registry::Scope;
use tidegate_specs::SpecsError;

use crate::app::{App, Caller};
use crate::economy::economy;
use crate::job_id::OwnJob;
use crate::problem::Problem;
use crate::route::{Content, Parameter, Route};
use crate::view;

/// Longest page of a list, and the usual one.
pub(crate) const PAGE_MAX: u32 = 200;
pub(crate) const PAGE: u32 = 50;
/// Groups of failures that are shown with a job.
const FAILURES_SHOWN: u32 = 20;

pub(crate) const LIMIT: Parameter =
    Parameter { name: "limit", kind: "integer", description: "How many at most: 1 to 200, 50 unless said." };

pub(crate) fn routes() -> Vec<Route> {
    const QUERY: &[Parameter] = &[
        Parameter { name: "state", kind: "string", description: "In one of these states, separated by commas." },
        Parameter { name: "provider", kind: "string", description: "Of this provider." },
        Parameter { name: "name", kind: "string", description: "Of exactly this name." },
        Parameter {
            name: "search",
            kind: "string",
            description: "Whose name has this in it; of a to z, in capitals or not.",
        },
        Parameter { name: "after", kind: "string", description: "`next` of the page before." },
        LIMIT,
    ];
    vec![
        Route::get("/v1/jobs", list)
            .needs(Scope::Read)
            .summary("Jobs, newest first")
            .query(QUERY)
            .answers(200, "A page of them.", Some(Content::Json("JobList")))
            .problems(&[422]),
        Route::get("/v1/jobs/{id}", show)
            .needs(Scope::Read)
            .summary(
                "How a job stands: its state, how far it is, counters by step, why it waits, what failed, and who was told",
            )
            .answers(200, "The job.", Some(Content::Json("JobDetail"))),
    ]
}

/// Which jobs are wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) state: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) search: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<u32>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Json<view::JobList>, Problem> {
    let limit = page_size(wanted.limit)?;
    let filter = JobFilter {
        tenant: Some(caller.tenant.to_string()),
        states: states(wanted.state.as_deref().unwrap_or_default())?,
        provider: wanted.provider,
        name: wanted.name,
        search: wanted.search.filter(|search| !search.is_empty()),
        before: wanted.after.as_deref().map(cursor).transpose()?,
        // One more tells whether there is a next page.
        limit: limit + 1,
    };
    let mut rows = app.deps.ledger.jobs(&filter).await?;
    let next = next_page(&mut rows, limit, |row| row.id.to_string());
    Ok(Json(view::JobList { jobs: rows.into_iter().map(view::Job::from).collect(), next }))
}

pub(crate) async fn show(State(app): State<Arc<App>>, OwnJob(row): OwnJob) -> Result<Json<view::JobDetail>, Problem> {
    let (id, ledger) = (row.id, &app.deps.ledger);
    let look = app.looker.look(&**ledger, &row, app.now_ms()).await?;
    let failures = ledger.failures(id, FAILURES_SHOWN).await?.into_iter().map(view::Failure::from).collect();
    let economy = match app.specs.get(id).await {
        Ok(spec) => economy(&spec, &look.steps),
        Err(SpecsError::Unusable { .. } | SpecsError::Unknown(_)) => Vec::new(),
        Err(SpecsError::Ledger(error)) => return Err(error.into()),
    };
    let steps = look.steps.into_iter().map(view::Step::from).collect();
    let waiting = look.waiting.into_iter().map(view::Wait::from).collect();
    let notices = app.deps.notices.notices(id).await?;
    let notifications = notices.into_iter().map(view::Notification::from).collect();
    let progress = look.estimate;
    Ok(Json(view::JobDetail { job: row.into(), progress, steps, economy, waiting, failures, notifications }))
}

/// How many rows a page has.
pub(crate) fn page_size(wanted: Option<u32>) -> Result<u32, Problem> {
    match wanted {
        None => Ok(PAGE),
        Some(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::field("limit", format!("expected 1 to {PAGE_MAX}, found {limit}"))),
    }
}

/// The cursor of the next page, if there is one; of `rows`, which are one more then, the last is taken away.
pub(crate) fn next_page<T>(rows: &mut Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Option<String> {
    let limit = limit as usize;
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| is_more).map(cursor)
}

/// A cursor names a row: of another's it only tells a time.
pub(crate) fn cursor<T: std::str::FromStr>(after: &str) -> Result<T, Problem> {
    after.parse().map_err(|_| Problem::field("after", "expected `next` of the page before"))
}

fn states(names: &str) -> Result<Vec<JobState>, Problem> {
    use JobState::{Cancelled, Failed, Running, Submitted, Succeeded};
    let state = |name: &str| {
        let known = [Submitted, Running, Succeeded, Failed, Cancelled].into_iter().find(|state| state.name() == name);
        known.ok_or_else(|| {
            Problem::field(
                "state",
                format!("expected submitted, running, succeeded, failed or cancelled, found {name}"),
            )
        })
    };
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(state).collect()
}
