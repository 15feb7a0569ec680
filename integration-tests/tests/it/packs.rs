//! Packs, with the simulator playing their providers: each list comes whole, refusals are waited for, dead tokens are known for
//! what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidegate_limits::Rate;
use tidegate_provider::file::{Endpoint, ProviderFile};
use tidegate_provider::{PACKS, Pack, Recorded};
use tidegate_simulator::{
    Aligned, Bucket, EndpointSpec, Items, LimitSpec, Period, Running, Simulator, SimulatorSpec, Sliding, Window,
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
        let mut job = json!({ "provider": provider, "steps": steps.collect::<Vec<_>>() });
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
    if limit.window.is_some() {
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
        if let Rate::Window { per, .. } = &mut limit.rate {
            *per = Duration::from_millis(WINDOW_MS);
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
        // A limit that the file can't put into numbers is one that was recorded for the simulator.
        let over_time = pack.file.limits.iter().filter(|limit| !matches!(limit.rate, Rate::Concurrency { .. }));
        let missing: Vec<&str> =
            over_time.map(|limit| limit.id.as_str()).filter(|id| !simulated.contains_key(*id)).collect();
        assert!(missing.is_empty(), "{}: not simulated: {missing:?}", pack.name);
        let lists = bound(&pack.file, &simulated);
        if lists.is_empty() {
            continue;
        }
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
