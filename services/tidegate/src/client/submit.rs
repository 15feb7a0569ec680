//! `tidegate submit`: the job file travels with the provider file that it names, if that is found here; else the gateway
//! knows the provider by its name.

use std::io::Read as _;

use serde_json::{Value, json};
use tidegate_provider::{FILE_MAX_BYTES, load};

use super::jobs::exit;
use super::patience::Patience;
use super::watch::follow;
use crate::cli::Submit;
use crate::exit::Exit;
use crate::files::FilesError;
use crate::{files, say};

pub(crate) async fn submit(args: Submit) -> anyhow::Result<Exit> {
    let client = super::connect(&args.gateway)?;
    let file = file(&args)?;
    let key = args.idempotency_key.as_deref();
    let submitted = if args.extend { client.extend(&file, key).await? } else { client.submit(&file, key).await? };
    let job = submitted.id;
    if !args.wait {
        say::answer(&if args.json { serde_json::to_string(&submitted)? } else { job.to_string() });
        return Ok(Exit::Done);
    }
    say::note(&format!("job {job}"));
    let last = follow(&client, job, args.quiet || args.json, Patience::reached()).await?;
    if args.json {
        say::answer(&serde_json::to_string(&client.job(job).await?)?);
    }
    Ok(exit(&last.job))
}

/// What is sent. Standard input goes as it is, so that the gateway says where something in it is wrong.
fn file(args: &Submit) -> Result<String, FilesError> {
    if args.job.as_os_str() == "-" {
        if !args.set.is_empty() {
            return Err(FilesError::one("--set: not for a job from standard input; write it under `config` there"));
        }
        return standard_input();
    }
    let unsendable = |error: serde_json::Error| FilesError::one(error.to_string());
    let mut job = load::load_job(&args.job)?;
    job.file.config.extend(files::pairs("--set", &args.set)?);
    let mut text = serde_json::to_value(&job.file).map_err(unsendable)?;
    match load::load_provider_of(&job.file, &args.job, &args.providers) {
        Ok(provider) => text["provider"] = serde_json::to_value(&provider.file).map_err(unsendable)?,
        Err(load::LoadError::NotFound { .. }) if is_name(&job.file.provider) => {}
        Err(error) => return Err(error.into()),
    }
    if text["name"] == Value::Null {
        text["name"] = json!(files::job_name(&job.file, &args.job));
    }
    Ok(text.to_string())
}

fn standard_input() -> Result<String, FilesError> {
    let mut text = String::new();
    let read = std::io::stdin().take(FILE_MAX_BYTES as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| FilesError::one(format!("standard input: {error}")))?;
    if text.len() > FILE_MAX_BYTES {
        return Err(FilesError::one(format!("standard input: more than {FILE_MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// A provider that the gateway may know, and no path.
fn is_name(provider: &str) -> bool {
    tidegate_provider::file::Name::try_from(provider.to_owned()).is_ok()
}
