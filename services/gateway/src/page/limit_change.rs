//! What people want of a limit: a pause, another rate, or neither any more.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_limits::http::DeleteQuery;
use tidegate_limits::{Does, Override, OverrideKind, Rate, targets};
use tidegate_registry::Scope;

use super::form::{Fields, Form};
use super::frame::{self, Page};
use super::gate::Viewer;
use super::text::{count, time};
use crate::app::App;
use crate::body::JsonBody;
use crate::limits::{self, BudgetList, Wanted, may_change};
use crate::problem::Problem;
use crate::route::Route;

const MINUTE_MS: i64 = 60_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/ui/limits/change", show).needs(Scope::Admin),
        Route::post("/ui/limits/pause", pause).needs(Scope::Admin),
        Route::post("/ui/limits/rate", rate).needs(Scope::Admin),
        Route::post("/ui/limits/end", end).needs(Scope::Admin),
    ]
}

/// What is wanted, in words.
pub(super) fn wish(wanted: &Override) -> Markup {
    html! {
        span.state.waiting { @match wanted.does { Does::Pause => "paused", Does::Rate(_) => "changed" } }
        @if let Does::Rate(rate) = &wanted.does { " to " (in_words(rate)) }
        " " (wanted.reason)
        @if let Some(until_ms) = wanted.until_ms { span.note { " until " (time(until_ms)) } }
    }
}

fn in_words(rate: &Rate) -> String {
    match rate {
        Rate::Window { calls, per, .. } => format!("{} in {} s", count((*calls).into()), per.as_secs_f64()),
        Rate::Quota { calls, per, zone } => format!("{} each {} ({zone})", count((*calls).into()), per.name()),
        Rate::Sliding { calls, per } => format!("{} in any {} s", count((*calls).into()), per.as_secs_f64()),
        Rate::Bucket { calls, restore_per_s } => {
            format!("{} at once, then {restore_per_s} a second", count((*calls).into()))
        }
        Rate::Concurrency { learn: Some(_), .. } => "as many at a time as is learnt".to_owned(),
        Rate::Concurrency { calls, .. } => format!("{} at a time", count((*calls).into())),
        Rate::Learn(_) => "what is learnt".to_owned(),
        Rate::Breaker(_) => "what it takes while it is well".to_owned(),
        Rate::Told {} => "what headers tell".to_owned(),
    }
}

#[derive(Deserialize)]
struct Which {
    key: String,
}

async fn show(State(app): State<Arc<App>>, viewer: Viewer, Query(which): Query<Which>) -> Result<Page, Problem> {
    let key = which.key;
    may_change(&app, &viewer.key, &key)?;
    let provider = key.split_once('}').map(|(provider, _)| provider.trim_start_matches('{').to_owned());
    let wanted = Wanted { provider, limit: Some(1), ..Wanted::default() };
    let BudgetList { overrides, .. } = limits::list(State(Arc::clone(&app)), viewer.caller(), Query(wanted)).await?.0;
    let mut targets = targets(&key);
    targets.retain(|target| may_change(&app, &viewer.key, target).is_ok());
    let main = html! {
        p { a href="/ui/limits" { "‹ Limits" } }
        h1 { "Pause or change " code { (key) } }
        @for one in overrides.iter().filter(|one| targets.contains(&one.key.as_str())) { (standing(&viewer, one)) }
        div.cards {
            (pause_form(&viewer, &targets))
            (rate_form(&viewer, &targets))
        }
    };
    Ok(frame::page(&viewer, "/ui/limits", "Pause or change a limit", &main))
}

fn standing(viewer: &Viewer, one: &Override) -> Markup {
    let (does, name) = match one.kind() {
        OverrideKind::Pause => ("pause", "End the pause"),
        OverrideKind::Rate => ("rate", "Have the file's rate again"),
    };
    html! {
        form.actions method="post" action="/ui/limits/end" {
            span { code { (one.key) } " " (wish(one)) }
            (frame::token(viewer))
            input type="hidden" name="key" value=(one.key);
            input type="hidden" name="does" value=(does);
            button type="submit" id={ "end-" (does) } { (name) }
        }
    }
}

/// Which budgets: this one, all of its limit, all of its provider.
fn which(form: &str, targets: &[&str]) -> Markup {
    html! {
        label for={ (form) "-key" } { "Which budgets" }
        select id={ (form) "-key" } name="key" {
            @for (place, target) in targets.iter().enumerate() {
                option value=(target) { (target) @if place > 0 || target.ends_with('/') { " (all that begin so)" } }
            }
        }
    }
}

