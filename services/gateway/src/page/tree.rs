//! One level of a job's tree.

use std::sync::Arc;

use axum::extract::{Query, State};
use maud::{Markup, html};
use tidegate_contracts::FetchId;
use tidegate_ledger::{FetchRow, JobRow};

use super::frame;
use super::job_parts::progress;
use super::text::{count, query, short};
use crate::app::App;
use crate::job_id::OwnJob;
use crate::problem::Problem;
use crate::tree::{self, Level};
use crate::view::{Fetch, FetchList};

/// Longest parameters that are shown, in characters.
const PARAMS_CHARS: usize = 80;
/// Levels above that are shown.
const DEPTH_MAX: usize = 32;

/// A level of a tree: who is above, the topmost first, and who is there.
pub(super) struct Shown {
    above: Vec<FetchRow>,
    list: FetchList,
    wanted: Level,
}

/// Reads a level.
///
/// # Errors
/// As the API's.
pub(super) async fn read(app: &Arc<App>, job: &JobRow, wanted: Level) -> Result<Shown, Problem> {
    let list = tree::fetches(State(Arc::clone(app)), OwnJob(job.clone()), Query(wanted.clone())).await?.0;
    let mut above = Vec::new();
    let mut next: Option<FetchId> = wanted.parent.as_ref().and_then(|parent| parent.parse().ok());
    while let Some(fetch) = next.take().filter(|_| above.len() < DEPTH_MAX) {
        let row = app.deps.ledger.fetch(job.id, fetch).await?.ok_or_else(|| Problem::not_found("fetch"))?;
        next = row.parent;
        above.push(row);
    }
    above.reverse();
    Ok(Shown { above, list, wanted })
}

/// The address of a level, without the job's.
pub(super) fn address(level: &Level) -> String {
    let field = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{name}={}", query(value))).unwrap_or_default()
    };
    let fields = [field("parent", &level.parent), field("step", &level.step), field("after", &level.after)];
    let fields: Vec<_> = fields.into_iter().filter(|field| !field.is_empty()).collect();
    if fields.is_empty() { String::new() } else { format!("?{}", fields.join("&")) }
}

/// Writes a level.
pub(super) fn shown(job: &str, Shown { above, list, wanted }: &Shown) -> Markup {
    let to = |level: &Level| format!("/ui/jobs/{job}{}#tree", address(level));
    let below = |parent: &str| Level { parent: Some(parent.to_owned()), ..Level::default() };
    let rows = html! {
        @for fetch in &list.fetches { (row(fetch, &to(&below(&fetch.id)))) }
    };
    html! {
        section {
            h2 #tree { "Tree" }
            nav.path aria-label="Above" {
                @if above.is_empty() { span aria-current="page" { "Roots" } } @else { a href=(to(&Level::default())) { "Roots" } }
                @for (place, fetch) in above.iter().enumerate() {
                    " › "
                    @if place + 1 == above.len() { span aria-current="page" { (name(&fetch.step, &fetch.params)) } }
                    @else { a href=(to(&below(&fetch.id.to_string()))) { (name(&fetch.step, &fetch.params)) } }
                }
            }
            @if list.fetches.is_empty() {
                p { "Nothing is below." }
            } @else {
                (frame::table("Fetches", &head(), &rows))
            }
            nav.pages aria-label="Pages of the tree" {
                @if wanted.after.is_some() { a href=(to(&Level { after: None, ..wanted.clone() })) { "First" } }
                @if list.next.is_some() { a href=(to(&Level { after: list.next.clone(), ..wanted.clone() })) rel="next" { "More" } }
            }
        }
    }
}

fn name(step: &str, params: &str) -> String {
    if params == "{}" { step.to_owned() } else { format!("{step} {}", short(params, PARAMS_CHARS)) }
}

fn head() -> Markup {
    html! {
        th scope="col" { "Fetch" }
        th scope="col" { "Calls" }
        th.number scope="col" { "Items" }
        th.wide.number scope="col" { "Failed" }
        th.wide.number scope="col" { "Open below" }
        th.wide scope="col" { "Stands" }
    }
}

fn row(fetch: &Fetch, below: &str) -> Markup {
    let ended = fetch.calls_planned - fetch.calls_open;
    html! {
        tr {
            td { a id={ "fetch-" (fetch.id) } href=(below) { (name(&fetch.step, fetch.params.get())) } }
            td {
                (progress("calls ended", ended, fetch.calls_planned))
                div.note { (count(ended)) " of " (count(fetch.calls_planned)) }
            }
            td.number { (count(fetch.items)) @if let Some(total) = fetch.total { span.note { " of " (count(total)) } } }
            td.wide.number { (count(fetch.calls_failed)) }
            td.wide.number { (count(fetch.children_open)) }
            td.wide { (stands(fetch)) }
        }
    }
}

fn stands(fetch: &Fetch) -> Markup {
    html! {
        @match (fetch.finished_at_ms, &fetch.fetch_end) {
            (Some(_), Some(end)) => { "finished: " (end.replace('_', " ")) }
            (Some(_), None) => "finished",
            (None, _) if fetch.blockers_open > 0 => { "waits for " (count(fetch.blockers_open)) " others" }
            (None, _) => "open",
        }
    }
}
