//! A broker of a test's own, from the installed package.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::relay::listen;

/// Where Debian's package puts the script that runs in the foreground.
fn server() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib/rabbitmq/lib").ok()?;
    let script = |folder: std::fs::DirEntry| folder.path().join("sbin/rabbitmq-server");
    folders.flatten().map(script).find(|path| path.exists())
}

/// A node with its own name, ports and folder.
pub(super) struct Node {
    script: PathBuf,
    folder: tempfile::TempDir,
    pub port: u16,
    running: Option<Child>,
}

impl Node {
    pub(super) async fn start() -> Option<Self> {
        let script = server()?;
        let (listener, port) = listen().await;
        drop(listener);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("plugins"), "[].").expect("written");
        let mut node = Self { script, folder, port, running: None };
        node.run();
        Some(node)
    }

    pub(super) fn run(&mut self) {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(&self.script);
        command.env("HOME", self.folder.path()).env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_NODENAME", format!("tidegate{}@localhost", self.port));
        command.env("RABBITMQ_NODE_PORT", self.port.to_string());
        command.env("RABBITMQ_DIST_PORT", (self.port + 1).to_string());
        let files = [("MNESIA_BASE", "data"), ("LOG_BASE", "log"), ("ENABLED_PLUGINS_FILE", "plugins")];
        let none = [("CONFIG_FILE", "none"), ("ADVANCED_CONFIG_FILE", "none"), ("CONF_ENV_FILE", "none")];
        for (name, file) in files.into_iter().chain(none).chain([("PID_FILE", "pid")]) {
            command.env(format!("RABBITMQ_{name}"), at(file));
        }
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        self.running = Some(quiet.spawn().expect("runs"));
    }

    /// Has `rabbitmqctl` do something.
    pub(super) fn control(&self, arguments: &[&str]) {
        let node = format!("tidegate{}@localhost", self.port);
        let mut command = Command::new(self.script.with_file_name("rabbitmqctl"));
        command.env("HOME", self.folder.path()).args(["-n", &node]).args(arguments);
        let done = command.output().expect("runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Kills it as a power cut would.
    pub(super) fn kill(&mut self) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap_or_default();
        if Path::new("/proc").join(pid.trim()).exists() && !pid.trim().is_empty() {
            let killed = Command::new("kill").args(["-9", pid.trim()]).status();
            assert!(killed.is_ok_and(|status| status.success()), "killed {pid}");
        }
        if let Some(mut child) = self.running.take() {
            child.wait().expect("ended");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
