//! Answers of a provider that no error rule speaks of, ready to be made a rule and its test.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde_json::Value;
use tidegate_answer::ErrorRule;
use tidegate_ledger::UnmatchedRow;
use tidegate_provider::file::Name;
use tidegate_provider::{ProviderFile, Unmatched};
use tidegate_registry::Scope;

use super::form::Form;
use super::frame::{self, Page};
use super::gate::Viewer;
use super::text::{count, counted, time};
use crate::app::App;
use crate::body::FileText;
use crate::problem::{Kind, Problem};
use crate::providers;
use crate::route::Route;
use crate::unmatched::{self, UnmatchedAnswer};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/ui/providers/{name}/unmatched", show).needs(Scope::Read),
        Route::post("/ui/providers/{name}/unmatched", tried).needs(Scope::Read),
        Route::post("/ui/providers/{name}/rules", put).needs(Scope::Admin),
    ]
}

async fn show(State(app): State<Arc<App>>, viewer: Viewer, Path(name): Path<String>) -> Result<Page, Problem> {
    let list = unmatched::list(State(app), viewer.caller(), Path(name.clone())).await?.0;
    let main = html! {
        p { a href="/ui/providers" { "‹ Providers" } }
        h1 { "Answers of " (name) " that no rule speaks of" }
        p.note {
            "Samples of what your jobs were answered, without secrets. Try a rule here, put it into " code { "errors" } " of the "
            "provider file, and the answer into what " code { "tidegate provider test" } " holds the file to."
        }
        @if list.unmatched.is_empty() { p { "There are none." } }
        @for (place, one) in list.unmatched.iter().enumerate() { (sample(&viewer, &name, place, one)) }
    };
    Ok(frame::page(&viewer, "/ui/providers", &format!("Answers of {name} that no rule speaks of"), &main))
}

fn sample(viewer: &Viewer, provider: &str, place: usize, one: &UnmatchedAnswer) -> Markup {
    html! {
        section {
            h2 { (one.endpoint) " " (one.status) ", taken for " (one.class) }
            p { (one.message) }
            p.note { (counted(one.count, "time", "times")) ", first " (time(one.first_seen_ms)) ", last " (time(one.last_seen_ms)) }
            @match &one.rule {
                Some(rule) => (form(viewer, provider, place, &pretty(rule))),
                None => p { "Nothing of it tells it from a page, so there is no rule for it." },
            }
            (json("Its test", &one.answer))
        }
    }
}

fn json(name: &str, value: &Value) -> Markup {
    html! {
        h3 { (name) }
        pre tabindex="0" { (pretty(value)) }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A rule to change and try.
fn form(viewer: &Viewer, provider: &str, place: usize, rule: &str) -> Markup {
    let id = format!("rule-{place}");
    html! {
        form method="post" action={ "/ui/providers/" (provider) "/unmatched" } {
            (frame::token(viewer))
            label for=(id) { "A rule: say what its class really is" }
            textarea id=(id) name="rule" rows=(rule.lines().count().max(4)) spellcheck="false" { (rule) }
            button type="submit" { "Try it" }
        }
    }
}

/// What a rule makes of the samples. Nothing is stored.
async fn tried(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path(name): Path<String>,
    Form(fields): Form,
) -> Result<Page, Problem> {
    let text = fields.get("rule");
    let samples = unmatched::samples(&app, &viewer.key, name.clone()).await?;
    let may_put = match Name::try_from(name.clone()) {
        Ok(name) if viewer.may(Scope::Admin) => app.deps.registry.provider(&viewer.key.tenant, &name).await?.is_some(),
        _ => false,
    };
    let main = html! {
        p { a href={ "/ui/providers/" (name) "/unmatched" } { "‹ Answers of " (name) " that no rule speaks of" } }
        h1 { "A rule for " (name) ", tried" }
        @match read(text) {
            Err(problem) => p.error role="alert" { (problem) },
            Ok(rule) => {
                (verdicts(&samples, &rule))
                @if may_put { (put_form(&viewer, &name, text)) }
            }
        }
        (form(&viewer, &name, 0, text))
    };
    Ok(frame::page(&viewer, "/ui/providers", &format!("A rule for {name}, tried"), &main))
}

/// A rule as it stands in a provider file, JSON.
fn read(text: &str) -> Result<ErrorRule, String> {
    let rule: ErrorRule = serde_json::from_str(text).map_err(|error| format!("The rule can't be read: {error}"))?;
    let problems: Vec<String> = rule.check().iter().map(ToString::to_string).collect();
    if problems.is_empty() { Ok(rule) } else { Err(problems.join("; ")) }
}

fn verdicts(samples: &[(Unmatched, UnmatchedRow)], rule: &ErrorRule) -> Markup {
    let met = samples.iter().filter(|(sample, _)| sample.by(rule).is_some()).count() as u64;
    let head = html! {
        th scope="col" { "Answer" }
        th scope="col" { "Taken for" }
        th scope="col" { "By the rule" }
    };
    let rows = html! {
        @for (sample, _) in samples {
            tr {
                td { (sample.endpoint) " " (sample.status) div.message { (sample.message) } }
                td { (sample.class) }
                td { @match sample.by(rule) { Some(class) => b { (class) }, None => "not spoken of" } }
            }
        }
    };
    html! {
        p { "It speaks of " (counted(met, "sample", "samples")) " of " (count(samples.len() as u64)) "." }
        (frame::table("What the rule makes of the samples", &head, &rows))
    }
}

fn put_form(viewer: &Viewer, provider: &str, rule: &str) -> Markup {
    html! {
        form.actions method="post" action={ "/ui/providers/" (provider) "/rules" } {
            (frame::token(viewer))
            input type="hidden" name="rule" value=(rule);
            button #put type="submit" { "Put it before the other rules of " (provider) }
            span.note { "Jobs that are submitted from then on have it." }
        }
    }
}

/// Puts a rule before the others of a stored provider file. Twice is no harm: the first that matches counts.
async fn put(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path(name): Path<String>,
    Form(fields): Form,
) -> Result<Response, Problem> {
    let rule = read(fields.get("rule")).map_err(|problem| Problem::field("rule", problem))?;
    let stored = providers::show(State(Arc::clone(&app)), viewer.caller(), Path(name.clone())).await?.0;
    let file = stored.file.and_then(|file| serde_json::from_str::<ProviderFile>(file.get()).ok());
    let mut file = file.ok_or_else(|| Problem::not_found("provider"))?;
    if file.errors.first() != Some(&rule) {
        file.errors.insert(0, rule);
    }
    let text = serde_json::to_string(&file).map_err(|error| Problem::ours(Kind::Internal, &error))?;
    providers::put(State(app), viewer.caller(), Path(name.clone()), FileText(text)).await?;
    Ok(Redirect::to(&format!("/ui/providers/{name}")).into_response())
}
