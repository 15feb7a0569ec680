//! Killed again and again, at any moment, and started again: in the end everything is there once, and no page that was
//! stored was asked for again.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tidegate_ledger::{JobFilter, Ledger as _};
use tidegate_simulator::{
    EndpointSpec, Faults, Latency, LimitHeaders, LimitSpec, Period, Running, Simulator, SimulatorSpec, Spread,
};

use crate::tap::Tap;
use crate::world::{OUT, World, assert_same, ids};

/// Requests on the wire at once.
const IN_FLIGHT: u64 = 16;
/// Calls in hand at once: those on the wire, and as many that wait or whose page is on its way to the disk. So many pages
/// may have been served, and not stored, when a process is killed.
const IN_HAND: u64 = 2 * IN_FLIGHT;

const ENDPOINTS: &str = r#"
retry: { attempts: 8, base: 5ms, cap: 20ms }
timeouts: { first_byte: 2s, idle: 2s }
endpoints:
  users: { get: /users, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  posts: { get: "/users/{id}/posts", items: "$.items[*]", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 5 } } }
  likes: { get: "/posts/{id}/likes", items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 5 }, total: "$.total" } }
"#;

fn users(items: u64) -> EndpointSpec {
    EndpointSpec::at("/users").items(items).offset("offset").size("limit", 10).total_in_body("$.total")
}

fn posts() -> EndpointSpec {
    EndpointSpec::at("/users/{id}/posts").cursor("cursor", "$.next").size("limit", 5)
}

fn likes() -> EndpointSpec {
    EndpointSpec::at("/posts/{id}/likes").offset("offset").size("limit", 5).total_in_body("$.total")
}

fn seeded(seed: u64) -> SimulatorSpec {
    let spread = Spread { p50: Period::from_ms(4), p99: Period::from_ms(40) };
    SimulatorSpec { latency: Some(Latency::Spread(spread)), ..SimulatorSpec::seeded(seed) }
}

/// A job that is to be killed.
struct Ordeal {
    simulator: Running,
    tap: Tap,
    world: World,
    chance: Chance,
    kills: u64,
    /// Pages that were stored, each with how many requests had come when it was found stored.
    stored: HashMap<Page, usize>,
    /// Most requests of one process that limits refused.
    most_refused: u64,
}

/// A page, by the path of its list and the place of its first item in it.
type Page = (String, u64);

impl Ordeal {
    async fn new(spec: &SimulatorSpec, provider: &str, steps: &str) -> Self {
        let simulator = Simulator::start(spec).await.unwrap();
        let tap = Tap::before(&simulator.base_url()).await;
        let job = format!("max_in_flight: {IN_FLIGHT}\nsteps: {steps}");
        let world = World::with(&tap.base_url(), provider, &job);
        Self {
            simulator,
            tap,
            world,
            chance: Chance(spec.seed + std::env::var("TG_SOAK").map_or(0, |s| s.parse::<u64>().unwrap() * 1000)),
            kills: 0,
            stored: HashMap::new(),
            most_refused: 0,
        }
    }

    /// Kills the job `kills` times, each after up to `between` requests, or while it starts; then lets it finish.
    async fn endure(&mut self, kills: u64, between: u64) {
        while self.kills < kills {
            let refused = self.refused();
            let process = self.world.job_line(&[]).spawn();
            self.await_a_moment(between).await;
            let ended = process.kill().await;
            assert!(ended.code.is_none_or(|code| code == 0), "{}", ended.stderr);
            assert_eq!(self.world.exists(OUT), ended.code == Some(0), "an output that is not whole");
            self.note(refused).await;
            if ended.code == Some(0) {
                break;
            }
        }
        self.world.job(&[]).await.expect(0);
        self.check();
    }

    fn refused(&self) -> u64 {
        self.simulator.stats().sum(|endpoint| endpoint.limited)
    }

