//! All jobs.

use std::sync::Arc;

use axum::extract::{Query, State};
use maud::{Markup, html};
use tidegate_registry::Scope;

use super::frame::{self, Page};
use super::gate::Viewer;
use super::job_parts::{progress, state};
use super::text::{count, query, time};
use crate::app::App;
use crate::jobs::{self, Wanted};
use crate::problem::Problem;
use crate::route::Route;
use crate::view::Job;

const STATES: &[&str] = &["submitted", "running", "succeeded", "failed", "cancelled"];

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/ui/jobs", show).needs(Scope::Read)]
}

async fn show(State(app): State<Arc<App>>, viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Page, Problem> {
    let (search, state) = (wanted.search.clone().unwrap_or_default(), wanted.state.clone().unwrap_or_default());
    let is_first = wanted.after.is_none();
    let list = jobs::list(State(app), viewer.caller(), Query(wanted)).await?.0;
    let older =
        |after: &str| format!("/ui/jobs?search={}&state={}&after={}", query(&search), query(&state), query(after));
    let main = html! {
        h1 { "Jobs" }
        (filter(&search, &state))
        @if list.jobs.is_empty() {
            p { @if is_first && search.is_empty() && state.is_empty() { "No job was submitted yet." } @else { "No job fits." } }
        } @else {
            (frame::table("Jobs", &head(), &html! { @for job in &list.jobs { (row(job)) } }))
        }
        nav.pages aria-label="Pages" {
            @if !is_first { a href="/ui/jobs" { "Newest" } }
            @if let Some(next) = &list.next { a href=(older(next)) rel="next" { "Older" } }
        }
    };
    Ok(frame::page(&viewer, "/ui/jobs", "Jobs", &main))
}

fn filter(search: &str, chosen: &str) -> Markup {
    html! {
        form.filter method="get" action="/ui/jobs" role="search" {
            div.field {
                label for="search" { "Name" }
                input #search type="search" name="search" value=(search);
            }
            div.field {
                label for="state" { "State" }
                select #state name="state" {
                    option value="" { "any" }
                    @for state in STATES { option value=(state) selected[*state == chosen] { (state) } }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn head() -> Markup {
    html! {
        th scope="col" { "Job" }
        th scope="col" { "State" }
        th scope="col" { "Calls" }
        th.wide.number scope="col" { "Items" }
        th.wide.number scope="col" { "Failed" }
        th.wide scope="col" { "Submitted" }
    }
}

fn row(job: &Job) -> Markup {
    let counts = &job.counts;
    let ended = counts.calls_planned - counts.calls_open;
    html! {
        tr {
            td {
                a href={ "/ui/jobs/" (job.id) } { (job.name) }
                div.note { (job.provider) ", " (job.lane) }
            }
            td { (state(job)) }
            td {
                (progress("calls ended", ended, counts.calls_planned))
                div.note { (count(ended)) " of " (count(counts.calls_planned)) }
            }
            td.wide.number { (count(counts.items)) }
            td.wide.number { (count(counts.calls_failed)) }
            td.wide { (time(job.submitted_at_ms)) }
        }
    }
}
