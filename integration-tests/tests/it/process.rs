//! The program, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::names::Names;

/// Nothing that a test runs takes longer; what does hangs, and is killed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(240);

/// The program: `target/<profile>/tidegate`, beside the folder of this test's own executable.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has an executable");
    let folder = test.parent().and_then(Path::parent).expect("tests stand in target/<profile>/deps");
    let program = folder.join("tidegate");
    assert!(program.is_file(), "{} is missing; build it first: cargo build -p tidegate", program.display());
    program
}

/// A command line that is not run yet.
pub(crate) struct Cli {
    command: Command,
    line: String,
}

/// The program while it runs. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    line: String,
    started: Instant,
    stdout: Collected,
    stderr: Collected,
}

/// How the program ended and what it said.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The command line, for messages.
    pub(crate) line: String,
    /// `None`: ended by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// From its start to its end.
    pub(crate) took: Duration,
}

impl Cli {
    /// `tidegate ARGS…` in `folder`, with none of Tidegate's variables of this process.
    pub(crate) fn new(folder: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE_") || name.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, line: format!("tidegate {}", args.join(" ")) }
    }

    /// With a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Seeing these names; said before its standard input is.
    pub(crate) fn seeing(mut self, names: &Names) -> Self {
        let within = "for name in hosts resolv.conf; do mount --bind \"$1/$name\" /etc/$name; done; shift; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-ec", within, "sh"]).arg(names.folder());
        let old = self.command.as_std();
        command.arg(old.get_program()).args(old.get_args()).kill_on_drop(true);
        for (name, value) in old.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(old.get_current_dir().expect("a folder of its own"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = command;
        self
    }

    /// With a file on its standard input.
    pub(crate) fn input(mut self, file: &Path) -> Self {
        let file = std::fs::File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.command.stdin(file);
        self
    }

    /// Starts it.
    pub(crate) fn spawn(mut self) -> Process {
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.line));
        let stdout = Collected::from(child.stdout.take().expect("piped"));
        let stderr = Collected::from(child.stderr.take().expect("piped"));
        Process { child, line: self.line, started: Instant::now(), stdout, stderr }
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Finished {
        self.spawn().wait().await
    }
}

impl Process {
    /// Sends a signal, such as `INT`.
    pub(crate) async fn signal(&self, name: &str) {
        let Some(id) = self.child.id() else { return };
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "can't send SIG{name} to {}", self.line);
    }

    /// Waits until it has said `text` on standard error.
    pub(crate) async fn says(&mut self, text: &str) {
        let said = self.stderr.contains(text);
        let heard = tokio::time::timeout(DEADLINE, said).await;
        assert!(heard == Ok(true), "{} never said `{text}`: {}", self.line, self.stderr.text());
    }

    /// What it has said on standard error so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.text()
    }

    /// Waits for its end, and returns the most memory that it had in use, in bytes (`VmHWM`, proc_pid_status(5)).
    pub(crate) async fn peak_memory(&mut self) -> u64 {
        let mut peak = 0;
        while let (Ok(None), Some(id)) = (self.child.try_wait(), self.child.id()) {
            assert!(self.started.elapsed() < DEADLINE, "{} still runs: {}", self.line, self.stderr.text());
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0) << 10);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(peak > 0, "this test needs /proc");
        peak
    }

    /// SIGKILL: no chance to tidy up.
    pub(crate) async fn kill(mut self) -> Finished {
        // It may have ended by itself.
        let _ = self.child.start_kill();
        self.wait().await
    }

    /// Waits for its end.
    pub(crate) async fn wait(mut self) -> Finished {
        let status = match tokio::time::timeout(DEADLINE, self.child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => {
                let _ = self.child.kill().await;
                panic!("{} still ran after {DEADLINE:?}: {}", self.line, self.stderr.text());
            }
        };
        let took = self.started.elapsed();
        let (stdout, stderr) = (self.stdout.whole().await, self.stderr.whole().await);
        Finished { line: self.line, code: status.code(), stdout, stderr, took }
    }
}

impl Finished {
    /// It ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}\n{}", self.line, self.stdout, self.stderr);
        self
    }

    /// What `--json` printed: the last line that is a JSON object or list, on standard output or else on standard error.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let json = |text: &str| text.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        let found = json(&self.stdout).filter(|_| !self.line.contains("-o - ")).or_else(|| json(&self.stderr));
        found.unwrap_or_else(|| panic!("no JSON from {}\n{}\n{}", self.line, self.stdout, self.stderr))
    }

    /// A number of the JSON report, by its pointer (`/run/requests`).
    #[track_caller]
    pub(crate) fn number(&self, pointer: &str) -> u64 {
        let json = self.json();
        let number = json.pointer(pointer).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("no number at {pointer} in {json}"))
    }
}

/// What came out of a pipe so far.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    length: watch::Receiver<usize>,
    reading: JoinHandle<()>,
}

impl Collected {
    fn from(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (told, length) = watch::channel(0);
        let collected = Arc::clone(&bytes);
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
                let mut bytes = collected.lock().expect("no reader panics");
                bytes.extend_from_slice(&buffer[..read]);
                told.send_replace(bytes.len());
            }
        });
        Self { bytes, length, reading }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no reader panics")).into_owned()
    }

    /// Whether `text` comes, sooner or later.
    async fn contains(&mut self, text: &str) -> bool {
        loop {
            if self.text().contains(text) {
                return true;
            }
            if self.length.changed().await.is_err() {
                return self.text().contains(text);
            }
        }
    }

    /// All of it, once the other end is closed.
    async fn whole(&mut self) -> String {
        (&mut self.reading).await.expect("no reader panics");
        self.text()
    }
}
