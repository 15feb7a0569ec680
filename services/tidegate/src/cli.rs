//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use tidegate_contracts::{DeadId, FetchId, JobId};
use tidegate_export::{Compression, Form};
use tidegate_formats::{Columns, Format};
use url::Url;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the job failed: some calls did; what was fetched is kept. Or the gateway refused
  2    the command line, a file or a variable is wrong; nothing was called
  3    the state file can't be used
  4    the output can't be written; what was fetched is in the state file
  70   something else went wrong here
  130  stopped by Ctrl-C; the same command goes on
  143  stopped by SIGTERM; the same command goes on";

const SERVE_HELP: &str = "\
Settings that hold secrets are variables, or files that variables ending in _FILE name:
  TIDEGATE_POSTGRES       postgres://USER:PASSWORD@HOST:PORT/DATABASE    all but the arbiter
  TIDEGATE_RABBITMQ       amqp://USER:PASSWORD@HOST:PORT/VHOST           all but the arbiter
  TIDEGATE_REDIS          redis://USER:PASSWORD@HOST:PORT/DB             the arbiter
  TIDEGATE_SERVICE_TOKEN  what the others show the arbiter               executor, gateway, arbiter
  TIDEGATE_SEALING_KEY    seals credentials, as `tidegate keys new-sealing-key` makes it   gateway, executor";

/// Pulls everything you are allowed to pull out of other people's HTTP APIs, as fast as their limits permit, and knows
/// exactly when it is done.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: Log,
}

