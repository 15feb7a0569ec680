//! One request: call, judge, then report and store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_answer::PageRead;
use tidegate_contracts::{Call, Class, Failure, Next as NextPage, Outcome, PageFacts, WaitReason};
use tidegate_egress::{Answer, Egress};
use tidegate_ledger::{NewPage, Packed};
use tidegate_limits::headers::ComeBack;
use tidegate_limits::{Charge, Health, Lasts, Permit, Reading, Refused, Report, Told};
use tidegate_pagination::keep;
use tidegate_provider::{Spec, Unmatched, redact_credential};
use tidegate_telemetry::{SLOW, field};
use tracing::Instrument as _;

use crate::judge::{Judged, Trouble, judge, judge_silence};
use crate::prepare::Prepared;
use crate::retry::{self, Failed, Next};
use crate::service::Shared;

/// Answers larger than this are read on a thread of their own, so that nobody else waits for it.
const READ_HERE_MAX_BYTES: usize = 1 << 20;

/// A call with leave to be made.
pub(crate) struct Permitted<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) spec: &'a Arc<Spec>,
    pub(crate) prepared: &'a Prepared,
    pub(crate) egress: &'a Egress,
    pub(crate) permit: Permit,
}

/// What follows from a request.
pub(crate) enum After {
    /// The page is there, to be stored, and its permit to be given back.
    Page(PageRead, Box<Report>),
    /// The call has failed for good.
    Failed(Failure),
    /// The third party does not take the call's credential. Costs no attempt.
    Unauthorized(Failure),
    /// It is made again, not before this Unix ms.
    Later { until_ms: i64, reason: WaitReason },
    /// A limit refused it; the arbiter has been told, and knows until when.
    AskAgain,
}

/// Makes one request. `call` counts it, and the attempt if it fails.
pub(crate) async fn attempt(shared: &Shared, permitted: Permitted<'_>, call: &mut Call) -> anyhow::Result<After> {
    let Permitted { tenant, spec, prepared, egress, .. } = permitted;
    let started = Instant::now();
    call.requests += 1;
    let answer = {
        let _flight = shared.gauges.flight();
        shared.gauges.requests.fetch_add(1, Relaxed);
        // The third party is told nothing of our traces.
        egress.call(prepared.request.clone()).instrument(tracing::info_span!("http_request")).await
    };
    let took = started.elapsed();
    let now_ms = (shared.deps.clock)();
    let (mut judged, readings) = match answer {
        Ok(answer) => {
            shared.gauges.wire_bytes.fetch_add(answer.wire_bytes, Relaxed);
            learn_buckets(shared, (tenant, spec), prepared, call, &answer);
            let (judged, sample, readings) = read(spec, prepared, call, answer, now_ms).await?;
            let nonsense = matches!(&judged, Judged::Trouble(trouble) if trouble.ignored);
            let ignored = readings.values().map(|reading| u64::from(reading.ignored)).sum::<u64>();
            shared.metrics.ignored(&call.provider, ignored + u64::from(nonsense));
            if let Some(sample) = sample {
                shared.metrics.unmatched(&call.provider);
                shared.samples.add(tenant, call, &sample, now_ms);
            }
            (judged, readings)
        }
        Err(error) => (Judged::Trouble(judge_silence(&error)), BTreeMap::new()),
    };
    if let Judged::Trouble(trouble) = &mut judged {
        trouble.failure.message = shown(prepared, &trouble.failure.message);
    }
    let refused = refusal(prepared, &judged);
    let sent = !matches!(&judged, Judged::Trouble(trouble) if !trouble.sent);
    let told = Told { readings, refused };
    let failed = match &judged {
        Judged::Page(_) => None,
        Judged::Trouble(trouble) => Some((trouble.failure.class, trouble.failure.status)),
    };
    let (probe, health) = (permitted.permit.probe, spec.health(failed));
    match (&judged, health) {
        (Judged::Trouble(trouble), Some(Health::Ill | Health::Silent)) => {
            shared.troubles.ill(tenant, &call.provider, &trouble.failure);
        }
        (_, Some(Health::Well)) => shared.troubles.well(tenant, &call.provider),
        _ => {}
    }
    // What brings no page is often quicker, and says nothing of how much the provider has to do.
    let took_us = failed.is_none().then(|| u64::try_from(took.as_micros()).ok()).flatten();
    let report = Report { permit: permitted.permit, sent, answer: sent.then_some(told), health, took_us };
    let class = match &judged {
        Judged::Page(_) => "page",
        Judged::Trouble(trouble) => trouble.failure.class.name(),
    };
    shared.metrics.request(&call.provider, call.lane, class, started.elapsed());
    tell(call, class, started.elapsed());
    match judged {
        Judged::Page(mut page) => {
            if spec.step(&call.step).is_some_and(|step| step.paging().slow_ms.is_some()) {
                page.facts.took_ms = u32::try_from(started.elapsed().as_millis()).ok();
            }
            Ok(After::Page(page, Box::new(report)))
        }
        Judged::Trouble(trouble) => {
            give_back(shared, call, report).await;
            if probe && is_free(prepared, &trouble, health) {
                shared.gauges.failed.fetch_add(1, Relaxed);
                return Ok(After::AskAgain);
            }
            Ok(after_trouble(shared, spec, prepared, call, trouble, now_ms))
        }
    }
}

