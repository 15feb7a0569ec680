//! A job's page: all of it is sent again, to who watches, whenever the job has changed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use tidegate_ledger::JobRow;
use tidegate_progress::Explanation;
use tidegate_registry::Scope;

use super::form::Form;
use super::frame::{self, Page};
use super::gate::Viewer;
use super::text::counted;
use super::{items, job_parts as parts, tree};
use crate::app::App;
use crate::events::{self, Tell};
use crate::explain;
use crate::job_id::OwnJob;
use crate::jobs;
use crate::problem::{Kind, Problem};
use crate::route::Route;
use crate::stop;
use crate::tree::{Alike, Level};
use crate::view::{Job, JobDetail};

/// Shortest time between two states that a watcher is sent: people read no faster, and each is a page.
const GAP: Duration = Duration::from_secs(1);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/ui/jobs/{id}", show).needs(Scope::Read),
        Route::get("/ui/jobs/{id}/live", watch).needs(Scope::Read),
        Route::get("/ui/jobs/{id}/cancel", ask_cancel).needs(Scope::Submit),
        Route::post("/ui/jobs/{id}/cancel", cancel).needs(Scope::Submit),
        Route::post("/ui/jobs/{id}/pause", pause).needs(Scope::Submit),
        Route::post("/ui/jobs/{id}/resume", resume).needs(Scope::Submit),
        Route::post("/ui/jobs/{id}/retry-failed", retry_failed).needs(Scope::Submit),
    ]
}

/// What a job's page shows.
struct Content {
    detail: JobDetail,
    why: Explanation,
    /// `None`: it was pruned.
    tree: Option<tree::Shown>,
    now_ms: i64,
}

async fn read(app: &Arc<App>, job: &JobRow, level: Level) -> Result<Content, Problem> {
    let own = || OwnJob(job.clone());
    let detail = jobs::show(State(Arc::clone(app)), own()).await?.0;
    let why = explain::of_job(State(Arc::clone(app)), own()).await?.0;
    let tree = match tree::read(app, job, level).await {
        Ok(tree) => Some(tree),
        Err(problem) if problem.kind == Kind::Gone => None,
        Err(problem) => return Err(problem),
    };
    Ok(Content { detail, why, tree, now_ms: app.now_ms() })
}

async fn show(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    OwnJob(job): OwnJob,
    Query(level): Query<Level>,
) -> Result<Page, Problem> {
    let live = format!("/ui/jobs/{}/live{}", job.id, tree::address(&level));
    let content = read(&app, &job, level).await?;
    let main = html! {
        @if job.state.is_final() {
            (written(&viewer, &content))
        } @else {
            div hx-ext="sse,morph" sse-connect=(live) sse-close="end" {
                div sse-swap="job" hx-swap="morph:innerHTML" { (written(&viewer, &content)) }
            }
        }
    };
    Ok(frame::page(&viewer, "/ui/jobs", &job.name, &main))
}

fn written(viewer: &Viewer, Content { detail, why, tree, now_ms }: &Content) -> Markup {
    let job = &detail.job;
    html! {
        h1 { (job.name) }
        p.under {
            span role="status" { (parts::state(job)) }
            " " (job.provider) ", lane " (job.lane)
            @if let Some(asked) = job.lane_asked { " (asked for " (asked) "; moved for its many open calls)" }
            @if job.extend { ", only what is new" } " " code { (job.id) }
        }
        @if let Some(reason) = &job.reason { p.why { (reason) } }
        (actions(viewer, job))
        (parts::estimate(detail, *now_ms))
        @if job.finished_at_ms.is_none() { (parts::why(why)) }
        (parts::figures(detail))
        (parts::timeline(job, *now_ms))
        (parts::failures(viewer, job, &detail.failures))
        (parts::steps(detail))
        @match tree {
            Some(tree) => {
                (items::links(&job.id, true))
                (tree::shown(&job.id, tree))
            }
            None => p { "Its items and tree were deleted; its counters stay." },
        }
        (parts::notifications(&detail.notifications))
    }
}

