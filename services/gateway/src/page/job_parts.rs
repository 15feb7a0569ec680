//! Parts of a job's page.

use maud::{Markup, html};
use tidegate_progress::{Basis, Explanation, Kind};
use tidegate_registry::Scope;

use super::frame;
use super::gate::Viewer;
use super::text::{count, counted, duration, query, time};
use crate::economy::Economy;
use crate::view::{Failure, Job, JobDetail, Notification, Step};

/// A job's state as a mark: its word, and a colour beside it.
pub(super) fn state(job: &Job) -> Markup {
    let word = match job.paused_at_ms {
        Some(_) => "paused",
        None if job.finished_at_ms.is_none() && job.reason.is_some() => "stopping",
        None if job.finished_at_ms.is_none() && job.parked.is_some() => "waiting",
        None => job.state,
    };
    html! { span.state.(word) { (word) } }
}

/// How much of something is done, as a bar.
pub(super) fn progress(name: &str, done: u64, of: u64) -> Markup {
    html! { progress aria-label=(name) max=(of.max(1)) value=(done) { (done) " of " (of) } }
}

/// How far a job is, and when it will be done.
pub(super) fn estimate(detail: &JobDetail, now_ms: i64) -> Markup {
    let estimate = &detail.progress;
    let percent = estimate.fraction * 100.0;
    html! {
        div.estimate {
            progress aria-label="How far the job is" max="1" value=(format!("{:.4}", estimate.fraction)) {}
            span { (format!("{percent:.0} %")) }
        }
        @if let (Some(eta_ms), None) = (estimate.eta_ms, detail.job.finished_at_ms) {
            p {
                "Done at about " (time(eta_ms)) ", in " (duration(eta_ms - now_ms))
                @if let (Some(low), Some(high)) = (estimate.eta_low_ms, estimate.eta_high_ms) {
                    " (" (duration(low - now_ms)) " to " (duration(high - now_ms)) ")"
                }
                "."
                span.note { " It rests on " (basis(estimate.basis)) "." }
            }
        }
    }
}

fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Finished => "its end",
        Basis::Paused => "nothing, since it is paused",
        Basis::Nothing => "nothing yet",
        Basis::Counted => "the pace of late and calls that are all planned",
        Basis::Expected => "the pace of late and calls that are expected to follow",
        Basis::UnknownLength => "the pace of late and a list that does not tell its length",
        Basis::Limit => "when the calls that wait for a limit are due",
    }
}

/// Why it is not finished, in a sentence, and until when.
pub(super) fn why(why: &Explanation) -> Markup {
    let rows = html! {
        @for reason in &why.reasons {
            tr {
                td { (reason.words) }
                td.number { (count(reason.calls)) @if reason.kind == Kind::Children { " fetches" } }
                td.wide { @if let Some(due_ms) = reason.first_due_ms { (time(due_ms)) } }
                td.wide { @if let Some(due_ms) = reason.last_due_ms { (time(due_ms)) } }
            }
        }
    };
    let head = html! {
        th scope="col" { "Why" }
        th.number scope="col" { "Calls" }
        th.wide scope="col" { "First goes on" }
        th.wide scope="col" { "Last goes on" }
    };
    html! {
        p.why { (why.sentence) }
        @if why.reasons.len() > 1 { (frame::table("What open calls wait for", &head, &rows)) }
    }
}

/// The counters that people ask for first.
pub(super) fn figures(detail: &JobDetail) -> Markup {
    let counts = &detail.job.counts;
    let ended = counts.calls_planned - counts.calls_open;
    let figure = |name: &str, value: String, note: String| {
        html! { div { dt { (name) } dd { (value) @if !note.is_empty() { span.note { (note) } } } } }
    };
    html! {
        dl.figures {
            (figure("Items", count(counts.items), String::new()))
            (figure("Calls ended", count(ended), format!(" of {}", count(counts.calls_planned))))
            (figure("Open", count(counts.calls_open), format!(" {} out", count(counts.calls_released))))
            (figure("Failed", count(counts.calls_failed), String::new()))
            (figure("Not there", count(counts.calls_skipped), String::new()))
            (figure("Requests sent", count(counts.requests), String::new()))
            @if detail.job.finished_at_ms.is_some() { (economy(&detail.economy)) }
        }
    }
}

