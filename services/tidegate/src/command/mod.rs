//! The commands.

mod explain;
mod export;
mod health;
mod items;
mod keys;
mod packs;
mod plan;
mod provider;
mod prune;
mod run;
mod simulate;
mod since;
mod status;
mod tree;
mod ui;
mod unmatched;

use clap::CommandFactory;
use tidegate_telemetry::{LogFormat, TelemetryConfig};

use crate::cli::{self, Cli, Command, JobOf, Keys, Provider, Service};
use crate::exit::Exit;
use crate::{client, say, serve};

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
        Command::Keys(Keys::NewSealingKey { id }) => return Ok(keys::new_sealing_key(&id)),
        Command::Provider(Provider::Check { file, providers }) => return provider::check(&file, &providers),
        Command::Provider(Provider::List { json }) => return Ok(packs::list(json)),
        Command::Provider(Provider::Show { provider, merged, providers }) => {
            return packs::show(&provider, merged, &providers);
        }
        Command::Provider(Provider::Test(args)) => return packs::test(&args),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(run_async(cli));
    // A thread that waits for the disk or a name server is not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    exit
}

async fn run_async(cli: Cli) -> anyhow::Result<Exit> {
    // A process that stays is looked after by its log. What the broker's client says of each attempt to connect, the bus
    // says once.
    let log = cli.log.log.unwrap_or_else(|| {
        if let Command::Serve(_) | Command::Migrate(_) = cli.command { "info,lapin=off" } else { "warn" }.to_owned()
    });
    let telemetry = tidegate_telemetry::start(TelemetryConfig {
        log_format: match cli.log.log_format {
            cli::LogFormat::Pretty => LogFormat::Pretty,
            cli::LogFormat::Json => LogFormat::Json,
        },
        log_filter: Some(log),
        ..TelemetryConfig::new(service(&cli.command), env!("CARGO_PKG_VERSION"))
    })?;
    let exit = match cli.command {
        Command::Run(args) => Box::pin(run::run(args)).await,
        Command::Plan(args) => plan::plan(args).await,
        Command::Items(args) => match client::job_of(&args.state) {
            Some(job) => Box::pin(client::items(job, &args.output, args.steps, &args.gateway)).await,
            None => items::items(args).await,
        },
        Command::Export(args) => Box::pin(export::export(args)).await,
        Command::Status(args) => match client::job_of(&args.state) {
            Some(id) => client::status(JobOf { id, json: args.json, gateway: args.gateway }).await,
            None => status::status(args).await,
        },
        Command::Submit(args) => Box::pin(client::submit(args)).await,
        Command::Jobs(args) => client::jobs(args).await,
        Command::Watch(job) => client::watch(job).await,
        Command::Cancel(job) => client::cancel(job).await,
        Command::Explain(args) => match client::job_of(&args.state) {
            Some(job) => client::explain(job, args).await,
            None => explain::explain(args).await,
        },
        Command::Tree(args) => match client::job_of(&args.state) {
            Some(job) => client::tree(job, args).await,
            None => tree::tree(args).await,
        },
        Command::Prune(args) => prune::prune(args).await,
        Command::Pause(job) => client::pause(job).await,
        Command::Resume(job) => client::resume(job).await,
        Command::Retry(job) => client::retry(job).await,
        Command::Since(command) => since::since(command).await,
        Command::Providers(command) => client::providers(command).await,
        Command::Credentials(cli::Credentials::Rotate(place)) => keys::rotate(place).await,
        Command::Credentials(command) => client::credentials(command).await,
        Command::Limits(command) => client::limits(command).await,
        Command::Dead(command) => client::dead(command).await,
        Command::Doctor(args) => Box::pin(client::doctor(args)).await,
        Command::Keys(Keys::List(gateway)) => client::list_keys(&gateway).await,
        Command::Keys(Keys::Revoke { id, gateway }) => client::revoke_key(&id, &gateway).await,
        Command::Provider(Provider::Unmatched(args)) => unmatched::unmatched(args).await,
        Command::Provider(Provider::Try(args)) => provider::try_call(args).await,
        Command::Simulate(args) => simulate::simulate(args).await,
        Command::Serve(args) => Box::pin(serve::serve(args)).await,
        Command::Migrate(stores) => serve::migrate(&stores).await,
        Command::Keys(Keys::Create(args)) => keys::create(args).await,
        Command::Health { address } => Ok(health::health(address).await),
        // Done without a runtime.
        Command::Completions { .. } | Command::JobSchema | Command::Keys(_) | Command::Provider(_) => Ok(Exit::Done),
    };
    tokio::task::block_in_place(|| telemetry.shutdown());
    exit
}

/// The name in traces and metrics.
fn service(command: &Command) -> &'static str {
    let Command::Serve(serve) = command else { return "tidegate" };
    match serve.service {
        Some(Service::Gateway) => "tidegate-gateway",
        Some(Service::Planner) => "tidegate-planner",
        Some(Service::Executor) => "tidegate-executor",
        Some(Service::Arbiter) => "tidegate-arbiter",
        Some(Service::Tracker) => "tidegate-tracker",
        None => "tidegate",
    }
}
