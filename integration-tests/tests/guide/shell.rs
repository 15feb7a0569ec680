//! A reader's shell: a folder with the guide's files, and commands one after the other.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidegate_integration_tests::reference::root;

/// Nothing in the guide takes longer; what does hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A folder of its own. Dropped, what it started is killed.
pub(crate) struct Shell {
    folder: TempDir,
    /// What blocks export, for the next one.
    exported: TempDir,
    servers: Vec<Running>,
}

/// A command, and what it says on standard output and standard error together.
struct Running {
    child: Child,
    pieces: Receiver<Vec<u8>>,
    said: String,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let shell = Self { folder: temporary(), exported: temporary(), servers: Vec::new() };
        for entry in std::fs::read_dir(root().join("docs/guide")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                std::fs::copy(&path, shell.folder.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        shell
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs commands to their end. What they said, and their exit code.
    pub(crate) fn run(&self, commands: &str, line: usize) -> (String, Option<i32>) {
        let mut running = self.start(&format!("trap 'export -p >\"$GUIDE_EXPORTED\"' EXIT\n{commands}"));
        let ended = running.read_until(|_| false);
        assert!(ended, "line {line} still ran after {DEADLINE:?}:\n{}", running.said);
        let code = running.child.wait().expect("a child can be waited for").code();
        (std::mem::take(&mut running.said), code)
    }

    /// Starts a server; `what` of it is said once it serves.
    pub(crate) fn serve(&mut self, command: &str, line: usize, what: impl Fn(&str) -> bool) {
        let mut running = self.start(&format!("exec {}", command.trim_end()));
        running.read_until(&what);
        assert!(what(&running.said), "line {line} did not say what it should:\n{}", running.said);
        self.servers.push(running);
    }

    fn start(&self, commands: &str) -> Running {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE_") || name.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        let exported = self.exported.path().join("exported");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", crate::bin().display())).env("GUIDE_EXPORTED", &exported);
        let before = if exported.is_file() { format!(". '{}'\n", exported.display()) } else { String::new() };
        // As in one shell, variables stay.
        command.arg("-aeuc").arg(format!("{before}{commands}")).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        let child = command.spawn().expect("there is a shell");
        // With the command goes this process's end of the pipe.
        drop(command);
        let (told, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if told.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Running { child, pieces, said: String::new() }
    }
}

impl Running {
    /// Reads until what was said is enough, or its end, which is told.
    fn read_until(&mut self, enough: impl Fn(&str) -> bool) -> bool {
        let started = Instant::now();
        while !enough(&self.said) {
            match self.pieces.recv_timeout(DEADLINE.saturating_sub(started.elapsed())) {
                Ok(piece) => self.said.push_str(&String::from_utf8_lossy(&piece)),
                Err(mpsc::RecvTimeoutError::Disconnected) => return true,
                Err(mpsc::RecvTimeoutError::Timeout) => return false,
            }
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn temporary() -> TempDir {
    TempDir::with_prefix("tidegate-guide-").expect("a temporary folder")
}

/// A port that nobody listens at.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

/// Whether the text has these lines, in this order; `…` stands for anything within a line.
pub(crate) fn has(text: &str, lines: &str) -> bool {
    let mut said = text.lines().map(str::trim_end);
    lines.lines().filter(|line| line.trim() != "…").all(|line| said.any(|said| is_like(said, line.trim_end())))
}

fn is_like(said: &str, line: &str) -> bool {
    let Some((begin, rest)) = line.split_once('…') else { return said == line };
    let Some(said) = said.strip_prefix(begin) else { return false };
    let mut rest: Vec<&str> = rest.split('…').collect();
    let end = rest.pop().unwrap_or_default();
    let Some(mut said) = said.strip_suffix(end) else { return false };
    rest.into_iter().all(|piece| {
        let found = said.split_once(piece);
        said = found.map_or("", |(_, after)| after);
        found.is_some()
    })
}

/// The path of a file of the repository.
pub(crate) fn is_there(path: &str) -> bool {
    Path::new(&root()).join(path).exists()
}

#[test]
fn lines_are_found_in_order_and_around_what_differs() {
    let said = "one\ntwo 2 of 3 in 4 s\nthree";
    for (lines, found) in [
        ("one\nthree", true),
        ("three\none", false),
        ("two … of 3 in … s", true),
        ("…\ntwo…", true),
        ("two … of 4 in … s", false),
        ("two", false),
        ("…s\nthree", true),
    ] {
        assert_eq!(has(said, lines), found, "{lines}");
    }
}