/// Calls made against the fewest that could do; of a job that goes on, some of the fewest are yet to come.
fn economy(steps: &[Economy]) -> Markup {
    let known = steps.iter().filter_map(|step| Some((step.calls, step.fewest?)));
    let (calls, fewest) = known.fold((0, 0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
    html! {
        @if fewest > 0 { div {
            dt { "Calls against the fewest" }
            dd { (count(calls)) span.note { " for " (count(fewest)) } }
        } }
    }
}

/// When what happened.
pub(super) fn timeline(job: &Job, now_ms: i64) -> Markup {
    let after = |at_ms: Option<i64>, from_ms: i64| at_ms.map(|at_ms| duration(at_ms - from_ms));
    let begun = job.started_at_ms.unwrap_or(job.submitted_at_ms);
    html! {
        ol.timeline {
            li { b { "Submitted" } (time(job.submitted_at_ms)) }
            @if let Some(at_ms) = job.started_at_ms {
                li { b { "Begun" } (time(at_ms)) span.note { "after " (after(job.started_at_ms, job.submitted_at_ms).unwrap_or_default()) } }
            }
            @if let Some(at_ms) = job.paused_at_ms {
                li { b { "Paused" } (time(at_ms)) }
            }
            @if let Some(at_ms) = job.finished_at_ms {
                li { b { "Finished" } (time(at_ms)) span.note { "after " (after(job.finished_at_ms, begun).unwrap_or_default()) } }
            } @else if job.started_at_ms.is_some() {
                li { b { "Now" } (time(now_ms)) span.note { "for " (duration(now_ms - begun)) } }
            }
        }
    }
}

/// Counters by step: the levels of the tree.
pub(super) fn steps(detail: &JobDetail) -> Markup {
    let fewest = |step: &str| detail.economy.iter().find(|one| one.step == step)?.fewest;
    let head = html! {
        th scope="col" { "Step" }
        th scope="col" { "Calls" }
        th.number scope="col" { "Items" }
        th.number scope="col" { "Failed" }
        th.wide.number scope="col" { "Fetches done" }
        th.wide.number scope="col" { "Fewest calls" }
    };
    let row = |step: &Step| {
        let ended = step.calls_planned - step.calls_open;
        html! { tr {
            td {
                (step.step)
                @for guard in &step.guards { div.note { (counted(guard.fetches, "fetch", "fetches")) " ended by guard " (guard.guard) } }
                @if step.left_out > 0 { div.note { (count(step.left_out)) " left out by its condition" } }
            }
            td {
                (progress("calls ended", ended, step.calls_planned))
                div.note { (count(ended)) " of " (count(step.calls_planned)) }
            }
            td.number { (count(step.items)) }
            td.number { (count(step.calls_failed)) }
            td.wide.number { (count(step.fetches_done)) " of " (count(step.fetches)) }
            td.wide.number { @match fewest(&step.step) { Some(fewest) => (count(fewest)), None => "–" } }
        } }
    };
    html! {
        section {
            h2 #steps { "Steps" }
            (frame::table("Steps", &head, &html! { @for step in &detail.steps { (row(step)) } }))
        }
    }
}

/// What failed, those calls together that look alike.
pub(super) fn failures(viewer: &Viewer, job: &Job, failures: &[Failure]) -> Markup {
    let may_retry = viewer.may(Scope::Submit) && job.finished_at_ms.is_some() && job.pruned_at_ms.is_none();
    let head = html! {
        th scope="col" { "Error" }
        th.number scope="col" { "Calls" }
        th.wide scope="col" { "Step" }
        th.wide scope="col" { "One of them" }
    };
    let to = format!("/ui/jobs/{}/failures", job.id);
    let one_by_one = |of: &Failure| format!("{to}?step={}&class={}", query(&of.step), query(&of.class));
    let row = |place: usize, failure: &Failure| {
        html! { tr {
            td {
                b { (failure.class) } @if let Some(status) = failure.status { " " (status) }
                @if failure.state != "failed" { span.note { " " (failure.state) } }
                div.message { (failure.message) }
            }
            td.number { @if failure.state == "cancelled" { (count(failure.calls)) } @else { a href=(one_by_one(failure)) { (count(failure.calls)) } }
                @if may_retry && failure.state == "failed" {
                    (frame::button(viewer, &format!("retry-{place}"), &retry(job, failure), "Retry these"))
                }
            }
            td.wide { (failure.step) }
            td.wide { code { (failure.example.get()) } }
        } }
    };
    html! {
        @if !failures.is_empty() {
            section {
                h2 #failures { "What failed" }
                (frame::table("Failed calls by error", &head, &html! { @for (place, failure) in failures.iter().enumerate() { (row(place, failure)) } }))
                p.actions {
                    a href=(to) { "One by one" }
                    a href={ "/ui/providers/" (job.provider) "/unmatched" } { "Answers that no rule speaks of" }
                }
            }
        }
    }
}

/// Where the calls of one group are made again.
fn retry(job: &Job, Failure { step, class, status, message, .. }: &Failure) -> String {
    let status = status.map(|status| format!("&status={status}")).unwrap_or_default();
    let (step, class, message) = (query(step), query(class), query(message));
    format!("/ui/jobs/{}/retry-failed?step={step}&class={class}{status}&message={message}", job.id)
}

/// Who is told of the end.
pub(super) fn notifications(all: &[Notification]) -> Markup {
    html! {
        @if !all.is_empty() {
            section {
                h2 #notifications { "Who is told" }
                ul { @for one in all {
                    li {
                        "Of " (one.event) ": " (one.state.replace('_', " ")) ", " (counted(u64::from(one.attempts), "attempt", "attempts"))
                        @if let Some(last) = &one.last { " (" (last) ")" }
                        @if let Some(next_ms) = one.next_at_ms { ", next at " (time(next_ms)) }
                    }
                } }
            }
        }
    }
}
