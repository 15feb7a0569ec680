//! `/v1/jobs/{id}/items`: what was fetched, one JSON item a line, page after page as they were stored.
//!
//! A page is read when the client has taken the one before: however large the job, little of it is in memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::try_unfold;
use serde::Deserialize;
use tidegate_contracts::JobId;
use tidegate_ledger::PageRow;
use tidegate_registry::Scope;

use crate::app::{App, Caller};
use crate::job_id::OwnJob;
use crate::problem::{Kind, Problem};
use crate::quota::Place;
use crate::route::{Content, Parameter, Route};

/// Most pages of one answer with `pages`, which are in memory at once, packed.
const PAGES_MAX: u32 = 100;
/// Pages read from the ledger at once.
const PAGES_READ: u32 = 8;
/// Between two looks for new pages of a job that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Where an answer with `pages` ends: `after` of the next one.
const NEXT: &str = "tidegate-next";

pub(crate) fn routes() -> Vec<Route> {
    const QUERY: &[Parameter] = &[
        Parameter { name: "step", kind: "string", description: "Of this step only." },
        Parameter { name: "after", kind: "string", description: "A cursor: nothing up to there is sent again." },
        Parameter {
            name: "pages",
            kind: "integer",
            description: "Only so many stored pages: 1 to 100. The header Tidegate-Next is `after` of the next ones; \
                          without it there are no more yet.",
        },
        Parameter {
            name: "origin",
            kind: "boolean",
            description: "Each line is {cursor, step, params, item}; `cursor` goes on after just this item.",
        },
        Parameter {
            name: "follow",
            kind: "boolean",
            description: "Go on with what is stored while the job runs, until it is finished.",
        },
    ];
    vec![
        Route::get("/v1/jobs/{id}/items", items)
            .needs(Scope::Read)
            .summary("What was fetched: NDJSON, one item a line, as the provider wrote it")
            .description(
                "In the order of storing. A stream that breaks off in the middle was cut: go on with the cursor of the \
                 last whole line (`origin`), or of the last whole answer (`pages`).",
            )
            .query(QUERY)
            .answers(200, "The items.", Some(Content::Media("application/x-ndjson")))
            .problems(&[422, 429]),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    step: Option<String>,
    after: Option<String>,
    pages: Option<u32>,
    #[serde(default)]
    origin: bool,
    #[serde(default)]
    follow: bool,
}

async fn items(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    OwnJob(job): OwnJob,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let place = app.item_streams.take(caller.tenant.as_str()).ok_or_else(|| {
        let detail = format!("at most {} streams of items at once", app.config.item_streams_max);
        Problem::new(Kind::TooManyOpen, detail).retry_after(5)
    })?;
    let after = wanted.after.as_deref().map_or(Some(Cursor::default()), Cursor::parse);
    let after = after.ok_or_else(|| Problem::field("after", "expected a cursor of this job's items"))?;
    let follow = wanted.follow && wanted.pages.is_none();
    let (job, shape) = (job.id, Shape { step: wanted.step, origin: wanted.origin });
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    let mut read = match wanted.pages {
        None => Vec::new(),
        Some(pages) if (1..=PAGES_MAX).contains(&pages) => {
            let pages = app.deps.ledger.pages_after(job, after.seq_before(), pages).await?;
            if let Some(last) = pages.last() {
                headers.insert(NEXT, HeaderValue::from(last.seq));
            }
            pages
        }
        Some(pages) => return Err(Problem::field("pages", format!("expected 1 to {PAGES_MAX}, found {pages}"))),
    };
    let is_whole = wanted.pages.is_some();
    read.reverse();
    let stream = Reading { app, job, shape, after, read, is_whole, follow, _place: place };
    Ok((headers, Body::from_stream(try_unfold(stream, next))).into_response())
}

/// Where a reader stands: after so many lines of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cursor {
    seq: i64,
    /// `None`: after all of its lines.
    lines: Option<usize>,
}

