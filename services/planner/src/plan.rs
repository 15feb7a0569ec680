//! From an outcome to a plan, purely.

use tidegate_contracts::{
    Call, CallEnd, Class, End, Failure, FetchEnd, JobId, NewFetch, Outcome, PageFacts, PagePointer, Plan,
};
use tidegate_pagination::{Advance, advance};
use tidegate_provider::{OnFailure, Spec};

use crate::fetches;

/// The job's first plan: its root fetches.
#[must_use]
pub fn begin(spec: &Spec, job: JobId) -> Plan {
    let (fetches, left_out) = fetches::of_job(spec, job);
    let fail_job = fails_job(spec, &fetches);
    Plan { fetches, left_out, fail_job, ..Plan::nothing(job) }
}

/// Whether [`plan`] wants the items of the outcome's page: some step is made for each of them.
#[must_use]
pub fn needs_items(spec: &Spec, outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Page { call, facts } if facts.items > 0 && spec.children(&call.step).next().is_some())
}

/// What an outcome means for the tree. `lines`: the page's items, one JSON text a line, where [`needs_items`].
#[must_use]
pub fn plan(spec: &Spec, outcome: &Outcome, lines: &[u8]) -> Plan {
    match outcome {
        Outcome::Page { call, facts } => page(spec, call, facts, lines),
        Outcome::Failed { call, failure } => failed(spec, call, failure),
        Outcome::Cancelled { call } => ended(call, End::Cancelled),
        Outcome::Returned { call } => ended(call, End::Returned),
        Outcome::Deferred { call, wait } => ended(call, End::Deferred { wait: wait.clone() }),
    }
}

fn page(spec: &Spec, call: &Call, facts: &PageFacts, lines: &[u8]) -> Plan {
    let Some(step) = spec.step(&call.step) else {
        return unknown_step(call);
    };
    let next = if facts.ends_seen && step.stops_at_seen() {
        Advance { end: Some(FetchEnd::Seen), ..Advance::default() }
    } else {
        // What was left out is in the provider's list all the same.
        advance(&step.paging_since(call.since.as_ref()), &call.pointer, call.ordinal, &facts.as_answered())
    };
    let (fetches, left_out) = fetches::of_items(spec, call, lines);
    let fail_job = fails_job(spec, &fetches);
    Plan {
        pages: next.pages,
        fail_job,
        fetches,
        left_out,
        fetch_end: next.end,
        // A slice's total is not the list's.
        total: facts.total.filter(|_| !matches!(call.pointer, PagePointer::Slice { .. })),
        ..ended(call, End::Succeeded { items: facts.items })
    }
}

/// Why the job fails, if some fetch can't begin of a step that is to fail it.
fn fails_job(spec: &Spec, fetches: &[NewFetch]) -> Option<String> {
    fetches.iter().find_map(|fetch| {
        let failure = fetch.failure.as_ref()?;
        let step = spec.step(&fetch.step).filter(|step| step.on_failure() == OnFailure::FailJob)?;
        Some(format!("step {}: {}: {}", step.id(), failure.class, failure.message))
    })
}

fn failed(spec: &Spec, call: &Call, failure: &Failure) -> Plan {
    let Some(step) = spec.step(&call.step) else {
        return unknown_step(call);
    };
    let failure = failure.clone();
    if matches!(failure.class, Class::NotFound | Class::Gone) {
        return ended(call, End::Skipped { failure });
    }
    if let Some(pages) = step.smaller(failure.class, &call.pointer, call.ordinal) {
        let message = fetches::shorten(&format!("asked again in smaller pages: {}", failure.message));
        return Plan { pages, ..ended(call, End::Skipped { failure: Failure { message, ..failure } }) };
    }
    let tolerated = step.on_failure() == OnFailure::Continue;
    // A dead credential fails every call that follows, so none is made.
    let dead_credential = matches!(failure.class, Class::AuthExpired | Class::AuthRevoked);
    let stop = step.on_failure() == OnFailure::FailJob || (dead_credential && !tolerated);
    let fail_job = stop.then(|| format!("step {}: {}: {}", call.step, failure.class, failure.message));
    Plan { fail_job, ..ended(call, End::Failed { failure, tolerated }) }
}

fn unknown_step(call: &Call) -> Plan {
    let message = format!("the job has no step {}", call.step);
    let failure = Failure { class: Class::Invalid, status: None, message };
    ended(call, End::Failed { failure, tolerated: false })
}

fn ended(call: &Call, end: End) -> Plan {
    let ended = CallEnd { fetch: call.fetch, call: call.call, attempt: call.attempt, requests: call.requests, end };
    Plan { ended: Some(ended), ..Plan::nothing(call.job) }
}
