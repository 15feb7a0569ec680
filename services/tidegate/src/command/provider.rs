//! `tidegate provider`: check and try.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tidegate_contracts::{Call, JobId, Next, Params, Primitive};
use tidegate_daemon::clock;
use tidegate_egress::{Egress, EgressConfig};
use tidegate_executor::{Credentials, Probe, Prober};
use tidegate_limits::Reading;
use tidegate_pagination::begin;
use tidegate_provider::{JobFile, Part, ProviderFile, Spec, Step};

use crate::cli::Try;
use crate::exit::Exit;
use crate::files::FilesError;
use crate::kept_credentials::with_kept;
use crate::{files, say};

/// Items shown of a page.
const ITEMS_SHOWN: usize = 3;
/// Characters shown of an item.
const ITEM_SHOWN_CHARS: usize = 400;

pub(crate) fn check(path: &Path, folders: &[PathBuf]) -> anyhow::Result<Exit> {
    let provider = files::load_provider(path, folders)?.file;
    say::answer(&summary(path, &provider));
    Ok(Exit::Done)
}

fn summary(path: &Path, provider: &ProviderFile) -> String {
    let mut text = format!(
        "{} is right: provider {}, {} endpoints, {} limits, {} error rules",
        path.display(),
        provider.provider,
        provider.endpoints.len(),
        provider.limits.len(),
        provider.errors.len(),
    );
    for (name, endpoint) in &provider.endpoints {
        // Writing to a String never fails.
        let _ = write!(text, "\n  {name}: {} {}", endpoint.route.method(), endpoint.route.path());
    }
    text
}

pub(crate) async fn try_call(args: Try) -> anyhow::Result<Exit> {
    let provider = files::moved(files::load_provider(&args.file, &args.calls.providers)?, &args.calls);
    let spec = Spec::compile(job(&args, &provider.file)?, provider.file.clone()).map_err(|problems| {
        let (of_job, of_provider): (Vec<_>, Vec<_>) = problems.into_iter().partition(|p| p.part == Part::Job);
        let of_job = of_job.iter().map(|problem| format!("command line: {problem}"));
        let of_provider = provider.locate(&of_provider);
        FilesError(of_job.chain(of_provider.iter().map(ToString::to_string)).collect())
    })?;
    let credential = match &args.credential {
        Some(name) => Some(files::credential(name, &args.calls)?),
        None => None,
    };
    let Some(step) = spec.roots().next() else { return Ok(Exit::Usage) };
    let params = spec.params(step, None, None).map_err(with_cause)?;
    let call = first_call(&spec, step, &params);
    let egress = Egress::new(EgressConfig {
        allow_private: files::allow_private(&args.calls.allow_private)?,
        connect: spec.deadlines(step).connect,
        ..EgressConfig::default()
    })?;
    let clock = clock::system();
    let given = (&spec, credential.into_iter().collect());
    let make = async |credentials: &dyn Credentials| {
        let prober = Prober { spec: &spec, credentials, egress: &egress, clock: &clock };
        let lent = match prober.lend().await {
            Ok(lent) => lent,
            Err(failure) => return Ok((String::new(), Err(failure))),
        };
        let credential = lent.as_ref().map(|lent| &*lent.credential);
        let request = spec.request(step, &params, &call.pointer, credential).map_err(with_cause)?.describe();
        Ok((request, prober.probe(step, &call).await))
    };
    let (request, probed) = with_kept(given, (&args.state, &clock), make).await?;
    let probed = probed.unwrap_or_else(|failure| Probe { answer: None, page: Err(failure) });
    say::answer(&if args.json { as_json(&request, &probed).to_string() } else { as_text(&request, &probed) });
    Ok(if probed.page.is_ok() { Exit::Done } else { Exit::JobFailed })
}

pub(crate) fn with_cause(error: impl Into<anyhow::Error>) -> FilesError {
    FilesError::one(format!("{:#}", error.into()))
}

