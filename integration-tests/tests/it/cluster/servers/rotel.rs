//! A collector of traces that Tidegate did not write: Rotel, which tells in words what it receives.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::free_port;
use crate::process::DEADLINE;

/// A span that arrived, with ids in hexadecimal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) trace: String,
    /// The span that waits for it, maybe of another process.
    pub(crate) parent: Option<String>,
    /// `service.name` of its process.
    pub(crate) service: String,
    /// Spans that it links to, of whatever trace.
    pub(crate) links: Vec<String>,
}

/// A collector of a test's own. Dropped, it is killed.
pub(crate) struct Rotel {
    port: u16,
    folder: TempDir,
    running: Child,
}

impl Rotel {
    /// One that takes OTLP over HTTP.
    pub(crate) async fn start() -> Self {
        let (port, folder) = (free_port(), TempDir::new().expect("a folder"));
        let told = std::fs::File::create(folder.path().join("told")).expect("a file");
        let mut command = Command::new(program());
        command.args([
            "start",
            "--exporter",
            "blackhole",
            "--debug-log",
            "traces",
            "--debug-log-verbosity",
            "detailed",
        ]);
        command.arg("--otlp-http-endpoint").arg(format!("127.0.0.1:{port}"));
        command.arg("--otlp-grpc-endpoint").arg(format!("127.0.0.1:{}", port + 1));
        command.arg("--pid-file").arg(folder.path().join("pid")).arg("--log-file").arg(folder.path().join("log"));
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(told).stderr(Stdio::null()).kill_on_drop(true);
        let running = command.spawn().expect("the collector runs");
        let answers = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, answers).await.expect("the collector answers");
        Self { port, folder, running }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All that it has got, when it has ended.
    pub(crate) async fn spans(mut self) -> Vec<Span> {
        let id = self.running.id().expect("it runs").to_string();
        let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {id}")).status().await;
        assert!(asked.is_ok_and(|asked| asked.success()), "can't end the collector");
        tokio::time::timeout(DEADLINE, self.running.wait()).await.expect("it ends in time").expect("it ends");
        read(&std::fs::read_to_string(self.folder.path().join("told")).expect("what it told"))
    }
}

fn program() -> String {
    let serve = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign/serve");
    let found = std::process::Command::new(serve).args(["program", "rotel"]).output().expect("a script");
    let why = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(found.status.success(), "{why}\nIs it installed? Run integration-tests/run once.");
    String::from_utf8_lossy(&found.stdout).trim().to_owned()
}

/// Reads what it told: attributes of a process, then its spans, each with its links.
fn read(told: &str) -> Vec<Span> {
    let (mut spans, mut service) = (Vec::<Span>::new(), String::new());
    for line in told.lines() {
        let (label, value) = line.split_once(':').map_or((line, ""), |(label, value)| (label.trim(), value.trim()));
        if label == "-> service.name" {
            service = value.trim_start_matches("Str(").trim_end_matches(')').to_owned();
        } else if label.starts_with("Span #") {
            spans.push(Span { service: service.clone(), ..Span::default() });
        } else if let Some(span) = spans.last_mut() {
            match label {
                "Trace ID" => span.trace = value.to_owned(),
                "Parent ID" => span.parent = Some(value.to_owned()).filter(|parent| !parent.is_empty()),
                "ID" => span.id = value.to_owned(),
                "Name" => span.name = value.to_owned(),
                "-> ID" => span.links.push(value.to_owned()),
                _ => {}
            }
        }
    }
    spans
}
