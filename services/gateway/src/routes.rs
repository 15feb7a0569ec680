//! All routes.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::app::App;
use crate::auth::{Gate, RoutePath, enter};
use crate::finish::finish;
use crate::problem::Problem;
use crate::route::Route;
use crate::{
    credentials, dead, docs, events, explain, health, items, jobs, keys, limits, page, pages, plan, post_job,
    providers, since, stop, tree, unmatched,
};

/// All routes, in the order of the document.
pub(crate) fn all() -> Vec<Route> {
    [
        post_job::routes(),
        plan::routes(),
        jobs::routes(),
        tree::routes(),
        explain::routes(),
        items::routes(),
        pages::routes(),
        events::routes(),
        stop::routes(),
        since::routes(),
        providers::routes(),
        unmatched::routes(),
        credentials::routes(),
        keys::routes(),
        limits::routes(),
        dead::routes(),
        health::routes(),
        docs::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The API.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let router = all().into_iter().fold(Router::new(), |router, route| {
        let gate = Gate { app: Arc::clone(app), scope: route.scope, path: RoutePath(route.path) };
        router.route(route.path, route.handler.route_layer(from_fn_with_state(gate, enter)))
    });
    let router = router.merge(page::router(app));
    let nothing = || async { Problem::not_found("address; /docs lists what there is") };
    // What the framework answers for a method that is not there is made a problem like everything else.
    router.fallback(nothing).layer(from_fn_with_state(Arc::clone(app), finish)).with_state(Arc::clone(app))
}