/// A job of one step that makes the call.
fn job(args: &Try, provider: &ProviderFile) -> Result<JobFile, FilesError> {
    let map = |pairs: Vec<(String, Primitive)>| {
        let pairs = pairs.into_iter().map(|(name, value)| (name, serde_json::to_value(value).unwrap_or_default()));
        pairs.collect::<Map<String, Value>>()
    };
    let job = json!({
        "provider": provider.provider.to_string(),
        "config": map(files::pairs("--set", &args.calls.set)?),
        "credential": args.credential,
        "steps": [{ "id": "try", "call": args.endpoint, "with": map(files::pairs("--with", &args.with)?) }],
    });
    serde_json::from_value(job).map_err(|error| FilesError::one(format!("command line: {error}")))
}

/// The first call of a root step, of a job that is nowhere stored.
pub(crate) fn first_call(spec: &Spec, step: &Step, params: &Params) -> Call {
    let pointer = begin(&step.paging()).pointers().next().map(|(pointer, _)| pointer);
    let pointer = pointer.unwrap_or(tidegate_contracts::PagePointer::First);
    Call {
        provider: spec.provider().provider.to_string(),
        lane: spec.job().lane,
        ..Call::root(JobId::new(), step.id(), params.clone(), pointer)
    }
}

fn as_text(request: &str, probed: &Probe) -> String {
    let mut text = format!("{}\n", request.trim_end());
    // Writing to a String never fails.
    let _ = write_text(&mut text, probed);
    text
}

fn write_text(to: &mut String, probed: &Probe) -> std::fmt::Result {
    if let Some(answer) = &probed.answer {
        writeln!(
            to,
            "\n{} after {} ms ({} bytes on the wire, {} decoded)",
            answer.status, answer.total_ms, answer.wire_bytes, answer.body_bytes,
        )?;
        for (limit, reading) in &answer.readings {
            writeln!(to, "limit {limit}: {}", said(reading))?;
        }
    }
    match &probed.page {
        Ok(page) => {
            let total = page.facts.total.map(|total| format!(" of {total}")).unwrap_or_default();
            writeln!(to, "{} items{total}", page.facts.items)?;
            for line in shown(&page.lines) {
                writeln!(to, "  {line}")?;
            }
            let next = match &page.facts.next {
                Some(Next::Cursor(cursor)) => format!("cursor {cursor}"),
                Some(Next::Url(url)) => url.clone(),
                None if page.facts.has_more == Some(true) => "there is more".to_owned(),
                None => "none named".to_owned(),
            };
            write!(to, "next page: {next}")
        }
        Err(failure) => write!(to, "{}: {}", failure.class, failure.message),
    }
}

fn said(reading: &Reading) -> String {
    let number = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
    let told = [
        number("limit", reading.limit.map(|limit| limit.to_string())),
        number("remaining", reading.remaining.map(|remaining| remaining.to_string())),
        number("resets at", reading.reset_at_ms.map(|ms| format!("{ms} (Unix ms)"))),
        number("asks to pause until", reading.pause_until_ms.map(|ms| format!("{ms} (Unix ms)"))),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    if told.is_empty() { "the headers say nothing".to_owned() } else { told.join(", ") }
}

fn shown(lines: &[u8]) -> Vec<String> {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let text = |line: &[u8]| String::from_utf8_lossy(line).chars().take(ITEM_SHOWN_CHARS).collect();
    lines.take(ITEMS_SHOWN).map(text).collect()
}

fn as_json(request: &str, probed: &Probe) -> Value {
    let answer = probed.answer.as_ref().map(|answer| {
        json!({
            "status": answer.status.as_u16(), "first_byte_ms": answer.first_byte_ms, "total_ms": answer.total_ms,
            "wire_bytes": answer.wire_bytes, "body_bytes": answer.body_bytes,
            "limits": answer.readings.iter().map(|(limit, read)| json!({ "limit": limit, "said": read })).collect::<Vec<_>>(),
        })
    });
    match &probed.page {
        Ok(page) => json!({ "request": request, "answer": answer, "page": page.facts, "items": shown(&page.lines) }),
        Err(failure) => json!({ "request": request, "answer": answer, "failure": failure }),
    }
}
