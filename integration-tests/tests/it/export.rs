//! Exports: into folders and into a bucket of a server that speaks like S3 (Moto), read back.

use std::collections::BTreeMap;
use std::process::Command;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use serde_json::Value;
use tidegate_simulator::{EndpointSpec, Simulator, SimulatorSpec};

use crate::client::fixture::{Served, everything, third_party};
use crate::foreign::Server;
use crate::process::Cli;
use crate::world::{STATE, World, assert_same, ids, items};

const ENDPOINTS: &str = r#"
endpoints:
  users: { get: /users, items: "$.items[*]", key: "$.id", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  posts: { get: "/users/{id}/posts", items: "$.items[*]", key: "$.id", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 5 } } }
"#;
const STEPS: &str = r#"
steps:
  - { id: users, call: users }
  - { id: posts, call: posts, for_each: users, with: { id: "{{ item.id }}" } }
"#;
/// Ports of these tests alone; below 32768, where the system takes none for outgoing connections.
const PORT: u16 = 18_311;

/// A state file with users and their posts, and all their ids.
async fn pulled(users: u64) -> (World, Vec<String>) {
    let simulator = Simulator::start(&third_party(users, 0)).await.unwrap();
    let world = World::with(&simulator.base_url(), ENDPOINTS, STEPS);
    world.job(&[]).await.expect(0);
    (world, everything(&simulator))
}