/// What is logged to standard error.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Which log lines are shown: `warn`, `info`, `tidegate_executor=debug,warn` … [default: `info` for `serve`, else
    /// `warn`].
    #[arg(long, global = true, env = "TIDEGATE_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How log lines look.
    #[arg(long, global = true, env = "TIDEGATE_LOG_FORMAT", default_value = "pretty", value_enum)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a job in this process and writes its items; the same command again goes on where it stopped.
    #[command(after_help = EXIT_CODES)]
    Run(Run),
    /// Says what a job will take before it runs: calls, units of each limit, the least time. Makes no call unless asked to.
    Plan(Plan),
    /// Writes the items that a state file, or a gateway's job, holds.
    Items(Items),
    /// Writes items into files of a folder or a bucket: NDJSON, CSV, JSON, Parquet; a step's into files of its own.
    #[command(after_help = EXIT_CODES)]
    Export(Export),
    /// Shows the jobs that a state file holds, or a gateway's job.
    Status(Status),
    /// Submits a job to a gateway and prints its id.
    #[command(after_help = EXIT_CODES)]
    Submit(Submit),
    /// Lists a gateway's jobs, newest first.
    Jobs(Jobs),
    /// Shows how a gateway's job goes until it is finished.
    Watch(JobOf),
    /// Cancels a gateway's job: no new call of it goes out.
    Cancel(JobOf),
    /// Says why a job is not finished: what its open calls wait for, and until when.
    Explain(Explain),
    /// Shows a job's tree level by level, or its failed calls one by one.
    Tree(Tree),
    /// Deletes pages and trees of jobs that finished long ago, in small steps: for cron.
    Prune(Prune),
    /// Pauses a gateway's job: no new call of it goes out until `resume`.
    Pause(JobOf),
    /// Goes on with a paused job of a gateway.
    Resume(JobOf),
    /// Makes the failed and cancelled calls of a gateway's job again, and nothing else.
    Retry(Retry),
    /// Lists and forgets how far jobs have seen what they ask for: what `--extend` goes on from.
    #[command(subcommand)]
    Since(Since),
    /// Keeps provider files at a gateway.
    #[command(subcommand)]
    Providers(Providers),
    /// Keeps credentials at a gateway, which never shows them again.
    #[command(subcommand)]
    Credentials(Credentials),
    /// Shows the budgets that a gateway's calls are held to, pauses them, and sets other rates.
    #[command(subcommand)]
    Limits(Limits),
    /// Lists messages that could not be handled, sends them again, and drops them: for who runs the deployment.
    #[command(subcommand)]
    Dead(DeadLetters),
    /// Says what is reachable from here, and what is wrong: the gateway, and the stores that variables name.
    Doctor(Doctor),
    /// Runs a service, or the whole ring with its HTTP interface in one process.
    #[command(after_help = SERVE_HELP)]
    Serve(Serve),
    /// Brings the database's schema up to date; waits for the database if need be.
    Migrate(Stores),
    /// Makes API keys and sealing keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Says whether a service is ready: 0 if it is, 1 if not. For health checks.
    Health {
        /// Where it listens.
        #[arg(default_value = "127.0.0.1:8080", env = "TIDEGATE_LISTEN")]
        address: SocketAddr,
    },
    /// Checks, tries and describes provider files.
    #[command(subcommand)]
    Provider(Provider),
    /// Prints the JSON Schema of job files.
    JobSchema,
    /// Plays a third party: any pagination, limits and faults, the same each time.
    Simulate(Simulate),
    /// Prints shell completions.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The job file, YAML or JSON.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) job: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
    /// The state file [default: .tidegate/JOB.db beside the job file].
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Starts anew instead of going on with the job in the state file.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Runs the job again once it is done, takes only what is new since then (`since` in the provider file), and appends it
    /// to the output.
    #[arg(long, conflicts_with = "fresh")]
    pub(crate) extend: bool,
    #[command(flatten)]
    pub(crate) calls: Calls,
    /// Most requests on the wire at once [default: the job's `max_in_flight`, else 32].
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) max_in_flight: Option<u16>,
    /// Names of the ways out, of which each call takes one with room; a factor of limits. TIDEGATE_EGRESS_VIA_NAME says where one
    /// leads: an HTTP proxy, or an address of the machine.
    #[arg(long, env = "TIDEGATE_EGRESS", default_value = "default", value_name = "NAME", value_delimiter = ',')]
    pub(crate) egress: Vec<String>,
    /// When a commit is on the disk: `full` survives a loss of power, `normal` survives the death of the process.
    #[arg(long, default_value = "full", value_enum)]
    pub(crate) sync: SyncMode,
    /// Serves the web page on loopback, at this port or any free one, until Ctrl-C; its address is printed, and lets one in
    /// once.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub(crate) ui: Option<u16>,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Prints the report as JSON, on standard output (or standard error, when the items go to the former).
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The job file, YAML or JSON.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) job: PathBuf,
    /// Makes the first call of each root step, to learn how long its list is. These calls count against the provider's
    /// limits, and nothing keeps what they bring.
    #[arg(long)]
    pub(crate) probe: bool,
    /// How long lists are taken to be: `followers=10000` items, or `statuses.pages=3` pages, of each fetch of a step; may be
    /// given several times.
    #[arg(long = "assume", value_name = "STEP=ITEMS")]
    pub(crate) assume: Vec<String>,
    /// How long a call takes on the wire [default: what probes took, else 200ms].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) latency: Option<std::time::Duration>,
    /// Most requests on the wire at once [default: the job's `max_in_flight`, else 32].
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) max_in_flight: Option<u16>,
    /// Where a token is kept that --probe fetches (OAuth 2.0) [default: the job's state file, .tidegate/JOB.db beside the job
    /// file].
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) calls: Calls,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SyncMode {
    Full,
    Normal,
}

/// Where items go.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Where the items go: a file, `-` for standard output, or a folder (`DIR/`) with a file for each step. Without it
    /// they stay in the state file.
    #[arg(long, short, value_name = "OUT", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,
    /// Only items of this step; may be given several times.
    #[arg(long = "step", value_name = "STEP")]
    pub(crate) steps: Vec<String>,
    /// Each line says where its item is from: `{"step":…,"params":{…},"item":{…}}`; in CSV, the columns `_step` and
    /// `_params` do.
    #[arg(long)]
    pub(crate) with_origin: bool,
    /// How items are written: one JSON text a line, CSV, or one JSON array [default: what the file's ending says, else
    /// ndjson].
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Option<Format>,
    /// Columns of CSV: names of fields, or ways to fields within fields (`id,author.id`) [default: the fields of the first
    /// 1,000 items, and `_rest` for what comes later].
    #[arg(long, value_name = "NAMES", value_parser = columns)]
    pub(crate) columns: Option<Columns>,
}

