//! `tidegate`: the command line, and the whole ring in one process.

mod appended;
mod cli;
mod client;
mod command;
mod exit;
mod files;
mod kept_credentials;
mod live;
mod output;
mod report;
mod say;
mod serve;
mod table;

use clap::Parser;

/// Pages come and go on other threads than those that made them, which the system's allocator pays for: see
/// `docs/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let cli = cli::Cli::parse();
    match command::run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => exit::explain(&error).into(),
    }
}
