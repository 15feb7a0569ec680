//! `/v1/jobs/{id}/events`: how a job stands, told whenever it changes (server-sent events).
//!
//! Each event is all of the job's state, so none is ever missed: a late watcher gets the present first, and many changes
//! at once are told as one. An event's id names the state: who comes back with it hears nothing before it has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, iter, unfold};
use tidegate_contracts::JobId;
use tidegate_ledger::JobRow;
use tidegate_registry::{KeyRow, Scope};

use crate::app::{App, Caller};
use crate::hub::Watcher;
use crate::job_id::OwnJob;
use crate::problem::{Kind, Problem};
use crate::quota::Place;
use crate::route::{Content, Parameter, Route};
use crate::view;

/// After which time a watcher that lost its stream should come back, ms.
const RETRY: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> Vec<Route> {
    const HEADERS: &[Parameter] = &[Parameter {
        name: "Last-Event-ID",
        kind: "string",
        description: "The id of the last event that was seen: nothing is told before the job has changed since.",
    }];
    vec![
        Route::get("/v1/jobs/{id}/events", watch)
            .needs(Scope::Read)
            .summary("Watch a job: server-sent events, each with all of its state")
            .description(
                "Events are of type `job`; their data is an Event. The first comes at once, the last when the job is \
                 finished, which ends the stream. A comment comes every 15 seconds when nothing else does.",
            )
            .headers(HEADERS)
            .answers(200, "The stream.", Some(Content::Media("text/event-stream")))
            .answers(204, "The job is finished, and its end was seen: don't come back.", None)
            .problems(&[429]),
    ]
}

async fn watch(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    OwnJob(job): OwnJob,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (shared, gap) = (Arc::clone(&app), app.config.events_gap);
    let tell: Tell = Box::new(move |row| {
        let app = Arc::clone(&shared);
        Box::pin(async move {
            let look = app.looker.look(&*app.deps.ledger, &row, app.now_ms()).await.ok()?;
            let waiting = look.waiting.into_iter().map(view::Wait::from).collect();
            let told = view::Event { job: row.into(), progress: look.estimate, waiting };
            Some(vec![Event::default().event("job").json_data(told).ok()?])
        })
    });
    stream(app, &caller, &job, &headers, gap, tell)
}

/// What is told of a job's state, without ids; `None` when it can't be known.
pub(crate) type Tell = Box<dyn Fn(JobRow) -> BoxFuture<'static, Option<Vec<Event>>> + Send + Sync>;

/// A stream that tells of each state of a job that was not seen, `gap` apart at least.
pub(crate) fn stream(
    app: Arc<App>,
    caller: &KeyRow,
    job: &JobRow,
    headers: &HeaderMap,
    gap: Duration,
    tell: Tell,
) -> Result<Response, Problem> {
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    if job.state.is_final() && id(job) == seen {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let place = app.watchers.take(caller.tenant.as_str()).ok_or_else(|| {
        let detail = format!("at most {} streams of events at once", app.config.watchers_max);
        Problem::new(Kind::TooManyOpen, detail).retry_after(5)
    })?;
    let keep_alive = KeepAlive::new().interval(app.config.keep_alive);
    // Watched from before the first look, so that nothing comes between.
    let watcher = app.hub.watch(job.id);
    let watch = Watch { job: job.id, app, watcher, gap, tell, seen, ended: false, _place: place };
    Ok(Sse::new(events(watch)).keep_alive(keep_alive).into_response())
}

struct Watch {
    app: Arc<App>,
    job: JobId,
    watcher: Watcher,
    gap: Duration,
    tell: Tell,
    /// Id of the last event.
    seen: String,
    ended: bool,
    _place: Place,
}

fn events(watch: Watch) -> impl Stream<Item = Result<Event, Infallible>> {
    let states = unfold(watch, |mut watch| async move {
        let events = watch.next().await?;
        Some((iter(events.into_iter().map(Ok)), watch))
    });
    states.flatten()
}

impl Watch {
    /// What is told of the next state that was not seen; `None` after the last one, when the gateway stops, and when the
    /// ledger fails (then the watcher comes back).
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            if self.ended || self.app.shutdown.is_requested() {
                return None;
            }
            let row = match self.app.deps.ledger.job(self.job).await {
                Ok(row) => row?,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "can't read a job that is watched");
                    return None;
                }
            };
            let id = id(&row);
            if id != self.seen {
                self.ended = row.state.is_final();
                let told = (self.tell)(row).await?;
                self.seen = id;
                return Some(told.into_iter().map(|event| event.id(self.seen.as_str()).retry(RETRY)).collect());
            }
            tokio::select! {
                () = self.app.shutdown.requested() => return None,
                // What happens in the gap is told as one.
                () = self.watcher.news() => tokio::time::sleep(self.gap).await,
                // An event may get lost; the ledger has it all.
                () = tokio::time::sleep(self.app.config.keep_alive) => {}
            }
        }
    }
}

/// Different for each state that is worth telling.
fn id(row: &JobRow) -> String {
    let counts = &row.counts;
    let ended = counts.calls_planned - counts.calls_open;
    let paused_at_ms = row.paused_at_ms.or(row.parked.as_ref().map(|parked| parked.since_ms));
    let finished = row.finished_at_ms.or(paused_at_ms.map(|paused_at_ms| -paused_at_ms)).unwrap_or(0);
    format!(
        "{}.{}.{ended}.{}.{}.{}.{finished}",
        row.state.name(),
        counts.calls_planned,
        counts.calls_released,
        counts.items,
        counts.requests
    )
}
