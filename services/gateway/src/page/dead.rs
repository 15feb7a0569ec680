//! Dead letters: for who runs the deployment.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use tidegate_registry::Scope;

use super::form::Form;
use super::frame::{self, Page};
use super::gate::Viewer;
use super::text::{count, query, short, time};
use crate::app::App;
use crate::dead::{self, Dead, Wanted};
use crate::problem::Problem;
use crate::route::Route;

/// Of a reason, what a list shows, in characters.
const REASON_CHARS: usize = 200;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/ui/dead", list).needs(Scope::Admin),
        Route::get("/ui/dead/{letter}", show).needs(Scope::Admin),
        Route::post("/ui/dead/{letter}/replay", replay).needs(Scope::Admin),
        Route::post("/ui/dead/{letter}/drop", delete).needs(Scope::Admin),
    ]
}

async fn list(State(app): State<Arc<App>>, viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Page, Problem> {
    let is_first = wanted.after.is_none();
    let list = dead::list(State(app), viewer.caller(), Query(wanted)).await?.0;
    let head = html! {
        th scope="col" { "Why" }
        th scope="col" { "Queue" }
        th.wide scope="col" { "Died" }
        th.wide scope="col" { "Sent again" }
    };
    let rows = html! {
        @for letter in &list.dead {
            tr {
                td { a href={ "/ui/dead/" (letter.id) } { (short(&letter.reason, REASON_CHARS)) } }
                td { (letter.queue) @if let Some(kind) = &letter.kind { div.note { (kind) } } }
                td.wide { (died(letter)) }
                td.wide { @if let Some(at_ms) = letter.replayed_at_ms { (time(at_ms)) } @else { "–" } }
            }
        }
    };
    let main = html! {
        h1 { "Dead letters" }
        p.note { "Messages that could not be handled, of all tenants. Sending one again is harmless." }
        @if list.dead.is_empty() { p { "There are none." } } @else { (frame::table("Dead letters", &head, &rows)) }
        nav.pages aria-label="Pages" {
            @if !is_first { a href="/ui/dead" { "Newest" } }
            @if let Some(next) = &list.next { a href={ "/ui/dead?after=" (query(next)) } rel="next" { "Older" } }
        }
    };
    Ok(frame::page(&viewer, "/ui/dead", "Dead letters", &main))
}

fn died(letter: &Dead) -> Markup {
    html! { @if letter.died_at_ms > 0 { (time(letter.died_at_ms)) } @else { "unknown" } }
}

async fn show(State(app): State<Arc<App>>, viewer: Viewer, Path(id): Path<String>) -> Result<Page, Problem> {
    let detail = dead::show(State(app), viewer.caller(), Path(id)).await?.0;
    let (letter, message) = (&detail.dead, serde_json::to_string_pretty(&detail.message).unwrap_or_default());
    let to = format!("/ui/dead/{}", letter.id);
    let main = html! {
        p { a href="/ui/dead" { "‹ Dead letters" } }
        h1 { "Dead letter" }
        p.why { (letter.reason) }
        div.actions {
            (frame::button(&viewer, "replay", &format!("{to}/replay"), "Send again"))
            (frame::button(&viewer, "drop", &format!("{to}/drop"), "Drop"))
        }
        dl.plain {
            dt { "Id" } dd { code { (letter.id) } }
            dt { "Queue" } dd { (letter.queue) }
            dt { "Kind" } dd { (letter.kind.as_deref().unwrap_or("can't be read")) }
            // A job of another tenant is not there.
            @if let Some(job) = &letter.job { dt { "Job" } dd { a href={ "/ui/jobs/" (job) } { (job) } } }
            dt { "Came back before" } dd { (letter.redelivered) " times" }
            dt { "Died" } dd { (died(letter)) }
            dt { "Kept since" } dd { (time(letter.kept_at_ms)) }
            @if let Some(at_ms) = letter.replayed_at_ms { dt { "Sent again" } dd { (time(at_ms)) } }
            dt { "Size" } dd { (count(letter.bytes)) " bytes" }
        }
        h2 { "What it says" }
        pre tabindex="0" role="region" aria-label="The message" { (message) }
    };
    Ok(frame::page(&viewer, "/ui/dead", "Dead letter", &main))
}

async fn replay(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path(id): Path<String>,
    _: Form,
) -> Result<Response, Problem> {
    let sent = dead::replay(State(app), viewer.caller(), Path(id)).await?.0;
    Ok(Redirect::to(&format!("/ui/dead/{}", sent.id)).into_response())
}

async fn delete(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path(id): Path<String>,
    _: Form,
) -> Result<Response, Problem> {
    dead::delete(State(app), viewer.caller(), Path(id)).await?;
    Ok(Redirect::to("/ui/dead").into_response())
}
