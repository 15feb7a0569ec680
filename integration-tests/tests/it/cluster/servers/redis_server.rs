//! A Redis of a test's own.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::authority::Authority;
use super::free_port;

/// A Redis that keeps nothing. Dropped, it is killed.
pub(crate) struct Redis {
    port: u16,
    password: Option<String>,
    folder: TempDir,
    /// Its certificate and key, if it speaks TLS, and nothing else then.
    tls: Option<(String, String)>,
    server: Option<Child>,
}

impl Redis {
    /// One that runs.
    pub(crate) fn start(password: Option<&str>) -> Self {
        let mut redis = Self::stopped(password);
        redis.run();
        redis
    }

    /// One that speaks TLS only.
    pub(crate) fn start_with_tls(authority: &Authority) -> Self {
        let mut redis = Self { tls: Some(authority.server()), ..Self::stopped(None) };
        redis.run();
        redis
    }

    /// One that does not run yet.
    pub(crate) fn stopped(password: Option<&str>) -> Self {
        let folder = TempDir::new().expect("a folder");
        Self { port: free_port(), password: password.map(str::to_owned), folder, tls: None, server: None }
    }

    pub(crate) fn run(&mut self) {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        match &self.tls {
            None => command.args(["--port", &port]),
            Some((certificate, key)) => command
                .args([
                    "--port",
                    "0",
                    "--tls-port",
                    &port,
                    "--tls-auth-clients",
                    "no",
                    "--tls-ca-cert-file",
                    certificate,
                ])
                .args(["--tls-cert-file", certificate, "--tls-key-file", key]),
        };
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(self.password.iter().flat_map(|password| ["--requirepass", password]));
        command.arg("--dir").arg(self.folder.path()).stdout(Stdio::null()).kill_on_drop(true);
        let server = command.spawn();
        self.server = Some(server.unwrap_or_else(|error| panic!("this test needs redis-server: {error}")));
    }

    /// At once, and with all it knew.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().await.expect("killed");
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url_with(self.password.as_deref())
    }

    /// Its address with another password.
    pub(crate) fn url_with(&self, password: Option<&str>) -> String {
        let login = password.map(|password| format!(":{password}@")).unwrap_or_default();
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{login}127.0.0.1:{}", self.port)
    }

    /// Shows everybody the door and lets nobody in, until what this returns is given to [`open_door`](Self::open_door).
    pub(crate) async fn close_door(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut only = client.get_multiplexed_async_connection().await.expect("a connection");
        let mut config = redis::cmd("CONFIG");
        config.arg("SET").arg("maxclients").arg(1).query_async::<String>(&mut only).await.expect("set");
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        kill.query_async::<u64>(&mut only).await.expect("killed");
        only
    }

    /// Lets everybody in again.
    pub(crate) async fn open_door(mut only: redis::aio::MultiplexedConnection) {
        let mut config = redis::cmd("CONFIG");
        config.arg("SET").arg("maxclients").arg(1_000).query_async::<String>(&mut only).await.expect("set");
    }

    /// All keys and what is in them, as text.
    pub(crate) async fn dump(&self) -> String {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("keys");
        let mut dump = String::new();
        for key in keys {
            let value: Vec<u8> = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.expect("a value");
            dump.push_str(&format!("{key} {}\n", String::from_utf8_lossy(&value)));
        }
        dump
    }
}