fn format(text: &str) -> Result<Format, String> {
    Format::from_name(text).ok_or_else(|| "expected ndjson, csv or json".to_owned())
}

fn columns(text: &str) -> Result<Columns, String> {
    Columns::parse(text).map_err(|error| error.to_string())
}

impl Output {
    /// The format of an output, by what was asked for, else by its name.
    pub(crate) fn format_of(&self, path: &std::path::Path) -> Format {
        self.format.unwrap_or_else(|| Format::of_path(path))
    }
}

/// With what and whom calls are made.
#[derive(Debug, Args)]
pub(crate) struct Calls {
    /// Sets something that the provider file lets a job configure, as in `host=example.org`.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Makes all calls to this address instead of the provider's, such as that of `tidegate simulate`: a rehearsal.
    #[arg(long, value_name = "URL")]
    pub(crate) at: Option<String>,
    /// A folder to look for provider files in, besides that of the job file; may be given several times.
    #[arg(long = "providers", env = "TIDEGATE_PROVIDERS", value_name = "DIR", value_delimiter = ':')]
    pub(crate) providers: Vec<PathBuf>,
    /// A file of credentials: `{ alice: { token: … } }`. Otherwise they come from variables: TIDEGATE_CREDENTIAL_ALICE.
    #[arg(long, env = "TIDEGATE_CREDENTIALS", value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
    /// Lets calls go to private addresses: all of them, or only these networks (`--allow-private=127.0.0.0/8`).
    #[arg(long, env = "TIDEGATE_ALLOW_PRIVATE", value_name = "NET", num_args = 0..=1, require_equals = true,
        default_missing_value = "all", value_delimiter = ',')]
    pub(crate) allow_private: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Items {
    /// The state file, or the id of a gateway's job.
    pub(crate) state: PathBuf,
    /// The job [default: the newest].
    #[arg(long)]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) steps: StepsOf,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The state file, or the id of a gateway's job.
    #[arg(value_name = "JOB|STATE")]
    pub(crate) source: PathBuf,
    /// Where to: a folder, or s3://BUCKET/PREFIX with credentials and region from the usual variables AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION.
    #[arg(long, value_name = "DEST")]
    pub(crate) to: String,
    /// What files are.
    #[arg(long, value_enum, default_value = "ndjson")]
    pub(crate) format: ExportFormat,
    /// Only items of this step; may be given several times.
    #[arg(long = "step", value_name = "STEP")]
    pub(crate) steps: Vec<String>,
    /// How files are compressed; Parquet within [default: not at all; Parquet by Snappy].
    #[arg(long, value_enum)]
    pub(crate) compress: Option<Compress>,
    /// Columns of CSV and Parquet: names of fields, or ways to fields within fields (`id,author.id`) [default: the fields of
    /// the first 1,000 items, and `_rest`].
    #[arg(long, value_name = "NAMES", value_parser = columns)]
    pub(crate) columns: Option<Columns>,
    /// About how large a file gets, in MiB: of text before it is compressed, or of Parquet.
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) part_mib: u64,
    /// Where what speaks like S3 listens, if it is not Amazon's.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Writes though an export stands there already; files of that one which have other names stay.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// The job of a state file [default: the newest].
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// Prints what was written as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

/// What exported files are.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    Ndjson,
    Csv,
    Json,
    Parquet,
}

/// How exported files are compressed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Compress {
    Zstd,
    Gzip,
}

impl Export {
    /// Whether items of this step are asked for.
    pub(crate) fn wants(&self, step: &str) -> bool {
        self.steps.is_empty() || self.steps.iter().any(|wanted| wanted == step)
    }
}

impl ExportFormat {
    pub(crate) fn form(self) -> Form {
        match self {
            Self::Ndjson => Form::Text(Format::Ndjson),
            Self::Csv => Form::Text(Format::Csv),
            Self::Json => Form::Text(Format::Json),
            Self::Parquet => Form::Parquet,
        }
    }
}

impl From<Compress> for Compression {
    fn from(compress: Compress) -> Self {
        match compress {
            Compress::Zstd => Self::Zstd,
            Compress::Gzip => Self::Gzip,
        }
    }
}

