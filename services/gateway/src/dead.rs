//! `/v1/dead`: messages that could not be handled, of all tenants; for who runs the deployment.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_bus::BusError;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{DeadId, Envelope};
use tidegate_ledger::{DeadFilter, DeadRow};
use tidegate_registry::{KeyRow, Scope};

use crate::app::{App, Caller};
use crate::jobs::{LIMIT, cursor, next_page, page_size};
use crate::limits::runs_deployment;
use crate::problem::{Kind, Problem};
use crate::route::{Content, Parameter, Route};

/// Characters shown of what is no message.
const TEXT_SHOWN_CHARS: usize = 1_000;
/// Fields of messages that are not shown: what a provider calls its next page may hold a secret of its own.
const NOT_SHOWN: [&str; 2] = ["cursor", "url"];

/// A message that could not be handled.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Dead {
    /// Its id.
    pub(crate) id: String,
    /// The queue it was to be handled from.
    pub(crate) queue: String,
    /// `job_submitted`, `outcome`, `plan`, `call` or `event`; null when nobody could read it.
    pub(crate) kind: Option<String>,
    /// The job it speaks of, which need not be there.
    pub(crate) job: Option<String>,
    /// Why it could not be handled.
    pub(crate) reason: String,
    /// How often it had come back before.
    pub(crate) redelivered: u32,
    /// Unix ms; 0 when unknown.
    pub(crate) died_at_ms: i64,
    /// Since when it is listed here, Unix ms.
    pub(crate) kept_at_ms: i64,
    /// How long it is.
    pub(crate) bytes: u64,
    /// When it was last sent again, Unix ms.
    pub(crate) replayed_at_ms: Option<i64>,
}

/// A message that could not be handled, and what it says.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeadDetail {
    #[serde(flatten)]
    pub(crate) dead: Dead,
    /// The message, without cursors and addresses of pages; the beginning of the text, where it is no JSON.
    pub(crate) message: Value,
}

/// A page of messages that could not be handled.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeadList {
    /// Newest first.
    pub(crate) dead: Vec<Dead>,
    /// `after` of the next page; none on the last.
    pub(crate) next: Option<String>,
}

