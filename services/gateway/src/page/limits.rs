//! Limits: what is used of each, who waits for it, and what people want of it instead.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use maud::{Markup, html};
use tidegate_contracts::WaitReason;
use tidegate_ledger::{JobFilter, JobState};
use tidegate_limits::{Learnt, LearntSlots, Override, Usage, targets};
use tidegate_registry::Scope;

use super::frame::{self, Page};
use super::gate::Viewer;
use super::limit_change::wish;
use super::text::{count, counted, duration, query, time};
use crate::app::App;
use crate::limits::{self, BudgetList, Wanted, may_change};
use crate::problem::Problem;
use crate::route::Route;

/// Running jobs, the newest first, that are asked what they wait for.
const JOBS_ASKED: u32 = 50;

/// In place of a limit's id: the provider is down.
const DOWN: &str = "";

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/ui/limits", show).needs(Scope::Read), Route::get("/ui/limits/live", live).needs(Scope::Read)]
}

async fn show(State(app): State<Arc<App>>, viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Page, Problem> {
    let live = format!("/ui/limits/live{}", address(&wanted, wanted.after.as_deref()));
    let main = html! {
        h1 { "Limits" }
        form.filter method="get" action="/ui/limits" role="search" {
            div.field {
                label for="provider" { "Provider" }
                input #provider type="search" name="provider" value=[wanted.provider.as_deref()];
            }
            div.field {
                label for="blocked" { "Which" }
                select #blocked name="blocked" {
                    option value="false" { "all in use" }
                    option value="true" selected[wanted.blocked] { "blocked, paused or down" }
                }
            }
            button type="submit" { "Show" }
        }
        div hx-ext="morph" hx-get=(live) hx-trigger="every 2s" hx-swap="morph:innerHTML" { (table(&app, &viewer, wanted).await?) }
    };
    Ok(frame::page(&viewer, "/ui/limits", "Limits", &main))
}

async fn live(State(app): State<Arc<App>>, viewer: Viewer, Query(wanted): Query<Wanted>) -> Result<Page, Problem> {
    table(&app, &viewer, wanted).await.map(Page)
}

fn address(wanted: &Wanted, after: Option<&str>) -> String {
    let (provider, blocked) = (query(wanted.provider.as_deref().unwrap_or_default()), wanted.blocked);
    let after = after.map(|after| format!("&after={}", query(after))).unwrap_or_default();
    format!("?provider={provider}&blocked={blocked}{after}")
}

async fn table(app: &Arc<App>, viewer: &Viewer, mut wanted: Wanted) -> Result<Markup, Problem> {
    wanted.provider = wanted.provider.filter(|provider| !provider.is_empty());
    let BudgetList { budgets, overrides, next } =
        limits::list(State(Arc::clone(app)), viewer.caller(), Query(wanted.clone())).await?.0;
    let (waits, now_ms) = (waits(app, viewer).await?, app.now_ms());
    let head = html! {
        th scope="col" { "Budget" }
        th scope="col" { "Used" }
        th.wide scope="col" { "Resets" }
        th scope="col" { "Stands" }
        th.wide scope="col" { "Who waits" }
    };
    let rows = html! {
        @for usage in &budgets {
            @let change = viewer.may(Scope::Admin) && may_change(app, &viewer.key, &usage.key).is_ok();
            (row(usage, &overrides, &waits, now_ms, change))
        }
    };
    let unused = |one: &&Override| !budgets.iter().any(|usage| targets(&usage.key).contains(&one.key.as_str()));
    let unused: Vec<_> = overrides.iter().filter(unused).collect();
    Ok(html! {
        @if budgets.is_empty() { p { "No budget is in use." } } @else { (frame::table("Budgets", &head, &rows)) }
        @if !unused.is_empty() {
            h2 { "Wanted of others" }
            ul { @for one in unused { li {
                code { (one.key) } ": " (wish(one))
                @if viewer.may(Scope::Admin) { " " a href={ "/ui/limits/change?key=" (query(&one.key)) } { "Change" } }
            } } }
        }
        nav.pages aria-label="Pages" {
            @if wanted.after.is_some() { a href={ "/ui/limits" (address(&wanted, None)) } { "First" } }
            @if next.is_some() { a href={ "/ui/limits" (address(&wanted, next.as_deref())) } rel="next" { "More" } }
        }
    })
}

/// A job whose calls wait for a limit, how many do, and until when the last of them.
struct Waiter {
    job: String,
    name: String,
    calls: u64,
    until_ms: i64,
}

/// Who waits, by provider and limit.
async fn waits(app: &App, viewer: &Viewer) -> Result<HashMap<(String, String), Vec<Waiter>>, Problem> {
    let filter = JobFilter {
        tenant: Some(viewer.key.tenant.to_string()),
        states: vec![JobState::Running],
        ..JobFilter::newest(JOBS_ASKED)
    };
    let mut waits: HashMap<_, Vec<Waiter>> = HashMap::new();
    for job in app.deps.ledger.jobs(&filter).await? {
        for waiting in app.deps.ledger.waiting(job.id, app.now_ms()).await? {
            let limit = match waiting.reason {
                WaitReason::Limit(limit) | WaitReason::Paused { limit, .. } => limit,
                WaitReason::Down { .. } => DOWN.to_owned(),
                WaitReason::Backoff(_) => continue,
            };
            let (calls, until_ms) = (waiting.calls, waiting.last_until_ms);
            let waiter = Waiter { job: job.id.to_string(), name: job.name.clone(), calls, until_ms };
            waits.entry((job.provider.clone(), limit)).or_default().push(waiter);
        }
    }
    Ok(waits)
}