/// How far the items of a gateway's job are followed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct StepsOf {
    /// Of a gateway's job: go on with what is stored while it runs, until it is finished.
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The state file, or the id of a gateway's job.
    pub(crate) state: PathBuf,
    /// Only this fetch, by its id as `tree` shows it.
    #[arg(long, value_name = "FETCH")]
    pub(crate) fetch: Option<FetchId>,
    /// The job [default: the newest].
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// The state file, or the id of a gateway's job.
    pub(crate) state: PathBuf,
    /// The fetches below this one; the roots unless said.
    #[arg(long, value_name = "FETCH", conflicts_with = "failed")]
    pub(crate) parent: Option<FetchId>,
    /// Only fetches, or calls, of this step.
    #[arg(long)]
    pub(crate) step: Option<String>,
    /// Failed and skipped calls instead of fetches, each with its class, attempts and what the provider said.
    #[arg(long)]
    pub(crate) failed: bool,
    /// Only failed calls of this fetch, without those below it.
    #[arg(long, value_name = "FETCH", requires = "failed")]
    pub(crate) fetch: Option<FetchId>,
    /// Only failed calls of this class: `permission`, `not_found`, …
    #[arg(long, requires = "failed")]
    pub(crate) class: Option<String>,
    /// Those after this one: the last of the page before.
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
    /// The job [default: the newest].
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// As JSON, one a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// The state file; without it, the database that TIDEGATE_POSTGRES names.
    pub(crate) state: Option<PathBuf>,
    /// Of jobs that finished longer ago than this: `30d`, `12h`, `90m`.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) older_than: Duration,
    /// Keeps the jobs, with their counters and idempotency keys. Without it they are deleted as well; the same submission
    /// under the same key is a new job then.
    #[arg(long)]
    pub(crate) keep_jobs: bool,
    /// Lists the jobs, and deletes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Rows that one transaction deletes.
    #[arg(long, default_value_t = tidegate_ledger::PRUNE_ROWS, value_name = "ROWS",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Pause after each transaction, in ms, so that other work goes on.
    #[arg(long, default_value_t = 20, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub(crate) pause_ms: u32,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) stores: Stores,
}

fn tenant_weight(text: &str) -> Result<(String, u32), String> {
    let read = text.split_once('=').and_then(|(tenant, weight)| Some((tenant.trim(), weight.trim().parse().ok()?)));
    let (tenant, weight) =
        read.filter(|(tenant, _)| !tenant.is_empty()).ok_or("expected a tenant and its weight: `acme=3`")?;
    Ok((tenant.to_owned(), weight))
}

