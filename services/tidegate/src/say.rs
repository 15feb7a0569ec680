//! The one place that prints. Items and answers go to standard output, everything else to standard error.

#![expect(clippy::print_stderr, reason = "this is the place that prints")]

use std::io::Write;

/// A line for the person at the terminal.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// What went wrong.
pub(crate) fn error(text: &str) {
    eprintln!("error: {text}");
}

/// What was asked for.
pub(crate) fn answer(text: &str) {
    // A reader that went away wants no more; there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{text}");
}