fn why(form: &str) -> Markup {
    html! {
        label for={ (form) "-reason" } { "Reason" }
        input id={ (form) "-reason" } name="reason" required maxlength="500";
        label for={ (form) "-minutes" } { "For how many minutes (empty: until somebody ends it)" }
        input id={ (form) "-minutes" } name="minutes" type="number" min="1" max="5256000" inputmode="numeric";
    }
}

fn pause_form(viewer: &Viewer, targets: &[&str]) -> Markup {
    html! {
        form.card method="post" action="/ui/limits/pause" aria-labelledby="pause-title" {
            h2 #pause-title { "Pause" }
            (frame::token(viewer))
            (which("pause", targets))
            (why("pause"))
            button #pause type="submit" { "Pause" }
        }
    }
}

fn rate_form(viewer: &Viewer, targets: &[&str]) -> Markup {
    let targets: Vec<_> = targets.iter().copied().filter(|target| target.matches('/').count() > 1).collect();
    html! {
        @if !targets.is_empty() {
            form.card method="post" action="/ui/limits/rate" aria-labelledby="rate-title" {
                h2 #rate-title { "Another rate" }
                (frame::token(viewer))
                (which("rate", &targets))
                label for="kind" { "Kind" }
                select #kind name="kind" {
                    option value="window" { "calls in each window" }
                    option value="sliding" { "calls in any span of a length" }
                    option value="bucket" { "calls at once, then a steady pace" }
                    option value="concurrency" { "calls at the same time" }
                }
                label for="calls" { "Calls" }
                input #calls name="calls" type="number" min="1" required inputmode="numeric";
                label for="number" { "Window or span: its length in seconds. Steady pace: calls a second" }
                input #number name="number" type="number" min="0" step="any" inputmode="decimal";
                (why("rate"))
                button #set-rate type="submit" { "Set the rate" }
            }
        }
    }
}

async fn pause(State(app): State<Arc<App>>, viewer: Viewer, Form(fields): Form) -> Result<Response, Problem> {
    put(app, &viewer, &fields, json!("pause")).await
}

async fn rate(State(app): State<Arc<App>>, viewer: Viewer, Form(fields): Form) -> Result<Response, Problem> {
    let calls = number(&fields, "calls")?;
    let rate = match fields.get("kind") {
        kind @ ("window" | "sliding") => {
            json!({ kind: { "calls": calls as u64, "per": format!("{}ms", (number(&fields, "number")? * 1_000.0) as u64) } })
        }
        "bucket" => json!({ "bucket": { "calls": calls as u64, "restore_per_s": number(&fields, "number")? } }),
        "concurrency" => json!({ "concurrency": { "calls": calls as u64 } }),
        _ => return Err(Problem::field("kind", "expected window, sliding, bucket or concurrency")),
    };
    put(app, &viewer, &fields, json!({ "rate": rate })).await
}

fn number(fields: &Fields, name: &str) -> Result<f64, Problem> {
    let number = fields.get(name).parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| Problem::field(name, "expected a number"))
}

async fn put(app: Arc<App>, viewer: &Viewer, fields: &Fields, does: Value) -> Result<Response, Problem> {
    let until_ms = match fields.get("minutes") {
        "" => None,
        minutes => {
            let minutes: i64 = minutes.parse().map_err(|_| Problem::field("minutes", "expected a whole number"))?;
            Some(app.now_ms().saturating_add(minutes.saturating_mul(MINUTE_MS)))
        }
    };
    let wanted =
        json!({ "key": fields.get("key"), "does": does, "reason": fields.get("reason"), "until_ms": until_ms });
    let wanted: Override = serde_json::from_value(wanted).map_err(|error| Problem::field("does", error.to_string()))?;
    limits::put(State(app), viewer.caller(), JsonBody(wanted)).await.map(drop)?;
    Ok(Redirect::to("/ui/limits").into_response())
}

async fn end(State(app): State<Arc<App>>, viewer: Viewer, Form(fields): Form) -> Result<Response, Problem> {
    let does = serde_json::from_value(json!(fields.get("does"))).ok();
    let query = DeleteQuery { key: fields.get("key").to_owned(), does };
    limits::delete(State(app), viewer.caller(), Query(query)).await.map(drop)?;
    Ok(Redirect::to("/ui/limits").into_response())
}
