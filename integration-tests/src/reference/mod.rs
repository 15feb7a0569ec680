//! Pages of `docs/reference`, made of what is published: the schemas, the OpenAPI document and the program's own help.
//!
//! Written by `cargo run -p tidegate-integration-tests --example reference`; a test holds them to what they are made of.

mod api;
mod commands;
mod schema;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Where it belongs, from the repository's folder.
    pub path: &'static str,
    /// What it says, Markdown.
    pub text: String,
}

/// The repository's folder.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// All pages; the commands' by asking `program`.
///
/// # Errors
/// When a schema can't be read, or the program can't be run.
pub fn pages(program: &Path) -> std::io::Result<Vec<Page>> {
    let (provider, job) = (read("schemas/provider.schema.json")?, read("schemas/job.schema.json")?);
    let text = |intro: &str, schema: &Value| format!("{intro}\n\n{}", schema::page(schema));
    Ok(vec![
        Page { path: "docs/reference/provider-file.md", text: text(PROVIDER, &provider) },
        Page { path: "docs/reference/job-file.md", text: text(JOB, &job) },
        Page { path: "docs/reference/commands.md", text: commands::page(program)? },
        Page { path: "docs/reference/api.md", text: api::page(&read("schemas/openapi.json")?, &[&provider, &job]) },
    ])
}

const PROVIDER: &str = "# Provider file

Every field of a provider file, made of its JSON Schema (`schemas/provider.schema.json`), which editors take, too. \
[An API with offsets](../guide/offsets.md) writes one step by step.";

const JOB: &str = "# Job file

Every field of a job file, made of its JSON Schema (`schemas/job.schema.json`), which editors take, too. \
[Steps](../steps.md) tells what they are for.";

fn read(path: &str) -> std::io::Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(root().join(path))?)?)
}

/// Text for one cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A text of a schema or document; empty when it is not there.
fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}
