//! `/v1/providers`: the tenant's provider files.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_provider::file::Name;
use tidegate_provider::parse_provider;
use tidegate_registry::{ProviderInfo, Scope};

use crate::app::{App, Caller};
use crate::body::FileText;
use crate::problem::{Kind, Problem};
use crate::provider_file::resolve;
use crate::route::{Content, Route};
use crate::view::raw;

/// A stored provider file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Provider {
    /// Its name.
    pub(crate) name: String,
    /// From 1, one more with each change.
    pub(crate) version: i64,
    /// Unix ms.
    created_at_ms: i64,
    /// Unix ms.
    pub(crate) updated_at_ms: i64,
    /// The file; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<tidegate_provider::ProviderFile>")]
    pub(crate) file: Option<Box<RawValue>>,
}

impl From<ProviderInfo> for Provider {
    fn from(info: ProviderInfo) -> Self {
        let ProviderInfo { name, version, created_at_ms, updated_at_ms } = info;
        Self { name, version, created_at_ms, updated_at_ms, file: None }
    }
}

/// Stored provider files.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProviderList {
    /// By name.
    pub(crate) providers: Vec<Provider>,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/providers", list)
            .needs(Scope::Read)
            .summary("Stored provider files")
            .answers(200, "All of them, without what is in them.", Some(Content::Json("ProviderList"))),
        Route::put("/v1/providers/{name}", put)
            .needs(Scope::Admin)
            .summary("Store a provider file")
            .description(
                "Jobs that were submitted before keep the file they were submitted with. `extends` names another stored \
                 provider or a pack. Secrets belong into credentials: whoever may read sees this file.",
            )
            .body(Content::File("ProviderFile"))
            .answers(200, "It replaced another one, or was there.", Some(Content::Json("Provider")))
            .answers(201, "It is new.", Some(Content::Json("Provider")))
            .problems(&[429]),
        Route::get("/v1/providers/{name}", show)
            .needs(Scope::Read)
            .summary("A stored provider file")
            .answers(200, "It, with its file.", Some(Content::Json("Provider"))),
        Route::delete("/v1/providers/{name}", delete)
            .needs(Scope::Admin)
            .summary("Delete a provider file")
            .answers(204, "It is gone. Jobs that were submitted with it go on.", None),
    ]
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
) -> Result<Json<ProviderList>, Problem> {
    let providers = app.deps.registry.providers(&caller.tenant).await?;
    Ok(Json(ProviderList { providers: providers.into_iter().map(Provider::from).collect() }))
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(name): Path<String>,
    FileText(text): FileText,
) -> Result<Response, Problem> {
    let name = Name::try_from(name).map_err(|error| Problem::new(Kind::Invalid, error))?;
    let file = parse_provider(&text, "body")?.file;
    if file.provider != name {
        return Err(Problem::field(
            "/provider",
            format!("expected {name}, as in the address, found {}", file.provider),
        ));
    }
    let (registry, tenant) = (&app.deps.registry, &caller.tenant);
    // What it extends may change later, and is looked up again with each job; now it must fit.
    resolve(&**registry, tenant, file.clone(), "").await?;
    let json = serde_json::to_string(&file).map_err(|error| Problem::ours(Kind::Internal, &error))?;
    let is_new = registry.provider(tenant, &name).await?.is_none();
    let version = registry.put_provider(tenant, &name, &json, app.now_ms()).await?;
    tracing::info!(provider = %name, version, "provider stored");
    let stored = find(&app, &caller.tenant, &name).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [(LOCATION, format!("/v1/providers/{name}"))], Json(stored)).into_response())
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(name): Path<String>,
) -> Result<Json<Provider>, Problem> {
    let name = Name::try_from(name).map_err(|_| Problem::not_found("provider"))?;
    find(&app, &caller.tenant, &name).await.map(Json)
}

async fn find(app: &App, tenant: &tidegate_registry::Tenant, name: &Name) -> Result<Provider, Problem> {
    let row = app.deps.registry.provider(tenant, name).await?.ok_or_else(|| Problem::not_found("provider"))?;
    let (version, created_at_ms, updated_at_ms) = (row.version, row.created_at_ms, row.updated_at_ms);
    Ok(Provider { name: row.name, version, created_at_ms, updated_at_ms, file: Some(raw(row.file)) })
}

async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let gone = || Problem::not_found("provider");
    let name = Name::try_from(name).map_err(|_| gone())?;
    let deleted = app.deps.registry.delete_provider(&caller.tenant, &name).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(gone()) }
}
