//! `/v1/providers/{name}/unmatched`: answers that no error rule of a provider speaks of.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tidegate_contracts::Class;
use tidegate_ledger::{UNMATCHED_MAX, UnmatchedRow};
use tidegate_provider::Unmatched;
use tidegate_provider::file::Name;
use tidegate_registry::{KeyRow, Scope};

use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::route::{Content, Route};

/// An answer that no error rule speaks of, and those like it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UnmatchedAnswer {
    /// The endpoint that answered.
    pub(crate) endpoint: String,
    /// Its status.
    pub(crate) status: u16,
    /// What it was taken for.
    #[schemars(with = "String")]
    pub(crate) class: Class,
    /// What it says to people.
    pub(crate) message: String,
    /// How often the like was seen.
    pub(crate) count: u64,
    /// Unix ms.
    pub(crate) first_seen_ms: i64,
    /// Unix ms.
    pub(crate) last_seen_ms: i64,
    /// A rule for `errors` of the provider file that speaks of it, of the class that it was taken for; null when nothing of
    /// it tells it from a page.
    pub(crate) rule: Option<Value>,
    /// The answer for `answers` of what `tidegate provider test` holds the file to, with what it means once there is the
    /// rule.
    pub(crate) answer: Value,
}

/// Answers that no error rule speaks of.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UnmatchedList {
    /// Those seen last first, at most 50.
    pub(crate) unmatched: Vec<UnmatchedAnswer>,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/providers/{name}/unmatched", list)
            .needs(Scope::Read)
            .summary("Answers that no error rule of a provider speaks of, ready to be made a rule and its test")
            .description(
                "Samples of what the tenant's own jobs were answered, without secrets, one for answers that look alike. Of \
                 packs, too.",
            )
            .answers(200, "All that are kept.", Some(Content::Json("UnmatchedList"))),
    ]
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(name): Path<String>,
) -> Result<Json<UnmatchedList>, Problem> {
    let samples = samples(&app, &caller, name).await?;
    Ok(Json(UnmatchedList { unmatched: samples.into_iter().map(shown).collect() }))
}

/// Samples of a provider, each with what is counted of it. One that another build wrote may be one that this one can't read.
pub(crate) async fn samples(
    app: &App,
    caller: &KeyRow,
    name: String,
) -> Result<Vec<(Unmatched, UnmatchedRow)>, Problem> {
    let name = Name::try_from(name).map_err(|_| Problem::not_found("provider"))?;
    let mut rows = app.deps.unmatched.unmatched(caller.tenant.as_str(), name.as_str()).await?;
    rows.truncate(UNMATCHED_MAX as usize);
    Ok(rows.into_iter().filter_map(|row| Some((serde_json::from_str(&row.sample).ok()?, row))).collect())
}

fn shown((sample, row): (Unmatched, UnmatchedRow)) -> UnmatchedAnswer {
    let (rule, answer) = (sample.rule(), sample.answer());
    UnmatchedAnswer {
        endpoint: sample.endpoint,
        status: sample.status,
        class: sample.class,
        message: sample.message,
        count: row.count,
        first_seen_ms: row.first_seen_ms,
        last_seen_ms: row.last_seen_ms,
        rule,
        answer,
    }
}
