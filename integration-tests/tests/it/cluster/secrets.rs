//! Secrets stay where they belong: in no log, message, table or key.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use tidegate_simulator::{EndpointSpec, Period, Simulator, SimulatorSpec, TokensSpec};

use super::fixture::{Cluster, KINDS};
use super::servers::{Addresses, Postgres, Redis};
use crate::hostile::{Hostile, Trick, page};
use crate::notify::Receiver;
use crate::parked::{parked, put};
use crate::process::DEADLINE;
use crate::world::{JOB, until};

const TOKEN: &str = "canary-token-58c1d0e4";
/// Of a credential that is no longer taken.
const REVOKED: &str = "canary-revoked-0b7d61fe";
const POSTGRES: &str = "canary-postgres-91ab";
const REDIS: &str = "canary-redis-7e02";

const PROVIDER: &str = "retry: { attempts: 3, base: 5ms, cap: 20ms }
auth: { bearer: '{{ credential.token }}' }
limits:
  - { id: quota, key: [provider, credential], window: { calls: 1000, per: 1s } }
endpoints:
  items: { get: /items, items: '$.items[*]', key: $.id, pages: { offset: offset, size: { param: limit, max: 10 } } }
  child: { get: '/items/{id}' }
  own: { get: /own, items: '$.items[*]' }
";
const STEPS: &str = "credential: alice
steps:
  - { id: items, call: items }
  - { id: more, call: child, for_each: items, with: { id: '{{ item.id }}' }, on_failure: continue }
";

