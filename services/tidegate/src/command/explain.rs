//! `tidegate explain`: why a job of a state file is not finished.

use tidegate_daemon::clock;
use tidegate_ledger::{Ledger as _, SqliteLedger};
use tidegate_progress::{Explanation, explain as explain_job, explain_fetch};

use super::items::{find_job, with_ledger};
use crate::cli::Explain;
use crate::exit::Exit;
use crate::files::FilesError;
use crate::say;

pub(crate) async fn explain(args: Explain) -> anyhow::Result<Exit> {
    let explained = with_ledger(&args.state, async |ledger| explained(&ledger, &args).await).await?;
    say::answer(&if args.json { serde_json::to_string(&explained)? } else { text(&explained) });
    Ok(Exit::Done)
}

async fn explained(ledger: &SqliteLedger, args: &Explain) -> anyhow::Result<Explanation> {
    let job = find_job(ledger, &args.state, args.job.as_deref()).await?;
    let now_ms = clock::now_ms();
    let out = ledger.out(job.id, args.fetch, now_ms).await?;
    Ok(match args.fetch {
        None => explain_job(&job, &out, now_ms),
        Some(id) => {
            let fetch = ledger.fetch(job.id, id).await?;
            let fetch = fetch.ok_or_else(|| FilesError::one(format!("--fetch {id}: the job has no such fetch")))?;
            explain_fetch(&job, &fetch, &out, now_ms)
        }
    })
}

fn text(explained: &Explanation) -> String {
    let mut lines = vec![explained.sentence.clone()];
    lines.extend(explained.reasons.iter().map(|reason| {
        let example = reason.example.as_ref();
        let example = example.map(|call| format!(" (for example {} {}, {})", call.step, call.page, call.call));
        format!("  {}{}", reason.words, example.unwrap_or_default())
    }));
    lines.join("\n")
}
