//! What a tenant has beside jobs: provider files, and the names of credentials.

use std::sync::Arc;

use axum::extract::{Path, State};
use maud::{Markup, html};
use serde_json::Value;
use tidegate_provider::{PACKS, Pack, pack};
use tidegate_registry::Scope;

use super::frame::{self, Page};
use super::gate::Viewer;
use super::text::time;
use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::route::Route;
use crate::view::Parked;
use crate::{credentials, providers};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/ui/providers", list_providers).needs(Scope::Read),
        Route::get("/ui/providers/{name}", show_provider).needs(Scope::Read),
        Route::get("/ui/credentials", list_credentials).needs(Scope::Read),
    ]
}

async fn list_providers(State(app): State<Arc<App>>, viewer: Viewer) -> Result<Page, Problem> {
    let list = providers::list(State(app), viewer.caller()).await?.0;
    let head = html! {
        th scope="col" { "Provider" }
        th.number scope="col" { "Version" }
        th scope="col" { "Changed" }
    };
    let rows = html! {
        @for provider in &list.providers {
            tr {
                td { a href={ "/ui/providers/" (provider.name) } { (provider.name) } }
                td.number { (provider.version) }
                td { (time(provider.updated_at_ms)) }
            }
        }
    };
    let main = html! {
        h1 { "Providers" }
        p.note { "Files that are stored. Jobs may also bring their own, or name a pack." }
        @if list.providers.is_empty() { p { "No provider file is stored." } }
        @else { (frame::table("Providers", &head, &rows)) }
        (packs())
    };
    Ok(frame::page(&viewer, "/ui/providers", "Providers", &main))
}

/// Provider files that travel with the program, those for others to extend left out.
fn packs() -> Markup {
    // Tests see to it that packs can be read.
    let packs =
        PACKS.iter().filter(|pack| !pack.is_family()).filter_map(|pack| Some((pack.name, pack.merged().ok()?.file)));
    let head = html! {
        th scope="col" { "Pack" }
        th scope="col" { "Describes" }
        th.number scope="col" { "Endpoints" }
    };
    let rows = html! {
        @for (name, file) in packs {
            tr {
                td { a href={ "/ui/providers/" (name) } { (name) } }
                td { (file.description.as_deref().unwrap_or_default()) }
                td.number { (file.endpoints.len()) }
            }
        }
    };
    html! {
        h2 #packs { "Packs" }
        p.note { "They travel with the program: a job says " code { "provider: github" } ". A stored file of the name goes before it." }
        (frame::table("Packs", &head, &rows))
    }
}

fn show_pack(viewer: &Viewer, pack: &Pack) -> Page {
    let main = html! {
        p { a href="/ui/providers" { "‹ Providers" } }
        h1 { (pack.name) }
        p.under { "A pack of this release" }
        p { a href={ "/ui/providers/" (pack.name) "/unmatched" } { "Answers that no rule speaks of" } }
        pre tabindex="0" aria-label="The file" role="region" { (pack.text) }
    };
    frame::page(viewer, "/ui/providers", pack.name, &main)
}

async fn show_provider(State(app): State<Arc<App>>, viewer: Viewer, Path(name): Path<String>) -> Result<Page, Problem> {
    let stored = providers::show(State(app), viewer.caller(), Path(name.clone())).await;
    let provider = match (stored, pack(&name)) {
        (Err(problem), Some(pack)) if problem.kind == Kind::NotFound => return Ok(show_pack(&viewer, pack)),
        (stored, _) => stored?.0,
    };
    let file: Option<Value> = provider.file.and_then(|file| serde_json::from_str(file.get()).ok());
    let text = file.and_then(|file| serde_json::to_string_pretty(&file).ok()).unwrap_or_default();
    let main = html! {
        p { a href="/ui/providers" { "‹ Providers" } }
        h1 { (provider.name) }
        p.under { "Version " (provider.version) ", changed " (time(provider.updated_at_ms)) }
        p { a href={ "/ui/providers/" (provider.name) "/unmatched" } { "Answers that no rule speaks of" } }
        pre tabindex="0" aria-label="The file" role="region" { (text) }
    };
    Ok(frame::page(&viewer, "/ui/providers", &provider.name, &main))
}

async fn list_credentials(State(app): State<Arc<App>>, viewer: Viewer) -> Result<Page, Problem> {
    let list = credentials::list(State(app), viewer.caller()).await?.0;
    let head = html! {
        th scope="col" { "Credential" }
        th scope="col" { "Stands" }
        th.number scope="col" { "Version" }
        th scope="col" { "Changed" }
    };
    let rows = html! {
        @for credential in &list.credentials {
            tr {
                td { (credential.name) }
                td { (stands(credential.parked.as_ref())) }
                td.number { (credential.version) }
                td { (time(credential.updated_at_ms)) }
            }
        }
    };
    let main = html! {
        h1 { "Credentials" }
        p.note { "Their names alone: what is in them is sealed, and never shown." }
        @if list.credentials.is_empty() { p { "No credential is stored." } }
        @else { (frame::table("Credentials", &head, &rows)) }
    };
    Ok(frame::page(&viewer, "/ui/credentials", "Credentials", &main))
}

/// Whether its provider takes it, as far as that is known.
fn stands(parked: Option<&Parked>) -> Markup {
    html! {
        @match parked {
            None => span.state.good { "fine" },
            Some(Parked { provider, class, message, since_ms, .. }) => {
                span.state.bad { "parked" }
                div { (provider) " takes it no more (" (class) "): " (message) }
                div.note { "since " (time(*since_ms)) ". Store it anew, and the jobs that wait for it go on." }
            }
        }
    }
}
