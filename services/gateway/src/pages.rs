//! `/v1/jobs/{id}/pages/{call}`: the items of one call, where a message of the results exchange refers to them.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tidegate_contracts::CallId;
use tidegate_formats::Format;
use tidegate_registry::Scope;

use crate::app::{App, Caller};
use crate::items::take_place;
use crate::job_id::{OwnJob, has_tree};
use crate::problem::{Kind, Problem};
use crate::route::{Content, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/jobs/{id}/pages/{call}", page)
            .needs(Scope::Read)
            .summary("The items of one call's page, as NDJSON")
            .description(
                "As the provider wrote them, those too that other pages of the fetch have. Messages of the results exchange \
                 name this address.",
            )
            .answers(200, "The items; none of a page without.", Some(Content::Media(Format::Ndjson.media_type())))
            .problems(&[410, 429]),
    ]
}

async fn page(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    OwnJob(job): OwnJob,
    Path(path): Path<HashMap<String, String>>,
) -> Result<Response, Problem> {
    has_tree(&job)?;
    let nothing = || Problem::not_found("page");
    let call: CallId = path.get("call").and_then(|call| call.parse().ok()).ok_or_else(nothing)?;
    // A page may be large, and is in memory whole.
    let place = take_place(&app, &caller)?;
    let packed = app.deps.ledger.page_lines(job.id, call).await?.ok_or_else(nothing)?;
    let unpacked = tokio::task::spawn_blocking(move || (packed.unpack(), place)).await;
    let lines = unpacked.context("unpacking a page died").and_then(|(lines, _)| lines.context("can't unpack a page"));
    let lines = lines.map_err(|error| Problem::ours(Kind::Internal, &*error))?;
    Ok(([(CONTENT_TYPE, Format::Ndjson.media_type())], lines).into_response())
}
