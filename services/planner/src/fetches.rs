//! Fetches to begin: a job's roots, and those of the steps done for each item of a page. Pure.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use tidegate_contracts::{Call, Class, Failure, FetchId, JobId, NewFetch, Params, Primitive};
use tidegate_provider::{Barrier, OnFailure, Spec, Step};

/// How many fetches of each step are not made, because its `when` did not hold.
type LeftOut = BTreeMap<String, u32>;

/// The root fetches of a job.
pub(crate) fn of_job(spec: &Spec, job: JobId) -> (Vec<NewFetch>, LeftOut) {
    let (mut fetches, mut left_out) = (Vec::new(), LeftOut::new());
    for step in spec.roots() {
        match make(spec, job, None, step) {
            Some(fetch) => fetches.push(fetch),
            None => *left_out.entry(step.id().to_owned()).or_default() += 1,
        }
    }
    let roots = fetches.iter().map(|fetch| (fetch.step.clone(), fetch.fetch)).collect();
    hold(spec, &mut fetches, &roots);
    (fetches, left_out)
}

/// The fetches of all steps that are done for each of these items of a call's page, one JSON text a line.
pub(crate) fn of_items(spec: &Spec, call: &Call, lines: &[u8]) -> (Vec<NewFetch>, LeftOut) {
    let (mut fetches, mut left_out) = (Vec::new(), LeftOut::new());
    let children: Vec<&Step> = spec.children(&call.step).collect();
    let roots = awaited_roots(spec, call.job, &children);
    for (place, line) in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let read = serde_json::from_slice(line).map_err(|error| format!("the item can't be read: {error}"));
        let item = Item { call, place, read: read.as_ref().map_err(String::as_str) };
        let first = fetches.len();
        for step in &children {
            match make(spec, call.job, Some(item), step) {
                Some(fetch) => fetches.push(fetch),
                None => *left_out.entry(step.id().to_owned()).or_default() += 1,
            }
        }
        hold(spec, &mut fetches[first..], &roots);
    }
    (fetches, left_out)
}

/// Root fetches that some of these steps wait for. Their ids follow from the job alone.
fn awaited_roots(spec: &Spec, job: JobId, steps: &[&Step]) -> HashMap<String, FetchId> {
    let named = steps.iter().flat_map(|step| step.after()).filter_map(|barrier| match barrier {
        Barrier::Root(id) => spec.step(id),
        Barrier::Sibling(_) => None,
    });
    named.filter_map(|step| Some((step.id().to_owned(), make(spec, job, None, step)?.fetch))).collect()
}

/// Says of the fetches of one item, or of the job, what they wait for. What is not made holds nobody up.
fn hold(spec: &Spec, fetches: &mut [NewFetch], roots: &HashMap<String, FetchId>) {
    let waits = |fetch: &NewFetch| spec.step(&fetch.step).is_some_and(|step| !step.after().is_empty());
    if !fetches.iter().any(waits) {
        return;
    }
    let made: Vec<(String, FetchId)> = fetches.iter().map(|fetch| (fetch.step.clone(), fetch.fetch)).collect();
    let sibling = |id: &String| made.iter().find(|(step, _)| step == id).map(|(_, fetch)| *fetch);
    for fetch in fetches.iter_mut().filter(|fetch| fetch.failure.is_none()) {
        let after = spec.step(&fetch.step).map(Step::after).unwrap_or_default();
        let awaited = after.iter().filter_map(|barrier| match barrier {
            Barrier::Root(id) => roots.get(id).copied(),
            Barrier::Sibling(id) => sibling(id),
        });
        fetch.after = awaited.collect();
    }
}

/// The item a fetch is made for.
#[derive(Clone, Copy)]
struct Item<'a> {
    call: &'a Call,
    /// On its page, from 0.
    place: usize,
    read: Result<&'a Value, &'a str>,
}

/// The fetch of a step, for an item unless it is a root; `None` if its `when` does not hold.
fn make(spec: &Spec, job: JobId, item: Option<Item>, step: &Step) -> Option<NewFetch> {
    let made = match item.map(|item| item.read).transpose() {
        Err(unreadable) => Err(unreadable.to_owned()),
        Ok(value) => {
            let parent = item.map(|item| &item.call.params);
            match spec.is_wanted(step, value, parent) {
                Ok(false) => return None,
                Ok(true) => spec.params(step, value, parent).map_err(with_cause),
                Err(error) => Err(with_cause(error)),
            }
        }
    };
    let made = made.and_then(|params| match params.canonical().len() {
        ..=Params::CANONICAL_MAX_BYTES => Ok(params),
        bytes => Err(format!("its parameters take {bytes} bytes, more than {}", Params::CANONICAL_MAX_BYTES)),
    });
    let made = made.and_then(|params| match step.first_pages(&params, job.made_at_ms()) {
        Ok(pages) => Ok((params, pages)),
        Err(error) => Err(error.to_string()),
    });
    let parent = item.map(|item| item.call.fetch);
    let new = |params: Params| NewFetch {
        fetch: FetchId::derive(job, parent, step.id(), &params),
        parent,
        step: step.id().to_owned(),
        params,
        pages: Vec::new(),
        failure: None,
        tolerated: false,
        after: Vec::new(),
        mark: None,
    };
    Some(match made {
        Ok((params, pages)) => {
            let mark = spec.mark(step, &params);
            NewFetch { pages, mark, ..new(params) }
        }
        Err(message) => {
            // Named by where the item stands, since it has no parameters to be named by.
            let place = item.map(|item| {
                [("page", Primitive::Text(item.call.call.hex())), ("item", item.place.to_string().as_str().into())]
            });
            NewFetch {
                failure: Some(Failure { class: Class::Invalid, status: None, message: shorten(&message) }),
                tolerated: step.on_failure() == OnFailure::Continue,
                ..new(place.into_iter().flatten().collect())
            }
        }
    })
}

/// Without its cause it names the parameter alone, and not what the item lacks.
fn with_cause(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// At most as long as a failure's message may be.
pub(crate) fn shorten(message: &str) -> String {
    message.chars().take(Failure::MESSAGE_MAX_CHARS).collect()
}
