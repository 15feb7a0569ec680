//! The OpenAPI document as a page.

use std::fmt::Write;

use serde_json::Value;

use super::{cell, schema, text};

/// Routes in the document's order, then the schemas that no file's page has.
pub(super) fn page(document: &Value, files: &[&Value]) -> String {
    let mut page = format!(
        "# HTTP API\n\n{}\n\nMade of the OpenAPI document (`schemas/openapi.json`), which every gateway serves at \
         `/openapi.json` and shows at `/docs`.\n",
        text(&document["info"], "description"),
    );
    for (path, routes) in document["paths"].as_object().into_iter().flatten() {
        for (method, route) in routes.as_object().into_iter().flatten() {
            // Writing to a String never fails.
            let _ = write!(page, "\n## {} `{path}`\n\n{}.", method.to_uppercase(), text(route, "summary"));
            let said = text(route, "description");
            if !said.is_empty() {
                let _ = write!(page, " {said}");
            }
            let scopes: Vec<&str> = scopes(route).collect();
            let _ = writeln!(page, "\n");
            let needs =
                if scopes.is_empty() { "no key".to_owned() } else { format!("a key with `{}`", scopes.join("`, `")) };
            let _ = writeln!(page, "* needs {needs}");
            asked(&mut page, route);
            answered(&mut page, route);
        }
    }
    let _ =
        writeln!(page, "\n## Schemas\n\nThose of files have [pages](provider-file.md) of [their own](job-file.md).");
    for (name, definition) in document["components"]["schemas"].as_object().into_iter().flatten() {
        if home(name, files).is_empty() {
            let _ = write!(page, "\n### {name}\n\n");
            schema::definition_of(&mut page, definition);
        }
    }
    elsewhere(&page, files)
}

fn scopes(route: &Value) -> impl Iterator<Item = &str> {
    let keys = route["security"].as_array().into_iter().flatten();
    keys.flat_map(|one| one["key"].as_array().into_iter().flatten()).filter_map(Value::as_str)
}

fn asked(page: &mut String, route: &Value) {
    for parameter in route["parameters"].as_array().into_iter().flatten() {
        if parameter["in"] != "path" {
            let (name, place, said) = (text(parameter, "name"), text(parameter, "in"), text(parameter, "description"));
            let _ = writeln!(page, "* {place} `{name}`, {}: {}", schema::kind(&parameter["schema"]), cell(said));
        }
    }
    let body: Vec<String> = media(&route["requestBody"]["content"]);
    if !body.is_empty() {
        let _ = writeln!(page, "* takes {}", body.join(" or "));
    }
}

fn answered(page: &mut String, route: &Value) {
    let mut problems = Vec::new();
    for (status, answer) in route["responses"].as_object().into_iter().flatten() {
        if status.starts_with('2') || status.starts_with('3') {
            let content = media(&answer["content"]).join(" or ");
            let content = if content.is_empty() { content } else { format!(" {content}") };
            let _ = writeln!(page, "* {status}: {}{content}", cell(text(answer, "description")));
        } else {
            problems.push(status.as_str());
        }
    }
    problems.sort_unstable();
    if !problems.is_empty() {
        let _ = writeln!(page, "* {}: a [Problem](#problem)", problems.join(", "));
    }
}

fn media(content: &Value) -> Vec<String> {
    let each = content.as_object().into_iter().flatten();
    each.map(|(media, of)| match of["schema"].as_object() {
        Some(_) if of["schema"].get("$ref").is_some() => format!("`{media}` ({})", schema::kind(&of["schema"])),
        _ => format!("`{media}`"),
    })
    .collect()
}

/// The page that has a schema; empty: this one.
fn home(name: &str, files: &[&Value]) -> &'static str {
    let pages = ["provider-file.md", "job-file.md"];
    let titles = ["ProviderFile", "JobFile"];
    let found = files.iter().zip(pages).zip(titles);
    let mut found = found.filter(|((file, _), title)| *title == name || file["$defs"].get(name).is_some());
    found.next().map_or("", |((_, page), _)| page)
}

/// With links to schemas of files led to their pages.
fn elsewhere(page: &str, files: &[&Value]) -> String {
    let mut pieces = page.split("](#");
    let mut to = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let name = to.rsplit('[').next().unwrap_or_default();
        let (home, is_file) = (home(name, files), matches!(name, "ProviderFile" | "JobFile"));
        match piece.split_once(')') {
            // The file itself is the whole page.
            Some((_, rest)) if is_file => {
                let _ = write!(to, "]({home}){rest}");
            }
            _ => {
                let _ = write!(to, "]({home}#{piece}");
            }
        }
    }
    to
}
