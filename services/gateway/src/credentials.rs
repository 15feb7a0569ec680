//! `/v1/credentials`: secrets go in, and never come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Serialize;
use tidegate_provider::Credential;
use tidegate_provider::file::Name;
use tidegate_registry::{CredentialRow, Scope};
use zeroize::Zeroizing;

use crate::app::{App, Caller};
use crate::body::SecretJson;
use crate::problem::{Kind, Problem};
use crate::route::{Content, Route};
use crate::{stop, view};

/// The fields of a credential: `{"token": "…"}`, or as many as the provider's file names.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "CredentialFields")]
pub(crate) struct Fields(BTreeMap<String, String>);

/// A credential that was stored.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StoredCredential")]
pub(crate) struct Stored {
    /// Its name.
    name: String,
    /// From 1, one more with each change.
    version: i64,
}

/// A credential, without what is in it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Credential")]
pub(crate) struct Listed {
    /// Its name.
    pub(crate) name: String,
    /// From 1, one more with each change.
    pub(crate) version: i64,
    /// Unix ms.
    created_at_ms: i64,
    /// Unix ms.
    pub(crate) updated_at_ms: i64,
    /// Its provider takes it no more: no call is made with it until it is stored anew. Jobs that have no other wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parked: Option<view::Parked>,
}

impl From<CredentialRow> for Listed {
    fn from(row: CredentialRow) -> Self {
        let parked = row.parked().map(view::Parked::from);
        let CredentialRow { name, version, created_at_ms, updated_at_ms, .. } = row;
        Self { name, version, created_at_ms, updated_at_ms, parked }
    }
}

/// The names of credentials.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CredentialList {
    /// By name.
    pub(crate) credentials: Vec<Listed>,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/credentials", list)
            .needs(Scope::Read)
            .summary("Names of credentials, when they were changed, and which are parked")
            .answers(200, "All of them, without what is in them.", Some(Content::Json("CredentialList"))),
        Route::put("/v1/credentials/{name}", put)
            .needs(Scope::Admin)
            .summary("Store a credential")
            .description(
                "It is encrypted where it is stored, and never shown again. A bare text is the field `token`. If the one before \
                 was parked, jobs that wait for it go on at once.",
            )
            .body(Content::Json("CredentialFields"))
            .answers(200, "It replaced another one.", Some(Content::Json("StoredCredential")))
            .answers(201, "It is new.", Some(Content::Json("StoredCredential")))
            .problems(&[409, 429]),
        Route::delete("/v1/credentials/{name}", delete).needs(Scope::Admin).summary("Delete a credential").answers(
            204,
            "It is gone. Jobs that use it fail at their next call.",
            None,
        ),
    ]
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
) -> Result<Json<CredentialList>, Problem> {
    let credentials = app.deps.registry.credentials(&caller.tenant).await?;
    Ok(Json(CredentialList { credentials: credentials.into_iter().map(Listed::from).collect() }))
}

async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(name): Path<String>,
    SecretJson(text): SecretJson,
) -> Result<(StatusCode, Json<Stored>), Problem> {
    let name = Name::try_from(name).map_err(|error| Problem::new(Kind::Invalid, error))?;
    let credential = credential(&name, &text)?;
    let waiting = app.deps.ledger.parked(caller.tenant.as_str(), name.as_str()).await?;
    let version = app.deps.vault.put(&caller.tenant, &name, &credential, app.now_ms()).await?;
    stop::go_on(&app, waiting).await;
    tracing::info!(credential = %name, version, "credential stored");
    let status = if version == 1 { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Stored { name: name.to_string(), version })))
}

/// What is wrong is told without what stands there.
fn credential(name: &Name, json: &str) -> Result<Credential, Problem> {
    let malformed = || Problem::field("", "expected an object of texts such as {\"token\": \"…\"}, or one text");
    if let Ok(token) = serde_json::from_str::<Zeroizing<String>>(json) {
        let token = SecretString::from(token.trim());
        if secrecy::ExposeSecret::expose_secret(&token).is_empty() {
            return Err(malformed());
        }
        return Ok(Credential::new(name.as_str(), [("token".to_owned(), token)]));
    }
    if !json.trim_start().starts_with('{') {
        return Err(malformed());
    }
    Credential::from_text(name.as_str(), json).map_err(|_| malformed())
}

async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let gone = || Problem::not_found("credential");
    let name = Name::try_from(name).map_err(|_| gone())?;
    let waiting = app.deps.ledger.parked(caller.tenant.as_str(), name.as_str()).await?;
    let deleted = app.deps.registry.delete_credential(&caller.tenant, &name).await?;
    stop::go_on(&app, waiting).await;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(gone()) }
}
