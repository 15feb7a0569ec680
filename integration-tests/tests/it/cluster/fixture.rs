//! A cluster of its own for a test.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tidegate_ledger::{DeadFilter, DeadLetters as _, JobFilter, Ledger as _, PostgresConfig, PostgresLedger};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::queues::Queues;
use super::servers::{Addresses, shared_rabbitmq};
use crate::names::Names;
use crate::process::{Cli, DEADLINE, Finished, Process};
use crate::world::World;

/// A service that ends when it is asked to has ended in this time.
const STOPS_WITHIN: Duration = Duration::from_secs(25);

/// All services, in the order in which they are started: who is asked for its address comes first.
pub(crate) const KINDS: [&str; 5] = ["arbiter", "tracker", "planner", "executor", "gateway"];

/// What executors show the arbiter.
const SERVICE_TOKEN: &str = "canary-service-token-3b1f";

/// What a service answered over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A service's process.
struct Service {
    kind: &'static str,
    process: Process,
    /// Where it listens; it gets the same address again when it is started again.
    address: String,
}

/// All services, over a database, a virtual host and a prefix of their own.
///
/// Every test ends with [`Cluster::finish`], which recounts what the ledger holds.
#[must_use = "a cluster is finished"]
pub(crate) struct Cluster {
    pub(crate) world: World,
    addresses: Addresses,
    name: String,
    services: Vec<Service>,
    sealing_key: String,
    api_key: String,
    settings: Vec<(&'static str, String)>,
    names: Option<Names>,
    may_fail_requests: bool,
    dead: usize,
}

impl Cluster {
    /// One of each service, ready.
    pub(crate) async fn start() -> Self {
        Self::over(Addresses::usual()).await.started().await
    }

