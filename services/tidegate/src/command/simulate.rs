//! `tidegate simulate`: a third party to rehearse with.

use std::path::Path;

use serde_json::{Map, Value};
use tidegate_daemon::Shutdown;
use tidegate_provider::pack;
use tidegate_simulator::{Items, Simulator, SimulatorSpec, SpecError};

use crate::cli::Simulate;
use crate::exit::Exit;
use crate::files::FilesError;
use crate::say;

pub(crate) async fn simulate(args: Simulate) -> anyhow::Result<Exit> {
    let mut spec = load(&args.spec).map_err(wrong)?;
    for quirk in &args.quirks {
        spec.quirks.add(quirk).map_err(|error| FilesError::one(format!("--quirks: {error}")))?;
    }
    if let Some(items) = args.items {
        spec.defaults.items = Some(Items::Count(items));
    }
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|error| FilesError::one(format!("--listen {}: {error}", args.listen)))?;
    let shutdown = Shutdown::on_signals()?;
    let running = Simulator::start_on(&spec, listener).await.map_err(wrong)?;
    for note in running.notes() {
        say::note(note);
    }
    say::note(&format!("simulating at {0}; {0}/_simulator/stats tells what was served", running.base_url()));
    shutdown.requested().await;
    let stats = running.stats();
    running.stop().await;
    say::answer(&serde_json::to_string_pretty(&stats)?);
    Ok(Exit::Done)
}

/// A simulation file, or a provider file or pack to be played as it is.
fn load(path: &Path) -> Result<SimulatorSpec, SpecError> {
    // What can't be read is explained as a simulation file.
    let is_pack = || !path.is_file() && path.to_str().and_then(pack).is_some();
    if is_pack() || std::fs::read_to_string(path).is_ok_and(|text| is_provider_file(&text)) {
        return Ok(SimulatorSpec { provider: Some(path.to_owned()), ..SimulatorSpec::default() });
    }
    SimulatorSpec::load(path)
}

/// Provider files begin with their version, `tidegate: 1`; no simulation file has such a field.
fn is_provider_file(text: &str) -> bool {
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(fields) => fields.contains_key("tidegate"),
        Err(_) => text.lines().any(|line| line.starts_with("tidegate:")),
    }
}

fn wrong(error: impl std::error::Error + Send + Sync + 'static) -> FilesError {
    FilesError::one(format!("{:#}", anyhow::Error::from(error)))
}