fn row(
    usage: &Usage,
    overrides: &[Override],
    waits: &HashMap<(String, String), Vec<Waiter>>,
    now_ms: i64,
    change: bool,
) -> Markup {
    let provider = usage.key.split_once('}').map_or("", |(provider, _)| provider.trim_start_matches('{'));
    let whose = usage.key.splitn(3, '/').nth(2).unwrap_or_default();
    let targets = targets(&usage.key);
    let limit = if usage.down.is_some() { DOWN } else { &usage.limit };
    let waiters = waits.get(&(provider.to_owned(), limit.to_owned()));
    html! {
        tr {
            td {
                b { (provider) " " (usage.limit) }
                div.note { @if whose.is_empty() { "shared by all" } @else { (whose.replace("=,", ", ").replace(',', ", ").trim_end_matches('=')) } }
                @if change { a id={ "change-" (usage.key) } href={ "/ui/limits/change?key=" (query(&usage.key)) } { "Pause or change" } }
            }
            td { (used(usage)) }
            td.wide { @if let Some(at_ms) = usage.resets_at_ms { (time(at_ms)) div.note { "in " (duration(at_ms - now_ms)) } } @else { "–" } }
            td {
                @if let Some(down) = usage.down {
                    span.state.bad { "down" }
                    div.note { "for " (duration(now_ms - down.since_ms)) ", tried again in " (duration(down.probe_at_ms - now_ms)) }
                } @else if let Some(until_ms) = usage.blocked_until_ms.filter(|until_ms| *until_ms > now_ms) {
                    span.state.waiting { "blocked" } div.note { "for " (duration(until_ms - now_ms)) }
                } @else if usage.size.is_some_and(|size| usage.used >= size) { span.state.waiting { "full" } }
                @else { span.state.good { "open" } }
                @for one in overrides.iter().filter(|one| targets.contains(&one.key.as_str())) { div { (wish(one)) } }
                @if let Some(learnt) = usage.learnt { div.note { (known(learnt, now_ms)) } }
                @if let Some(learnt) = usage.learnt_slots { div.note { (known_slots(learnt, now_ms)) } }
            }
            td.wide {
                @for waiter in waiters.into_iter().flatten() {
                    div {
                        a href={ "/ui/jobs/" (waiter.job) } { (waiter.name) }
                        span.note { " " (counted(waiter.calls, "call", "calls")) ", up to " (duration(waiter.until_ms - now_ms)) }
                    }
                }
            }
        }
    }
}

fn used(usage: &Usage) -> Markup {
    html! {
        @if let Some(size) = usage.size {
            progress.full[usage.used >= size] aria-label="used" max=(size.max(1)) value=(usage.used.min(size)) {}
            div.note { (count(usage.used)) " of " (count(size)) }
        } @else {
            (count(usage.used)) div.note { "nobody told of how many" }
        }
    }
}

/// What is known of how many calls at a time a provider works on, and how old that is.
fn known_slots(learnt: LearntSlots, now_ms: i64) -> Markup {
    html! {
        "learnt: " (count(learnt.slots)) " at a time"
        @if let Some((base_us, at_ms)) = learnt.base_us.zip(learnt.measured_at_ms) {
            ", a call takes " (base_us.div_ceil(1_000)) " ms, measured " (duration(now_ms - at_ms)) " ago"
        }
        @match learnt.queued_at_ms {
            Some(at_ms) => { ", calls last waited there " (duration(now_ms - at_ms)) " ago" }
            None => ", none ever waited there",
        }
    }
}

/// What is known of a limit that nobody told, and how old that is.
fn known(learnt: Learnt, now_ms: i64) -> Markup {
    html! {
        "learnt: " (count(learnt.per_hour)) " an hour"
        @if learnt.is_proven { ", held for as long as the provider remembers" }
        @match learnt.refused_at_ms {
            Some(at_ms) => { ", last refused " (duration(now_ms - at_ms)) " ago" }
            None => ", never refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_of_slots_is_said_with_its_age() {
        let now_ms = 1_790_000_000_000;
        let never = LearntSlots { slots: 4, base_us: None, measured_at_ms: None, queued_at_ms: None };
        assert_eq!(known_slots(never, now_ms).into_string(), "learnt: 4 at a time, none ever waited there");
        let known = LearntSlots {
            slots: 12,
            base_us: Some(101_234),
            measured_at_ms: Some(now_ms - 20_000),
            queued_at_ms: Some(now_ms - 1_000),
        };
        let text = known_slots(known, now_ms).into_string();
        let expected = "learnt: 12 at a time, a call takes 102 ms, measured 20 s ago, calls last waited there 1 s ago";
        assert_eq!(text, expected);
    }
}
