//! A PostgreSQL of a test's own.

use std::path::PathBuf;
use std::process::Stdio;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::authority::Authority;
use super::{free_port, give, installed};
use crate::process::DEADLINE;

/// The server's user; it refuses to run as root.
const USER: &str = "postgres";
/// How a crash is asked for: nothing is written down, connections break off (postgres(1), "immediate shutdown").
const IMMEDIATE: &str = "QUIT";

/// A PostgreSQL in a folder of its own. Dropped, it is killed.
pub(crate) struct Postgres {
    port: u16,
    password: String,
    folder: TempDir,
    /// Its certificate and key, if it speaks TLS.
    tls: Option<(PathBuf, PathBuf)>,
    server: Option<Child>,
}

impl Postgres {
    /// One that runs, and lets nobody in without `password`.
    pub(crate) async fn start(password: &str) -> Self {
        let mut postgres = Self::stopped(password).await;
        postgres.run();
        postgres.answers().await;
        postgres
    }

    /// One that speaks TLS, too.
    pub(crate) async fn start_with_tls(password: &str, authority: &Authority) -> Self {
        let mut postgres = Self::stopped(password).await;
        postgres.tls = Some(authority.server_of_postgres(postgres.folder.path()));
        postgres.run();
        postgres.answers().await;
        postgres
    }

    /// One that does not run yet.
    pub(crate) async fn stopped(password: &str) -> Self {
        let postgres = Self {
            port: free_port(),
            password: password.to_owned(),
            folder: TempDir::new().expect("a folder"),
            tls: None,
            server: None,
        };
        std::fs::write(postgres.path("password"), password).expect("written");
        if let Some(user) = user() {
            give(postgres.folder.path(), user);
            give(&postgres.path("password"), user);
        }
        let mut initdb = command("initdb");
        initdb.arg("-D").arg(postgres.path("data")).arg("--pwfile").arg(postgres.path("password"));
        let made = initdb.args(["-A", "scram-sha-256", "-U", USER, "--no-sync", "-E", "UTF8"]).output().await;
        let made = made.expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        postgres
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&mut self) {
        let mut server = command("postgres");
        server.arg("-D").arg(self.path("data")).arg("-k").arg(self.folder.path());
        server.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        if let Some((certificate, key)) = &self.tls {
            server.args(["-c", "ssl=on", "-c"]).arg(format!("ssl_cert_file={}", certificate.display()));
            server.arg("-c").arg(format!("ssl_key_file={}", key.display()));
        }
        self.server = Some(server.kill_on_drop(true).spawn().expect("postgres runs"));
    }

    /// Waits until it takes connections.
    pub(crate) async fn answers(&self) {
        let url = format!("{}/postgres", self.url());
        let asking = async {
            while PgConnection::connect(&url).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, asking).await.expect("PostgreSQL answers");
    }

    /// As a crash would.
    pub(crate) async fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let id = server.id().expect("it runs").to_string();
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{IMMEDIATE} {id}")).status().await;
        assert!(sent.is_ok_and(|sent| sent.success()), "can't stop PostgreSQL");
        server.wait().await.expect("it ends");
    }

    /// Without the name of a database.
    pub(crate) fn url(&self) -> String {
        self.url_with(&self.password)
    }

    /// Its address with another password.
    pub(crate) fn url_with(&self, password: &str) -> String {
        format!("postgres://{USER}:{password}@127.0.0.1:{}", self.port)
    }

    /// The same for a role of the same password.
    pub(crate) fn url_of(&self, role: &str) -> String {
        format!("postgres://{role}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// Runs a statement as superuser, in no cluster's database.
    pub(crate) async fn sql(&self, sql: &str) {
        let mut server = PgConnection::connect(&format!("{}/postgres", self.url())).await.expect("it answers");
        server.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// All that a database holds, as text.
    pub(crate) async fn dump(&self, database: &str) -> String {
        let mut command = command("pg_dump");
        let dumped = command.stdout(Stdio::piped()).arg(format!("{}/{database}", self.url())).output().await;
        let dumped = dumped.expect("pg_dump runs");
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        String::from_utf8_lossy(&dumped.stdout).into_owned()
    }
}

/// A program of the server's, as a user who may run it.
fn command(program: &str) -> Command {
    let mut command = Command::new(installed("/usr/lib/postgresql", &format!("bin/{program}"), "postgresql"));
    if let Some((uid, gid)) = user() {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The server's user and group, where this process is root.
pub(crate) fn user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if std::fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let line = users.lines().find_map(|line| line.strip_prefix("postgres:"));
    let mut fields = line.expect("the package postgresql makes the user postgres").split(':').skip(1);
    let mut number = || fields.next().and_then(|field| field.parse().ok()).expect("a number");
    Some((number(), number()))
}
