//! Style and scripts, part of the program.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;
use crate::route::Route;

/// Name, media type and content.
const ASSETS: &[(&str, &str, &str)] = &[
    ("page.css", "text/css; charset=utf-8", include_str!("assets/page.css")),
    ("htmx.min.js", JAVASCRIPT, include_str!("assets/htmx.min.js")),
    ("htmx-ext-sse.min.js", JAVASCRIPT, include_str!("assets/htmx-ext-sse.min.js")),
    ("idiomorph-ext.min.js", JAVASCRIPT, include_str!("assets/idiomorph-ext.min.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/ui/assets/{file}", asset)]
}

async fn asset(Path(file): Path<String>) -> Result<Response, Problem> {
    let found = ASSETS.iter().find(|(name, _, _)| *name == file).ok_or_else(|| Problem::not_found("file"))?;
    let (_, media, content) = *found;
    Ok(([(CONTENT_TYPE, media), (CACHE_CONTROL, "public, max-age=300")], content).into_response())
}