/// What can be done with it now, by this key.
fn actions(viewer: &Viewer, job: &Job) -> Markup {
    let to = |action: &str| format!("/ui/jobs/{}/{action}", job.id);
    let (counts, is_final) = (&job.counts, job.finished_at_ms.is_some());
    let is_stopping = !is_final && job.reason.is_some();
    let again = counts.calls_failed + counts.calls_cancelled;
    html! {
        @if viewer.may(Scope::Submit) { div.actions {
            @if !is_final && !is_stopping {
                @if job.paused_at_ms.is_some() { (frame::button(viewer, "resume", &to("resume"), "Resume")) }
                @else { (frame::button(viewer, "pause", &to("pause"), "Pause")) }
                a.button.danger #cancel href=(to("cancel")) { "Cancel…" }
            }
            @if is_final && again > 0 && job.pruned_at_ms.is_none() {
                (frame::button(viewer, "retry", &to("retry-failed"), &format!("Retry {}", counted(again, "failed call", "failed calls"))))
            }
        } }
    }
}

/// The same stream as the API's, of pages.
async fn watch(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    OwnJob(job): OwnJob,
    Query(level): Query<Level>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (caller, shared) = (viewer.caller(), Arc::clone(&app));
    let tell: Tell = Box::new(move |row| {
        let (app, viewer, level) = (Arc::clone(&shared), viewer.clone(), level.clone());
        Box::pin(async move {
            let content = read(&app, &row, level).await.ok()?;
            // The stream's lines may not have what ends a line elsewhere.
            let page = written(&viewer, &content).into_string().replace('\r', " ");
            let end = row.state.is_final().then(|| Event::default().event("end").data("end"));
            Some([Some(Event::default().event("job").data(page)), end].into_iter().flatten().collect())
        })
    });
    events::stream(app, &caller.0, &job, &headers, GAP, tell)
}

/// A page that asks once more, since nothing takes it back.
async fn ask_cancel(viewer: Viewer, OwnJob(job): OwnJob) -> Page {
    let (to, open) = (format!("/ui/jobs/{}", job.id), counted(job.counts.calls_open, "open call", "open calls"));
    let main = html! {
        h1 { "Cancel " (job.name) "?" }
        p { "No new call of it goes out. What was stored stays; its " (open) " can be made again later." }
        div.actions {
            (frame::button(&viewer, "yes", &format!("{to}/cancel"), "Yes, cancel the job"))
            a.button href=(to) { "No, back to the job" }
        }
    };
    frame::page(&viewer, "/ui/jobs", "Cancel a job", &main)
}

fn back(job: &JobRow) -> Response {
    Redirect::to(&format!("/ui/jobs/{}", job.id)).into_response()
}

async fn cancel(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    OwnJob(job): OwnJob,
    _: Form,
) -> Result<Response, Problem> {
    stop::cancel(State(app), viewer.caller(), OwnJob(job.clone())).await.map(|_| back(&job))
}

async fn pause(State(app): State<Arc<App>>, viewer: Viewer, OwnJob(job): OwnJob, _: Form) -> Result<Response, Problem> {
    stop::pause(State(app), viewer.caller(), OwnJob(job.clone())).await.map(|_| back(&job))
}

async fn resume(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    OwnJob(job): OwnJob,
    _: Form,
) -> Result<Response, Problem> {
    stop::resume(State(app), viewer.caller(), OwnJob(job.clone())).await.map(|_| back(&job))
}

/// What its query tells is a group of failed calls, exactly: a form's fields would change the ends of lines.
async fn retry_failed(
    State(app): State<Arc<App>>,
    OwnJob(job): OwnJob,
    alike: Query<Alike>,
    _: Form,
) -> Result<Response, Problem> {
    stop::retry_failed(State(app), OwnJob(job.clone()), alike).await.map(|_| back(&job))
}
