//! Answers of a provider that no error rule speaks of, ready to be made a rule and its test.

use std::sync::Arc;

use axum::extract::{Path, State};
use maud::{Markup, html};
use serde_json::Value;
use tidegate_registry::Scope;

use super::frame::{self, Page};
use super::gate::Viewer;
use super::text::{counted, time};
use crate::app::App;
use crate::problem::Problem;
use crate::route::Route;
use crate::unmatched::{self, UnmatchedAnswer};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/ui/providers/{name}/unmatched", show).needs(Scope::Read)]
}

async fn show(State(app): State<Arc<App>>, viewer: Viewer, Path(name): Path<String>) -> Result<Page, Problem> {
    let list = unmatched::list(State(app), viewer.caller(), Path(name.clone())).await?.0;
    let main = html! {
        p { a href="/ui/providers" { "‹ Providers" } }
        h1 { "Answers of " (name) " that no rule speaks of" }
        p.note {
            "Samples of what your jobs were answered, without secrets. Put a rule into " code { "errors" } " of the provider file, "
            "and the answer into what " code { "tidegate provider test" } " holds the file to."
        }
        @if list.unmatched.is_empty() { p { "There are none." } }
        @for one in &list.unmatched { (sample(one)) }
    };
    Ok(frame::page(&viewer, "/ui/providers", &format!("Answers of {name} that no rule speaks of"), &main))
}

fn sample(one: &UnmatchedAnswer) -> Markup {
    html! {
        section {
            h2 { (one.endpoint) " " (one.status) ", taken for " (one.class) }
            p { (one.message) }
            p.note { (counted(one.count, "time", "times")) ", first " (time(one.first_seen_ms)) ", last " (time(one.last_seen_ms)) }
            @match &one.rule {
                Some(rule) => (json("A rule", rule)),
                None => p { "Nothing of it tells it from a page, so there is no rule for it." },
            }
            (json("Its test", &one.answer))
        }
    }
}

fn json(name: &str, value: &Value) -> Markup {
    html! {
        h3 { (name) }
        pre tabindex="0" { (serde_json::to_string_pretty(value).unwrap_or_default()) }
    }
}
