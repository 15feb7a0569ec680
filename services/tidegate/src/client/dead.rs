//! `tidegate dead`: messages that could not be handled.

use tidegate_client::{Client, Dead, DeadQuery};

use super::connect;
use crate::cli::{DeadLetterOf, DeadLetters};
use crate::exit::Exit;
use crate::say;
use crate::table::{Lean, table, time};

pub(crate) async fn dead(command: DeadLetters) -> anyhow::Result<Exit> {
    match command {
        DeadLetters::List { queue, job, after, limit, json, gateway } => {
            let (job, after) = (job.map(|job| job.to_string()), after.map(|after| after.to_string()));
            list(&connect(&gateway)?, DeadQuery { queue, job, after, limit: Some(limit) }, json).await?;
        }
        DeadLetters::Show(DeadLetterOf { id, gateway }) => {
            let letter = connect(&gateway)?.dead_letter(&id.to_string()).await?;
            say::answer(&serde_json::to_string_pretty(&letter)?);
        }
        DeadLetters::Replay(DeadLetterOf { id, gateway }) => {
            let letter = connect(&gateway)?.replay_dead(&id.to_string()).await?;
            say::answer(&format!("{id} was sent again to {}", letter.queue));
        }
        DeadLetters::Drop(DeadLetterOf { id, gateway }) => connect(&gateway)?.drop_dead(&id.to_string()).await?,
    }
    Ok(Exit::Done)
}

async fn list(client: &Client, query: DeadQuery, json: bool) -> anyhow::Result<()> {
    let page = client.dead_letters(&query).await?;
    if json {
        for letter in &page.dead {
            say::answer(&serde_json::to_string(letter)?);
        }
    } else if page.dead.is_empty() {
        say::answer("no dead letters");
    } else {
        let heads = ["LETTER", "DIED", "QUEUE", "KIND", "SENT AGAIN", "REASON"].map(str::to_owned).to_vec();
        let rows: Vec<_> = std::iter::once(heads).chain(page.dead.iter().map(row)).collect();
        say::answer(&table(&[Lean::Left; 6], &rows));
    }
    page.next.iter().for_each(|next| say::note(&format!("there are more: --after {next}")));
    Ok(())
}

fn row(letter: &Dead) -> Vec<String> {
    let kind = letter.kind.clone().unwrap_or_else(|| "unreadable".to_owned());
    let again = letter.replayed_at_ms.map_or("-".to_owned(), time);
    // A reason may quote what came.
    let reason = letter.reason.replace(char::is_control, " ");
    vec![letter.id.clone(), time(letter.died_at_ms), letter.queue.clone(), kind, again, reason]
}
