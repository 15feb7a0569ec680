//! Failed and skipped calls, one by one.

use std::sync::Arc;

use axum::extract::{Query, State};
use maud::{Markup, html};
use tidegate_registry::Scope;

use super::frame::{self, Page};
use super::gate::Viewer;
use super::text::{query, short};
use crate::app::App;
use crate::job_id::OwnJob;
use crate::problem::Problem;
use crate::route::Route;
use crate::tree::{self, Failures};
use crate::view::Failed;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/ui/jobs/{id}/failures", show).needs(Scope::Read)]
}

async fn show(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    OwnJob(job): OwnJob,
    Query(wanted): Query<Failures>,
) -> Result<Page, Problem> {
    let is_first = wanted.after.is_none();
    let to = format!("/ui/jobs/{}", job.id);
    let of = [("fetch", &wanted.fetch), ("step", &wanted.step), ("class", &wanted.class)];
    let of: Vec<_> = of.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    let more = |next: &str| {
        let fields: String = of.iter().map(|(name, value)| format!("{name}={}&", query(value))).collect();
        format!("{to}/failures?{fields}after={}", query(next))
    };
    let list = tree::failures(State(app), OwnJob(job.clone()), Query(wanted)).await?.0;
    let head = html! {
        th scope="col" { "Call" }
        th scope="col" { "Error" }
        th.wide.number scope="col" { "Attempts" }
    };
    let main = html! {
        p { a href=(to) { "‹ " (job.name) } }
        h1 { "Failed calls of " (job.name) }
        @if !of.is_empty() {
            p {
                "Of " @for (place, (name, value)) in of.iter().enumerate() { @if place > 0 { ", " } (name) " " code { (value) } } ". "
                a href={ (to) "/failures" } { "All of them" }
            }
        }
        @if list.calls.is_empty() { p { "There are none." } }
        @else { (frame::table("Failed calls", &head, &html! { @for call in &list.calls { (row(call)) } })) }
        nav.pages aria-label="Pages" {
            @if !is_first { a href={ (to) "/failures" } { "First" } }
            @if let Some(next) = &list.next { a href=(more(next)) rel="next" { "More" } }
        }
    };
    Ok(frame::page(&viewer, "/ui/jobs", &format!("Failed calls of {}", job.name), &main))
}

fn row(call: &Failed) -> Markup {
    html! {
        tr {
            td {
                (call.step) ", " (call.page)
                div.note { code { (short(call.params.get(), 200)) } }
            }
            td {
                b { (call.class) } @if let Some(status) = call.status { " " (status) }
                @if call.state != "failed" { span.note { " " (call.state) } }
                div.message { (call.message) }
            }
            td.wide.number { (call.attempt) }
        }
    }
}
