//! `tidegate provider list`, `show` and `test`: packs, and what was recorded of providers.

use std::path::{Path, PathBuf};

use serde_json::json;
use tidegate_provider::{PACKS, Pack, ProviderFile, Recorded, is_path, load, pack};

use crate::cli::Test;
use crate::exit::Exit;
use crate::files::FilesError;
use crate::table::{Lean, table};
use crate::{files, say};

pub(crate) fn list(as_json: bool) -> Exit {
    // Tests see to it that packs can be read.
    let packs = PACKS.iter().filter_map(|pack| Some((pack, pack.merged().ok()?.file)));
    if as_json {
        for (pack, file) in packs {
            let endpoints: Vec<&str> = file.endpoints.keys().map(|name| name.as_str()).collect();
            let line = json!({ "name": pack.name, "description": file.description, "endpoints": endpoints });
            say::answer(&line.to_string());
        }
        return Exit::Done;
    }
    let rows = packs.map(|(pack, file)| {
        let what = match pack.is_family() {
            true => "to be extended".to_owned(),
            false => format!("{} endpoints", file.endpoints.len()),
        };
        vec![pack.name.to_owned(), what, file.description.unwrap_or_default()]
    });
    say::answer(&table(&[Lean::Left, Lean::Right, Lean::Left], &rows.collect::<Vec<_>>()));
    Exit::Done
}

pub(crate) fn show(provider: &Path, merged: bool, folders: &[PathBuf]) -> anyhow::Result<Exit> {
    match meant_pack(provider) {
        Some(pack) if !merged => say::answer(pack.text.trim_end()),
        _ => say::answer(&serde_json::to_string_pretty(&files::load_provider(provider, folders)?.file)?),
    }
    Ok(Exit::Done)
}

pub(crate) fn test(args: &Test) -> anyhow::Result<Exit> {
    let file = files::load_provider(&args.file, &args.providers)?.file;
    let recorded = recorded(args)?;
    let wrong = recorded.check(&file);
    for line in &wrong {
        say::error(line);
    }
    for note in unproven(&recorded, &file) {
        say::note(&note);
    }
    let (answers, limits) = (recorded.answers.len(), recorded.limits.len());
    let text = format!("{}: {answers} answers and {limits} samples of headers, {} wrong", file.provider, wrong.len());
    say::answer(&text);
    Ok(if wrong.is_empty() { Exit::Done } else { Exit::JobFailed })
}

/// What was recorded: what is named, else of a pack its own, else what stands in `tests/` beside the file.
fn recorded(args: &Test) -> Result<Recorded, FilesError> {
    if let Some(path) = &args.recorded {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|error| FilesError::one(format!("{} can't be read: {error}", path.display())))?;
        return Recorded::parse(&text).map_err(|error| FilesError::one(format!("{}: {error}", path.display())));
    }
    load::load_recorded(&args.file)?.ok_or_else(|| {
        let file = args.file.display();
        FilesError::one(format!("nothing was recorded of {file}; expected it in tests/ beside it, or --recorded FILE"))
    })
}

/// The pack that is meant; none where there is a file of that name.
fn meant_pack(provider: &Path) -> Option<&'static Pack> {
    let name = provider.to_str()?;
    if provider.is_file() || is_path(name) { None } else { pack(name) }
}

/// What nothing that was recorded shows to be right.
fn unproven(recorded: &Recorded, file: &ProviderFile) -> Vec<String> {
    let rules = recorded.unmet(file).into_iter().filter_map(|rule| serde_json::to_string(rule).ok());
    let rules = rules.map(|rule| format!("no recorded answer meets the rule {rule}"));
    rules
        .chain(recorded.silent(file).into_iter().map(|id| format!("no sample shows the headers of limit {id}")))
        .collect()
}