impl Cursor {
    /// `SEQ`, or `SEQ.LINES`.
    fn parse(text: &str) -> Option<Self> {
        let (seq, lines) = match text.split_once('.') {
            Some((seq, lines)) => (seq, Some(lines.parse().ok()?)),
            None => (text, None),
        };
        Some(Self { seq: seq.parse().ok().filter(|seq| *seq >= 0)?, lines })
    }

    /// After which page to read on: a page that was begun is read again.
    fn seq_before(self) -> i64 {
        if self.lines.is_some() { self.seq - 1 } else { self.seq }
    }

    /// Lines of this page that are not sent again.
    fn lines_of(self, seq: i64) -> usize {
        self.lines.filter(|_| seq == self.seq).unwrap_or(0)
    }
}

/// What lines look like.
struct Shape {
    step: Option<String>,
    origin: bool,
}

struct Reading {
    app: Arc<App>,
    job: JobId,
    shape: Shape,
    after: Cursor,
    /// Pages that were read and not sent, the next one last.
    read: Vec<PageRow>,
    /// No more are read than these.
    is_whole: bool,
    follow: bool,
    _place: Place,
}

/// The lines of the next page that has some to send.
async fn next(mut reading: Reading) -> anyhow::Result<Option<(Bytes, Reading)>> {
    loop {
        let Some(page) = reading.page().await? else { return Ok(None) };
        let skipped = reading.after.lines_of(page.seq);
        reading.after = Cursor { seq: page.seq, lines: None };
        if reading.shape.step.as_ref().is_some_and(|step| *step != page.step) {
            continue;
        }
        let origin = reading.shape.origin;
        // A page may be large, and unpacking it is work.
        let lines = tokio::task::spawn_blocking(move || lines(&page, skipped, origin)).await??;
        if !lines.is_empty() {
            return Ok(Some((lines, reading)));
        }
    }
}

impl Reading {
    async fn page(&mut self) -> anyhow::Result<Option<PageRow>> {
        loop {
            if let Some(page) = self.read.pop() {
                return Ok(Some(page));
            }
            if self.is_whole {
                return Ok(None);
            }
            let ledger = &self.app.deps.ledger;
            // Looked at before the pages: what was stored by then is read below.
            let is_final = !self.follow || ledger.job(self.job).await?.context("the job is gone")?.state.is_final();
            self.read = ledger.pages_after(self.job, self.after.seq_before(), PAGES_READ).await?;
            self.read.reverse();
            if self.read.is_empty() && is_final {
                return Ok(None);
            }
            if self.read.is_empty() {
                tokio::select! {
                    // An answer that ends properly would look whole.
                    () = self.app.shutdown.requested() => anyhow::bail!("the gateway stops"),
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        }
    }
}

/// A page's lines but for the first `skipped`.
fn lines(page: &PageRow, skipped: usize, origin: bool) -> anyhow::Result<Bytes> {
    let lines = page.lines.unpack().context("can't unpack a page")?;
    if skipped == 0 && !origin {
        return Ok(lines.into());
    }
    let mut text = Vec::with_capacity(lines.len());
    let of_page = format!("\"step\":{},\"params\":{},\"item\":", serde_json::Value::from(&*page.step), page.params);
    for (number, line) in lines.split_inclusive(|byte| *byte == b'\n').enumerate().skip(skipped) {
        if origin {
            text.extend_from_slice(format!("{{\"cursor\":\"{}.{}\",{of_page}", page.seq, number + 1).as_bytes());
            text.extend_from_slice(line.trim_ascii_end());
            text.extend_from_slice(b"}\n");
        } else {
            text.extend_from_slice(line);
        }
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_after_a_page_or_within_it() {
        let cursor = Cursor::parse("7.2").unwrap();
        assert_eq!((cursor.seq_before(), cursor.lines_of(7), cursor.lines_of(8)), (6, 2, 0));
        let cursor = Cursor::parse("7").unwrap();
        assert_eq!((cursor.seq_before(), cursor.lines_of(7)), (7, 0));
        for text in ["", "x", "-1", "1.", "1.x", "1.-1", "99999999999999999999", ".1"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
