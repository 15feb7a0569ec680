//! Pulling from servers that Tidegate did not write, with the files of `examples/`: Django REST framework and Kinto.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Finished;
use crate::tap::Tap;
use crate::world::{OUT, World, assert_same, until};

/// The one token that the DRF application knows.
const TOKEN: &str = "5eeded70ca5e5eeded70ca5e5eeded70ca5e0001";
/// Ports of these tests alone; below 32768, where the system takes none for outgoing connections.
const PORTS: [u16; 6] = [18_301, 18_302, 18_303, 18_304, 18_305, 18_306];

/// A foreign server. Dropped, it is stopped.
pub(crate) struct Server {
    name: &'static str,
    port: u16,
    base_url: String,
}

impl Server {
    pub(crate) async fn start(name: &'static str, port: u16, settings: &[(&'static str, &'static str)]) -> Self {
        let settings = settings.to_vec();
        let start = move || {
            // One that an earlier run of the tests, killed in the middle, has left.
            let _ = serve(&["stop", name, "--port", &port.to_string()], &[]);
            serve(&["start", name, "--port", &port.to_string()], &settings)
        };
        let started = tokio::task::spawn_blocking(start).await.expect("no panic");
        let base_url =
            started.unwrap_or_else(|error| panic!("{error}\nIs it installed? Run integration-tests/run once."));
        Self { name, port, base_url: base_url.trim().to_owned() }
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "a panic here would hide the one that is under way")]
    fn drop(&mut self) {
        if let Err(error) = serve(&["stop", self.name, "--port", &self.port.to_string()], &[]) {
            eprintln!("{} at port {} still runs: {error}", self.name, self.port);
        }
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package stands in the repository").to_owned()
}

/// `serve ARGS…`: what it prints, or its complaint.
fn serve(args: &[&str], settings: &[(&str, &str)]) -> Result<String, String> {
    let program = repository().join("integration-tests/foreign/serve");
    let output = Command::new(&program).args(args).envs(settings.iter().copied()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The ids that a server holds.
fn held(args: &[&str]) -> Vec<String> {
    let ids = serve(&[&["ids"], args].concat(), &[]).unwrap_or_else(|error| panic!("{error}"));
    let ids: Vec<String> = ids.lines().map(str::to_owned).collect();
    assert!(!ids.is_empty(), "{args:?}");
    ids
}

/// A world with the files of an example, and a way to see what is asked for.
struct Pull {
    world: World,
    tap: Tap,
}

impl Pull {
    async fn from(server: &Server, example: &str) -> Self {
        let world = World::new();
        for file in std::fs::read_dir(repository().join("examples").join(example)).expect("an example") {
            let file = file.expect("a file of an example");
            std::fs::copy(file.path(), world.path(&file.file_name().to_string_lossy())).expect("a copy");
        }
        Self { world, tap: Tap::before(&server.base_url).await }
    }

    fn host(&self) -> String {
        format!("host={}", self.tap.base_url().trim_start_matches("http://"))
    }

    fn command<'a>(&self, job: &'a str, host: &'a str, more: &[&'a str]) -> crate::process::Cli {
        let line = ["run", job, "-o", OUT, "--json", "--quiet", "--allow-private", "--set", host];
        self.world.tidegate(&[&line, more].concat()).env("TIDEGATE_CREDENTIAL_READER", TOKEN)
    }

    async fn run(&self, job: &str) -> Finished {
        self.command(job, &self.host(), &[]).run().await
    }

    /// All of these came, each once, by so many calls.
    #[track_caller]
    fn check(&self, finished: &Finished, expected: Vec<String>, calls: u64) {
        assert_same(self.world.ids(OUT), expected);
        let report = ["/calls_planned", "/calls_succeeded", "/run/requests"].map(|pointer| finished.number(pointer));
        assert_eq!(report, [calls; 3], "{}", finished.json());
        assert_eq!(self.tap.asked().len() as u64, calls, "requests that arrived");
    }
}

#[tokio::test]
async fn lists_of_django_rest_framework_come_whole_by_offset_by_number_and_by_cursor() {
    let server = Server::start("drf", PORTS[0], &[]).await;

    let pull = Pull::from(&server, "social").await;
    let finished = pull.run("users.yaml").await.expect(0);
    pull.check(&finished, held(&["drf", "users"]), 100);
    pull.world.finish().await;

    for (job, ids, calls) in [
        ("{ id: followers, call: followers, with: { id: 1 } }", "followers:1", 50),
        ("{ id: one_page, call: followers, with: { id: 2 } }", "followers:2", 1),
        ("{ id: two_pages, call: followers, with: { id: 3 } }", "followers:3", 2),
        ("{ id: posts, call: posts, with: { id: 7 } }", "posts:7", 3),
        ("{ id: all_posts, call: all_posts }", "posts", 332),
    ] {
        let pull = Pull::from(&server, "social").await;
        pull.world.write("job.yaml", &format!("provider: ./provider.yaml\nsteps: [ {job} ]\n"));
        let finished = pull.run("job.yaml").await.expect(0);
        pull.check(&finished, held(&["drf", ids]), calls);
        pull.world.finish().await;
    }
    a_tree(&server).await;
    what_is_not_there(&server).await;
    try_one_call(&server).await;
}

