//! `tidegate tree`: a job of a state file, level by level.

use tidegate_client::{Failed, Fetch};
use tidegate_ledger::{FailedCall, FailedFilter, FetchFilter, FetchRow, Ledger as _, SqliteLedger};

use super::items::{find_job, with_ledger};
use crate::cli::Tree;
use crate::client::{failed_line, fetch_line};
use crate::exit::Exit;
use crate::files::FilesError;
use crate::say;

pub(crate) async fn tree(args: Tree) -> anyhow::Result<Exit> {
    with_ledger(&args.state, async |ledger| of_state(&ledger, &args).await).await
}

async fn of_state(ledger: &SqliteLedger, args: &Tree) -> anyhow::Result<Exit> {
    let job = find_job(ledger, &args.state, args.job.as_deref()).await?;
    if job.pruned_at_ms.is_some() {
        return Err(FilesError::one(format!("the tree of {} was deleted by `tidegate prune`", job.id)).into());
    }
    if args.failed {
        let filter = FailedFilter {
            fetch: args.fetch,
            step: args.step.clone(),
            class: args.class.clone(),
            after: after(args)?,
            limit: args.limit,
        };
        let calls = ledger.failed_calls(job.id, &filter).await?;
        for call in calls.into_iter().map(shown_call) {
            say::answer(&if args.json { serde_json::to_string(&call)? } else { failed_line(&call) });
        }
        return Ok(Exit::Done);
    }
    let filter = FetchFilter { parent: args.parent, step: args.step.clone(), after: after(args)?, limit: args.limit };
    for fetch in ledger.fetches(job.id, &filter).await?.into_iter().map(shown_fetch) {
        say::answer(&if args.json { serde_json::to_string(&fetch)? } else { fetch_line(&fetch) });
    }
    Ok(Exit::Done)
}

fn after<T: std::str::FromStr>(args: &Tree) -> Result<Option<T>, FilesError> {
    let parse = |id: &String| id.parse().map_err(|_| FilesError::one(format!("--after {id}: expected an id")));
    args.after.as_ref().map(parse).transpose()
}

/// As a gateway shows it.
fn shown_fetch(row: FetchRow) -> Fetch {
    Fetch {
        id: row.id.to_string(),
        parent: row.parent.map(|parent| parent.to_string()),
        step: row.step,
        params: serde_json::from_str(&row.params).unwrap_or_default(),
        total: row.total,
        fetch_end: row.fetch_end,
        calls_planned: row.calls_planned,
        calls_open: row.calls_open,
        calls_failed: row.calls_failed,
        calls_skipped: row.calls_skipped,
        children_open: row.children_open,
        items: row.items,
        finished_at_ms: row.finished_at_ms,
    }
}

/// As a gateway shows it.
fn shown_call(call: FailedCall) -> Failed {
    Failed {
        id: call.call.to_string(),
        fetch: call.fetch.to_string(),
        step: call.step,
        params: serde_json::from_str(&call.params).unwrap_or_default(),
        page: call.pointer.to_string(),
        state: call.state,
        class: call.class,
        status: call.status,
        message: call.message,
        attempt: call.attempt,
    }
}
