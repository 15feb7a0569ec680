//! The document, and a page that shows it: all of it from here, nothing from elsewhere.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;

use crate::openapi;
use crate::problem::Kind;
use crate::route::{Content, Route};

/// Only what is in the page itself may run, and it may ask only where it came from.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";
const PAGE: &str = include_str!("docs.html");

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/openapi.json", document).summary("This document").answers(
            200,
            "OpenAPI 3.1.",
            Some(Content::Media("application/json")),
        ),
        Route::get("/docs", page).summary("A page that shows this document").answers(
            200,
            "The page.",
            Some(Content::Media("text/html")),
        ),
    ]
}

async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], openapi::document())
}

async fn page() -> impl IntoResponse {
    let problem = |kind: &Kind| {
        let (code, status, title) = (kind.code(), kind.status().as_u16(), kind.title());
        format!("<tr id=\"problem-{code}\"><td>{code}</td><td>{status}</td><td>{title}</td></tr>")
    };
    let problems: String = Kind::ALL.iter().map(problem).collect();
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE.replace("<!-- problems -->", &problems))
}
