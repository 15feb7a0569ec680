//! `/v1/jobs/{id}/items`: what was fetched, page after page as they were stored: one JSON item a line, CSV, or a JSON array.
//!
//! A page is read when the client has taken the one before: however large the job, little of it is in memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::try_unfold;
use serde::Deserialize;
use tidegate_answer::Seen;
use tidegate_contracts::JobId;
use tidegate_formats::{Columns, Encoder, Format, Origin};
use tidegate_ledger::PageRow;
use tidegate_registry::{KeyRow, Scope};
use tidegate_specs::{JobSpec, SpecsError};

use crate::app::{App, Caller};
use crate::hub::Watcher;
use crate::job_id::{OwnJob, has_tree};
use crate::problem::{Kind, Problem};
use crate::quota::Place;
use crate::route::{Content, Parameter, Route};

/// Most pages of one answer with `pages`, which are in memory at once, packed.
const PAGES_MAX: u32 = 100;
/// Pages read from the ledger at once.
const PAGES_READ: u32 = 8;
/// Most items of one answer whose keys are remembered, to leave out those that came before in it ([`Seen`]).
const KEYS_MAX: usize = 1_000_000;
/// Between two looks for new pages of a job that is followed; its end is heard of at once.
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
            description: "Each line is {cursor, step, params, item}; `cursor` goes on after just this item. In CSV: the \
                          columns `_step` and `_params`.",
        },
        Parameter {
            name: "format",
            kind: "string",
            description: "`ndjson`, `csv` or `json` (one array); else the header Accept says which, else it is NDJSON.",
        },
        Parameter {
            name: "columns",
            kind: "string",
            description: "Of CSV: names of fields, or ways to fields within fields, as in `id,author.id`. Without it: the \
                          fields of the first 1,000 items, and `_rest`, a JSON object, for those that come later.",
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
            .summary("What was fetched: as NDJSON, one item a line, as the provider wrote it; as CSV; or as one JSON array")
            .description(
                "In the order of storing. A stream that breaks off in the middle was cut: go on with the cursor of the \
                 last whole line (`origin`), or of the last whole answer (`pages`), both in NDJSON. A JSON array that was \
                 cut has no end, and a chunked answer neither. An item whose `key` came before in the same fetch is left \
                 out, among the last 500,000 items of one answer at least; what comes after a cursor is not compared with \
                 what came before it.",
            )
            .query(QUERY)
            .answers(200, "The items.", Some(Content::OneOf(&["application/x-ndjson", "text/csv", "application/json"])))
            .problems(&[410, 422, 429]),
    ]
}

/// Which items are wanted, and how.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) step: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) pages: Option<u32>,
    #[serde(default)]
    pub(crate) origin: bool,
    #[serde(default)]
    pub(crate) follow: bool,
    pub(crate) format: Option<String>,
    pub(crate) columns: Option<String>,
}

impl Wanted {
    /// Which format, and of CSV, which columns.
    fn format(&self, headers: &HeaderMap) -> Result<(Format, Option<Columns>), Problem> {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let format = match &self.format {
            None => Format::of_accept(accept),
            Some(name) => Format::from_name(name)
                .ok_or_else(|| Problem::field("format", format!("expected ndjson, csv or json, found {name}")))?,
        };
        if self.pages.is_some() && format != Format::Ndjson {
            return Err(Problem::field("pages", format!("expected the format ndjson, found {}", format.name())));
        }
        let columns = match &self.columns {
            Some(_) if format != Format::Csv => {
                return Err(Problem::field("columns", format!("expected the format csv, found {}", format.name())));
            }
            Some(columns) => {
                Some(Columns::parse(columns).map_err(|error| Problem::field("columns", error.to_string()))?)
            }
            None => None,
        };
        Ok((format, columns))
    }
}

