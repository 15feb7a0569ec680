//! The commands.

mod items;
mod provider;
mod run;
mod simulate;
mod status;

use clap::CommandFactory;
use tidegate_telemetry::{LogFormat, TelemetryConfig};

use crate::cli::{self, Cli, Command, Provider};
use crate::exit::Exit;
use crate::say;

/// Runs a command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut std::io::stdout());
            return Ok(Exit::Done);
        }
        Command::JobSchema => {
            say::answer(&serde_json::to_string_pretty(&tidegate_provider::job_schema())?);
            return Ok(Exit::Done);
        }
        Command::Provider(Provider::Schema) => {
            say::answer(&serde_json::to_string_pretty(&tidegate_provider::provider_schema())?);
            return Ok(Exit::Done);
        }
        Command::Provider(Provider::Check { file, providers }) => return provider::check(&file, &providers),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(run_async(cli));
    // A thread that waits for the disk or a name server is not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    exit
}

async fn run_async(cli: Cli) -> anyhow::Result<Exit> {
    let telemetry = tidegate_telemetry::start(TelemetryConfig {
        log_format: match cli.log.log_format {
            cli::LogFormat::Pretty => LogFormat::Pretty,
            cli::LogFormat::Json => LogFormat::Json,
        },
        log_filter: Some(cli.log.log),
        ..TelemetryConfig::new("tidegate", env!("CARGO_PKG_VERSION"))
    })?;
    let exit = match cli.command {
        Command::Run(args) => Box::pin(run::run(args)).await,
        Command::Items(args) => items::items(args).await,
        Command::Status(args) => status::status(args).await,
        Command::Provider(Provider::Try(args)) => provider::try_call(args).await,
        Command::Simulate(args) => simulate::simulate(args).await,
        // Done without a runtime.
        Command::Completions { .. } | Command::JobSchema | Command::Provider(_) => Ok(Exit::Done),
    };
    tokio::task::block_in_place(|| telemetry.shutdown());
    exit
}
