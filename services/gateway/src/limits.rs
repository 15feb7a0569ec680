//! `/v1/limits`: the budgets that calls are held to, and what people want of them instead.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_limits::http::{DeleteQuery, LimitsQuery, is_of_tenant};
use tidegate_limits::{Override, Usage};
use tidegate_registry::{KeyRow, Scope};

use crate::app::{App, Caller};
use crate::body::JsonBody;
use crate::budgets::BudgetsError;
use crate::jobs::{LIMIT, page_size};
use crate::problem::{Kind, Problem};
use crate::route::{Content, Parameter, Route};

/// A page of budgets.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BudgetList {
    /// By key.
    pub(crate) budgets: Vec<Usage>,
    /// What people want of them instead, by key; with each page all of it.
    pub(crate) overrides: Vec<Override>,
    /// `after` of the next page; none on the last.
    pub(crate) next: Option<String>,
}

pub(crate) fn routes() -> Vec<Route> {
    const QUERY: &[Parameter] = &[
        Parameter { name: "provider", kind: "string", description: "Of this provider." },
        Parameter { name: "id", kind: "string", description: "Of the limit of this id in the provider file." },
        Parameter { name: "blocked", kind: "boolean", description: "Only those blocked by a refusal, or paused." },
        Parameter { name: "after", kind: "string", description: "`next` of the page before." },
        LIMIT,
    ];
    const ENDED: &[Parameter] = &[
        Parameter { name: "key", kind: "string", description: "The override's key." },
        Parameter { name: "does", kind: "string", description: "`pause` or `rate`; without, both." },
    ];
    vec![
        Route::get("/v1/limits", list)
            .needs(Scope::Read)
            .summary("Budgets in use: what is used of each limit, until when, and what people want of it instead")
            .description(
                "A tenant sees its own, and those that are shared by all; the tenant that runs the deployment sees all.",
            )
            .query(QUERY)
            .answers(200, "A page of them, by key.", Some(Content::Json("BudgetList")))
            .problems(&[422, 503]),
        Route::put("/v1/limits/overrides", put)
            .needs(Scope::Admin)
            .summary("Pause a budget, or set another rate than the provider file's, for all who use it")
            .description(
                "`key` is a budget's, or how the keys of many begin: `{acme}/token/` for a limit, `{acme}/` for a provider. \
                 `does` is `\"pause\"`, or `{\"rate\": …}` as in a provider file; a key has at most one of each. Calls that \
                 wait for a paused budget ask again every 15 s, and spend no attempt. While a rate is set, answers' headers \
                 are not believed; refusals are. What is shared is changed by the tenant that runs the deployment alone.",
            )
            .body(Content::Json("Override"))
            .answers(200, "As it is now.", Some(Content::Json("Override")))
            .problems(&[403, 429, 503]),
        Route::delete("/v1/limits/overrides", delete)
            .needs(Scope::Admin)
            .summary("End a pause, or have the provider file's rate again")
            .query(ENDED)
            .answers(204, "It is over. Calls that wait for it go on within 15 s.", None)
            .problems(&[403, 404, 422, 503]),
    ]
}

/// Which budgets are wanted.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) provider: Option<String>,
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) blocked: bool,
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<u32>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Json<BudgetList>, Problem> {
    let Wanted { provider, id, blocked, after, limit } = wanted;
    let max = Some(page_size(limit)? as usize);
    let tenant = (!runs_deployment(&app, &caller)).then(|| caller.tenant.to_string());
    let query = LimitsQuery { provider, id, tenant, blocked, after, max };
    let reply = app.deps.budgets.limits(&query).await?;
    let next = reply.limits.last().filter(|_| reply.left_off > 0).map(|last| last.key.clone());
    Ok(Json(BudgetList { budgets: reply.limits, overrides: reply.overrides, next }))
}

/// Idempotent by key and kind: the last one stands.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    JsonBody(wanted): JsonBody<Override>,
) -> Result<Json<Override>, Problem> {
    wanted.check().map_err(|error| {
        Problem::field(&format!("/{}", error.field.replace('.', "/")), format!("expected {}", error.expected))
    })?;
    if let Some(until_ms) = wanted.until_ms.filter(|&until_ms| until_ms <= app.now_ms()) {
        return Err(Problem::field("/until_ms", format!("expected a time to come, found {until_ms}")));
    }
    may_change(&app, &caller, &wanted.key)?;
    if !app.deps.budgets.put_override(wanted.clone()).await? {
        return Err(Problem::new(Kind::TooManyOpen, "the provider's budgets have as many overrides as they may have"));
    }
    tracing::info!(budget = wanted.key, reason = wanted.reason, key.id = caller.id, "override set");
    Ok(Json(wanted))
}

/// Idempotent: there is none afterwards.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, Problem> {
    may_change(&app, &caller, &query.key)?;
    if !app.deps.budgets.delete_override(&query.key, query.does).await? {
        return Err(Problem::not_found("override"));
    }
    tracing::info!(budget = query.key, key.id = caller.id, "override ended");
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the caller is of the tenant that runs the deployment.
pub(crate) fn runs_deployment(app: &App, caller: &KeyRow) -> bool {
    caller.tenant.as_str() == app.config.operator
}

/// What is shared is nobody's to change but the operator's.
pub(crate) fn may_change(app: &App, caller: &KeyRow, key: &str) -> Result<(), Problem> {
    if runs_deployment(app, caller) || is_of_tenant(key, caller.tenant.as_str()) {
        return Ok(());
    }
    let detail =
        format!("this budget is not {}'s alone: only tenant {} may change it", caller.tenant, app.config.operator);
    Err(Problem::new(Kind::Forbidden, detail))
}

impl From<BudgetsError> for Problem {
    fn from(error: BudgetsError) -> Self {
        match error {
            BudgetsError::Unavailable(_) => Self::ours(Kind::Unavailable, &error).retry_after(5),
            BudgetsError::Refused(_) => Self::ours(Kind::Internal, &error),
        }
    }
}
