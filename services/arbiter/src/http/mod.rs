//! The arbiter over HTTP, for executors in other processes. Any number of replicas may stand beside each other
//! over one store.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};
use axum::serve::ListenerExt as _;
use secrecy::SecretString;
use tidegate_daemon::{Flag, Handle, Health, Shutdown};
use tidegate_limits::http::{LIMITS_PATH, OVERRIDES_PATH, PERMITS_PATH, REPORTS_PATH};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::Arbiter;

mod auth;
mod check;
mod gate;
mod json;
mod problem;
mod pulse;
mod routes;

/// How the service works.
#[derive(Debug, Clone)]
pub struct Config {
    /// What callers send as `Authorization: Bearer`; none only where nobody but this machine can connect.
    pub token: Option<SecretString>,
    /// Longest body, in bytes. Default 1 MiB.
    pub max_body_bytes: usize,
    /// Most questions or reports in a request. Default 256.
    pub max_batch: usize,
    /// Most choices of a question, `charges` and each of its alternatives. Default 32.
    pub max_choices: usize,
    /// Most requests at once; further ones are turned away. Default 1,024.
    pub max_requests: usize,
    /// Longest time for a request, its body included. Default 2 s.
    pub request_within: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token: None,
            max_body_bytes: 1 << 20,
            max_batch: 256,
            max_choices: 32,
            max_requests: 1_024,
            request_within: Duration::from_secs(2),
        }
    }
}

/// What the service works with.
pub struct Deps {
    /// Who decides.
    pub arbiter: Arc<Arbiter>,
    /// Gets a check of the store and of the shutdown.
    pub health: Health,
}

/// The service can't start like this.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Others could connect, and nothing would tell friend from foe.
    #[error("a token is required to listen on {0}, which is not loopback")]
    NoToken(std::net::SocketAddr),
    /// The listener does not say where it listens.
    #[error("can't tell where the listener listens")]
    Listener(#[source] std::io::Error),
}

/// What all requests share.
struct Shared {
    arbiter: Arc<Arbiter>,
    health: Health,
    config: Config,
    gate: Semaphore,
}

/// Serves until the shutdown is requested; requests under way end by their time limit.
///
/// # Errors
/// [`StartError`].
pub fn start(deps: Deps, config: Config, listener: TcpListener, shutdown: &Shutdown) -> Result<Handle, StartError> {
    let address = listener.local_addr().map_err(StartError::Listener)?;
    if config.token.is_none() && !address.ip().is_loopback() {
        return Err(StartError::NoToken(address));
    }
    let Deps { arbiter, health } = deps;
    let store = Flag::down("the store of limits was not asked yet");
    health.register("limits", store.clone());
    health.register("process", Arc::new(shutdown.clone()));
    let gate = Semaphore::new(config.max_requests.max(1));
    let shared = Arc::new(Shared { arbiter: Arc::clone(&arbiter), health, config, gate });
    let mut handle = Handle::new(shutdown.clone());
    handle.spawn("look", crate::look_on(Arc::clone(&arbiter), shutdown.clone()));
    handle.spawn("pulse", pulse::beat(arbiter, store, shutdown.clone()));
    let (app, ending) = (router(shared), shutdown.clone());
    handle.spawn("http", async move {
        // Without it small answers wait for the client's acknowledgement; where it fails they do.
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        let serving = axum::serve(listener, app).with_graceful_shutdown(async move { ending.requested().await });
        serving.await.context("can't serve the arbiter")
    });
    Ok(handle)
}

fn router(shared: Arc<Shared>) -> Router {
    let body_limit = DefaultBodyLimit::max(shared.config.max_body_bytes);
    Router::new()
        .route(PERMITS_PATH, post(routes::permits))
        .route(REPORTS_PATH, post(routes::reports))
        .route(LIMITS_PATH, get(routes::limits))
        .route(OVERRIDES_PATH, put(routes::put_override).delete(routes::delete_override))
        .layer(body_limit)
        // The last one is the first to see a request: strangers take no place from friends.
        .layer(from_fn_with_state(Arc::clone(&shared), gate::pass))
        .layer(from_fn_with_state(Arc::clone(&shared), auth::require))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(routes::ready))
        .fallback(async || problem::Problem::not_found())
        .method_not_allowed_fallback(async || problem::Problem::method_not_allowed())
        .layer(from_fn(gate::note))
        .with_state(shared)
}