/// Twenty pages of items; of those behind them, some fail for good, all of them with the token in their answer, and so does what
/// is refused.
async fn third_party() -> Hostile {
    Hostile::start(|seen| match seen.target.strip_prefix("/items/") {
        _ if seen.target == "/own" => {
            Trick::answer("401 Unauthorized", "", format!("{{\"error\":\"the token {REVOKED} is revoked\"}}"))
        }
        Some(id) if id.ends_with('3') => Trick::answer("403 Forbidden", "", format!("{{\"error\":\"no {TOKEN}\"}}")),
        Some(id) if id.ends_with('7') => Trick::answer("500 Oh", "", format!("the token {TOKEN} is no good")),
        Some(_) => Trick::json(r#"{"id":0}"#),
        None if seen.number("offset") >= 200 => Trick::json(page(0, 0, "")),
        None => Trick::json(page(seen.number("offset"), seen.number("offset") + 10, "")),
    })
    .await
}

/// All that is said of a job whose credential is parked, to whoever asks and to its owner. The job is given up after.
async fn said_of_a_parked_credential(cluster: &Cluster) -> Vec<(String, String)> {
    let receiver = Receiver::start(204, 204).await;
    put(cluster, "revoked", REVOKED).await;
    let notify = format!("notify: {{ url: '{}' }}", receiver.url);
    let file = format!("provider: ./sim.yaml\ncredential: revoked\n{notify}\nsteps: [{{ id: own, call: own }}]\n");
    cluster.world.write("revoked.yaml", &file);
    let job = cluster.submit("revoked.yaml").await;
    let status = parked(cluster, &job).await;
    assert_eq!(status["parked"]["message"], "the token *** is revoked", "{status}");
    until("its owner is told", || !receiver.told().is_empty()).await;
    let told = receiver.told().iter().map(|told| told.body.to_string()).collect();
    let asked = |path: String| async move { cluster.ask("gateway", "GET", &path, "").await.body };
    let said = vec![
        ("the status of a parked job".to_owned(), status.to_string()),
        ("the webhook".to_owned(), told),
        ("credentials that are listed".to_owned(), asked("/v1/credentials".to_owned()).await),
        ("why a job waits".to_owned(), asked(format!("/v1/jobs/{job}/explain")).await),
        ("jobs that are listed".to_owned(), asked("/v1/jobs".to_owned()).await),
    ];
    assert!(said.iter().all(|(place, text)| text.contains("***") || !place.contains("parked")), "{said:?}");
    cluster.cli(&["cancel", &job]).run().await.expect(0);
    said
}

/// A client's secret, and a refresh token of which a token is made.
const CLIENT: [(&str, &str); 3] = [
    ("client_id", "canary-client-77e2"),
    ("client_secret", "canary-secret-43b9"),
    ("refresh_token", "canary-refresh-90cc"),
];

/// All that is said of a job whose tokens are refreshed a few times and then refused, and the tokens. It is given up after.
async fn said_of_refreshed_tokens(cluster: &Cluster) -> (Vec<(String, String)>, Vec<String>) {
    let tokens = TokensSpec { expires_in: Period::from_ms(1_000), ..TokensSpec::default() };
    let list = EndpointSpec::at("/list").items(10_000).offset("offset").size("limit", 10).total_in_body("$.total");
    let spec = SimulatorSpec::seeded(5).with("list", list).latency_ms(50).tokens(tokens);
    let simulator = Simulator::start(&spec).await.unwrap();
    put(cluster, "renewed", &serde_json::json!(std::collections::BTreeMap::from(CLIENT)).to_string()).await;
    let base_url = simulator.base_url();
    let provider = format!(
        "tidegate: 1\nprovider: renewed\nbase_url: {base_url}\nauth: {{ oauth2: {{ token_url: '{base_url}/oauth/token' }} }}\n\
         limits: [{{ id: slow, window: {{ calls: 20, per: 1s }} }}]\nendpoints:\n  list: {{ get: /list, items: '$.items[*]', \
         pages: {{ offset: offset, size: {{ param: limit, max: 10 }}, total: '$.total' }} }}\n"
    );
    cluster.world.write("renewed.yaml", &provider);
    cluster.world.write(
        "renewed-job.yaml",
        "provider: ./renewed.yaml\ncredential: renewed\nsteps: [{ id: list, call: list }]\n",
    );
    let job = cluster.submit("renewed-job.yaml").await;
    until("tokens were refreshed", || simulator.stats().tokens.issued >= 3).await;
    simulator.revoke_tokens();
    let status = parked(cluster, &job).await;
    let asked = cluster.ask("gateway", "GET", &format!("/v1/jobs/{job}/explain"), "").await.body;
    let listed = cluster.ask("gateway", "GET", "/v1/credentials", "").await.body;
    cluster.cli(&["cancel", &job]).run().await.expect(0);
    let secrets = simulator.issued_tokens().into_iter().chain(CLIENT.map(|(_, secret)| secret.to_owned()));
    let said = [("a job of refreshed tokens", status.to_string()), ("why it waits", asked), ("credentials", listed)];
    (said.map(|(place, text)| (place.to_owned(), text)).into(), secrets.collect())
}

/// How long a queue may take to deliver what is in it.
const DELIVERED_WITHIN: Duration = Duration::from_millis(300);

/// All messages that the broker has and nobody takes, with their headers. They are put back.
async fn messages(cluster: &Cluster) -> (usize, String) {
    // The broker counts what is in a quorum queue now and then only; so all are looked into, but for parked calls'.
    let queues = cluster.ctl(&["list_queues", "--no-table-headers", "-p", cluster.name(), "name"]).await;
    let queues = queues.lines().map(str::trim);
    let connection = Connection::connect(&cluster.rabbitmq(), ConnectionProperties::default()).await.expect("connects");
    let (mut count, mut all) = (0, String::new());
    for queue in queues.filter(|queue| ![".events.", ".delay."].iter().any(|other| queue.contains(other))) {
        let channel = connection.create_channel().await.expect("a channel");
        let options = BasicConsumeOptions::default();
        let taking = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await;
        let mut taking = taking.expect("a queue");
        while let Ok(Some(delivery)) = tokio::time::timeout(DELIVERED_WITHIN, taking.next()).await {
            let delivery = delivery.expect("a message");
            all.push_str(&format!("{} {:?}\n", String::from_utf8_lossy(&delivery.data), delivery.properties));
            count += 1;
        }
        channel.close(200, "read".into()).await.expect("closes");
    }
    connection.close(200, "read".into()).await.expect("closes");
    (count, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_found_in_logs_messages_tables_or_keys() {
    let (postgres, redis, hostile) = (Postgres::start(POSTGRES).await, Redis::start(Some(REDIS)), third_party().await);
    let cluster = Cluster::over(Addresses::usual().postgres(&postgres).redis(&redis)).await;
    let mut cluster = cluster.set("TIDEGATE_LOG", "debug,sqlx=info").started().await;
    let stored = cluster.ask("gateway", "PUT", "/v1/credentials/alice", &format!("{{\"token\":\"{TOKEN}\"}}")).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    cluster.world.provider(hostile.origin(), PROVIDER);
    cluster.world.write(JOB, &format!("provider: ./sim.yaml\n{STEPS}"));
    let job = cluster.submit(JOB).await;
    let going_on = async {
        while hostile.seen().len() < 60 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, going_on).await.expect("the job goes on");
    // Who takes messages is gone, so what is under way stands in the queues.
    let mut places: Vec<(String, String)> = Vec::new();
    const AWAY: [&str; 3] = ["tracker", "executor", "planner"];
    for kind in AWAY {
        places.push((format!("the log of the first {kind}"), cluster.remove(kind).await.stderr));
    }
    let (count, under_way) = messages(&cluster).await;
    assert!(count > 0, "nothing is under way");
    for kind in AWAY {
        cluster.add(kind).await;
    }
    // Somebody knocks with a wrong key, and with a right one at the wrong door.
    assert_eq!(cluster.ask("gateway", "GET", "/v1/credentials/alice/nothing", "").await.status, 404);
    let ended = cluster.ended(&job).await.json();
    assert_eq!((&ended["counts"]["calls_failed"], &ended["counts"]["items"]), (&40.into(), &360.into()), "{ended}");
    assert!(hostile.seen().iter().all(|seen| seen.head.contains(TOKEN)), "the third party got the token");
    let failures = cluster.ask("gateway", "GET", &format!("/v1/jobs/{job}/failures"), "").await;
    assert_eq!(failures.status, 200, "{failures:?}");
    places.extend(said_of_a_parked_credential(&cluster).await);
    let (said, tokens) = said_of_refreshed_tokens(&cluster).await;
    places.extend(said);
    let tables = postgres.dump(cluster.name()).await;
    assert!(tables.contains("the token *** is revoked"), "the dump holds why a credential is parked");
    assert!(tables.contains("alice") && tables.contains("403"), "the dump holds credentials and failures");
    let keys = redis.dump().await;
    assert!(keys.contains("quota"), "{keys}");
    places.extend(KINDS.map(|kind| (format!("the log of the {kind}"), cluster.said_by(kind))));
    places.extend([
        ("messages under way".to_owned(), under_way),
        ("messages left".to_owned(), messages(&cluster).await.1),
        ("tables".to_owned(), tables),
        ("keys".to_owned(), keys),
        ("failures that are shown".to_owned(), failures.body),
        ("what the job says".to_owned(), ended.to_string()),
    ]);
    // Ids of keys and checksums are no secrets; what stands between them is.
    let secret = |text: &str| text.split(['_', ':']).max_by_key(|part| part.len()).unwrap_or(text).to_owned();
    let secrets = cluster.secrets().map(secret).into_iter().chain([TOKEN, REVOKED, POSTGRES, REDIS].map(str::to_owned));
    for secret in secrets.chain(tokens) {
        assert!(secret.len() >= 12, "too short to look for: {secret}");
        for (place, text) in &places {
            let found = text.lines().find(|line| line.contains(&secret));
            assert!(found.is_none(), "{secret} stands in {place}: {found:?}");
        }
    }
    cluster.finish().await;
}
