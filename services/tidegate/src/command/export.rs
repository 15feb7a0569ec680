//! `tidegate export`: items of a state file, or of a gateway's job, into files that others read.

use std::sync::Arc;

use tidegate_answer::Seen;
use tidegate_client::ItemQuery;
use tidegate_contracts::JobId;
use tidegate_export::{Destination, Exporter, Form, Manifest, Place, Settings};
use tidegate_formats::{Fields, text};
use tidegate_ledger::Ledger;
use tidegate_specs::Specs;

use super::items::{find_job, with_ledger};
use crate::cli::Export;
use crate::client::{Patience, connect, job_of};
use crate::exit::Exit;
use crate::files::{self, FilesError};
use crate::say;

/// Pages read at once.
const PAGES_READ: u32 = 16;
/// Most items whose keys are remembered, to leave out those that came before ([`Seen`]).
const KEYS_MAX: usize = 20_000_000;

pub(crate) async fn export(args: Export) -> anyhow::Result<Exit> {
    let place = Place::parse(&args.to).map_err(|error| FilesError::one(format!("--to: {error}")))?;
    let settings = Settings {
        form: args.format.form(),
        compression: args.compress.map(Into::into),
        columns: args.columns.clone(),
        part_bytes: args.part_mib << 20,
        overwrite: args.overwrite,
    };
    if settings.compression == Some(tidegate_export::Compression::Gzip) && settings.form == Form::Parquet {
        return Err(FilesError::one("--compress gzip: Parquet is compressed within, by zstd or else by Snappy").into());
    }
    let manifest = match job_of(&args.source) {
        Some(job) => of_gateway(&args, job, place, settings).await?,
        None => {
            with_ledger(&args.source, async |ledger| of_state(Arc::new(ledger), &args, place, settings).await).await?
        }
    };
    if args.json {
        say::answer(&serde_json::to_string(&manifest)?);
        return Ok(Exit::Done);
    }
    for part in &manifest.parts {
        say::answer(&format!("{}  {} items  {} bytes", part.name, part.items, part.bytes));
    }
    say::note(&format!("{} items in {} files in {}", manifest.items, manifest.parts.len(), args.to));
    Ok(Exit::Done)
}

async fn of_state(
    ledger: Arc<dyn Ledger>,
    args: &Export,
    place: Place,
    settings: Settings,
) -> anyhow::Result<Manifest> {
    let job = find_job(&*ledger, &args.source, args.job.as_deref()).await?;
    let spec = Arc::clone(&Specs::new(Arc::clone(&ledger)).get(job.id).await?.spec);
    files::check_steps(&args.steps, &spec)?;
    let mut exporter = Exporter::begin(Destination::open(place, args.endpoint.as_deref())?, settings).await?;
    let (mut seq, mut seen) = (0, Seen::new(KEYS_MAX));
    loop {
        let pages = ledger.pages_after(job.id, seq, PAGES_READ).await?;
        let Some(last) = pages.last() else { break };
        seq = last.seq;
        for page in pages.iter().filter(|page| args.wants(&page.step)) {
            let lines = page.lines.unpack()?;
            let reader = spec.step(&page.step).map(|step| spec.reader(step)).filter(|reader| reader.has_key());
            for item in lines.split(|byte| *byte == b'\n').filter(|item| !item.is_empty()) {
                let key = reader.and_then(|reader| reader.item_key(item));
                if key.is_none_or(|key| seen.is_new(page.fetch, &key)) {
                    exporter.item(&page.step, item).await?;
                }
            }
        }
    }
    Ok(exporter.finish(job.id.to_string()).await?)
}

/// Each line tells the cursor that goes on after it, so a stream that breaks off is gone on with.
async fn of_gateway(args: &Export, job: JobId, place: Place, settings: Settings) -> anyhow::Result<Manifest> {
    let client = connect(&args.gateway)?;
    client.job(job).await?;
    let mut exporter = Exporter::begin(Destination::open(place, args.endpoint.as_deref())?, settings).await?;
    let mut query = ItemQuery { origin: true, ..ItemQuery::default() };
    let mut patience = Patience::reached();
    loop {
        let broken = match client.items(job, &query).await {
            Err(error) => error,
            Ok(mut items) => {
                let mut begun = Vec::new();
                loop {
                    match items.piece().await {
                        Ok(None) => return Ok(exporter.finish(job.to_string()).await?),
                        Ok(Some(piece)) => begun.extend_from_slice(&piece),
                        Err(error) => break error,
                    }
                    let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                    let rest = begun.split_off(whole);
                    let lines = std::mem::replace(&mut begun, rest);
                    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                        query.after = Some(line_of(args, line, &mut exporter).await?);
                        patience.restore();
                    }
                }
            }
        };
        patience.wait(broken).await?;
    }
}

/// Writes a line's item, if it is of a step that is wanted; its cursor.
async fn line_of(args: &Export, line: &[u8], exporter: &mut Exporter) -> anyhow::Result<String> {
    let fields = Fields::of(line);
    let get = |name: &str| fields.get(name).ok_or_else(|| anyhow::anyhow!("the gateway sent a line without {name}"));
    let step = text(get("step")?);
    if args.wants(&step) {
        exporter.item(&step, get("item")?.get().as_bytes()).await?;
    }
    Ok(text(get("cursor")?).into_owned())
}
