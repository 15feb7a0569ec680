//! Packs, with the simulator playing their providers: each list comes whole, refusals are waited for, dead tokens are known for
//! what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidegate_contracts::Class;
use tidegate_limits::Rate;
use tidegate_provider::file::{Endpoint, ProviderFile};
use tidegate_provider::{Meaning, PACKS, Pack, Recorded, RecordedAnswer};
use tidegate_simulator::{
    Aligned, Bucket, Canned, EndpointSpec, Faults, Items, LimitSpec, Period, Running, Simulator, SimulatorSpec,
    Sliding, Window,
};

use crate::process::Cli;
use crate::world::{JOB, World, items};

const CREDENTIAL: (&str, &str) = ("TIDEGATE_CREDENTIAL_ME", r#"{"token":"made-up"}"#);
/// What the parameters of paths are, where nothing else was recorded.
const PARENT: &str = "7";
/// Calls that each of the simulated limits lets through in [`WINDOW_MS`].
const ALLOWED: u32 = 4;
const WINDOW_MS: u64 = 1_000;

/// A pack, with all that its tests need.
struct Played {
    name: &'static str,
    file: ProviderFile,
    recorded: Recorded,
}

fn packs() -> impl Iterator<Item = Played> {
    let read =
        |pack: &Pack| Played { name: pack.name, file: pack.merged().unwrap().file, recorded: pack.recorded().unwrap() };
    PACKS.iter().filter(|pack| !pack.is_family()).map(read)
}

impl Played {
    /// What a step gives the endpoint: what was recorded, and made-up values for what it must.
    fn with(&self, name: &str, endpoint: &Endpoint) -> Map<String, Value> {
        let recorded = self.recorded.calls.iter().find(|(known, _)| known.as_str() == name);
        let recorded = recorded.map(|(_, call)| call.with.clone()).unwrap_or_default();
        let required = endpoint.params.details().filter(|(_, known)| known.required && known.default.is_none());
        let needed = path_params(endpoint).into_iter().chain(required.map(|(name, _)| name.to_owned()));
        let mut with: Map<String, Value> = needed.map(|name| (name, json!(PARENT))).collect();
        with.extend(recorded.into_iter().map(|(name, value)| (name, serde_json::to_value(value).unwrap())));
        with
    }

    /// The list that a step of [`Played::with`] pulls, as the simulator knows it.
    fn parent(&self, name: &str, endpoint: &Endpoint) -> String {
        let with = self.with(name, endpoint);
        let values = path_params(endpoint).into_iter().map(|name| with[&name].as_str().unwrap().to_owned());
        values.collect::<Vec<_>>().join("/")
    }

    /// The provider, played with so many halves of a page in each list.
    async fn start(&self, half_pages: u64, change: impl FnOnce(&mut SimulatorSpec)) -> Running {
        let mut spec = SimulatorSpec::seeded(7);
        for (name, endpoint) in &self.file.endpoints {
            let size = endpoint.pages.as_ref().and_then(|pages| pages.size.as_ref()).map_or(10, |size| size.max);
            let items = Some(Items::Count(u64::from(size) * half_pages / 2));
            spec.endpoints.insert(name.to_string(), EndpointSpec { items, item_bytes: Some(80), ..Default::default() });
        }
        // What is named must be simulated: an endpoint that is too complex is an error here.
        let (mut spec, _) =
            spec.derived_from(&self.file, &self.recorded).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        change(&mut spec);
        Simulator::start(&spec).await.unwrap_or_else(|error| panic!("{}: {error:?}", self.name))
    }

    /// A job that calls these endpoints.
    fn job(&self, world: &World, provider: &str, calls: &[&str]) {
        let steps = calls.iter().map(|name| {
            let endpoint = self.file.endpoints.get(*name).unwrap();
            json!({ "id": step(name), "call": name, "with": self.with(name, endpoint) })
        });
        self.job_of(world, provider, steps.collect());
    }

    fn job_of(&self, world: &World, provider: &str, steps: Vec<Value>) {
        let mut job = json!({ "provider": provider, "steps": steps });
        job["config"] = serde_json::to_value(&self.recorded.config).unwrap();
        if self.file.auth.is_some() {
            job["credential"] = json!("me");
        }
        world.write(JOB, &job.to_string());
    }

    /// Each item of these lists has come once.
    #[track_caller]
    fn assert_whole(&self, world: &World, simulator: &Running, calls: &[&str]) {
        for name in calls {
            let lines = items(&world.read(&format!("out/{}.ndjson", step(name))));
            let distinct: BTreeSet<String> = lines.iter().map(ToString::to_string).collect();
            let parent = self.parent(name, self.file.endpoints.get(*name).unwrap());
            let served = simulator.ids(name, &parent).len();
            assert_eq!((lines.len(), distinct.len()), (served, served), "{}: {name}", self.name);
        }
    }
}

fn run(world: &World, simulator: &Running) -> Cli {
    let at = simulator.base_url();
    let line = ["run", JOB, "-o", "out/", "--json", "--quiet", "--allow-private=127.0.0.0/8", "--at", &at];
    world.tidegate(&line).env(CREDENTIAL.0, CREDENTIAL.1)
}

fn step(endpoint: &str) -> String {
    endpoint.replace('.', "-")
}

/// Names between braces, in order.
fn path_params(endpoint: &Endpoint) -> Vec<String> {
    let parts = endpoint.route.path().split('{').skip(1);
    parts.filter_map(|part| Some(part.split_once('}')?.0.to_owned())).collect()
}

#[tokio::test]
async fn every_list_of_every_pack_comes_whole_from_its_simulated_provider() {
    for pack in packs() {
        let simulator = pack.start(5, |_| {}).await;
        let world = World::new();
        let calls: Vec<&str> = pack.file.endpoints.keys().map(|name| name.as_str()).collect();
        pack.job(&world, pack.name, &calls);
        run(&world, &simulator).run().await.expect(0);
        pack.assert_whole(&world, &simulator, &calls);
        let stats = simulator.stats();
        assert_eq!(stats.unmatched, 0, "{}", pack.name);
        for (name, endpoint) in &stats.endpoints {
            assert_eq!(
                (endpoint.duplicates, endpoint.limited, endpoint.errors.len()),
                (0, 0, 0),
                "{}: {name}",
                pack.name
            );
        }
        for (id, limit) in &stats.limits {
            assert!(limit.most_arrived <= limit.allowed, "{}: {id}: {limit:?}", pack.name);
        }
        world.finish().await;
    }
}

/// The same limit, small enough to be met.
fn shrink(limit: &mut LimitSpec) {
    let (calls, per) = (u64::from(ALLOWED) * limit.cost, Period::from_ms(WINDOW_MS));
    if limit.window.is_some() || limit.quota.take().is_some() {
        limit.window = Some(Window { calls, per, aligned: Aligned::FirstCall });
    } else if limit.sliding.is_some() {
        limit.sliding = Some(Sliding { calls, per });
    } else if limit.bucket.is_some() {
        limit.bucket = Some(Bucket { capacity: calls, refill_per_s: f64::from(ALLOWED) * limit.cost as f64 });
    }
}

/// Windows of the file as short as those of the simulator. How many calls they hold stays what the pack says: too many.
fn hurry(file: &mut ProviderFile) {
    for limit in &mut file.limits {
        let short = Duration::from_millis(WINDOW_MS);
        limit.zone = None;
        match &mut limit.rate {
            Rate::Window { per, .. } | Rate::Sliding { per, .. } => *per = short,
            Rate::Quota { calls, .. } => {
                limit.rate = Rate::Window { calls: *calls, per: short, aligned: tidegate_limits::Aligned::FirstCall };
            }
            _ => {}
        }
    }
}

/// For each limit that counts over time, a list that it counts.
fn bound(file: &ProviderFile, simulated: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let paged = |name: &&String| file.endpoints.get(name.as_str()).is_some_and(|endpoint| endpoint.pages.is_some());
    let all: Vec<String> = file.endpoints.keys().map(ToString::to_string).collect();
    let lists = simulated.values().filter_map(|of| if of.is_empty() { &all } else { of }.iter().find(paged));
    lists.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

#[tokio::test]
async fn the_limits_of_every_pack_are_learnt_from_what_its_provider_tells_and_refuses() {
    for pack in packs() {
        let mut simulated = BTreeMap::new();
        let note = |spec: &mut SimulatorSpec| {
            for limit in spec.limits.iter_mut().flatten().filter(|limit| limit.concurrency.is_none()) {
                shrink(limit);
                simulated.insert(limit.id.clone().unwrap(), limit.endpoints.clone());
            }
        };
        let simulator = pack.start(12, note).await;
        // A limit that the file can't put into numbers is one that was recorded for the simulator, unless nothing tells of it
        // but a refusal.
        let over_time = pack.file.limits.iter().filter(|limit| match limit.rate {
            Rate::Concurrency { .. } => false,
            Rate::Told {} => limit.headers.is_some() || limit.body.is_some(),
            _ => true,
        });
        let missing: Vec<&str> =
            over_time.map(|limit| limit.id.as_str()).filter(|id| !simulated.contains_key(*id)).collect();
        assert!(missing.is_empty(), "{}: not simulated: {missing:?}", pack.name);
        let lists = bound(&pack.file, &simulated);
        if AT_ONCE_ONLY.contains(&pack.name) {
            continue;
        }
        assert!(!lists.is_empty(), "{}: no list meets a limit", pack.name);
        let world = World::new();
        let mut file = pack.file.clone();
        hurry(&mut file);
        world.write("own.json", &serde_json::to_string(&file).unwrap());
        let calls: Vec<&str> = lists.iter().map(String::as_str).collect();
        pack.job(&world, "./own.json", &calls);
        let report = run(&world, &simulator).run().await.expect(0);
        pack.assert_whole(&world, &simulator, &calls);
        let stats = simulator.stats();
        assert!(
            simulated.keys().any(|id| stats.limits[id].granted > u64::from(ALLOWED)),
            "{}: no limit was met",
            pack.name
        );
        assert!(
            stats.endpoints.values().all(|endpoint| endpoint.errors.is_empty()),
            "{}: {}",
            pack.name,
            report.json()
        );
        world.finish().await;
    }
}

/// Failures that were recorded of a pack, but for refusals of limits, which are waited for.
fn failures(pack: &Played) -> Vec<(Class, &RecordedAnswer)> {
    let failure = |answer: &'_ RecordedAnswer| match answer.means {
        Meaning::Failure(class) => Some(class),
        Meaning::Page(_) => None,
    };
    let recorded = pack.recorded.answers.iter().filter_map(|answer| Some((failure(answer)?, answer)));
    recorded.filter(|(class, _)| !matches!(class, Class::RateLimited | Class::QuotaExhausted)).collect()
}

#[tokio::test]
async fn every_error_that_was_recorded_of_a_provider_ends_a_call_as_what_it_means() {
    for pack in packs() {
        // No more than a report shows.
        for failures in failures(&pack).chunks(20) {
            let name = |number: usize| format!("refused{number}");
            let simulator = pack.start(2, |spec| {
                for (number, (_, answer)) in failures.iter().enumerate() {
                    let RecordedAnswer { status, headers, body, .. } = (*answer).clone();
                    let faults = Faults { always: Some(Canned { status, headers, body }), ..Faults::default() };
                    let endpoint = EndpointSpec::at(&format!("/{}", name(number))).faults(faults);
                    spec.endpoints.insert(name(number), endpoint);
                }
            });
            let (simulator, world) = (simulator.await, World::new());
            let mut file = serde_json::to_value(&pack.file).unwrap();
            file["retry"] = json!({ "attempts": 1 });
            let limits = file["limits"].as_array_mut().unwrap();
            limits.push(json!({ "id": "health", "key": ["egress"], "breaker": { "failures": 0 } }));
            for number in 0..failures.len() {
                file["endpoints"][name(number)] = json!({ "get": format!("/{}", name(number)), "items": "$[*]" });
            }
            world.write("own.json", &file.to_string());
            let step = |number| json!({ "id": name(number), "call": name(number), "on_failure": "continue" });
            pack.job_of(&world, "./own.json", (0..failures.len()).map(step).collect());
            let report = run(&world, &simulator).run().await.json();
            let groups = report["failures"].as_array().unwrap();
            let found = groups.iter().map(|group| (group["step"].as_str().unwrap(), group["class"].as_str().unwrap()));
            let meant = failures.iter().enumerate().map(|(number, (class, _))| (name(number), class.name()));
            let meant: BTreeMap<String, &str> = meant.collect();
            let found: BTreeMap<String, &str> = found.map(|(step, class)| (step.to_owned(), class)).collect();
            assert_eq!(found, meant, "{}: {report}", pack.name);
            world.finish().await;
        }
    }
}

/// Packs whose lists come in one piece.
const WITHOUT_PAGES: [&str; 1] = ["hackernews"];
/// Packs whose only limit is of calls at once, which every simulated provider counts.
const AT_ONCE_ONLY: [&str; 2] = ["hackernews", "mediawiki"];

#[test]
fn no_pack_lacks_what_its_pages_its_limits_and_its_errors_are_tested_with() {
    for pack in packs() {
        let name = pack.name;
        let has_pages = pack.file.endpoints.values().any(|endpoint| endpoint.pages.is_some());
        assert_eq!(has_pages, !WITHOUT_PAGES.contains(&name), "{name}: endpoints with pages");
        let over_time = pack.file.limits.iter().any(|limit| !matches!(limit.rate, Rate::Concurrency { .. }));
        assert_eq!(over_time, !AT_ONCE_ONLY.contains(&name), "{name}: limits that count over time");
        assert!(!pack.file.limits.is_empty(), "{name}: limits");
        let known: BTreeSet<Class> = pack
            .recorded
            .answers
            .iter()
            .filter_map(|answer| match answer.means {
                Meaning::Failure(class) => Some(class),
                Meaning::Page(_) => None,
            })
            .collect();
        use Class::*;
        let needed: [(&str, &[Class]); 4] = [
            ("a refusal", &[RateLimited, QuotaExhausted]),
            ("a dead token", if pack.file.auth.is_some() { &[AuthRevoked, AuthExpired] } else { &[Permission] }),
            ("what is not there or not allowed", &[NotFound, Gone, Permission, Invalid]),
            ("trouble that passes", &[Transient, ProviderDown, Timeout, Suspect]),
        ];
        for (what, classes) in needed {
            assert!(classes.iter().any(|class| known.contains(class)), "{name}: no answer was recorded for {what}");
        }
    }
}

#[tokio::test]
async fn a_dead_token_is_known_for_what_it_is_by_every_pack() {
    for pack in packs().filter(|pack| pack.file.auth.is_some()) {
        let simulator = pack.start(5, |spec| spec.token = Some("another".to_owned())).await;
        let world = World::new();
        let call = pack.file.endpoints.keys().next().unwrap().as_str();
        pack.job(&world, pack.name, &[call]);
        let report = run(&world, &simulator).run().await.expect(1).json();
        let reason = report["reason"].as_str().unwrap_or_default();
        let known = ["auth_expired", "auth_revoked"].map(|class| format!("step {}: {class}: ", step(call)));
        assert!(known.iter().any(|known| reason.starts_with(known)), "{}: {report}", pack.name);
        assert_eq!(simulator.stats().sum(|endpoint| endpoint.requests), 1, "{}: it is not tried again", pack.name);
        world.finish().await;
    }
}

#[tokio::test]
async fn lists_of_linkedin_end_though_pages_of_one_item_go_on_for_ever() {
    let pack = packs().find(|pack| pack.name == "linkedin").unwrap();
    let lists = ["posts.comments", "posts.likes"];
    let endless = pack.start(5, |spec| {
        spec.quirks.add("endless_one_item_pages").unwrap();
        for list in lists {
            spec.endpoints.get_mut(list).unwrap().shape.as_mut().unwrap().total = None;
        }
    });
    let (simulator, world) = (endless.await, World::new());
    pack.job(&world, pack.name, &lists);
    let report = run(&world, &simulator).run().await.expect(0).json();
    pack.assert_whole(&world, &simulator, &lists);
    for step in report["steps"].as_array().unwrap() {
        assert_eq!(step["guards"], json!([["repeated_page", 1]]), "{report}");
    }
    world.finish().await;
}
