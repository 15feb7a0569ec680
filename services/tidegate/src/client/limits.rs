//! `tidegate limits`: the budgets that calls are held to.

use tidegate_client::{BudgetQuery, Client};
use tidegate_daemon::clock;
use tidegate_limits::{Does, Override, OverrideKind, Usage};

use super::connect;
use crate::cli::{Limits, WantedOf};
use crate::exit::Exit;
use crate::say;
use crate::table::{Lean, table, time};

pub(crate) async fn limits(command: Limits) -> anyhow::Result<Exit> {
    match command {
        Limits::List { provider, id, blocked, json, gateway } => {
            list(&connect(&gateway)?, BudgetQuery { provider, id, blocked, after: None }, json).await?;
        }
        Limits::Pause { wanted, gateway } => put(&connect(&gateway)?, wanted, Does::Pause).await?,
        Limits::Override { wanted, rate, gateway } => put(&connect(&gateway)?, wanted, Does::Rate(rate)).await?,
        Limits::Resume { key, gateway } => {
            connect(&gateway)?.delete_override(&key, Some(OverrideKind::Pause)).await?;
        }
        Limits::Clear { key, gateway } => connect(&gateway)?.delete_override(&key, None).await?,
    }
    Ok(Exit::Done)
}

async fn put(client: &Client, wanted: WantedOf, does: Does) -> anyhow::Result<()> {
    let WantedOf { key, reason, lasts } = wanted;
    let lasts_ms = lasts.map(|lasts| i64::try_from(lasts.as_millis())).transpose()?;
    let until_ms = lasts_ms.map(|ms| clock::now_ms().saturating_add(ms));
    say::answer(&sentence(&client.put_override(&Override { key, does, reason, until_ms }).await?));
    Ok(())
}

async fn list(client: &Client, mut query: BudgetQuery, json: bool) -> anyhow::Result<()> {
    let heads = ["BUDGET", "USED", "OF", "UNTIL", "BLOCKED UNTIL"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut down = Vec::new();
    let overrides = loop {
        let page = client.budgets(&query).await?;
        for budget in &page.budgets {
            if json {
                say::answer(&serde_json::to_string(budget)?);
            } else {
                rows.push(row(budget));
                down.extend(is_down(budget));
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            break page.overrides;
        }
    };
    if json {
        for wanted in &overrides {
            say::answer(&serde_json::to_string(wanted)?);
        }
        return Ok(());
    }
    say::answer(&table(&[Lean::Left, Lean::Right, Lean::Right, Lean::Left, Lean::Left], &rows));
    down.iter().for_each(|sentence| say::answer(sentence));
    overrides.iter().for_each(|wanted| say::answer(&sentence(wanted)));
    Ok(())
}

fn row(budget: &Usage) -> Vec<String> {
    let time = |ms: Option<i64>| ms.map_or("-".to_owned(), time);
    let size = match (budget.size, budget.learnt) {
        (Some(size), _) if budget.learnt_slots.is_some() => format!("learnt: {size}"),
        (Some(size), _) => size.to_string(),
        (None, Some(learnt)) => format!("learnt: {}/h", learnt.per_hour),
        (None, None) => "?".to_owned(),
    };
    vec![budget.key.clone(), budget.used.to_string(), size, time(budget.resets_at_ms), time(budget.blocked_until_ms)]
}

/// That a provider is down, in words, where it is.
fn is_down(budget: &Usage) -> Option<String> {
    let down = budget.down?;
    let (since, probe) = (time(down.since_ms), time(down.probe_at_ms));
    Some(format!("{}: the provider is down since {since}, next probe at {probe}", budget.key))
}

/// An override in words.
fn sentence(wanted: &Override) -> String {
    let does = match &wanted.does {
        Does::Pause => "is paused".to_owned(),
        Does::Rate(rate) => format!("has the rate {}", serde_json::to_string(rate).unwrap_or_default()),
    };
    let end = wanted.until_ms.map_or("somebody ends it".to_owned(), time);
    format!("{} {does} until {end}: {}", wanted.key, wanted.reason)
}