    /// One of each service, ready, with these variables for all processes.
    pub(crate) async fn start_with(settings: &[(&'static str, &str)]) -> Self {
        let cluster = Self::over(Addresses::usual()).await;
        settings.iter().fold(cluster, |cluster, (name, value)| cluster.set(name, value)).started().await
    }

    /// No service yet, and nothing on the servers.
    pub(crate) async fn over(addresses: Addresses) -> Self {
        let name = format!("tidegate_it_{}_{:08x}", std::process::id(), rand());
        let world = World::new();
        let sealing_key = world.run(&["keys", "new-sealing-key"]).await.expect(0).stdout.trim().to_owned();
        Self {
            world,
            addresses,
            name,
            services: Vec::new(),
            sealing_key,
            api_key: String::new(),
            settings: Vec::new(),
            names: None,
            may_fail_requests: false,
            dead: 0,
        }
    }

    /// With a variable for all processes.
    pub(crate) fn set(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }

    /// With names that the test gives and takes away.
    pub(crate) fn seeing(mut self, names: Names) -> Self {
        self.names = Some(names);
        self
    }

    /// The names that it sees.
    pub(crate) fn names(&self) -> &Names {
        self.names.as_ref().expect("a cluster that sees names")
    }

    /// What is started from now on is without this variable.
    pub(crate) fn unset(&mut self, name: &str) {
        self.settings.retain(|(other, _)| *other != name);
    }

    /// One of each service, ready.
    pub(crate) async fn started(mut self) -> Self {
        self.make_vhost().await;
        self.make_database().await;
        self.migrate().await;
        self.add_all().await;
        self.are_ready().await;
        self
    }

    pub(crate) async fn make_vhost(&self) {
        if self.addresses.rabbitmq.is_none() {
            self.ctl(&["add_vhost", &self.name]).await;
            self.ctl(&["set_permissions", "-p", &self.name, "guest", ".*", ".*", ".*"]).await;
        }
    }

    pub(crate) async fn make_database(&self) {
        self.on_server(&format!("CREATE DATABASE {}", self.name)).await;
    }

    /// The schema, and a key to use the gateway with.
    pub(crate) async fn migrate(&mut self) {
        self.cli(&["migrate"]).run().await.expect(0);
        self.api_key = self.cli(&["keys", "create"]).run().await.expect(0).stdout.trim().to_owned();
    }

    pub(crate) async fn add_all(&mut self) {
        for kind in KINDS {
            self.add(kind).await;
        }
    }

    /// What is started from now on gets these addresses. Returns those from before; a virtual host is none of them.
    pub(crate) fn replace(&mut self, addresses: Addresses) -> Addresses {
        std::mem::replace(&mut self.addresses, addresses)
    }

    /// Requests will fail, and the gateway will say so in its log.
    pub(crate) fn may_fail_requests(&mut self) {
        self.may_fail_requests = true;
    }

    /// There are so many dead letters in the end.
    pub(crate) fn expect_dead(&mut self, count: usize) {
        self.dead = count;
    }

    /// `rabbitmqctl ARGS…` on the cluster's broker.
    pub(crate) async fn ctl(&self, args: &[&str]) -> String {
        self.addresses.node.ctl(args).await
    }

    /// `tidegate ARGS…` with all settings of this cluster.
    pub(crate) fn cli(&self, args: &[&str]) -> Cli {
        let url = |kind| match self.address(kind) {
            Some(address) => format!("http://{address}"),
            None => "http://127.0.0.1:1".to_owned(),
        };
        let cli = self
            .world
            .tidegate(args)
            .env("TIDEGATE_POSTGRES", &format!("{}/{}", self.addresses.postgres, self.name))
            .env("TIDEGATE_RABBITMQ", &self.rabbitmq())
            .env("TIDEGATE_REDIS", &self.addresses.redis)
            .env("TIDEGATE_PREFIX", &self.prefix())
            .env("TIDEGATE_SERVICE_TOKEN", SERVICE_TOKEN)
            .env("TIDEGATE_SEALING_KEY", &self.sealing_key)
            .env("TIDEGATE_API_KEY", &self.api_key)
            .env("TIDEGATE_ARBITER", &url("arbiter"))
            .env("TIDEGATE_URL", &url("gateway"))
            .env("TIDEGATE_ALLOW_PRIVATE", "127.0.0.0/8")
            .env("TIDEGATE_MAX_IN_FLIGHT", "32")
            .env("TIDEGATE_LOG_FORMAT", "json");
        let cli = self.settings.iter().fold(cli, |cli, (name, value)| cli.env(name, value));
        self.names.iter().fold(cli, Cli::seeing)
    }

    /// The broker's address, with the virtual host.
    pub(crate) fn rabbitmq(&self) -> String {
        self.addresses.rabbitmq.clone().unwrap_or_else(|| format!("{}/{}", shared_rabbitmq(), self.name))
    }

    /// Before the names of queues and keys.
    pub(crate) fn prefix(&self) -> String {
        format!("{}:", self.name)
    }

    /// Its virtual host.
    pub(crate) fn vhost(&self) -> &str {
        if self.addresses.rabbitmq.is_none() { &self.name } else { "/" }
    }

    /// The name of the database and of the virtual host.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What nobody is to learn.
    pub(crate) fn secrets(&self) -> [&str; 3] {
        [&self.sealing_key, &self.api_key, SERVICE_TOKEN]
    }

    fn address(&self, kind: &str) -> Option<&str> {
        Some(&self.services.iter().find(|service| service.kind == kind)?.address)
    }

    /// What a service said so far.
    pub(crate) fn said_by(&self, kind: &str) -> String {
        let service = self.services.iter().find(|service| service.kind == kind);
        service.unwrap_or_else(|| panic!("no {kind} runs")).process.said()
    }

    /// Waits until a service has said something.
    pub(crate) async fn says(&self, kind: &str, text: &str) {
        let started = Instant::now();
        while !self.said_by(kind).contains(text) {
            assert!(started.elapsed() < DEADLINE, "{kind} never says {text}: {}", self.said_by(kind));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until one of some services has said something, and returns which.
    pub(crate) async fn one_says<'kind>(&self, kinds: &[&'kind str], text: &str) -> &'kind str {
        let started = Instant::now();
        loop {
            if let Some(kind) = kinds.iter().find(|kind| self.said_by(kind).contains(text)) {
                return kind;
            }
            assert!(started.elapsed() < DEADLINE, "none of {kinds:?} says {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks a service over HTTP, with the API key.
    pub(crate) async fn ask(&self, kind: &str, method: &str, path: &str, body: &str) -> Answer {
        self.ask_as(&self.api_key, kind, method, path, body).await
    }

    /// Asks a service over HTTP, with this key.
    pub(crate) async fn ask_as(&self, key: &str, kind: &str, method: &str, path: &str, body: &str) -> Answer {
        let address = self.address(kind).unwrap_or_else(|| panic!("no {kind} runs"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len(),
        );
        let started = Instant::now();
        loop {
            if let Some(answer) = exchange(address, &request).await {
                return answer;
            }
            // A service that gets ready hangs up on who asked in the moment before.
            assert!(started.elapsed() < DEADLINE, "{kind} never answers: {}", self.said_by(kind));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a service says of itself that it is ready, or that it is not.
    pub(crate) async fn is_ready(&self, kind: &str, ready: bool) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.ask(kind, "GET", "/readyz", "").await;
            if (answer.status == 200) == ready {
                return answer;
            }
            let said = self.said_by(kind);
            assert!(started.elapsed() < DEADLINE, "{kind} stays ready={}: {answer:?}\n{said}", !ready);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// One more of a service.
    pub(crate) async fn add(&mut self, kind: &'static str) {
        let service = self.spawn(kind, "127.0.0.1:0").await;
        self.services.push(service);
    }

    async fn spawn(&self, kind: &'static str, address: &str) -> Service {
        let mut process = self.cli(&["serve", kind, "--listen", address]).spawn();
        process.says("\"address\":\"").await;
        let said = process.said();
        let address = said.split("\"address\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let address = address.expect("a process says where it listens").to_owned();
        Service { kind, process, address }
    }

    /// Waits until all services are ready.
    pub(crate) async fn are_ready(&self) {
        for service in &self.services {
            self.is_ready(service.kind, true).await;
        }
    }

    /// SIGKILL, and nothing in its place.
    pub(crate) async fn remove(&mut self, kind: &str) -> Finished {
        self.take(kind).process.kill().await
    }

    /// SIGTERM, and nothing in its place.
    pub(crate) async fn stop(&mut self, kind: &str) {
        let ended = stop(kind, self.take(kind).process).await;
        assert!(!has_errors(&ended), "{kind}: {}", ended.stderr);
    }

    fn take(&mut self, kind: &str) -> Service {
        let place = self.services.iter().position(|service| service.kind == kind);
        self.services.remove(place.unwrap_or_else(|| panic!("no {kind} runs")))
    }

    /// SIGKILL, and a new process in its place.
    pub(crate) async fn kill(&mut self, kind: &'static str) {
        let Service { process, address, .. } = self.take(kind);
        process.kill().await;
        let service = self.spawn(kind, &address).await;
        self.services.push(service);
    }

    /// SIGTERM, which ends it in order and in time, and a new process in its place.
    pub(crate) async fn restart(&mut self, kind: &'static str) {
        let Service { process, address, .. } = self.take(kind);
        let ended = stop(kind, process).await;
        assert!(!has_errors(&ended), "{kind}: {}", ended.stderr);
        let service = self.spawn(kind, &address).await;
        self.services.push(service);
    }

    /// Submits the job file of this name, and returns its id.
    pub(crate) async fn submit(&self, job: &str) -> String {
        self.cli(&["submit", job]).run().await.expect(0).stdout.trim().to_owned()
    }

    /// Waits until a job is finished, and returns what it says of itself then.
    pub(crate) async fn ended(&self, job: &str) -> Finished {
        self.cli(&["watch", job, "--json"]).run().await
    }

    /// Items of a step of a job.
    pub(crate) async fn items(&self, job: &str, step: &str) -> Vec<serde_json::Value> {
        crate::world::items(&self.cli(&["items", job, "--step", step]).run().await.expect(0).stdout)
    }

    /// How a job stands.
    pub(crate) async fn status(&self, job: &str) -> serde_json::Value {
        self.cli(&["status", job, "--json"]).run().await.expect(0).json()
    }

    /// The ledger, to look into.
    pub(crate) async fn ledger(&self) -> PostgresLedger {
        let url = format!("{}/{}", self.addresses.postgres, self.name);
        PostgresLedger::connect(&PostgresConfig::new(url)).await.expect("the ledger")
    }

    /// Waits until no message is anywhere, in nobody's hand either.
    pub(crate) async fn rests(&self) {
        let listing = async {
            let listed =
                async || self.ctl(&["list_queues", "-p", self.vhost(), "messages", "--no-table-headers"]).await;
            while listed().await.lines().any(|count| count.trim().parse::<u64>().is_ok_and(|count| count > 0)) {}
        };
        tokio::time::timeout(DEADLINE, listing).await.expect("it comes to rest");
    }

    /// No message is left, all services end in order when they are asked to, and every account balances.
    pub(crate) async fn finish(mut self) {
        let listed = self.ctl(&["list_queues", "-p", self.vhost(), "name", "--no-table-headers"]).await;
        let plain = self.addresses.node.plain().map_or_else(|| self.rabbitmq(), str::to_owned);
        let queues = Queues::new(plain, &listed);
        queues.are_empty().await;
        for Service { kind, process, .. } in self.services.drain(..) {
            let ended = stop(kind, process).await;
            let may_fail = self.may_fail_requests && kind == "gateway";
            assert!(may_fail || !has_errors(&ended), "{kind}: {}", ended.stderr);
        }
        // Nor had they one in hand.
        queues.are_empty().await;
        let ledger = self.ledger().await;
        let dead = ledger.dead(&DeadFilter { limit: 1_000, ..DeadFilter::default() }).await.expect("dead letters");
        assert_eq!(dead.len(), self.dead, "{dead:?}");
        assert_eq!(ledger.audit().await.expect("an audit"), Vec::<String>::new());
        for job in ledger.jobs(&JobFilter::newest(1_000)).await.expect("jobs") {
            assert!(job.counts.balances(), "{:?}", job.counts);
        }
        ledger.close().await;
        self.tidy().await;
        let Self { world, .. } = self;
        world.finish().await;
    }

    async fn tidy(&self) {
        if self.addresses.rabbitmq.is_none() {
            self.ctl(&["delete_vhost", &self.name]).await;
        }
        self.on_server(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    /// Runs a statement in the cluster's database.
    pub(crate) async fn sql(&self, sql: &str) {
        self.on(&self.name, sql).await;
    }

    /// Runs a statement on its server.
    pub(crate) async fn on_server(&self, sql: &str) {
        self.on("postgres", sql).await;
    }

    async fn on(&self, database: &str, sql: &str) {
        let url = format!("{}/{database}", self.addresses.postgres);
        let mut server = PgConnection::connect(&url).await.expect("PostgreSQL answers");
        server.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

async fn stop(kind: &str, process: Process) -> Finished {
    process.signal("TERM").await;
    let asked = Instant::now();
    let ended = process.wait().await.expect(0);
    assert!(asked.elapsed() < STOPS_WITHIN, "{kind} took {:?} to end", asked.elapsed());
    ended
}

/// One request, and its answer if there is one.
async fn exchange(address: &str, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

fn has_errors(ended: &Finished) -> bool {
    ended.stderr.contains("\"level\":\"error\"")
}

/// Enough to tell two tests of one process apart.
fn rand() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish() >> 32
}
