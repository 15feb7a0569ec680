//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the job failed: some calls did; what was fetched is kept
  2    the command line or a file is wrong; nothing was called
  3    the state file can't be used
  4    the output can't be written; what was fetched is in the state file
  70   something else went wrong here
  130  stopped by Ctrl-C; the same command goes on
  143  stopped by SIGTERM; the same command goes on";

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
    /// Which log lines are shown: `warn`, `info`, `tidegate_executor=debug,warn` …
    #[arg(long, global = true, env = "TIDEGATE_LOG", default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
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
    /// Writes the items that a state file holds.
    Items(Items),
    /// Shows the jobs that a state file holds.
    Status(Status),
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
    #[command(flatten)]
    pub(crate) calls: Calls,
    /// Most requests on the wire at once [default: the job's `max_in_flight`, else 32].
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) max_in_flight: Option<u16>,
    /// When a commit is on the disk: `full` survives a loss of power, `normal` survives the death of the process.
    #[arg(long, default_value = "full", value_enum)]
    pub(crate) sync: SyncMode,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Prints the report as JSON, on standard output (or standard error, when the items go to the former).
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
    /// Where the items go, one JSON text a line: a file, `-` for standard output, or a folder (`DIR/`) with a file for
    /// each step. Without it they stay in the state file.
    #[arg(long, short, value_name = "OUT", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,
    /// Only items of this step; may be given several times.
    #[arg(long = "step", value_name = "STEP")]
    pub(crate) steps: Vec<String>,
    /// Each line says where its item is from: `{"step":…,"params":{…},"item":{…}}`.
    #[arg(long)]
    pub(crate) with_origin: bool,
}

/// With what and whom calls are made.
#[derive(Debug, Args)]
pub(crate) struct Calls {
    /// Sets something that the provider file lets a job configure, as in `host=example.org`.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
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
    /// The state file.
    pub(crate) state: PathBuf,
    /// The job [default: the newest].
    #[arg(long)]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The state file.
    pub(crate) state: PathBuf,
    /// Only this job.
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// Says what is wrong with a provider file, or what it offers.
    Check {
        /// The provider file.
        file: PathBuf,
        /// A folder to look for files that it extends in.
        #[arg(long = "providers", env = "TIDEGATE_PROVIDERS", value_name = "DIR", value_delimiter = ':')]
        providers: Vec<PathBuf>,
    },
    /// Prints the JSON Schema of provider files.
    Schema,
    /// Makes one call and shows request (secrets masked), answer, items, the next page, and the limits' headers.
    Try(Try),
}

#[derive(Debug, Args)]
pub(crate) struct Try {
    /// The provider file.
    pub(crate) file: PathBuf,
    /// The endpoint.
    pub(crate) endpoint: String,
    /// A parameter, as in `id=109`; may be given several times.
    #[arg(long = "with", short, value_name = "NAME=VALUE")]
    pub(crate) with: Vec<String>,
    /// Name of the credential.
    #[arg(long, value_name = "NAME")]
    pub(crate) credential: Option<String>,
    #[command(flatten)]
    pub(crate) calls: Calls,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// What to play: a simulation file, or a provider file to play as it is.
    pub(crate) spec: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8180", value_name = "ADDRESS")]
    pub(crate) listen: std::net::SocketAddr,
}
