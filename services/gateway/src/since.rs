//! `/v1/since`: how far jobs have seen what they ask for.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_contracts::MarkId;
use tidegate_ledger::MarkFilter;
use tidegate_registry::Scope;

use crate::app::{App, Caller};
use crate::jobs::{LIMIT, next_page, page_size};
use crate::problem::Problem;
use crate::route::{Content, Parameter, Route};
use crate::view;

/// Marks that were forgotten.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MarksReset {
    /// How many.
    marks: u64,
}

pub(crate) fn routes() -> Vec<Route> {
    const STEP: Parameter = Parameter { name: "step", kind: "string", description: "Of this step." };
    const LIST: &[Parameter] = &[
        Parameter { name: "job", kind: "string", description: "Of jobs of exactly this name." },
        STEP,
        Parameter { name: "after", kind: "string", description: "`next` of the page before." },
        LIMIT,
    ];
    const RESET: &[Parameter] =
        &[Parameter { name: "job", kind: "string", description: "Of jobs of exactly this name. Required." }, STEP];
    vec![
        Route::get("/v1/since", list)
            .needs(Scope::Read)
            .summary("Marks: from where the next job of a name goes on that is submitted with `extend`")
            .query(LIST)
            .answers(200, "A page of them, in order of the jobs' names.", Some(Content::Json("MarkList")))
            .problems(&[422]),
        Route::delete("/v1/since", reset)
            .needs(Scope::Submit)
            .summary("Forget marks: the next job reads everything again")
            .description("Jobs that have begun go on from where they began.")
            .query(RESET)
            .answers(200, "They are forgotten.", Some(Content::Json("MarksReset")))
            .problems(&[422]),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    job: Option<String>,
    step: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Json<view::MarkList>, Problem> {
    let limit = page_size(wanted.limit)?;
    let filter = MarkFilter {
        tenant: caller.tenant.to_string(),
        job_name: wanted.job,
        step: wanted.step,
        after: wanted.after.as_deref().map(place).transpose()?,
        // One more tells whether there is a next page.
        limit: limit + 1,
    };
    let mut rows = app.deps.ledger.marks(&filter).await?;
    let next = next_page(&mut rows, limit, |row| format!("{}.{}", row.id, row.job_name));
    Ok(Json(view::MarkList { marks: rows.into_iter().map(view::Mark::from).collect(), next }))
}

/// Where a page ended: ids have no dot.
fn place(after: &str) -> Result<(String, MarkId), Problem> {
    let place = after.split_once('.').and_then(|(id, name)| Some((name.to_owned(), id.parse().ok()?)));
    place.ok_or_else(|| Problem::field("after", "expected `next` of the page before"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unwanted {
    job: Option<String>,
    step: Option<String>,
}

/// Idempotent: what is forgotten stays so.
async fn reset(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Query(unwanted): Query<Unwanted>,
) -> Result<Json<MarksReset>, Problem> {
    let Some(job) = unwanted.job else {
        return Err(Problem::field("job", "expected the name of the jobs whose marks are to be forgotten"));
    };
    let tenant = caller.tenant.to_string();
    let filter = MarkFilter { tenant, job_name: Some(job), step: unwanted.step, ..MarkFilter::default() };
    let marks = app.deps.ledger.reset_marks(&filter).await?;
    tracing::info!(job.name = filter.job_name, step = filter.step, marks, key.id = caller.id, "marks forgotten");
    Ok(Json(MarksReset { marks }))
}