impl From<DeadRow> for Dead {
    fn from(row: DeadRow) -> Self {
        Self {
            id: row.id.to_string(),
            queue: row.queue,
            kind: row.kind,
            job: row.job.map(|job| job.to_string()),
            reason: row.reason,
            redelivered: row.redelivered,
            died_at_ms: row.died_at_ms,
            kept_at_ms: row.kept_at_ms,
            bytes: row.bytes,
            replayed_at_ms: row.replayed_at_ms,
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    const QUERY: &[Parameter] = &[
        Parameter { name: "queue", kind: "string", description: "Of this queue." },
        Parameter { name: "job", kind: "string", description: "Of this job." },
        Parameter { name: "after", kind: "string", description: "`next` of the page before." },
        LIMIT,
    ];
    vec![
        Route::get("/v1/dead", list)
            .needs(Scope::Admin)
            .summary("Dead letters: messages that could not be handled, newest first")
            .description("Of all tenants: only the tenant that runs the deployment may use this and what is below it.")
            .query(QUERY)
            .answers(200, "A page of them.", Some(Content::Json("DeadList")))
            .problems(&[403, 422]),
        Route::get("/v1/dead/{letter}", show)
            .needs(Scope::Admin)
            .summary("A dead letter, and what it says")
            .answers(200, "It.", Some(Content::Json("DeadDetail"))),
        Route::post("/v1/dead/{letter}/replay", replay)
            .needs(Scope::Admin)
            .summary("Send a dead letter again, to the queue it died in")
            .description(
                "Handling a message twice is harmless, so is this. If it can't be handled this time either, it comes here \
                 again, as another letter.",
            )
            .answers(200, "It was sent.", Some(Content::Json("Dead")))
            .problems(&[422, 503]),
        Route::delete("/v1/dead/{letter}", delete)
            .needs(Scope::Admin)
            .summary("Drop a dead letter")
            .answers(204, "It is gone.", None),
    ]
}

/// Which dead letters are wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) queue: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<u32>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Json<DeadList>, Problem> {
    if !runs_deployment(&app, &caller) {
        let detail = format!("dead letters are of all tenants: only tenant {} may see them", app.config.operator);
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let limit = page_size(wanted.limit)?;
    let job = wanted.job.map(|job| job.parse()).transpose();
    let filter = DeadFilter {
        queue: wanted.queue,
        job: job.map_err(|error: tidegate_contracts::ParseIdError| Problem::field("job", error.to_string()))?,
        before: wanted.after.as_deref().map(cursor).transpose()?,
        limit: limit + 1,
    };
    let mut rows = app.deps.dead.dead(&filter).await?;
    let next = next_page(&mut rows, limit, |row| row.id.to_string());
    Ok(Json(DeadList { dead: rows.into_iter().map(Dead::from).collect(), next }))
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<DeadDetail>, Problem> {
    let (row, body) = find(&app, &caller, &id).await?;
    Ok(Json(DeadDetail { dead: row.into(), message: shown(&body) }))
}

/// Publish, then mark: who dies in between sends it twice at worst, which is harmless.
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<Dead>, Problem> {
    let (row, body) = find(&app, &caller, &id).await?;
    let unfit = |why: String| Problem::new(Kind::Invalid, format!("it can't be sent again: {why}"));
    let queue = Queue::from_name(&row.queue).filter(|queue| *queue != Queue::Dead && *queue != Queue::Results);
    let queue = queue.ok_or_else(|| unfit(format!("nothing is sent to {}", row.queue)))?;
    // What could not be read by one build, another may read.
    let envelope = Envelope::decode(&body).map_err(|error| unfit(error.to_string()))?;
    app.deps.bus.publish(&queue, vec![envelope]).await.map_err(|error| match error {
        BusError::Refused { .. } => unfit(error.to_string()),
        BusError::Full { .. } | BusError::Closed | BusError::Broker { .. } => {
            Problem::ours(Kind::Unavailable, &error).retry_after(5)
        }
    })?;
    let now_ms = app.now_ms();
    app.deps.dead.replayed_dead(row.id, now_ms).await?;
    tracing::info!(dead.id = %row.id, %queue, key.id = caller.id, "dead letter sent again");
    Ok(Json(DeadRow { replayed_at_ms: Some(now_ms), ..row }.into()))
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (row, _) = find(&app, &caller, &id).await?;
    app.deps.dead.drop_dead(row.id).await?;
    tracing::info!(dead.id = %row.id, key.id = caller.id, "dead letter dropped");
    Ok(StatusCode::NO_CONTENT)
}

async fn find(app: &App, caller: &KeyRow, id: &str) -> Result<(DeadRow, Vec<u8>), Problem> {
    let nothing = || Problem::not_found("dead letter");
    // To others it is not there, like whatever is another tenant's.
    let id: DeadId = id.parse().ok().filter(|_| runs_deployment(app, caller)).ok_or_else(nothing)?;
    app.deps.dead.dead_letter(id).await?.ok_or_else(nothing)
}

/// What of a message may be seen.
fn shown(body: &[u8]) -> Value {
    match serde_json::from_slice(body) {
        Ok(mut message) => {
            mask(&mut message);
            message
        }
        Err(_) => {
            let beginning = &body[..body.len().min(4 * TEXT_SHOWN_CHARS)];
            String::from_utf8_lossy(beginning).chars().take(TEXT_SHOWN_CHARS).collect::<String>().into()
        }
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if value.is_string() && NOT_SHOWN.contains(&name.as_str()) {
                    *value = "***".into()
                } else {
                    mask(value)
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cursors_and_addresses_are_not_shown_wherever_they_stand() {
        let body = br#"{"body":[{"next":{"url":"https://x/?token=canary"}},{"cursor":"canary"},{"cursor":{"url":7}}]}"#;
        let seen = shown(body);
        assert_eq!(seen, json!({"body": [{"next": {"url": "***"}}, {"cursor": "***"}, {"cursor": {"url": 7}}]}));
    }

    #[test]
    fn of_what_is_no_message_the_beginning_is_shown() {
        assert_eq!(shown(b"not json \xff"), json!("not json \u{fffd}"));
        assert_eq!(shown(&[b'x'; 100_000]).as_str().map(str::len), Some(TEXT_SHOWN_CHARS));
        assert_eq!(shown(b""), json!(""));
    }
}