/// A time span of whole days, hours, minutes or seconds.
fn age(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a number and a unit, as in 30d, 12h, 90m or 45s, found {text}");
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(expected()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The state file, or the id of a gateway's job.
    pub(crate) state: PathBuf,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// Only this job.
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// Lists the packs: provider files that travel with this program, whose names jobs may use as they are.
    List {
        /// As JSON, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Prints a pack as it is written, or a provider file with all that it extends.
    Show {
        /// A pack's name, or a provider file.
        provider: PathBuf,
        /// As JSON, with what it extends merged in.
        #[arg(long)]
        merged: bool,
        /// A folder to look for provider files in.
        #[arg(long = "providers", env = "TIDEGATE_PROVIDERS", value_name = "DIR", value_delimiter = ':')]
        providers: Vec<PathBuf>,
    },
    /// Says what is wrong with a provider file, or what it offers.
    Check {
        /// The provider file, or a pack's name.
        file: PathBuf,
        /// A folder to look for files that it extends in.
        #[arg(long = "providers", env = "TIDEGATE_PROVIDERS", value_name = "DIR", value_delimiter = ':')]
        providers: Vec<PathBuf>,
    },
    /// Holds a provider file to what was recorded of the provider: answers, and headers that speak of limits.
    Test(Test),
    /// Shows answers that no error rule of a provider speaks of, as YAML: a rule and its test for each.
    Unmatched(OfProvider),
    /// Prints the JSON Schema of provider files.
    Schema,
    /// Makes one call and shows request (secrets masked), answer, items, the next page, and the limits' headers.
    Try(Try),
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The provider file, or a pack's name.
    pub(crate) file: PathBuf,
    /// What was recorded [default: the pack's own, else tests/NAME.yaml beside the file].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) recorded: Option<PathBuf>,
    /// A folder to look for files that it extends in.
    #[arg(long = "providers", env = "TIDEGATE_PROVIDERS", value_name = "DIR", value_delimiter = ':')]
    pub(crate) providers: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct OfProvider {
    /// The provider's name.
    #[arg(value_parser = stored_name)]
    pub(crate) provider: String,
    /// The state file; without it, those of a gateway.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// As JSON, one a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Args)]
pub(crate) struct Try {
    /// The provider file, or a pack's name.
    pub(crate) file: PathBuf,
    /// The endpoint.
    pub(crate) endpoint: String,
    /// A parameter, as in `id=109`; may be given several times.
    #[arg(long = "with", short, value_name = "NAME=VALUE")]
    pub(crate) with: Vec<String>,
    /// Name of the credential.
    #[arg(long, value_name = "NAME")]
    pub(crate) credential: Option<String>,
    /// Where a token is kept that is fetched for the call (OAuth 2.0): give the state file of a job whose runs share the
    /// credential.
    #[arg(long, value_name = "FILE", default_value = ".tidegate/try.db")]
    pub(crate) state: PathBuf,
    #[command(flatten)]
    pub(crate) calls: Calls,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// What to play: a simulation file, or a provider file or pack to play as it is.
    pub(crate) spec: PathBuf,
    /// What the provider does wrong: names of quirks, some of them with a value, as in `outage=1s+30s,cursor_loops`.
    #[arg(long, value_name = "QUIRK", value_delimiter = ',')]
    pub(crate) quirks: Vec<String>,
    /// Items of each list [default: 100].
    #[arg(long, value_name = "ITEMS")]
    pub(crate) items: Option<u64>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8180", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
}

/// A service of the cluster.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Service {
    /// Takes jobs over HTTP and answers for them.
    Gateway,
    /// Makes plans of outcomes.
    Planner,
    /// Makes the calls.
    Executor,
    /// Decides when calls may go.
    Arbiter,
    /// Commits plans to the tree and releases calls.
    Tracker,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The service.
    #[arg(value_enum, required_unless_present = "embedded", conflicts_with = "embedded")]
    pub(crate) service: Option<Service>,
    /// All services in this process, over a state file; no other server is needed.
    #[arg(long)]
    pub(crate) embedded: bool,
    /// The state file of --embedded.
    #[arg(long, value_name = "FILE", default_value = ".tidegate/serve.db")]
    pub(crate) state: PathBuf,
    /// Where to listen: for the API of gateway and arbiter, and for /livez and /readyz.
    #[arg(long, env = "TIDEGATE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Before the names of queues and keys, so that deployments can share a broker and a Redis.
    #[arg(long, env = "TIDEGATE_PREFIX", default_value = "", value_name = "PREFIX")]
    pub(crate) prefix: String,
    #[command(flatten)]
    pub(crate) stores: Stores,
    /// Addresses of arbiters, for executors, and for gateways, which show limits.
    #[arg(
        long,
        env = "TIDEGATE_ARBITER",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub(crate) arbiter: Vec<Url>,
    /// Most requests of an executor on the wire at once.
    #[arg(long, env = "TIDEGATE_MAX_IN_FLIGHT", default_value_t = 64, value_name = "CALLS",
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) max_in_flight: u16,
    /// Names of the ways out of an executor, of which each call takes one with room; a factor of limits. Executors behind one
    /// address share its name. TIDEGATE_EGRESS_VIA_NAME says where one leads: an HTTP proxy, or an address of the machine.
    #[arg(long, env = "TIDEGATE_EGRESS", default_value = "default", value_name = "NAME", value_delimiter = ',')]
    pub(crate) egress: Vec<String>,
    /// Most ways of making one call (credentials times ways out) that an executor asks its arbiter about, and that an arbiter takes.
    #[arg(long, env = "TIDEGATE_MAX_CHOICES", default_value_t = tidegate_executor::Config::MAX_CHOICES, value_name = "WAYS",
        hide_short_help = true, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256))]
    pub(crate) max_choices: usize,
    /// Lets calls go to private addresses: all of them, or only these networks.
    #[arg(long, env = "TIDEGATE_ALLOW_PRIVATE", value_name = "NET", num_args = 0..=1, require_equals = true,
        default_missing_value = "all", value_delimiter = ',')]
    pub(crate) allow_private: Vec<String>,
    /// For executors: of jobs that push their pages, one with more bytes of items than this is pushed as a reference. 0: all
    /// are.
    #[arg(long, env = "TIDEGATE_PUSH_MAX_BYTES", default_value_t = 1 << 20, value_name = "BYTES", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(..=8 << 20))]
    pub(crate) push_max_bytes: u32,
    /// For trackers: a call that went to the broker, and that nobody has spoken of for so many seconds, is taken for lost
    /// and goes out again. Longer than any call takes.
    #[arg(long, env = "TIDEGATE_LEASE_S", default_value_t = 600, value_name = "SECONDS", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) lease_s: u32,
    /// For arbiters: the weights of the lanes, the most urgent first: what each gets of a limit that all of them want.
    #[arg(long, env = "TIDEGATE_LANE_WEIGHTS", value_delimiter = ',', default_values_t = [1_000, 100, 10, 1],
        value_name = "WEIGHTS", hide_short_help = true)]
    pub(crate) lane_weights: Vec<u32>,
    /// For arbiters: what of a budget is kept for the lanes interactive, normal and bulk from those below each, in per cent.
    #[arg(long, env = "TIDEGATE_LANE_HEADROOM", value_delimiter = ',', default_values_t = [10, 10, 5],
        value_name = "PERCENT", hide_short_help = true)]
    pub(crate) lane_headroom: Vec<u32>,
    /// For arbiters: the lane trickle is granted no more than this share of each limit's even pace, in per cent; 0: it takes what is
    /// left at once.
    #[arg(long, env = "TIDEGATE_TRICKLE_PACE", default_value_t = 100, value_name = "PERCENT", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(..=100))]
    pub(crate) trickle_pace: u32,
    /// For arbiters: the weights of tenants within a lane, from 1 to 1,000; others have 1.
    #[arg(long, env = "TIDEGATE_TENANT_WEIGHTS", value_delimiter = ',', value_name = "TENANT=WEIGHT", hide_short_help = true,
        value_parser = tenant_weight)]
    pub(crate) tenant_weights: Vec<(String, u32)>,
    /// For arbiters: what is granted while Redis can't be asked; the same for all arbiters.
    #[arg(long, env = "TIDEGATE_REDIS_AWAY", value_enum, default_value_t = RedisAway::Wait, hide_short_help = true)]
    pub(crate) redis_away: RedisAway,
    /// For arbiters: the share of each limit that one grants while Redis can't be asked, in per cent; times the number of arbiters
    /// it must be at most 100, for limits to hold.
    #[arg(long, env = "TIDEGATE_REDIS_AWAY_SHARE", default_value_t = 25, value_name = "PERCENT", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) redis_away_share: u32,
    /// For arbiters: for so many seconds shares are granted while Redis can't be asked; then nothing is.
    #[arg(long, env = "TIDEGATE_REDIS_AWAY_S", default_value_t = 300, value_name = "SECONDS", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) redis_away_s: u32,
    /// For trackers: a job of the normal lane that has so many calls open is moved to `bulk`, and back when it has less than
    /// half of them; 0: none is.
    #[arg(long, env = "TIDEGATE_WHALE_CALLS", default_value_t = 20_000, value_name = "CALLS", hide_short_help = true,
        value_parser = clap::value_parser!(u32))]
    pub(crate) whale_calls: u32,
    /// For gateways: different names of providers that all jobs of a tenant may name. Each has queues at the broker, which
    /// stay.
    #[arg(long, env = "TIDEGATE_PROVIDER_NAMES_MAX", default_value_t = 100, value_name = "NAMES", hide_short_help = true,
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) provider_names_max: u16,
    /// For gateways: the tenant that runs the deployment. It sees all budgets, and alone may pause or override those that
    /// tenants share.
    #[arg(long, env = "TIDEGATE_OPERATOR", default_value = "default", value_name = "TENANT", hide_short_help = true)]
    pub(crate) operator: String,
}

