//! What stands around every page.

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::form::CSRF;
use super::gate::Viewer;
use crate::problem::{Kind, Problem};

/// htmx evaluates nothing, writes no style, keeps no page and asks nobody else.
const HTMX: &str = r#"{"allowEval":false,"includeIndicatorStyles":false,"historyCacheSize":0,"selfRequestsOnly":true}"#;
/// The part for who runs the deployment alone.
const DEAD: (&str, &str) = ("/ui/dead", "Dead letters");
/// The parts of the page: address and name.
const PARTS: &[(&str, &str)] = &[
    ("/ui/jobs", "Jobs"),
    ("/ui/limits", "Limits"),
    ("/ui/providers", "Providers"),
    ("/ui/credentials", "Credentials"),
];

/// A page as an answer.
pub(super) struct Page(pub(super) Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let media = HeaderValue::from_static("text/html; charset=utf-8");
        ([(CONTENT_TYPE, media)], self.0.into_string()).into_response()
    }
}

/// A page of the part at `part`.
pub(super) fn page(viewer: &Viewer, part: &str, title: &str, main: &Markup) -> Page {
    whole(Some(viewer), part, title, main)
}

/// A page for those who are not logged in.
pub(super) fn outside(title: &str, main: &Markup) -> Page {
    whole(None, "", title, main)
}

fn whole(viewer: Option<&Viewer>, part: &str, title: &str, main: &Markup) -> Page {
    Page(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · Tidegate" }
                link rel="icon" type="image/svg+xml" href="/ui/assets/icon.svg";
                link rel="stylesheet" href="/ui/assets/page.css";
                script src="/ui/assets/htmx.min.js" defer {}
                script src="/ui/assets/htmx-ext-sse.min.js" defer {}
                script src="/ui/assets/idiomorph-ext.min.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header {
                    a.brand href="/ui/jobs" { img src="/ui/assets/icon.svg" alt="" width="24" height="24"; "Tidegate" }
                    @if let Some(viewer) = viewer {
                        nav aria-label="Main" {
                            @for (address, name) in PARTS.iter().chain(viewer.runs_deployment.then_some(&DEAD)) {
                                a href=(address) aria-current=[(*address == part).then_some("page")] { (name) }
                            }
                        }
                        (who(viewer))
                    }
                }
                main #main tabindex="-1" { (main) }
            }
        }
    })
}

fn who(viewer: &Viewer) -> Markup {
    let name = if viewer.key.name.is_empty() { &viewer.key.id } else { &viewer.key.name };
    html! {
        form.who method="post" action="/ui/logout" {
            span title={ "Scopes: " (viewer.key.scopes) } { (name) " of " (viewer.key.tenant) }
            (token(viewer))
            button.quiet type="submit" { "Log out" }
        }
    }
}

/// The field that shows that a form is of this session.
pub(super) fn token(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name=(CSRF) value=(viewer.session.csrf); }
}

/// A button that does one thing.
pub(super) fn button(viewer: &Viewer, id: &str, action: &str, name: &str) -> Markup {
    html! {
        form method="post" action=(action) {
            (token(viewer))
            button type="submit" id=(id) { (name) }
        }
    }
}

/// A table that scrolls by itself where the window is too narrow for it.
pub(super) fn table(name: &str, head: &Markup, rows: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(name) tabindex="0" {
            table { thead { tr { (head) } } tbody { (rows) } }
        }
    }
}

/// What went wrong.
pub(super) fn problem(viewer: Option<&Viewer>, problem: Problem) -> Response {
    let main = html! {
        h1 { (problem.kind.title()) }
        p { (problem.detail) }
        @if problem.errors.len() > 1 {
            ul { @for error in &problem.errors { li { code { (error.pointer) } ": " (error.detail) } } }
        }
        @if problem.kind != Kind::Unauthorized { p { a href="/ui/jobs" { "To the jobs" } } }
    };
    let mut response = whole(viewer, "", problem.kind.title(), &main).into_response();
    *response.status_mut() = problem.kind.status();
    if let Some(seconds) = problem.retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
