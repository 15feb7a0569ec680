//! A gateway of its own for a test.

use serde_json::Value;
use tidegate_simulator::{EndpointSpec, Running, Simulator, SimulatorSpec};

use crate::process::{Cli, Finished, Process};
use crate::world::{JOB, World, items};

/// Its state file.
pub(crate) const STATE: &str = "serve.db";

const ENDPOINTS: &str = r#"
retry: { attempts: 2, base: 5ms, cap: 20ms }
endpoints:
  users: { get: /users, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  posts: { get: "/users/{id}/posts", items: "$.items[*]", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 5 } } }
"#;

pub(crate) const STEPS: &str = r#"
steps:
  - { id: users, call: users }
  - { id: posts, call: posts, for_each: users, with: { id: "{{ item.id }}" } }
"#;

/// A third party with users and 12 posts of each, whose answers take `latency_ms`.
pub(crate) fn third_party(users: u64, latency_ms: u64) -> SimulatorSpec {
    let users = EndpointSpec::at("/users").items(users).offset("offset").size("limit", 10).total_in_body("$.total");
    let posts = EndpointSpec::at("/users/{id}/posts").items(12).cursor("cursor", "$.next").size("limit", 5);
    SimulatorSpec::seeded(7).latency_ms(latency_ms).with("users", users).with("posts", posts)
}

/// Ids of all users and their posts.
pub(crate) fn everything(simulator: &Running) -> Vec<String> {
    let users = simulator.ids("users", "");
    let posts: Vec<_> = users.iter().flat_map(|user| simulator.ids("posts", user)).collect();
    [users, posts].concat()
}

/// A gateway, and a key to it.
///
/// Every test ends with [`Served::finish`], which ends the gateway and recounts what its state file holds.
#[must_use = "a gateway is finished"]
pub(crate) struct Served {
    pub(crate) world: World,
    pub(crate) address: String,
    pub(crate) key: String,
    process: Process,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let world = World::new();
        let key = world.run(&["keys", "create", "--state", STATE]).await.expect(0).stdout.trim().to_owned();
        let (process, address) = spawn(&world, "127.0.0.1:0").await;
        Self { world, address, key, process }
    }

    /// With a third party, a provider file for it ([`World::provider`]; `first` are lines of it) and a job file that uses
    /// it.
    pub(crate) async fn before(spec: &SimulatorSpec, first: &str) -> (Self, Running) {
        let (served, simulator) = (Self::start().await, Simulator::start(spec).await.unwrap());
        served.job(&simulator.base_url(), first);
        (served, simulator)
    }

    /// Writes a provider file for an API at `base_url`, and a job file that uses it.
    pub(crate) fn job(&self, base_url: &str, first: &str) {
        self.world.provider(base_url, &format!("{first}{ENDPOINTS}"));
        self.world.write(JOB, &format!("provider: ./sim.yaml\n{STEPS}"));
    }

    /// `tidegate ARGS…` with where the gateway is, and a key.
    pub(crate) fn cli(&self, args: &[&str]) -> Cli {
        let url = format!("http://{}", self.address);
        self.world.tidegate(args).env("TIDEGATE_URL", &url).env("TIDEGATE_API_KEY", &self.key)
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Finished {
        self.cli(args).run().await
    }

    /// What `tidegate ARGS…` says on standard output, which has to go well.
    pub(crate) async fn says(&self, args: &[&str]) -> String {
        self.run(args).await.expect(0).stdout.trim().to_owned()
    }

    /// Submits the job file, and returns its id.
    pub(crate) async fn submit(&self) -> String {
        self.says(&["submit", JOB]).await
    }

    pub(crate) async fn status(&self, job: &str) -> Value {
        self.run(&["status", job, "--json"]).await.expect(0).json()
    }

    pub(crate) async fn items(&self, job: &str) -> Vec<Value> {
        items(&self.says(&["items", job]).await)
    }

    /// What the gateway has logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.said()
    }

    /// SIGKILL, and a new process at the same address.
    pub(crate) async fn kill(self) -> Self {
        let Self { world, address, key, process } = self;
        process.kill().await;
        let (process, address) = spawn(&world, &address).await;
        Self { world, address, key, process }
    }

    /// Ends the gateway in order.
    pub(crate) async fn end(self) -> World {
        self.process.signal("TERM").await;
        self.process.wait().await.expect(0);
        self.world
    }

    /// Ends the gateway in order, and recounts.
    pub(crate) async fn finish(self) {
        self.end().await.finish().await;
    }
}

async fn spawn(world: &World, address: &str) -> (Process, String) {
    let serve = ["serve", "--embedded", "--state", STATE, "--listen", address, "--allow-private=127.0.0.0/8"];
    let mut process = world.tidegate(&[&serve[..], &["--log-format", "json"]].concat()).spawn();
    process.says("\"address\":\"").await;
    let said = process.said();
    let address = said.split("\"address\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let address = address.expect("a gateway says where it listens").to_owned();
    (process, address)
}