/// Says what came of a request. The line of a slow one is in every log, and names its trace; the trace of one that brought no
/// page is marked as failed, and so kept.
fn tell(call: &Call, class: &'static str, took: Duration) {
    if class != "page" {
        tracing::Span::current().record(field::STATUS, "ERROR");
    }
    tracing::debug!(job.id = %call.job, call.id = %call.call, provider = call.provider, step = call.step,
        attempt = call.attempt, class, duration_ms = took.as_millis(), "called");
    if took >= SLOW {
        tracing::info!(job.id = %call.job, call.id = %call.call, provider = call.provider, step = call.step,
            attempt = call.attempt, class, duration_ms = took.as_millis(), "a slow call");
    }
}

/// What went wrong, without the call's secrets, and no longer than it may be.
fn shown(prepared: &Prepared, message: &str) -> String {
    let message = match &prepared.credential {
        Some(credential) => redact_credential(message, credential),
        None => message.to_owned(),
    };
    message.chars().take(Failure::MESSAGE_MAX_CHARS).collect()
}

/// Whether a probe that failed costs its call nothing: the provider is as ill as it was found to be, and may be asked again.
fn is_free(prepared: &Prepared, trouble: &Trouble, health: Option<Health>) -> bool {
    let is_ill = matches!(health, Some(Health::Ill | Health::Silent));
    is_ill && trouble.told_until.is_none() && (prepared.idempotent || !trouble.sent)
}

/// Gives a permit back, with what the answer told of limits. Who asks after this is told what it changed.
pub(crate) async fn give_back(shared: &Shared, call: &Call, report: Report) {
    if let Err(error) = shared.deps.permits.report(report).await {
        tracing::warn!(call.id = %call.call, error = %error, "the permit is not given back yet; at the latest its lease ends");
    }
    shared.sleepers.wake(&call.provider);
}

/// Classifies and reads an answer, and what it says of limits; a large one elsewhere. Takes a sample of it, if no error rule
/// speaks of it.
async fn read(
    spec: &Arc<Spec>,
    prepared: &Prepared,
    call: &Call,
    answer: Answer,
    now_ms: i64,
) -> anyhow::Result<(Judged, Option<Unmatched>, BTreeMap<String, Reading>)> {
    let (spec, step, credential) = (Arc::clone(spec), call.step.clone(), prepared.credential.clone());
    let (pointer, since) = (call.pointer.clone(), call.since.clone());
    let charges = prepared.charges.clone();
    let large = answer.body.len() > READ_HERE_MAX_BYTES;
    let read = move || {
        let endpoint = spec.step(&step)?.endpoint();
        let readings = readings(&spec, &charges, &answer, now_ms);
        let judged = judge(endpoint, (&pointer, since.as_ref()), &answer, now_ms);
        let sample = match &judged {
            Judged::Trouble(trouble) if trouble.unmatched => {
                let redact = |text: &str| match &credential {
                    Some(credential) => redact_credential(text, credential),
                    None => text.to_owned(),
                };
                let failure = &trouble.failure;
                let came = (answer.status, &answer.headers, &answer.body[..]);
                Some(Unmatched::take(endpoint.name(), came, (failure.class, &failure.message), redact))
            }
            _ => None,
        };
        Some((judged, sample, readings))
    };
    let judged = if large { tokio::task::spawn_blocking(read).await? } else { read() };
    judged.with_context(|| format!("the job has no step {}", call.step))
}

/// Notes which buckets the call's endpoint shares, where the answer says so.
fn learn_buckets(shared: &Shared, (tenant, spec): (&str, &Spec), prepared: &Prepared, call: &Call, answer: &Answer) {
    let Some(step) = spec.step(&call.step) else { return };
    for charge in &prepared.charges {
        if let Some(bucket) = spec.bucket(&charge.limit, &answer.headers) {
            shared.buckets.learn((tenant, &call.provider), &charge.limit, step.endpoint().name(), bucket);
        }
    }
}

