//! A job's items: a look at some, and all of them to take along.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, HeaderValue};
use axum::response::Response;
use futures_util::StreamExt as _;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use tidegate_registry::Scope;

use super::frame::{self, Page};
use super::gate::Viewer;
use super::text::{query, short};
use crate::app::App;
use crate::items::{self, Wanted};
use crate::job_id::OwnJob;
use crate::problem::{Kind, Problem};
use crate::route::Route;

/// Items on a page.
const SHOWN: usize = 20;
/// Most bytes that are read for a page: an item that is larger is not shown.
const READ_MAX_BYTES: usize = 4 << 20;
/// Of an item, so many characters are shown.
const ITEM_CHARS: usize = 2_000;
/// Formats, with their names for people.
const FORMATS: &[(&str, &str)] = &[("ndjson", "NDJSON"), ("csv", "CSV"), ("json", "JSON")];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/ui/jobs/{id}/items", show).needs(Scope::Read),
        Route::get("/ui/jobs/{id}/download", download).needs(Scope::Read),
    ]
}

/// Links to all items, and to where one looks at some.
pub(super) fn links(job: &str, look: bool) -> Markup {
    html! {
        nav.actions aria-label="Items" {
            @if look { a.button href={ "/ui/jobs/" (job) "/items" } { "Look at items" } }
            @for (format, name) in FORMATS {
                a href={ "/ui/jobs/" (job) "/download?format=" (format) } download { "Download " (name) }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    step: Option<String>,
    after: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    OwnJob(job): OwnJob,
    Query(place): Query<Place>,
) -> Result<Page, Problem> {
    let step = place.step.filter(|step| !step.is_empty());
    let wanted = Wanted { step: step.clone(), after: place.after.clone(), origin: true, ..Wanted::default() };
    let steps = app.deps.ledger.steps(job.id).await?;
    let own = OwnJob(job.clone());
    let answer = items::items(State(app), viewer.caller(), own, Query(wanted), HeaderMap::new()).await?;
    let (lines, is_more) = first_lines(answer).await?;
    let next = lines.last().filter(|_| is_more).and_then(|line| line["cursor"].as_str().map(str::to_owned));
    let to = format!("/ui/jobs/{}", job.id);
    let more =
        |next: &str| format!("{to}/items?step={}&after={}", query(step.as_deref().unwrap_or_default()), query(next));
    let main = html! {
        p { a href=(to) { "‹ " (job.name) } }
        h1 { "Items of " (job.name) }
        (links(&job.id.to_string(), false))
        form.filter method="get" action={ (to) "/items" } {
            label for="step" { "Step" }
            select #step name="step" {
                option value="" { "all" }
                @for row in &steps {
                    option value=(row.step) selected[step.as_ref() == Some(&row.step)] { (row.step) " (" (row.items) ")" }
                }
            }
            button type="submit" { "Show" }
        }
        @if lines.is_empty() { p { "There are none." } }
        ol.items { @for line in &lines { (item(line)) } }
        nav.pages aria-label="Pages" {
            @if place.after.is_some() { a href={ (to) "/items?step=" (query(step.as_deref().unwrap_or_default())) } { "First" } }
            @if let Some(next) = &next { a href=(more(next)) rel="next" { "More" } }
        }
    };
    Ok(frame::page(&viewer, "/ui/jobs", &format!("Items of {}", job.name), &main))
}

fn item(line: &Value) -> Markup {
    let text = serde_json::to_string_pretty(&line["item"]).unwrap_or_default();
    let params = line["params"].to_string();
    html! {
        li {
            div.note { (line["step"].as_str().unwrap_or_default()) @if params != "{}" { " " (short(&params, 200)) } }
            pre tabindex="0" { (short(&text, ITEM_CHARS)) }
        }
    }
}

/// The first lines of an answer, and whether more follow. What follows is never made.
async fn first_lines(answer: Response) -> Result<(Vec<Value>, bool), Problem> {
    let mut stream = answer.into_body().into_data_stream();
    let mut text = Vec::new();
    let is_enough =
        |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count() > SHOWN || text.len() > READ_MAX_BYTES;
    let mut ended = false;
    while !is_enough(&text) && !ended {
        match stream.next().await {
            Some(Ok(piece)) => text.extend_from_slice(&piece),
            Some(Err(error)) => return Err(Problem::ours(Kind::Unavailable, &error)),
            None => ended = true,
        }
    }
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let first = lines.by_ref().take(SHOWN).filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Ok((first, !ended || lines.next().is_some()))
}

async fn download(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    OwnJob(job): OwnJob,
    Query(wanted): Query<Wanted>,
    mut asked: HeaderMap,
) -> Result<Response, Problem> {
    let format = wanted.format.clone().unwrap_or_else(|| "ndjson".to_owned());
    let name = format!("{}.{format}", job.id);
    // A browser wants pages, and gets a file.
    asked.remove(ACCEPT);
    let mut answer = items::items(State(app), viewer.caller(), OwnJob(job), Query(wanted), asked).await?;
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    Ok(answer)
}
