//! The simulator's own addresses, below `/_simulator`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::stats::Stats;
use crate::visit::Site;

/// `GET stats`, `POST reset`, `GET ids?endpoint=&parent=`, `PUT token {"token": …}`.
pub(crate) fn routes() -> Router<Arc<Site>> {
    Router::new()
        .route("/_simulator/stats", get(stats))
        .route("/_simulator/reset", post(reset))
        .route("/_simulator/ids", get(ids))
        .route("/_simulator/token", axum::routing::put(token))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdsOf {
    endpoint: String,
    #[serde(default)]
    parent: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    token: Option<String>,
}

async fn stats(State(site): State<Arc<Site>>) -> Json<Stats> {
    Json(site.stats())
}

async fn reset(State(site): State<Arc<Site>>) -> StatusCode {
    site.reset();
    StatusCode::NO_CONTENT
}

async fn ids(State(site): State<Arc<Site>>, Query(of): Query<IdsOf>) -> Result<Json<Vec<String>>, StatusCode> {
    site.ids(&of.endpoint, &of.parent).map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn token(State(site): State<Arc<Site>>, Json(accepted): Json<Accepted>) -> StatusCode {
    site.book().token = accepted.token;
    StatusCode::NO_CONTENT
}
