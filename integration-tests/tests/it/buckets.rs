//! Budgets that several endpoints share, which ones answers alone tell: Discord's buckets.

use serde_json::json;
use tidegate_provider::PACKS;
use tidegate_simulator::{Aligned, EndpointSpec, Items, Period, Running, Simulator, SimulatorSpec, Window};

use crate::client::fixture::Served;
use crate::cluster::fixture::Cluster;
use crate::parked::{Form, put, run};
use crate::world::{assert_same, ids, items};

/// Calls of the one bucket, and how long it takes until they are there again.
const CALLS: u64 = 12;
const PER_MS: u64 = 2_000;
/// Pages of each of two lists, of 1,000 items.
const PAGES: u64 = 16;

/// Discord, with one bucket for all that is asked of a guild.
async fn discord() -> Running {
    let of_pack = SimulatorSpec { provider: Some("discord".into()), ..SimulatorSpec::seeded(5) };
    let (mut spec, _) = of_pack.completed().unwrap();
    let guild = spec.limits.iter_mut().flatten().find(|limit| limit.id.as_deref() == Some("guild")).unwrap();
    guild.window = Some(Window { calls: CALLS, per: Period::from_ms(PER_MS), aligned: Aligned::FirstCall });
    let items = Some(Items::Count(1_000 * PAGES));
    let defaults = EndpointSpec { items, item_bytes: Some(40), ..EndpointSpec::default() };
    Simulator::start(&SimulatorSpec { defaults, ..spec }.latency_ms(10)).await.unwrap()
}

/// What two endpoints take from the bucket that answers name is counted together.
async fn endpoints_share_a_bucket(form: &impl Form) {
    let simulator = discord().await;
    let pack = PACKS.iter().find(|pack| pack.name == "discord").unwrap();
    let mut file = json!(pack.merged().unwrap().file);
    file["base_url"] = json!(simulator.base_url());
    form.world().write("discord.yaml", &file.to_string());
    let step = |name: &str| format!("{{ id: {name}, call: guilds.{name}, with: {{ guild: '7' }} }}");
    let job = format!("provider: ./discord.yaml\ncredential: me\nsteps: [{}, {}]\n", step("members"), step("bans"));
    form.world().write("job.yaml", &job);
    put(form, "me", "made-up").await;
    let mut refused = Vec::new();
    for _ in 0..2 {
        let ended = run(form, &["submit", "job.yaml", "--wait", "--json"]).await.json();
        assert_eq!((&ended["state"], &ended["counts"]["calls_failed"]), (&json!("succeeded"), &json!(0)), "{ended}");
        let job = ended["id"].as_str().unwrap();
        for name in ["members", "bans"] {
            let came = items(&run(form, &["items", job, "--step", name]).await.stdout);
            assert_same(ids_of(&came), simulator.ids(&format!("guilds.{name}"), "7"));
        }
        refused.push(simulator.stats().limits["guild"].refused);
    }
    let listed = items(&run(form, &["limits", "list", "--id", "route", "--json"]).await.stdout);
    let keys: Vec<&str> = listed.iter().filter_map(|budget| budget["key"].as_str()).collect();
    assert!(keys.iter().any(|key| key.contains("endpoint=bucket:guild")), "{keys:?}");
    // Both chains run together; each has one call out, which may meet the end of a window that the other one has used up.
    assert!(refused[1] - refused[0] <= 4, "{refused:?} of {} calls each", 2 * PAGES);
}

/// Items of members name their users.
fn ids_of(came: &[serde_json::Value]) -> Vec<String> {
    let user = |item: &serde_json::Value| item.get("user").cloned().unwrap_or_else(|| item.clone());
    ids(&came.iter().map(user).collect::<Vec<_>>())
}

#[tokio::test]
async fn endpoints_share_the_bucket_that_answers_name_in_one_process() {
    let served = Served::start().await;
    endpoints_share_a_bucket(&served).await;
    served.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_share_the_bucket_that_answers_name_in_a_cluster() {
    let mut cluster = Cluster::start().await;
    cluster.add("executor").await;
    cluster.are_ready().await;
    endpoints_share_a_bucket(&cluster).await;
    cluster.finish().await;
}