    /// Some requests later, or some time.
    async fn await_a_moment(&mut self, between: u64) {
        let before = self.tap.asked().len() as u64;
        match self.chance.below(5) {
            0 => tokio::time::sleep(Duration::from_millis(self.chance.below(250))).await,
            _ => {
                let (more, tap) = (self.chance.below(between), &self.tap);
                let enough = async {
                    while (tap.asked().len() as u64) < before + more {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                // The job may have fewer left.
                let _ = tokio::time::timeout(Duration::from_secs(5), enough).await;
            }
        }
    }

    /// Notes a kill: how many requests of the process were refused, of which there were `refused` before it, and which
    /// pages the state file holds, now that nobody works on it.
    async fn note(&mut self, refused: u64) {
        self.kills += 1;
        self.most_refused = self.most_refused.max(self.refused() - refused);
        if !self.world.exists(crate::world::STATE) {
            return;
        }
        self.world.recount().await;
        let ledger = self.world.ledger().await;
        let asked = self.tap.asked().len();
        for job in ledger.jobs(&JobFilter::newest(10)).await.expect("jobs") {
            for page in ledger.pages_after(job.id, 0, u32::MAX).await.expect("pages") {
                let lines = String::from_utf8(page.lines.unpack().expect("a page unpacks")).expect("JSON is text");
                let first = ids(&crate::world::items(lines.lines().next().unwrap_or_default()));
                let place =
                    first.first().and_then(|id| id.rsplit('.').next()).map_or(1, |n| n.parse().expect("a number"));
                let params: Value = serde_json::from_str(&page.params).expect("parameters are JSON");
                let path =
                    match (page.step.as_str(), params["id"].as_str().map_or(params["id"].to_string(), str::to_owned)) {
                        ("users", _) => "/users".to_owned(),
                        ("posts", id) => format!("/users/{id}/posts"),
                        (_, id) => format!("/posts/{id}/likes"),
                    };
                self.stored.entry((path, place - 1)).or_insert(asked);
            }
        }
        ledger.close().await;
    }

    fn check(&self) {
        let asked = self.tap.asked();
        let again: Vec<_> = asked
            .iter()
            .enumerate()
            .filter(|(at, asked)| self.stored.get(&page(&asked.target)).is_some_and(|stored| at >= stored))
            .collect();
        assert!(
            again.is_empty(),
            "{} of {} stored pages were asked for again: {again:?}",
            again.len(),
            self.stored.len()
        );
        let stats = self.simulator.stats();
        let twice = stats.sum(|endpoint| endpoint.duplicates);
        assert!(twice <= self.kills * IN_HAND, "{twice} pages were served twice, after {} kills", self.kills);
        assert!(!self.stored.is_empty(), "every kill came before the first page was stored");
    }

    /// All items, down to `depth` levels, came out once.
    async fn finish(self, depth: usize) {
        assert_same(self.world.ids(OUT), everything(&self.simulator, depth));
        self.world.finish().await;
    }
}

/// The page that a request is for. Cursors are made of the place in hexadecimal digits, `+`, and more.
fn page(target: &str) -> Page {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let place = query.split('&').find_map(|pair| match pair.split_once('=') {
        Some(("offset", place)) => place.parse().ok(),
        Some(("cursor", cursor)) => u64::from_str_radix(cursor.split(['%', '+']).next()?, 16).ok(),
        _ => None,
    });
    (path.to_owned(), place.unwrap_or(0))
}

/// Random numbers that are the same each time (Steele, Lea and Flood's SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

const USERS: &str = "{ id: users, call: users }";
const POSTS: &str = r#"{ id: posts, call: posts, for_each: users, with: { id: "{{ item.id }}" } }"#;
const LIKES: &str = r#"{ id: likes, call: likes, for_each: posts, with: { id: "{{ item.id }}" } }"#;

/// All that there is, down to `depth` levels.
fn everything(simulator: &Running, depth: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut level = simulator.ids("users", "");
    for endpoint in ["posts", "likes"].into_iter().take(depth - 1) {
        let below = level.iter().flat_map(|parent| simulator.ids(endpoint, parent)).collect();
        all.append(&mut std::mem::replace(&mut level, below));
    }
    all.append(&mut level);
    all
}

#[tokio::test]
async fn a_long_list_survives_being_killed() {
    let mut ordeal = Ordeal::new(&seeded(11).with("users", users(10_000)), ENDPOINTS, &format!("[{USERS}]")).await;
    ordeal.endure(12, 160).await;
    ordeal.finish(1).await;
}

#[tokio::test]
async fn chains_survive_being_killed() {
    let spec = seeded(12).with("users", users(20)).with("posts", posts().items_between(0, 150));
    let mut ordeal = Ordeal::new(&spec, ENDPOINTS, &format!("[{USERS}, {POSTS}]")).await;
    ordeal.endure(12, 50).await;
    ordeal.finish(2).await;
}

#[tokio::test]
async fn a_tree_survives_being_killed() {
    let spec = seeded(13).with("users", users(30)).with("posts", posts().items_between(0, 20));
    let spec = spec.with("likes", likes().items_between(0, 12));
    let mut ordeal = Ordeal::new(&spec, ENDPOINTS, &format!("[{USERS}, {POSTS}, {LIKES}]")).await;
    ordeal.endure(15, 120).await;
    ordeal.finish(3).await;
}

#[tokio::test]
async fn a_tree_survives_being_killed_amid_faults() {
    let faults = Faults {
        error_500: 0.05,
        html: 0.03,
        truncated: 0.03,
        reset: 0.03,
        reset_body: 0.03,
        lying_length: 0.03,
        ..Faults::default()
    };
    let spec = seeded(14).with("users", users(60).faults(faults.clone()));
    let spec = spec.with("posts", posts().items_between(0, 40).faults(faults));
    let mut ordeal = Ordeal::new(&spec, ENDPOINTS, &format!("[{USERS}, {POSTS}]")).await;
    ordeal.endure(15, 60).await;
    ordeal.finish(2).await;
}

#[tokio::test]
async fn a_limit_is_kept_over_being_killed() {
    let limit = LimitSpec::window(50, 1_000).aligned_to_epoch().headers(LimitHeaders::NONE);
    let spec = seeded(15).with("users", users(2_500).limit(limit));
    let declared = "limits:\n  - { id: quota, key: [provider], window: { calls: 50, per: 1s, aligned: epoch } }";
    let mut ordeal = Ordeal::new(&spec, &format!("{declared}\n{ENDPOINTS}"), &format!("[{USERS}]")).await;
    for kill in 0..10 {
        let refused = ordeal.refused();
        let before = ordeal.tap.asked().len();
        let process = ordeal.world.job_line(&[]).spawn();
        let (tap, sent) = (&ordeal.tap, before + 30 + kill);
        crate::world::until("much of a window is used", || tap.asked().len() >= sent).await;
        process.kill().await;
        ordeal.note(refused).await;
    }
    ordeal.endure(0, 1).await;
    // What a killed process had sent and not noted.
    let limit = &ordeal.simulator.stats().limits["users.0"];
    assert!(ordeal.most_refused <= IN_FLIGHT, "{} of one process, {limit:?}", ordeal.most_refused);
    ordeal.finish(1).await;
}