/// What arbiters grant while Redis can't be asked.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum RedisAway {
    /// Nothing: calls wait.
    Wait,
    /// A share of what was seen last.
    Share,
}

/// How stores are used.
#[derive(Debug, Args)]
pub(crate) struct Stores {
    /// Most connections to Postgres.
    #[arg(long, env = "TIDEGATE_POSTGRES_CONNECTIONS", default_value_t = 8, value_name = "CONNECTIONS",
        value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub(crate) postgres_connections: u32,
}

/// Which gateway. Its API key is in TIDEGATE_API_KEY, or in the file that TIDEGATE_API_KEY_FILE names.
#[derive(Debug, Clone, Args)]
pub(crate) struct Gateway {
    /// Address of the gateway.
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) url: Url,
}

/// A gateway's job.
#[derive(Debug, Args)]
pub(crate) struct JobOf {
    /// Its id.
    #[arg(value_name = "JOB")]
    pub(crate) id: JobId,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    pub(crate) of: JobOf,
    /// Of the failed calls only those of this step.
    #[arg(long)]
    pub(crate) step: Option<String>,
    /// Of the failed calls only those of this class: `transient`, `permission`, …
    #[arg(long)]
    pub(crate) class: Option<String>,
    /// Of the failed calls only those answered with this HTTP status.
    #[arg(long)]
    pub(crate) status: Option<u16>,
    /// Of the failed calls only those with this message, all of it.
    #[arg(long)]
    pub(crate) message: Option<String>,
    /// Of the failed calls only those of this fetch, without those below it.
    #[arg(long, value_name = "FETCH")]
    pub(crate) fetch: Option<FetchId>,
}