/// Ids in a Parquet file, as texts.
fn parquet_ids(bytes: Vec<u8>) -> Vec<String> {
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let fields = reader.metadata().file_metadata().schema().get_fields().to_vec();
    let place = fields.iter().position(|field| field.name() == "id").expect("a column id");
    let id = |row: parquet::record::Row| {
        row.get_long(place).map(|id| id.to_string()).or_else(|_| row.get_string(place).cloned())
    };
    reader.get_row_iter(None).unwrap().map(|row| id(row.unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn parquet_files_of_each_step_hold_what_was_fetched() {
    let (world, expected) = pulled(300).await;
    let manifest = world.run(&["export", STATE, "--to", "out", "--format", "parquet", "--json"]).await.expect(0).json();
    let mut found = Vec::new();
    for part in manifest["parts"].as_array().unwrap() {
        let bytes = std::fs::read(world.path("out").join(part["name"].as_str().unwrap())).unwrap();
        assert_eq!(part["bytes"], bytes.len());
        found.extend(parquet_ids(bytes));
    }
    assert_same(found, expected);
    let again = world.run(&["export", STATE, "--to", "out", "--format", "parquet"]).await.expect(2);
    assert!(again.stderr.contains("--overwrite"), "{}", again.stderr);
    world.run(&["export", STATE, "--to", "out", "--format", "parquet", "--overwrite"]).await.expect(0);
    assert_eq!(world.files(".part").len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn a_gateways_job_is_exported_and_text_is_compressed_and_cut() {
    let (served, simulator) = Served::before(&third_party(30, 0), "").await;
    let job = served.submit().await;
    served.run(&["watch", &job]).await.expect(0);
    served.run(&["export", &job, "--to", "out", "--step", "posts", "--compress", "zstd"]).await.expect(0);
    let packed = std::fs::read(served.world.path("out/posts-00001.ndjson.zst")).unwrap();
    let text = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    let posts = simulator.ids("users", "").iter().flat_map(|user| simulator.ids("posts", user)).collect();
    assert_same(ids(&items(&text)), posts);
    served.finish().await;
}

#[tokio::test]
async fn what_cannot_be_a_destination_is_refused() {
    let (world, _) = pulled(1).await;
    for (to, code, text) in [
        ("gs://bucket/x", 2, "expected a folder or s3://BUCKET/PREFIX"),
        ("s3://", 2, "expected s3://BUCKET/PREFIX"),
        ("job.yaml", 4, "can't write job.yaml"),
    ] {
        let refused = world.run(&["export", STATE, "--to", to]).await.expect(code);
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
    }
    let steps = world.run(&["export", STATE, "--to", "out", "--step", "none"]).await.expect(2);
    assert!(steps.stderr.contains("no such step"), "{}", steps.stderr);
    world.finish().await;
}

#[tokio::test]
async fn a_bucket_holds_whole_objects_or_none() {
    let server = Server::start("moto", PORT, &[]).await;
    let url = server.base_url();
    let curl = |args: &[&str]| {
        // Objects are their owner's alone.
        let owner = ["--user", "test:test", "--aws-sigv4", "aws:amz:us-east-1:s3"];
        let output = Command::new("curl").args(["--silent", "--fail"]).args(owner).args(args).output().expect("curl");
        assert!(output.status.success(), "curl {args:?}");
        output.stdout
    };
    curl(&["-X", "PUT", &format!("{url}/bucket")]);
    let (world, expected) = pulled(300).await;
    let export = |more: &[&str]| -> Cli {
        let line = ["export", STATE, "--to", "s3://bucket/a/b", "--endpoint", url, "--json"];
        let cli = world.tidegate(&[&line, more].concat()).env("AWS_ACCESS_KEY_ID", "test");
        cli.env("AWS_SECRET_ACCESS_KEY", "CANARY-secret").env("AWS_REGION", "us-east-1")
    };
    let manifest = export(&["--format", "parquet"]).run().await.expect(0).json();
    let mut found = Vec::new();
    for part in manifest["parts"].as_array().unwrap() {
        found.extend(parquet_ids(curl(&[&format!("{url}/bucket/a/b/{}", part["name"].as_str().unwrap())])));
    }
    assert_same(found, expected.clone());
    let listed: Value = serde_json::from_slice(&curl(&[&format!("{url}/bucket/a/b/manifest.json")])).unwrap();
    assert_eq!(listed["items"], expected.len());
    let refused = export(&[]).run().await.expect(2);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);

    let line = ["export", STATE, "--to", "s3://none/a", "--endpoint", url];
    let none = world.tidegate(&line).env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "CANARY-secret");
    let refused = none.env("AWS_REGION", "us-east-1").run().await.expect(4);
    assert!(refused.stderr.contains("s3://none/a") && !refused.stderr.contains("CANARY"), "{}", refused.stderr);
    let by_step: BTreeMap<&str, u64> = manifest["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (part["step"].as_str().unwrap(), part["items"].as_u64().unwrap()))
        .collect();
    assert_eq!(by_step["users"], 300);
    world.finish().await;
}

/// Larger than one part of an upload, so that it goes in several.
#[tokio::test]
async fn a_large_object_is_uploaded_in_parts() {
    let server = Server::start("moto", PORT + 1, &[]).await;
    let url = server.base_url();
    let put =
        Command::new("curl").args(["--silent", "--fail", "-X", "PUT", &format!("{url}/bucket")]).status().unwrap();
    assert!(put.success());
    let users = EndpointSpec::at("/users").items(1_000).offset("offset").size("limit", 10);
    let users = EndpointSpec { item_bytes: Some(20_000), ..users };
    let spec = SimulatorSpec::seeded(7).with("users", users.total_in_body("$.total"));
    let simulator = Simulator::start(&spec).await.unwrap();
    let world = World::with(&simulator.base_url(), ENDPOINTS, "steps: [ { id: users, call: users } ]");
    world.job(&[]).await.expect(0);
    let line = ["export", STATE, "--to", "s3://bucket/large", "--endpoint", url, "--format", "json"];
    let cli = world.tidegate(&line).env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    cli.env("AWS_REGION", "us-east-1").run().await.expect(0);
    let got = Command::new("curl")
        .args(["--silent", "--fail", &format!("{url}/bucket/large/users-00001.json")])
        .output()
        .unwrap();
    assert!(got.stdout.len() > 16 << 20, "{} bytes are one part", got.stdout.len());
    let array: Vec<Value> = serde_json::from_slice(&got.stdout).unwrap();
    assert_same(ids(&array), simulator.ids("users", ""));
    world.finish().await;
}
