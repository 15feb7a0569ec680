//! `POST /v1/plan`: what a job would take.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use tidegate_forecast::{Assumptions, Basis, Forecast, forecast};
use tidegate_provider::{Caller as CalledBy, parse_job_with_provider};
use tidegate_registry::Scope;

use crate::app::{App, Caller};
use crate::body::FileText;
use crate::post_job::{self, BODY};
use crate::problem::Problem;
use crate::route::{Content, Parameter, Route};

pub(crate) fn routes() -> Vec<Route> {
    const QUERY: &[Parameter] = &[Parameter {
        name: "assume",
        kind: "string",
        description: "How long lists are taken to be, separated by commas: `followers=10000` items, or \
                      `statuses.pages=3` pages, of each fetch of a step.",
    }];
    vec![
        Route::post("/v1/plan", plan)
            .needs(Scope::Submit)
            .summary("What a job would take: calls, units of each limit, the least time")
            .description("Nothing is stored and nobody is called. What is not known is a lower bound, and says so.")
            .query(QUERY)
            .body(Content::File("JobFile"))
            .answers(200, "What it would take.", Some(Content::Json("Forecast"))),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    assume: String,
}

async fn plan(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Query(wanted): Query<Wanted>,
    FileText(text): FileText,
) -> Result<Json<Forecast>, Problem> {
    let (job, own) = parse_job_with_provider(&text, BODY)?;
    let provider = post_job::provider(&app, &caller, &job.file, own.as_ref()).await?;
    let spec = post_job::check(&job, own.as_ref(), &provider)?;
    let texts = wanted.assume.split(',').map(str::trim).filter(|text| !text.is_empty());
    let assumptions = Assumptions::parse(texts).and_then(|assumptions| assumptions.check(&spec).map(|()| assumptions));
    let basis = Basis {
        assumptions: assumptions.map_err(|error| Problem::field("assume", error.to_string()))?,
        max_in_flight: spec.job().max_in_flight,
        now_ms: app.now_ms(),
        ..Basis::default()
    };
    let by = CalledBy { egress: "default", credential: None, tenant: Some(caller.tenant.as_str()), buckets: None };
    Ok(Json(forecast(&spec, &basis, &by)))
}