#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// The job file, YAML or JSON; `-` for standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) job: PathBuf,
    /// The same key with the same job is the same submission, however often it is sent: for cron, and for retries.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Takes only what is new since the last job of this name (`since` in the provider file).
    #[arg(long)]
    pub(crate) extend: bool,
    /// Waits until the job is finished; a failed job exits with 1.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Sets something that the provider file lets a job configure, as in `host=example.org`.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// A folder to look for provider files in, besides that of the job file; may be given several times. A provider that
    /// is not found is one that the gateway keeps.
    #[arg(long = "providers", env = "TIDEGATE_PROVIDERS", value_name = "DIR", value_delimiter = ':')]
    pub(crate) providers: Vec<PathBuf>,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Args)]
pub(crate) struct Jobs {
    /// Only jobs in this state.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only jobs of this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Only jobs of this name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Since {
    /// Lists the highest value that each fetch has seen: the next run takes what is above it.
    List(ListMarks),
    /// Forgets them, so that the next run reads everything again.
    Reset(ResetMarks),
}

#[derive(Debug, Args)]
pub(crate) struct ListMarks {
    /// Of jobs of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// Of this step.
    #[arg(long)]
    pub(crate) step: Option<String>,
    /// The state file; without it, those of a gateway.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Those after these: what ended the page before.
    #[arg(long, value_name = "NEXT")]
    pub(crate) after: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Args)]
