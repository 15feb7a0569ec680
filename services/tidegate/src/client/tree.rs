//! `tidegate tree JOB`: a gateway's job, level by level.

use tidegate_client::{Failed, Fetch};
use tidegate_contracts::JobId;

use crate::cli::Tree;
use crate::exit::Exit;
use crate::say;

pub(crate) async fn tree(job: JobId, args: Tree) -> anyhow::Result<Exit> {
    let client = super::connect(&args.gateway)?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.parent.map(|parent| ("parent", parent.to_string())));
    query.extend(args.fetch.map(|fetch| ("fetch", fetch.to_string())));
    query.extend(args.class.clone().map(|class| ("class", class)));
    query.extend(args.step.clone().map(|step| ("step", step)));
    query.extend(args.after.clone().map(|after| ("after", after)));
    let next = if args.failed {
        let page = client.failures(job, &query).await?;
        for call in &page.calls {
            say::answer(&if args.json { serde_json::to_string(call)? } else { failed_line(call) });
        }
        page.next
    } else {
        let page = client.tree(job, &query).await?;
        for fetch in &page.fetches {
            say::answer(&if args.json { serde_json::to_string(fetch)? } else { fetch_line(fetch) });
        }
        page.next
    };
    if let Some(next) = next {
        say::note(&format!("there are more: --after {next}"));
    }
    Ok(Exit::Done)
}

/// A fetch in one line.
pub(crate) fn fetch_line(fetch: &Fetch) -> String {
    let ended = fetch.calls_planned.saturating_sub(fetch.calls_open);
    let mark = if fetch.finished_at_ms.is_some() { "done" } else { "open" };
    let mut line = format!(
        "{}  {mark}  {}  {ended}/{} pages  {} items  {}",
        fetch.id, fetch.step, fetch.calls_planned, fetch.items, fetch.params
    );
    for (count, what) in
        [(fetch.calls_failed, "failed"), (fetch.calls_skipped, "skipped"), (fetch.children_open, "open below it")]
    {
        if count > 0 {
            line.push_str(&format!("  {count} {what}"));
        }
    }
    line
}

/// A failed call in one line.
pub(crate) fn failed_line(call: &Failed) -> String {
    let status = call.status.map(|status| format!(" {status}")).unwrap_or_default();
    format!(
        "{}  {} {} {}  {}{status} after {} attempts: {}  {}",
        call.id, call.state, call.step, call.page, call.class, call.attempt, call.message, call.params
    )
}
