//! A RabbitMQ of a test's own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{free_port, installed};

/// A node with its own name, ports and folder. Dropped, it is killed.
pub(crate) struct Rabbit {
    script: PathBuf,
    folder: TempDir,
    port: u16,
    running: Option<Child>,
}

impl Rabbit {
    /// One that comes up.
    pub(crate) fn start() -> Self {
        let mut rabbit = Self::stopped();
        rabbit.run();
        rabbit
    }

    /// One that does not run yet.
    pub(crate) fn stopped() -> Self {
        // The script that runs in the foreground.
        let script = installed("/usr/lib/rabbitmq/lib", "sbin/rabbitmq-server", "rabbitmq-server");
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("plugins"), "[].").expect("written");
        Self { script, folder, port: free_port(), running: None }
    }

    pub(crate) fn run(&mut self) {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(&self.script);
        command.env("HOME", self.folder.path()).env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_NODENAME", format!("tidegate{}@localhost", self.port));
        command.env("RABBITMQ_NODE_PORT", self.port.to_string());
        command.env("RABBITMQ_DIST_PORT", (self.port + 1).to_string());
        // Its schedulers would otherwise spin in wait for work, on every core.
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+sbwt none +sbwtdcpu none +sbwtdio none");
        let files = [("MNESIA_BASE", "data"), ("LOG_BASE", "log"), ("ENABLED_PLUGINS_FILE", "plugins")];
        let none = [("CONFIG_FILE", "none"), ("ADVANCED_CONFIG_FILE", "none"), ("CONF_ENV_FILE", "none")];
        for (name, file) in files.into_iter().chain(none).chain([("PID_FILE", "pid")]) {
            command.env(format!("RABBITMQ_{name}"), at(file));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(command.spawn().expect("a broker runs"));
    }

    /// As a power cut would.
    pub(crate) async fn kill(&mut self) {
        self.kill_at_once();
        if let Some(mut script) = self.running.take() {
            script.wait().await.expect("it ends");
        }
    }

    /// The script waits for the broker, whose process is another.
    fn kill_at_once(&self) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap_or_default();
        let pid = pid.trim();
        if !pid.is_empty() && Path::new("/proc").join(pid).exists() {
            let killed = std::process::Command::new("sh").arg("-c").arg(format!("kill -9 {pid}")).status();
            assert!(killed.is_ok_and(|killed| killed.success()), "can't kill RabbitMQ");
        }
    }

    /// Takes away all that it has on its disk; it must not run.
    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).expect("a node has data");
    }

    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill_at_once();
        }
    }
}
