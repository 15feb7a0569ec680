//! The OpenAPI document (3.1), out of the table of routes and the types that travel.

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use tidegate_provider::{JobFile, ProviderFile};

use crate::problem::Written;
use crate::route::{Answer, Content, Parameter, Route};
use crate::{credentials, dead, keys, limits, providers, routes, since, stop, unmatched, view};

const DESCRIPTION: &str = "Jobs that pull what you may pull out of other people's HTTP APIs. Send an API key as \
    `Authorization: Bearer tg_…`. Lists are pages: pass `next` as `after` until it is null. Whatever goes wrong is \
    `application/problem+json` (RFC 9457).";

/// The OpenAPI document of the gateway's API, as JSON.
#[must_use]
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| build().to_string());
    &DOCUMENT
}

fn build() -> Value {
    let mut paths = Map::new();
    for route in routes::all() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation(&route);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Tidegate", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer", "description": "An API key: tg_…" } },
        },
    })
}

fn schemas() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    macro_rules! add {
        ($($type:ty),* $(,)?) => { $( generator.subschema_for::<$type>(); )* };
    }
    add!(Written, JobFile, ProviderFile, view::Job, view::JobDetail, view::JobList, view::FetchList);
    add!(view::FailedCallList, view::Submitted, view::Event, view::Ready, stop::Retried);
    add!(tidegate_progress::Explanation, view::MarkList, since::MarksReset);
    add!(providers::Provider, providers::ProviderList, credentials::CredentialList, credentials::Stored);
    add!(tidegate_forecast::Forecast, credentials::Fields, keys::Wanted, keys::Made, keys::KeyList);
    add!(unmatched::UnmatchedAnswer, unmatched::UnmatchedList);
    add!(dead::Dead, dead::DeadDetail, dead::DeadList);
    add!(limits::BudgetList, tidegate_limits::Override);
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    // What the command line reads from a file beside it is posted along.
    let provider = json!([
        { "type": "string", "description": "The name of a stored provider." },
        { "$ref": "#/components/schemas/ProviderFile" },
    ]);
    if let Some(field) =
        schemas.get_mut(&*JobFile::schema_name()).and_then(|job| job.pointer_mut("/properties/provider"))
    {
        *field = json!({ "description": "The name of a stored provider, or a provider file.", "anyOf": provider });
    }
    schemas.into()
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "tags": [tag(route.path)],
        "operationId": format!("{} {}", route.method.to_ascii_lowercase(), route.path),
        "parameters": parameters(route),
        "responses": responses(route),
    });
    if !route.description.is_empty() {
        operation["description"] = route.description.into();
    }
    if let Some(scope) = route.scope {
        operation["security"] = json!([{ "key": [scope.name()] }]);
    }
    if let Some(body) = route.body {
        operation["requestBody"] = json!({ "required": true, "content": content(body) });
    }
    operation
}

fn tag(path: &str) -> &str {
    path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next()).unwrap_or("service")
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn parameters(route: &Route) -> Value {
    let in_path = path_parameters(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let of = |place: &'static str| {
        move |parameter: &Parameter| {
            let Parameter { name, kind, description } = parameter;
            json!({ "name": name, "in": place, "description": description, "schema": { "type": kind } })
        }
    };
    in_path.chain(route.query.iter().map(of("query"))).chain(route.headers.iter().map(of("header"))).collect()
}

fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    for Answer { status, description, content: body } in &route.answers {
        let mut response = json!({ "description": description });
        if let Some(body) = body {
            response["content"] = content(*body);
        }
        responses.insert(status.to_string(), response);
    }
    let of_key: &[u16] = if route.scope.is_some() { &[401, 403, 503] } else { &[] };
    let of_path: &[u16] = if route.path.contains('{') && route.method != "PUT" { &[404] } else { &[] };
    let of_body: &[u16] = if route.body.is_some() { &[400, 413, 415, 422] } else { &[] };
    for status in [of_key, of_path, of_body, route.problems].concat() {
        let problem = json!({
            "description": "A problem.",
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
        responses.entry(status.to_string()).or_insert(problem);
    }
    responses.into()
}

fn content(content: Content) -> Value {
    let schema = |name: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
    match content {
        Content::Json(name) => json!({ "application/json": schema(name) }),
        Content::File(name) => json!({ "application/json": schema(name), "application/yaml": schema(name) }),
        Content::Media(media) => json!({ (media): { "schema": { "type": "string" } } }),
        Content::OneOf(all) => all
            .iter()
            .map(|media| (media.to_string(), json!({ "schema": { "type": "string" } })))
            .collect::<Map<_, _>>()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of the document.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            found.push(reference);
        }
        let inner = value.as_object().into_iter().flat_map(|map| map.values());
        inner.chain(value.as_array().into_iter().flatten()).for_each(|value| references(value, found));
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_route_is_described() {
        let document = build();
        let mut found = Vec::new();
        references(&document, &mut found);
        let lost: Vec<_> =
            found.iter().filter(|reference| document.pointer(reference.trim_start_matches('#')).is_none()).collect();
        assert!(found.len() > 50 && lost.is_empty(), "{lost:?}");
        for route in routes::all() {
            assert!(!route.summary.is_empty() && !route.answers.is_empty(), "{} {}", route.method, route.path);
            let is_open = ["/livez", "/readyz", "/openapi.json", "/docs"].contains(&route.path);
            assert_eq!(route.scope.is_none(), is_open, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn the_published_document_is_that_of_this_build() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/openapi.json");
        let published = std::fs::read_to_string(path).unwrap_or_default();
        let built = serde_json::to_string_pretty(&build()).unwrap() + "\n";
        assert!(published == built, "out of date: cargo run -p tidegate-gateway --example openapi");
    }
}
