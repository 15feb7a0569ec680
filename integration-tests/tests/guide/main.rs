//! The guide: every command and file in it is tried, it leaves no page out, its links lead somewhere, and its reference is
//! that of this build. Needs the program: `cargo build -p tidegate`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod book;
mod markdown;
mod pages;
mod reference;
mod shell;

use std::path::{Path, PathBuf};

/// The folder of the program, `target/<profile>`, beside the folder of this test's own executable.
fn bin() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has an executable");
    let folder = test.parent().and_then(Path::parent).expect("tests stand in target/<profile>/deps").to_owned();
    assert!(folder.join("tidegate").is_file(), "build the program first: cargo build -p tidegate");
    folder
}
