//! `tidegate provider unmatched`: answers that no error rule speaks of, of a state file or a gateway.

use std::path::Path;

use tidegate_client::UnmatchedAnswer;
use tidegate_ledger::{DEFAULT_TENANT, SqliteLedger, UnmatchedAnswers};
use tidegate_provider::Unmatched;

use super::items::with_ledger;
use crate::cli::OfProvider;
use crate::client::connect;
use crate::exit::Exit;
use crate::say;
use crate::table::time;

pub(crate) async fn unmatched(args: OfProvider) -> anyhow::Result<Exit> {
    let answers = match &args.state {
        Some(state) => kept(state, &args.provider).await?,
        None => connect(&args.gateway)?.unmatched(&args.provider).await?,
    };
    if args.json {
        for answer in &answers {
            say::answer(&serde_json::to_string(answer)?);
        }
    } else if answers.is_empty() {
        say::note(&format!("every answer of {} that was no page met an error rule", args.provider));
    } else {
        say::answer(&document(&args.provider, &answers));
    }
    Ok(Exit::Done)
}

/// As a gateway answers.
async fn kept(state: &Path, provider: &str) -> anyhow::Result<Vec<UnmatchedAnswer>> {
    let rows = async |ledger: SqliteLedger| Ok(ledger.unmatched(DEFAULT_TENANT, provider).await?);
    let rows = with_ledger(state, rows).await?;
    let answers = rows.into_iter().map(|row| {
        let sample: Unmatched = serde_json::from_str(&row.sample)?;
        Ok(UnmatchedAnswer {
            rule: sample.rule(),
            answer: sample.answer(),
            endpoint: sample.endpoint,
            status: sample.status,
            class: sample.class.name().to_owned(),
            message: sample.message,
            count: row.count,
            first_seen_ms: row.first_seen_ms,
            last_seen_ms: row.last_seen_ms,
        })
    });
    answers.collect()
}

/// YAML whose parts go into the provider file and into what was recorded.
fn document(provider: &str, answers: &[UnmatchedAnswer]) -> String {
    let mut lines = vec![
        format!("# For the provider file {provider}.yaml, above its other rules; say of each what its class is."),
        "errors:".to_owned(),
    ];
    for answer in answers {
        lines.push(note(answer));
        match &answer.rule {
            Some(rule) => lines.push(format!("  - {rule}")),
            None => lines.push("  # Nothing of it tells it from a page.".to_owned()),
        }
    }
    lines.push(format!("# For tests/{provider}.yaml beside it, with the same classes."));
    lines.push("answers:".to_owned());
    lines.extend(answers.iter().map(|answer| format!("  - {}", answer.answer)));
    lines.join("\n")
}

fn note(answer: &UnmatchedAnswer) -> String {
    let UnmatchedAnswer { endpoint, status, class, message, count, last_seen_ms, .. } = answer;
    let message = message.replace(char::is_control, " ");
    format!("  # {endpoint}: {status}, taken for {class}, {count} times, last {}: {message}", time(*last_seen_ms))
}
