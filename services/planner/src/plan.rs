//! From an outcome to a plan, purely.

use tidegate_contracts::{
    Call, CallEnd, Class, End, Failure, FetchId, JobId, NewFetch, Outcome, PageFacts, Params, Plan, Primitive,
};
use tidegate_pagination::{advance, begin as first_page};
use tidegate_provider::{OnFailure, Spec, Step, TemplateError};

/// The job's first plan: its root fetches.
#[must_use]
pub fn begin(spec: &Spec, job: JobId) -> Plan {
    let fetches = spec.roots().map(|step| fetch(spec, job, None, step, None)).collect();
    Plan { fetches, ..empty(job) }
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
        Outcome::Deferred { call, wait } => ended(call, End::Deferred { wait: wait.clone() }),
    }
}

fn page(spec: &Spec, call: &Call, facts: &PageFacts, lines: &[u8]) -> Plan {
    let Some(step) = spec.step(&call.step) else {
        return unknown_step(call);
    };
    let next = advance(&step.paging(), &call.pointer, call.ordinal, facts);
    let mut fetches = Vec::new();
    for child in spec.children(&call.step) {
        for (place, line) in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            fetches.push(fetch(spec, call.job, Some(Parent { call, place, line }), child, Some(&call.params)));
        }
    }
    Plan {
        pages: next.pages,
        fetches,
        fetch_end: next.end,
        total: facts.total,
        ..ended(call, End::Succeeded { items: facts.items })
    }
}

fn failed(spec: &Spec, call: &Call, failure: &Failure) -> Plan {
    let Some(step) = spec.step(&call.step) else {
        return unknown_step(call);
    };
    let failure = failure.clone();
    if matches!(failure.class, Class::NotFound | Class::Gone) {
        return ended(call, End::Skipped { failure });
    }
    let tolerated = step.on_failure() == OnFailure::Continue;
    // A dead credential fails every call that follows, so none is made.
    let dead_credential = matches!(failure.class, Class::AuthExpired | Class::AuthRevoked);
    let stop = step.on_failure() == OnFailure::FailJob || (dead_credential && !tolerated);
    let fail_job = stop.then(|| format!("step {}: {}: {}", call.step, failure.class, failure.message));
    Plan { fail_job, ..ended(call, End::Failed { failure, tolerated }) }
}

/// The item a fetch is made for.
struct Parent<'a> {
    call: &'a Call,
    /// Of the item on its page, from 0.
    place: usize,
    line: &'a [u8],
}

fn fetch(spec: &Spec, job: JobId, parent: Option<Parent>, step: &Step, params: Option<&Params>) -> NewFetch {
    let item: Option<Result<serde_json::Value, _>> = parent.as_ref().map(|p| serde_json::from_slice(p.line));
    let made = match item {
        Some(Err(error)) => Err(format!("the item can't be read: {error}")),
        Some(Ok(item)) => spec.params(step, Some(&item), params).map_err(with_cause),
        None => spec.params(step, None, params).map_err(with_cause),
    };
    let made = made.and_then(|params| match params.canonical().len() {
        ..=Params::CANONICAL_MAX_BYTES => Ok(params),
        bytes => Err(format!("its parameters take {bytes} bytes, more than {}", Params::CANONICAL_MAX_BYTES)),
    });
    let above = parent.as_ref().map(|parent| parent.call.fetch);
    match made {
        Ok(params) => NewFetch {
            fetch: FetchId::derive(job, above, step.id(), &params),
            parent: above,
            step: step.id().to_owned(),
            params,
            pages: vec![first_page(&step.paging())],
            failure: None,
            tolerated: false,
        },
        Err(message) => {
            // Named by where the item stands, since it has no parameters to be named by.
            let place = parent
                .map(|p| [("page", Primitive::Text(p.call.call.hex())), ("item", p.place.to_string().as_str().into())]);
            let params: Params = place.into_iter().flatten().collect();
            NewFetch {
                fetch: FetchId::derive(job, above, step.id(), &params),
                parent: above,
                step: step.id().to_owned(),
                params,
                pages: Vec::new(),
                failure: Some(Failure { class: Class::Invalid, status: None, message: shorten(&message) }),
                tolerated: step.on_failure() == OnFailure::Continue,
            }
        }
    }
}

/// Without its cause it names the parameter alone, and not what the item lacks.
fn with_cause(error: TemplateError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn shorten(message: &str) -> String {
    message.chars().take(Failure::MESSAGE_MAX_CHARS).collect()
}

fn unknown_step(call: &Call) -> Plan {
    let message = format!("the job has no step {}", call.step);
    let failure = Failure { class: Class::Invalid, status: None, message };
    ended(call, End::Failed { failure, tolerated: false })
}

fn ended(call: &Call, end: End) -> Plan {
    let ended = CallEnd { fetch: call.fetch, call: call.call, attempt: call.attempt, requests: call.requests, end };
    Plan { ended: Some(ended), ..empty(call.job) }
}

fn empty(job: JobId) -> Plan {
    Plan { job, ended: None, pages: Vec::new(), fetches: Vec::new(), fetch_end: None, total: None, fail_job: None }
}