/// What the answer says of each limit that the call touched.
fn readings(spec: &Spec, charges: &[Charge], answer: &Answer, now_ms: i64) -> BTreeMap<String, Reading> {
    let heard = spec.readings(charges, (&answer.headers, &answer.body), now_ms);
    heard.into_iter().map(|(charge, reading)| (charge.key.clone(), reading)).collect()
}

/// The budgets that a refusal blocks: those of the limit that the error rule names, else all that the call touched.
fn refusal(prepared: &Prepared, judged: &Judged) -> Option<Refused> {
    let Judged::Trouble(trouble) = judged else { return None };
    if !matches!(trouble.failure.class, Class::RateLimited | Class::QuotaExhausted) {
        return None;
    }
    let of_scope = |limit: &str| trouble.scope.as_deref().is_none_or(|scope| scope == limit);
    let keys: Vec<String> =
        prepared.charges.iter().filter(|charge| of_scope(&charge.limit)).map(|charge| charge.key.clone()).collect();
    let all = || prepared.charges.iter().map(|charge| charge.key.clone()).collect();
    let (until_ms, lasts) = match trouble.told_until {
        Some(ComeBack { at_ms, is_by_clock: true }) => (Some(at_ms), Lasts::ByClock),
        Some(ComeBack { at_ms, is_by_clock: false }) => (Some(at_ms), Lasts::FromNow),
        None if trouble.lasts_period => (None, Lasts::Period),
        None => (None, Lasts::FromNow),
    };
    Some(Refused { keys: if keys.is_empty() { all() } else { keys }, until_ms, lasts })
}

/// Stores the page, then says so. Idempotent by call: a page that is stored already stays as it is.
pub(crate) async fn store(
    shared: &Shared,
    (spec, prepared): (&Spec, &Prepared),
    call: &Call,
    mut page: PageRead,
) -> anyhow::Result<Outcome> {
    if let Some(step) = spec.step(&call.step) {
        let kept = keep(&step.paging(), &call.pointer, call.ordinal, &page.facts);
        page.keep(kept);
    }
    let mut facts: PageFacts = page.facts;
    if let Some((NextPage::Url(url), step)) = facts.next.as_mut().zip(spec.step(&call.step)) {
        // Some providers put the token into the next page's address.
        *url = spec.strip_secrets(step, url, prepared.credential.as_deref());
    }
    let new = NewPage {
        call: call.call,
        fetch: call.fetch,
        job: call.job,
        step: call.step.clone(),
        facts,
        top: page.top,
        lines: Packed::pack(&page.lines)?,
    };
    drop(page.lines);
    let facts = shared.pages.store(new).await?;
    Ok(Outcome::Page { call: call.clone(), facts })
}

fn after_trouble(
    shared: &Shared,
    spec: &Spec,
    prepared: &Prepared,
    call: &mut Call,
    trouble: Trouble,
    now_ms: i64,
) -> After {
    let class = trouble.failure.class;
    if matches!(class, Class::RateLimited | Class::QuotaExhausted) {
        shared.gauges.refused.fetch_add(1, Relaxed);
    } else {
        shared.gauges.failed.fetch_add(1, Relaxed);
        call.attempt += u32::from(!is_unauthorized(class));
    }
    let failed = Failed {
        class,
        may_have_acted: trouble.sent && !prepared.idempotent,
        can_shrink: can_shrink(spec, call, class),
        attempt: call.attempt,
        since_ms: *call.failing_since_ms.get_or_insert(now_ms),
        told_until_ms: trouble.told_until.map(|told| told.at_ms),
    };
    let failure = trouble.failure;
    if is_unauthorized(class) {
        return After::Unauthorized(failure);
    }
    match retry::decide(&spec.retry(), &failed, now_ms, rand::random()) {
        Next::Again { until_ms } => {
            tracing::info!(job.id = %call.job, call.id = %call.call, provider = call.provider, step = call.step,
                attempt = call.attempt, %class, status = failure.status, error = failure.message, "trying again");
            After::Later { until_ms, reason: WaitReason::Backoff(class) }
        }
        Next::AskAgain => After::AskAgain,
        Next::GiveUp => After::Failed(failure),
    }
}

/// Whether a failure of this class is the credential's, not the call's.
pub(crate) fn is_unauthorized(class: Class) -> bool {
    matches!(class, Class::AuthExpired | Class::AuthRevoked)
}

/// Whether the planner asks for the same in smaller pages when a call fails by this class.
pub(crate) fn can_shrink(spec: &Spec, call: &Call, class: Class) -> bool {
    spec.step(&call.step).is_some_and(|step| step.smaller(class, &call.pointer, call.ordinal).is_some())
}
