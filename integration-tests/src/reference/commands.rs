//! The program's help, all of it, as a page.

use std::fmt::Write;
use std::io::{Error, Result};
use std::path::Path;
use std::process::Command;

const INTRO: &str = "# Commands

What `tidegate COMMAND --help` prints, of every command.
";

pub(super) fn page(program: &Path) -> Result<String> {
    let mut page = INTRO.to_owned();
    add(&mut page, program, &[])?;
    Ok(page)
}

fn add(page: &mut String, program: &Path, command: &[&str]) -> Result<()> {
    let help = help(program, command)?;
    let name = [&["tidegate"], command].concat().join(" ");
    // Writing to a String never fails.
    let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end());
    for below in subcommands(&help) {
        add(page, program, &[command, &[below]].concat())?;
    }
    Ok(())
}

/// With none of Tidegate's variables, which help shows.
fn help(program: &Path, command: &[&str]) -> Result<String> {
    let mut asked = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEGATE_") {
            asked.env_remove(name);
        }
    }
    let answer = asked.args(command).arg("--help").output()?;
    if !answer.status.success() {
        return Err(Error::other(format!("`{} --help` ended with {}", command.join(" "), answer.status)));
    }
    let text = String::from_utf8_lossy(&answer.stdout);
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// The first words of the lines below `Commands:`, indented by two.
fn subcommands(help: &str) -> Vec<&str> {
    let below = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = below.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    names.filter(|name| *name != "help").collect()
}
