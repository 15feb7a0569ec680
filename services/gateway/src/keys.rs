//! `/v1/keys`: the tenant's API keys.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tidegate_registry::{KeyRow, NewKey, Scope, Scopes};

use crate::app::{App, Caller};
use crate::body::JsonBody;
use crate::problem::Problem;
use crate::route::{Content, Route};

/// Longest name, in characters.
const NAME_MAX_CHARS: usize = 200;

/// A key to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewKey")]
pub(crate) struct Wanted {
    /// For people, at most 200 characters.
    #[serde(default)]
    name: String,
    /// `submit`, `read`, `admin`: at least one of them. `admin` may do what the others may.
    #[schemars(with = "Vec<String>")]
    scopes: Vec<Scope>,
    /// Unix ms; without, it never expires.
    #[serde(default)]
    expires_at_ms: Option<i64>,
}

/// A key that was made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MadeKey")]
pub(crate) struct Made {
    /// Its id: what it is revoked by.
    id: String,
    /// The key. It is shown only now.
    key: String,
}

/// A key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub(crate) struct Listed {
    /// Its id.
    id: String,
    /// For people.
    name: String,
    /// `submit`, `read`, `admin`, separated by spaces.
    scopes: String,
    /// Unix ms.
    created_at_ms: i64,
    /// Unix ms; from then on it is refused.
    expires_at_ms: Option<i64>,
    /// Unix ms, about.
    last_used_at_ms: Option<i64>,
    /// Unix ms; revoked for good.
    revoked_at_ms: Option<i64>,
}

impl From<KeyRow> for Listed {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            scopes: row.scopes.to_string(),
            created_at_ms: row.created_at_ms,
            expires_at_ms: row.expires_at_ms,
            last_used_at_ms: row.last_used_at_ms,
            revoked_at_ms: row.revoked_at_ms,
        }
    }
}

/// The tenant's keys.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeyList {
    /// Newest first, revoked ones too.
    keys: Vec<Listed>,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/keys", list).needs(Scope::Admin).summary("API keys, without their secrets").answers(
            200,
            "All of them.",
            Some(Content::Json("KeyList")),
        ),
        Route::post("/v1/keys", make)
            .needs(Scope::Admin)
            .summary("Make an API key")
            .description("The answer alone shows it; of the key itself only a digest is stored.")
            .body(Content::Json("NewKey"))
            .answers(201, "It is made.", Some(Content::Json("MadeKey")))
            .problems(&[429]),
        Route::delete("/v1/keys/{key}", revoke)
            .needs(Scope::Admin)
            .summary("Revoke an API key, for good")
            .description("Other gateways may take it for another minute.")
            .answers(204, "It is revoked.", None),
    ]
}

async fn list(State(app): State<Arc<App>>, Extension(caller): Caller) -> Result<Json<KeyList>, Problem> {
    let keys = app.deps.registry.keys(&caller.tenant).await?;
    Ok(Json(KeyList { keys: keys.into_iter().map(Listed::from).collect() }))
}

async fn make(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, Problem> {
    let now_ms = app.now_ms();
    let scopes = Scopes::new(wanted.scopes).map_err(|error| Problem::field("/scopes", error.to_string()))?;
    if wanted.name.chars().count() > NAME_MAX_CHARS {
        return Err(Problem::field("/name", format!("expected at most {NAME_MAX_CHARS} characters")));
    }
    if wanted.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms) {
        return Err(Problem::field("/expires_at_ms", format!("expected a time to come, above {now_ms}")));
    }
    let (key, text) = NewKey::generate(caller.tenant.clone(), &wanted.name, scopes, wanted.expires_at_ms);
    app.deps.registry.add_key(&key, now_ms).await?;
    tracing::info!(key.id = key.id, by = caller.id, scopes = %key.scopes, "API key made");
    let made = Made { id: key.id, key: text.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(made)).into_response())
}

async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if !app.deps.registry.revoke_key(&caller.tenant, &id, app.now_ms()).await? {
        return Err(Problem::not_found("API key"));
    }
    app.keys.forget(&id);
    tracing::info!(key.id = id, by = caller.id, "API key revoked");
    Ok(StatusCode::NO_CONTENT)
}