/// Followers of user 7, and the posts of each.
async fn a_tree(server: &Server) {
    let pull = Pull::from(server, "social").await;
    let job = pull.world.read("followers.yaml").replace("with: { id: 1 }", "with: { id: 7 }");
    pull.world.write("followers.yaml", &job);
    let host = pull.host();
    let finished = pull.command("followers.yaml", &host, &["--with-origin"]).run().await.expect(0);
    let followers = held(&["drf", "followers:7"]);
    let posts: Vec<String> = followers.iter().flat_map(|id| posts_of(id)).collect();
    let of_step = |step: &str| {
        let items = pull.world.items(OUT);
        let of_step = items.into_iter().filter(|line| line["step"] == step);
        of_step.map(|line| line["item"]["id"].to_string()).collect::<Vec<_>>()
    };
    assert_same(of_step("followers"), followers.clone());
    assert_same(of_step("posts"), posts);
    let fetches = finished.json()["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| step["fetches"].clone())
        .collect::<Vec<_>>();
    assert_eq!(fetches, [1, followers.len()]);
    pull.world.finish().await;
}

/// Some have none, which `serve` prints nothing for.
fn posts_of(user: &str) -> Vec<String> {
    let ids = serve(&["ids", "drf", &format!("posts:{user}")], &[]).unwrap_or_else(|error| panic!("{error}"));
    ids.lines().map(str::to_owned).collect()
}

/// Not there is an answer, too: counted as skipped, and nothing has failed.
async fn what_is_not_there(server: &Server) {
    let pull = Pull::from(server, "social").await;
    let steps = "steps:\n  - { id: followers, call: followers, with: { id: 10001 } }\n  - { id: user, call: user, with: { id: 7 } }\n";
    pull.world.write("job.yaml", &format!("provider: ./provider.yaml\n{steps}"));
    let finished = pull.run("job.yaml").await.expect(0);
    assert_eq!((finished.number("/calls_skipped"), finished.number("/calls_succeeded")), (1, 1));
    let skipped = &finished.json()["failures"][0];
    assert_eq!((&skipped["state"], &skipped["status"]), (&"skipped".into(), &404.into()));
    assert_eq!(skipped["message"], "No User matches the given query.");
    assert_eq!(pull.world.ids(OUT), ["7"]);
    pull.world.finish().await;
}

async fn try_one_call(server: &Server) {
    let pull = Pull::from(server, "social").await;
    let host = pull.host();
    let line = ["provider", "try", "provider.yaml", "followers", "--with", "id=7", "--allow-private", "--set", &host];
    let tried = pull.world.run(&line).await.expect(0);
    for said in
        ["GET http://127.0.0.1:", "/api/users/7/followers/?page=1&page_size=100", "200 OK", "17 items of 17", "\"id\":"]
    {
        assert!(tried.stdout.contains(said), "{said} is missing: {}", tried.stdout);
    }
    let json = pull.world.run(&[&line[..], &["--json"]].concat()).await.expect(0).json();
    assert_eq!(
        (&json["page"]["items"], &json["page"]["total"], &json["answer"]["status"]),
        (&17.into(), &17.into(), &200.into())
    );
    let missing = line.map(|word| if word == "id=7" { "id=10001" } else { word });
    let tried = pull.world.run(&missing).await.expect(1);
    assert!(tried.stdout.contains("not_found: No User matches the given query."), "{}", tried.stdout);

    let line =
        ["provider", "try", "private.yaml", "users", "--credential", "reader", "--allow-private", "--set", &host];
    let tried = pull.world.tidegate(&line).env("TIDEGATE_CREDENTIAL_READER", TOKEN).run().await.expect(0);
    assert!(tried.stdout.contains("100 items of 10000") && tried.stdout.contains("***"), "{}", tried.stdout);
    assert!(!tried.stdout.contains(TOKEN) && !tried.stderr.contains(TOKEN), "the token is shown");
    assert_eq!(pull.tap.asked().len(), 4);
    pull.world.finish().await;
}

#[tokio::test]
async fn a_private_list_of_django_rest_framework_wants_its_token() {
    let server = Server::start("drf", PORTS[1], &[]).await;
    let pull = Pull::from(&server, "social").await;
    pull.world
        .write("job.yaml", "provider: ./private.yaml\ncredential: reader\nsteps: [ { id: users, call: users } ]\n");
    let finished = pull.run("job.yaml").await.expect(0);
    pull.check(&finished, held(&["drf", "users"]), 100);

    let host = pull.host();
    let wrong =
        pull.command("job.yaml", &host, &["--fresh"]).env("TIDEGATE_CREDENTIAL_READER", "wrong").run().await.expect(1);
    let failure = &wrong.json()["failures"][0];
    assert_eq!((&failure["class"], &failure["message"]), (&"auth_revoked".into(), &"Invalid token.".into()));
    assert_eq!(wrong.json()["reason"], "step users: auth_revoked: Invalid token.");
    assert_eq!(pull.tap.asked().len(), 101, "one call tells it");
    // The right one again: what failed is made again.
    let right = pull.command("job.yaml", &host, &[]).run().await.expect(0);
    assert_eq!(right.number("/items"), 10_000);
    pull.world.finish().await;
}

/// DRF says nothing of its throttle before it refuses; everything comes all the same, and refusals stay few.
#[tokio::test]
async fn a_throttled_list_of_django_rest_framework_comes_whole() {
    let server = Server::start("drf", PORTS[2], &[("THROTTLE_RATE", "25/s")]).await;
    let pull = Pull::from(&server, "social").await;
    pull.world.write("job.yaml", "provider: ./provider.yaml\nsteps: [ { id: users, call: throttled.users } ]\n");
    let finished = pull.run("job.yaml").await.expect(0);
    assert_same(pull.world.ids(OUT), held(&["drf", "users"]));
    assert_eq!((finished.number("/calls_succeeded"), finished.number("/calls_failed")), (100, 0));
    let refused = finished.number("/run/refused");
    assert!((1..=100).contains(&refused), "{refused} refusals for 100 calls");
    assert_eq!(pull.tap.asked().len() as u64, 100 + refused);
    pull.world.finish().await;
}

#[tokio::test]
async fn a_pull_that_is_killed_goes_on_and_asks_for_little_twice() {
    let server = Server::start("drf", PORTS[3], &[]).await;
    let pull = Pull::from(&server, "social").await;
    let (host, slowly) = (pull.host(), ["--max-in-flight", "4"]);
    let running = pull.command("users.yaml", &host, &slowly).spawn();
    until("a third has come", || pull.tap.asked().len() >= 33).await;
    let killed = running.kill().await;
    assert_eq!(killed.code, None, "it was killed before its end: {}", killed.stderr);
    let before = pull.tap.asked().len();
    assert!(before < 100, "{before} of 100 pages came before the kill");
    assert!(!pull.world.exists(OUT), "an output that is not whole");
    pull.world.recount().await;

    let finished = pull.command("users.yaml", &host, &slowly).run().await.expect(0);
    assert_same(pull.world.ids(OUT), held(&["drf", "users"]));
    assert_eq!(finished.number("/calls_succeeded"), 100);
    // What was on the wire, or came and was not stored yet.
    let twice = pull.tap.asked().len() - 100;
    assert!(twice <= 8, "{twice} pages were asked for twice");
    pull.world.finish().await;
}

/// Both at once: this server takes its time to start.
#[tokio::test]
async fn records_of_kinto_come_whole_and_a_pause_that_it_asks_for_is_made() {
    tokio::join!(records_of_kinto_come_whole_by_the_next_page_header(), a_pause_that_kinto_asks_for_is_made());
}

async fn records_of_kinto_come_whole_by_the_next_page_header() {
    let server = Server::start("kinto", PORTS[4], &[]).await;
    let pull = Pull::from(&server, "notes").await;
    let finished = pull.run("notes.yaml").await.expect(0);
    pull.check(&finished, held(&["kinto", "records", "--port", &PORTS[4].to_string()]), 50);

    let host = pull.host();
    let line = ["provider", "try", "provider.yaml", "records", "-w", "bucket=social", "-w", "collection=notes"];
    let line = [&line[..], &["--allow-private", "--set", &host, "--json"]].concat();
    let tried = pull.world.run(&line).await.expect(0).json();
    assert_eq!(tried["page"]["items"], 100);
    assert!(tried["page"]["next"]["url"].as_str().is_some_and(|url| url.contains("_token=")), "{tried}");
    pull.world.finish().await;
}

async fn a_pause_that_kinto_asks_for_is_made() {
    let server = Server::start("kinto", PORTS[5], &[("KINTO_BACKOFF", "1")]).await;
    let pull = Pull::from(&server, "notes").await;
    let job = pull.world.read("notes.yaml").replace("call: records\n", "call: records\n    max_pages: 4\n");
    pull.world.write("notes.yaml", &job);
    let finished = pull.run("notes.yaml").await.expect(0);
    assert_eq!(finished.number("/items"), 400);
    assert_eq!(finished.json()["steps"][0]["guards"], serde_json::json!([["page_cap", 1]]));
    let asked = pull.tap.asked();
    assert_eq!(asked.len(), 4);
    for pair in asked.windows(2) {
        let pause = pair[1].at - pair[0].at;
        assert!((Duration::from_millis(990)..Duration::from_secs(4)).contains(&pause), "{pause:?}");
    }
    pull.world.finish().await;
}
