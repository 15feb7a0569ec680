//! `/livez` and `/readyz` of services that have no HTTP interface of their own.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use serde_json::json;
use tidegate_daemon::{Handle, Health, Shutdown, Status};
use tokio::net::TcpListener;

/// Longest time for requests from before the start to end.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Answers until the process ends: a service that is stopping still says that it lives.
pub(super) fn start(listener: TcpListener, health: Health, shutdown: &Shutdown) -> Handle {
    health.register("process", Arc::new(shutdown.clone()));
    let mut handle = Handle::new(shutdown.child());
    let serving = axum::serve(listener, router(health)).into_future();
    handle.spawn("health", async move { serving.await.context("can't answer for health") });
    handle
}

/// Answers in a service's place until it has what it needs.
pub(super) struct Meanwhile {
    answering: Handle,
    ending: Shutdown,
}

/// Answers on a listener, and gives one on the same address back for later.
pub(super) fn meanwhile(
    listener: TcpListener,
    health: Health,
    shutdown: &Shutdown,
) -> anyhow::Result<(TcpListener, Meanwhile)> {
    let listener = listener.into_std()?;
    let (now, later) = (TcpListener::from_std(listener.try_clone()?)?, TcpListener::from_std(listener)?);
    let ending = shutdown.child();
    let mut answering = Handle::new(ending.clone());
    let (app, asked) = (router(health).fallback(not_yet), ending.clone());
    answering.spawn("meanwhile", async move {
        let serving = axum::serve(now, app).with_graceful_shutdown(async move { asked.requested().await });
        serving.await.context("can't answer for health")
    });
    Ok((later, Meanwhile { answering, ending }))
}

impl Meanwhile {
    pub(super) async fn end(self) {
        self.ending.request();
        if let Err(error) = self.answering.join_within(END_WITHIN).await {
            tracing::debug!(%error, "requests from before the start were left");
        }
    }
}

async fn not_yet() -> impl IntoResponse {
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], "the service is starting\n")
}

fn router(health: Health) -> Router {
    Router::new().route("/livez", get(async || "alive\n")).route("/readyz", get(ready)).with_state(health)
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let checks: Vec<_> = health
        .report()
        .into_iter()
        .map(|(name, status)| match status {
            Status::Up => json!({ "name": name, "up": true }),
            Status::Down(reason) => json!({ "name": name, "up": false, "reason": reason }),
        })
        .collect();
    let ready = checks.iter().all(|check| check["up"] == true);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "checks": checks })))
}
