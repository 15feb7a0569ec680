//! A RabbitMQ of a test's own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::authority::Authority;
use super::{free_port, installed};

/// The node that `rabbitmqctl` speaks to: the machine's, or a test's own by name and home, where its cookie is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node(Option<Own>);

#[derive(Debug, Clone)]
struct Own {
    name: String,
    home: PathBuf,
    plain: String,
}

impl Node {
    /// Its address without TLS, with the virtual host, if it is a test's own.
    pub(crate) fn plain(&self) -> Option<&str> {
        Some(&self.0.as_ref()?.plain)
    }

    /// `rabbitmqctl ARGS…`; returns what it prints.
    pub(crate) async fn ctl(&self, args: &[&str]) -> String {
        let mut command = match &self.0 {
            None => Command::new("rabbitmqctl"),
            Some(Own { name, home, .. }) => {
                let program = installed("/usr/lib/rabbitmq/lib", "sbin/rabbitmqctl", "rabbitmq-server");
                let mut command = Command::new(program);
                command.env("HOME", home).args(["-n", name]);
                command
            }
        };
        let done = command.arg("-q").args(args).output().await;
        let done = done.unwrap_or_else(|error| panic!("rabbitmqctl {args:?}: {error}"));
        assert!(done.status.success(), "rabbitmqctl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}

/// A node with its own name, ports and folder. Dropped, it is killed.
pub(crate) struct Rabbit {
    script: PathBuf,
    folder: TempDir,
    port: u16,
    /// For TLS, if it speaks that.
    tls_port: Option<u16>,
    running: Option<Child>,
}

impl Rabbit {
    /// One that comes up.
    pub(crate) fn start() -> Self {
        let mut rabbit = Self::stopped();
        rabbit.run();
        rabbit
    }

    /// One that speaks TLS, too.
    pub(crate) fn start_with_tls(authority: &Authority) -> Self {
        let mut rabbit = Self::stopped();
        let ((certificate, key), port) = (authority.server(), free_port());
        let settings = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {certificate}\n\
             ssl_options.keyfile = {key}\nssl_options.verify = verify_none\n",
            authority.certificate(),
        );
        std::fs::write(rabbit.folder.path().join("settings.conf"), settings).expect("written");
        rabbit.tls_port = Some(port);
        rabbit.run();
        rabbit
    }

    /// One that does not run yet.
    pub(crate) fn stopped() -> Self {
        // The script that runs in the foreground.
        let script = installed("/usr/lib/rabbitmq/lib", "sbin/rabbitmq-server", "rabbitmq-server");
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("plugins"), "[].").expect("written");
        Self { script, folder, port: free_port(), tls_port: None, running: None }
    }

    pub(crate) fn run(&mut self) {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(&self.script);
        command.env("HOME", self.folder.path()).env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_NODENAME", self.name());
        command.env("RABBITMQ_NODE_PORT", self.port.to_string());
        command.env("RABBITMQ_DIST_PORT", (self.port + 1).to_string());
        // Its schedulers would otherwise spin in wait for work, on every core.
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+sbwt none +sbwtdcpu none +sbwtdio none");
        let files = [("MNESIA_BASE", "data"), ("LOG_BASE", "log"), ("ENABLED_PLUGINS_FILE", "plugins")];
        let none = [("CONFIG_FILE", "settings"), ("ADVANCED_CONFIG_FILE", "none"), ("CONF_ENV_FILE", "none")];
        for (name, file) in files.into_iter().chain(none).chain([("PID_FILE", "pid")]) {
            command.env(format!("RABBITMQ_{name}"), at(file));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(command.spawn().expect("a broker runs"));
    }

    /// As a power cut would. Which queues there are, and who leads them, it writes down within minutes of their making; a queue
    /// that comes back without a leader would have to be deleted by hand, so it is told to write that down before.
    pub(crate) async fn kill(&mut self) {
        self.node().ctl(&["eval", "mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()]."]).await;
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

    fn name(&self) -> String {
        format!("tidegate{}@localhost", self.port)
    }

    /// What it has written down.
    pub(crate) fn log(&self) -> String {
        let files = std::fs::read_dir(self.folder.path().join("log")).expect("it has a folder for logs");
        let files = files.map(|file| file.expect("a file").path());
        files.map(|file| std::fs::read_to_string(&file).unwrap_or_default()).collect()
    }

    /// To speak to it by `rabbitmqctl`.
    pub(crate) fn node(&self) -> Node {
        Node(Some(Own { name: self.name(), home: self.folder.path().to_owned(), plain: self.plain() }))
    }

    pub(crate) fn url(&self) -> String {
        match self.tls_port {
            Some(port) => format!("amqps://guest:guest@127.0.0.1:{port}/%2f"),
            None => self.plain(),
        }
    }

    fn plain(&self) -> String {
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
