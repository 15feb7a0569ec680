//! `tidegate explain JOB`: why a gateway's job is not finished.

use tidegate_contracts::JobId;

use crate::cli::Explain;
use crate::exit::Exit;
use crate::say;

pub(crate) async fn explain(job: JobId, args: Explain) -> anyhow::Result<Exit> {
    let fetch = args.fetch.map(|fetch| fetch.to_string());
    let explained = super::connect(&args.gateway)?.explain(job, fetch.as_deref()).await?;
    if args.json {
        say::answer(&serde_json::to_string(&explained)?);
        return Ok(Exit::Done);
    }
    say::answer(&explained.sentence);
    for reason in &explained.reasons {
        let example = reason.example.as_ref().map(|example| {
            let text = |name: &str| example[name].as_str().unwrap_or_default().to_owned();
            format!(" (for example {} {}, {})", text("step"), text("page"), text("call"))
        });
        say::answer(&format!("  {}: {}{}", reason.kind, reason.words, example.unwrap_or_default()));
    }
    Ok(Exit::Done)
}