pub(crate) async fn items(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    OwnJob(job): OwnJob,
    Query(wanted): Query<Wanted>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    has_tree(&job)?;
    let (format, columns) = wanted.format(&asked)?;
    let place = take_place(&app, &caller)?;
    let after = wanted.after.as_deref().map_or(Some(Cursor::default()), Cursor::parse);
    let after = after.ok_or_else(|| Problem::field("after", "expected a cursor of this job's items"))?;
    let follow = wanted.follow && wanted.pages.is_none();
    let (job, encoder) = (job.id, Encoder::new(format, columns, wanted.origin));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(VARY, HeaderValue::from_static("accept"));
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
    let step = wanted.step;
    let spec = match app.specs.get(job).await {
        Ok(spec) => Some(spec),
        // Of a job that this build can't read, all that is stored comes out.
        Err(SpecsError::Unusable { .. } | SpecsError::Unknown(_)) => None,
        Err(SpecsError::Ledger(error)) => return Err(error.into()),
    };
    let writer = Some(Writer { encoder, spec, seen: Seen::new(KEYS_MAX) });
    let watcher = app.hub.watch(job);
    let stream = Reading { app, job, step, writer, after, read, is_whole, follow, watcher, _place: place };
    Ok((headers, Body::from_stream(try_unfold(stream, next))).into_response())
}

/// The caller's place among those who read items now.
pub(crate) fn take_place(app: &App, caller: &KeyRow) -> Result<Place, Problem> {
    app.item_streams.take(caller.tenant.as_str()).ok_or_else(|| {
        let detail = format!("at most {} streams of items at once", app.config.item_streams_max);
        Problem::new(Kind::TooManyOpen, detail).retry_after(5)
    })
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

/// Writes items, each once.
struct Writer {
    encoder: Encoder,
    /// Where items' keys stand; `None` where that can't be known.
    spec: Option<Arc<JobSpec>>,
    seen: Seen,
}

struct Reading {
    app: Arc<App>,
    job: JobId,
    /// Of this step only.
    step: Option<String>,
    /// `None` once the end is written.
    writer: Option<Writer>,
    after: Cursor,
    /// Pages that were read and not sent, the next one last.
    read: Vec<PageRow>,
    /// No more are read than these.
    is_whole: bool,
    follow: bool,
    watcher: Watcher,
    _place: Place,
}

/// What the next page that has something to send comes to; at the end, what is left.
async fn next(mut reading: Reading) -> anyhow::Result<Option<(Bytes, Reading)>> {
    loop {
        let Some(mut writer) = reading.writer.take() else { return Ok(None) };
        let Some(page) = reading.page().await? else {
            writer.encoder.finish();
            let end = writer.encoder.take();
            return Ok((!end.is_empty()).then(|| (end.into(), reading)));
        };
        let skipped = reading.after.lines_of(page.seq);
        reading.after = Cursor { seq: page.seq, lines: None };
        if reading.step.as_ref().is_some_and(|step| *step != page.step) {
            reading.writer = Some(writer);
            continue;
        }
        // A page may be large, and unpacking it is work.
        let (writer, text) = tokio::task::spawn_blocking(move || write(writer, &page, skipped)).await??;
        reading.writer = Some(writer);
        if !text.is_empty() {
            return Ok(Some((text, reading)));
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
                    () = self.watcher.finished() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        }
    }
}

/// Writes a page's items but for the first `skipped`, and those that came before.
fn write(mut writer: Writer, page: &PageRow, skipped: usize) -> anyhow::Result<(Writer, Bytes)> {
    let lines = page.lines.unpack().context("can't unpack a page")?;
    let step = writer.spec.as_ref().and_then(|spec| spec.step(&page.step));
    let reader = step.map(|step| step.endpoint().reader()).filter(|reader| reader.has_key());
    if skipped == 0 && reader.is_none() && writer.encoder.copies_lines() {
        return Ok((writer, lines.into()));
    }
    let encoder = &mut writer.encoder;
    let mut write = |(place, item): (usize, &[u8])| {
        if place >= skipped {
            let origin = Origin { cursor: Some((page.seq, place + 1)), step: &page.step, params: &page.params };
            encoder.item(&origin, item);
        }
    };
    match reader {
        Some(reader) => writer.seen.fresh(reader, page.fetch, &lines).for_each(&mut write),
        None => lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate().for_each(&mut write),
    }
    let text = writer.encoder.take();
    Ok((writer, text.into()))
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
