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
use futures_util::stream::{Stream, unfold};
use tidegate_contracts::JobId;
use tidegate_ledger::JobRow;
use tidegate_registry::Scope;

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
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    if job.state.is_final() && id(&job) == seen {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let place = app.watchers.take(caller.tenant.as_str()).ok_or_else(|| {
        let detail = format!("at most {} streams of events at once", app.config.watchers_max);
        Problem::new(Kind::TooManyOpen, detail).retry_after(5)
    })?;
    let keep_alive = KeepAlive::new().interval(app.config.keep_alive);
    // Watched from before the first look, so that nothing comes between.
    let watcher = app.hub.watch(job.id);
    let stream = Watch { job: job.id, app, watcher, seen, ended: false, _place: place };
    Ok(Sse::new(events(stream)).keep_alive(keep_alive).into_response())
}

struct Watch {
    app: Arc<App>,
    job: JobId,
    watcher: Watcher,
    /// Id of the last event.
    seen: String,
    ended: bool,
    _place: Place,
}

fn events(watch: Watch) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok(event), watch))
    })
}

impl Watch {
    /// The next state that was not seen; `None` after the last one, when the gateway stops, and when the ledger fails
    /// (then the watcher comes back).
    async fn next(&mut self) -> Option<Event> {
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
                let look = self.app.looker.look(&*self.app.deps.ledger, &row, self.app.now_ms()).await.ok()?;
                let waiting = look.waiting.into_iter().map(view::Wait::from).collect();
                let event = Event::default().event("job").id(id.as_str()).retry(RETRY);
                self.seen = id;
                return event.json_data(view::Event { job: row.into(), progress: look.estimate, waiting }).ok();
            }
            tokio::select! {
                () = self.app.shutdown.requested() => return None,
                // What happens in the gap is told as one.
                () = self.watcher.news() => tokio::time::sleep(self.app.config.events_gap).await,
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
    let finished = row.finished_at_ms.or(row.paused_at_ms.map(|paused_at_ms| -paused_at_ms)).unwrap_or(0);
    format!(
        "{}.{}.{ended}.{}.{}.{}.{finished}",
        row.state.name(),
        counts.calls_planned,
        counts.calls_released,
        counts.items,
        counts.requests
    )
}