pub(crate) struct ResetMarks {
    /// Of jobs of this name.
    #[arg(value_name = "NAME")]
    pub(crate) job: String,
    /// Only of this step.
    #[arg(long)]
    pub(crate) step: Option<String>,
    /// The state file; without it, those of a gateway.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Providers {
    /// Lists them.
    List(Gateway),
    /// Stores a provider file, with what it extends, under the name that stands in it.
    Put {
        /// The provider file.
        file: PathBuf,
        /// A folder to look for files that it extends in.
        #[arg(long = "providers", env = "TIDEGATE_PROVIDERS", value_name = "DIR", value_delimiter = ':')]
        providers: Vec<PathBuf>,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Shows one.
    Show {
        /// Its name.
        #[arg(value_parser = stored_name)]
        name: String,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Deletes one; jobs that were submitted have their own copy.
    Delete {
        /// Its name.
        #[arg(value_parser = stored_name)]
        name: String,
        #[command(flatten)]
        gateway: Gateway,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Credentials {
    /// Lists their names, and which are parked: taken no more by their provider.
    List(Gateway),
    /// Stores one, read from standard input: a bare token, or a JSON object of fields. Jobs that wait for it go on.
    #[command(visible_alias = "set")]
    Put {
        /// Its name.
        #[arg(value_parser = stored_name)]
        name: String,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Deletes one.
    Delete {
        /// Its name.
        #[arg(value_parser = stored_name)]
        name: String,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Seals all of them, of all tenants, anew by the first sealing key, after which the others may go.
    Rotate(Place),
}

/// A name goes into addresses, so nothing else may.
fn stored_name(text: &str) -> Result<String, String> {
    tidegate_provider::file::Name::try_from(text.to_owned())
        .map(|name| name.to_string())
        .map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Limits {
    /// Lists budgets in use, and what is wanted of them.
    List {
        /// Only budgets of this provider.
        #[arg(long)]
        provider: Option<String>,
        /// Only budgets of the limit of this id.
        #[arg(long)]
        id: Option<String>,
        /// Only those that are blocked by a refusal, or paused.
        #[arg(long)]
        blocked: bool,
        /// As JSON, one a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Pauses a budget: no call that touches it goes out.
    Pause {
        #[command(flatten)]
        wanted: WantedOf,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Ends a pause.
    Resume {
        /// The key that was paused.
        key: String,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Sets another rate than the provider file's.
    Override {
        #[command(flatten)]
        wanted: WantedOf,
        /// The rate as in a provider file: `{window: {calls: 10, per: 1m}}`.
        #[arg(long, value_parser = rate)]
        rate: tidegate_limits::Rate,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Ends all that is wanted of a key: the provider file's rate counts again, and nothing is paused.
    Clear {
        /// The key.
        key: String,
        #[command(flatten)]
        gateway: Gateway,
    },
}

/// Of what, how long, and why.
#[derive(Debug, Args)]
pub(crate) struct WantedOf {
    /// A budget's key as `limits list` shows it, or how the keys of many begin: `{acme}/token/` for a limit, `{acme}/` for a
    /// provider.
    pub(crate) key: String,
    /// Why, for whoever wonders.
    #[arg(long)]
    pub(crate) reason: String,
    /// It ends by itself after this time: `30d`, `12h`, `90m` [default: never].
    #[arg(long = "for", value_name = "TIME", value_parser = age)]
    pub(crate) lasts: Option<Duration>,
}

/// YAML is JSON, too.
fn rate(text: &str) -> Result<tidegate_limits::Rate, String> {
    let rate: tidegate_limits::Rate = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    rate.check().map_err(|error| error.to_string())?;
    Ok(rate)
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// Lists them, newest first.
    List {
        /// Only those of this queue.
        #[arg(long)]
        queue: Option<String>,
        /// Only those of this job.
        #[arg(long)]
        job: Option<JobId>,
        /// Those after these: what ended the page before.
        #[arg(long, value_name = "NEXT")]
        after: Option<DeadId>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// As JSON, one a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Shows one with what it says, as JSON.
    Show(DeadLetterOf),
    /// Sends one again, to the queue it died in.
    Replay(DeadLetterOf),
    /// Drops one.
    Drop(DeadLetterOf),
}

#[derive(Debug, Args)]
pub(crate) struct DeadLetterOf {
    /// Its id, as `dead list` shows it.
    pub(crate) id: DeadId,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Lists a gateway's API keys, without their secrets.
    List(Gateway),
    /// Revokes an API key of a gateway.
    Revoke {
        /// Its id, the part after `tg_`.
        #[arg(value_parser = key_id)]
        id: String,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Makes an API key and prints it, once. Makes its tenant if need be.
    Create(CreateKey),
    /// Prints a new sealing key, for TIDEGATE_SEALING_KEY.
    NewSealingKey {
        /// Its id; several keys may be set at once, the first of them seals.
        #[arg(long, default_value = "1")]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateKey {
    /// Whose it is.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// For people.
    #[arg(long, default_value = "made by tidegate keys create")]
    pub(crate) name: String,
    /// What it may be used for.
    #[arg(long, default_value = "submit,read,admin", value_delimiter = ',')]
    pub(crate) scopes: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Where a gateway keeps what it keeps.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The state file of a `serve --embedded`; without it, the database that TIDEGATE_POSTGRES names.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) stores: Stores,
}

fn key_id(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(text.to_owned()) } else { Err("expected letters and digits".to_owned()) }
}
