//! The web page, at `/ui`: what the API answers, for people.
//!
//! Handlers here ask the API's own handlers and write what those answer as HTML, so that the page knows nothing of its own:
//! it shows the stores, and is right after a restart. Every change is a form that works without scripts; a job's page and
//! the limits keep themselves fresh where there are any (htmx). [`gate`] stands before every page, as `auth.rs` does before
//! the API.
//!
//! **Invariants.** The API key is never in a page or a cookie. Every form bears its session's token. Nothing is loaded from
//! elsewhere, no script or style stands in a page, and all text is escaped (maud).
//!
//! *To add a page*: a handler in its subject's file, and a line in that file's `routes`.

mod assets;
mod dead;
mod failures;
mod form;
mod frame;
mod gate;
mod items;
mod job;
mod job_list;
mod job_parts;
mod limit_change;
mod limits;
mod login;
mod resources;
mod session;
mod text;
mod tree;
mod unmatched;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;

use crate::app::App;
use crate::auth::RoutePath;
use crate::route::Route;
use gate::{PageGate, enter};

pub use session::LocalPass;

/// Where the jobs are, which is where everybody begins.
const HOME: &str = "/ui/jobs";

fn all() -> Vec<Route> {
    let home = async || Redirect::to(HOME);
    [
        vec![Route::get("/", home), Route::get("/ui", home)],
        assets::routes(),
        login::routes(),
        job_list::routes(),
        job::routes(),
        items::routes(),
        failures::routes(),
        limits::routes(),
        limit_change::routes(),
        resources::routes(),
        dead::routes(),
        unmatched::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// All pages.
pub(crate) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    all().into_iter().fold(Router::new(), |router, route| {
        let gate = PageGate { app: Arc::clone(app), scope: route.scope, path: RoutePath(route.path) };
        router.route(route.path, route.handler.route_layer(from_fn_with_state(gate, enter)))
    })
}
