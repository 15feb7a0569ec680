//! `tidegate since`: how far jobs have seen what they ask for, in a state file or at a gateway.

use tidegate_client::{Mark, MarkPage};
use tidegate_contracts::MarkId;
use tidegate_ledger::{DEFAULT_TENANT, Ledger, MarkFilter};

use super::items::with_ledger;
use crate::cli::{ListMarks, ResetMarks, Since};
use crate::client::connect;
use crate::exit::Exit;
use crate::files::FilesError;
use crate::say;
use crate::table::{Lean, table};

pub(crate) async fn since(command: Since) -> anyhow::Result<Exit> {
    match command {
        Since::List(args) => list(args).await,
        Since::Reset(args) => reset(args).await,
    }
}

async fn list(args: ListMarks) -> anyhow::Result<Exit> {
    let page = match &args.state {
        Some(state) => with_ledger(state, async |ledger| kept(&ledger, &args).await).await?,
        None => connect(&args.gateway)?.marks(&query(&args)).await?,
    };
    if args.json {
        say::answer(&serde_json::to_string(&page)?);
    } else if page.marks.is_empty() {
        say::answer("no marks");
    } else {
        let heads = ["JOB", "STEP", "PARAMS", "SEEN UP TO"].map(str::to_owned).to_vec();
        let rows = page
            .marks
            .iter()
            .map(|mark| vec![mark.job.clone(), mark.step.clone(), mark.params.to_string(), mark.value.clone()]);
        say::answer(&table(&[Lean::Left; 4], &std::iter::once(heads).chain(rows).collect::<Vec<_>>()));
        page.next.iter().for_each(|next| say::note(&format!("there are more: --after '{next}'")));
    }
    Ok(Exit::Done)
}

fn query(args: &ListMarks) -> Vec<(&'static str, String)> {
    let pairs = [
        ("job", args.job.clone()),
        ("step", args.step.clone()),
        ("after", args.after.clone()),
        ("limit", Some(args.limit.to_string())),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// As a gateway answers.
async fn kept(ledger: &dyn Ledger, args: &ListMarks) -> anyhow::Result<MarkPage> {
    let after = args.after.as_deref().map(place).transpose()?;
    let (job_name, step) = (args.job.clone(), args.step.clone());
    let filter = MarkFilter { tenant: DEFAULT_TENANT.to_owned(), job_name, step, after, limit: args.limit + 1 };
    let mut rows = ledger.marks(&filter).await?;
    let is_more = rows.len() > args.limit as usize;
    rows.truncate(args.limit as usize);
    let next = rows.last().filter(|_| is_more).map(|row| format!("{}.{}", row.id, row.job_name));
    let marks = rows.into_iter().map(|row| {
        Ok(Mark {
            job: row.job_name,
            step: row.step,
            params: serde_json::from_str(&row.params)?,
            value: row.value.shown(),
            kind: row.value.kind().name().to_owned(),
            seen_by: row.job,
            moved_at_ms: row.moved_at_ms,
        })
    });
    Ok(MarkPage { marks: marks.collect::<Result<_, serde_json::Error>>()?, next })
}

fn place(after: &str) -> Result<(String, MarkId), FilesError> {
    let place = after.split_once('.').and_then(|(id, name)| Some((name.to_owned(), id.parse().ok()?)));
    place.ok_or_else(|| FilesError::one(format!("--after {after}: expected what ended the page before")))
}

async fn reset(args: ResetMarks) -> anyhow::Result<Exit> {
    let marks = match &args.state {
        Some(state) => {
            let (tenant, job_name) = (DEFAULT_TENANT.to_owned(), Some(args.job));
            let filter = MarkFilter { tenant, job_name, step: args.step, ..MarkFilter::default() };
            with_ledger(state, async |ledger| Ok(ledger.reset_marks(&filter).await?)).await?
        }
        None => connect(&args.gateway)?.reset_marks(&args.job, args.step.as_deref()).await?.marks,
    };
    say::answer(&format!("{marks} marks are forgotten"));
    Ok(Exit::Done)
}
