//! How the process ends. The codes are part of the interface: scripts and cron decide by them.

use std::process::ExitCode;

use tidegate_client::ClientError;
use tidegate_daemon::TaskError;
use tidegate_export::ExportError;
use tidegate_ledger::LedgerError;
use tidegate_specs::SpecsError;

use crate::files::FilesError;
use crate::output::OutputError;
use crate::say;
use crate::serve::SecretError;
use tidegate::embedded::StateError;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done = 0,
    /// The job failed: some of its calls did. What was fetched is kept. Or the gateway refused.
    JobFailed = 1,
    /// The command line or a file is wrong; nothing was called.
    Usage = 2,
    /// The state file can't be used.
    State = 3,
    /// The output can't be written; what was fetched is in the state file.
    Output = 4,
    /// Something else went wrong here.
    Internal = 70,
    /// Stopped by Ctrl-C; the same command goes on.
    Interrupted = 130,
    /// Stopped by SIGTERM; the same command goes on.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Says what went wrong, with its causes, and with which code to end.
pub(crate) fn explain(error: &anyhow::Error) -> Exit {
    say::error(&text(error));
    if let Some(ClientError::Reach(..)) = error.downcast_ref() {
        say::note("TIDEGATE_URL, or --url, says where the gateway listens");
    }
    code(error).unwrap_or(Exit::Internal)
}

/// The error with its causes. Some libraries repeat a cause in the text of what it caused: once is enough.
fn text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        match text.as_str() {
            "" => text = cause,
            said if said.ends_with(&cause) => {}
            _ => text = format!("{text}: {cause}"),
        }
    }
    text
}

fn code(error: &anyhow::Error) -> Option<Exit> {
    error.chain().find_map(|cause| match cause {
        _ if cause.is::<FilesError>() || cause.is::<SecretError>() => Some(Exit::Usage),
        _ if cause.is::<OutputError>() => Some(Exit::Output),
        _ if cause.is::<ExportError>() => cause.downcast_ref().map(of_export),
        _ if cause.is::<LedgerError>() || cause.is::<StateError>() || cause.is::<SpecsError>() => Some(Exit::State),
        _ if cause.is::<ClientError>() => cause.downcast_ref().map(refusal),
        _ => cause.downcast_ref::<TaskError>().and_then(|task| code(task.error())),
    })
}

fn of_export(error: &ExportError) -> Exit {
    if let ExportError::Destination(_) = error { Exit::Usage } else { Exit::Output }
}

fn refusal(error: &ClientError) -> Exit {
    match error {
        ClientError::Refused(_) => Exit::JobFailed,
        ClientError::Key => Exit::Usage,
        ClientError::Setup(_) | ClientError::Reach(..) | ClientError::Strange(_) => Exit::Internal,
    }
}
