//! A command leaves its state file whole: without a write-ahead log beside it, so that `cp` alone copies all of it.

use tidegate_ledger::{Ledger as _, SqliteLedger, Sync};
use tidegate_simulator::{EndpointSpec, Running, Simulator, SimulatorSpec};

use crate::client::fixture::Served;
use crate::world::{JOB, RUN, STATE, World};

const COPY: &str = "copied";
const PROVIDER: &str = r#"retry: { attempts: 1 }
endpoints:
  users: { get: /users, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 } } }
  none: { get: /users, items: "$.no.such[*]" }
"#;
const NO_JOB: &str = "job_00000000000000000000000000000000";

async fn start(steps: &str) -> (Running, World) {
    let users = EndpointSpec::at("/users").items(25).offset("offset").size("limit", 10);
    let simulator = Simulator::start(&SimulatorSpec::seeded(3).with("users", users)).await.unwrap();
    let world = World::with(&simulator.base_url(), PROVIDER, steps);
    (simulator, world)
}

/// No log is left, and a copy of the one file is a whole state file.
async fn is_whole(world: &World, state: &str, after: &str) {
    assert_eq!(world.files("-wal"), Vec::<std::path::PathBuf>::new(), "after {after}");
    std::fs::copy(world.path(state), world.path(COPY)).unwrap();
    let copied =
        SqliteLedger::open(&world.path(COPY), Sync::Full).await.unwrap_or_else(|e| panic!("after {after}: {e}"));
    assert_eq!(copied.audit().await.unwrap(), Vec::<String>::new(), "after {after}");
    copied.close().await;
    std::fs::remove_file(world.path(COPY)).unwrap();
}

/// Runs commands, and whether each ends well.
async fn each_leaves_it_whole(world: &World, state: &str, commands: &[(&[&str], bool)]) {
    for (args, well) in commands {
        let ended = world.run(args).await;
        assert_eq!(ended.code == Some(0), *well, "{ended:?}");
        is_whole(world, state, &ended.line).await;
    }
}

#[tokio::test]
async fn every_command_leaves_the_state_file_whole() {
    let (_simulator, world) = start("steps: [{ id: users, call: users }]").await;
    let commands: [(&[&str], bool); 22] = [
        (&RUN, true),
        // It is done already.
        (&RUN, true),
        (&[&RUN[..], &["--step", "none"]].concat(), false),
        (&["run", JOB, "--allow-private=127.0.0.0/8", "--fresh", "-o", "job.yaml/out"], false),
        (&["status", STATE], true),
        (&["status", STATE, "--job", NO_JOB], false),
        (&["items", STATE, "-o", "-"], true),
        (&["items", STATE, "--step", "none"], false),
        (&["export", STATE, "--to", "exported"], true),
        (&["export", STATE, "--to", "exported"], false),
        (&["explain", STATE], true),
        (&["explain", STATE, "--job", NO_JOB], false),
        (&["tree", STATE], true),
        (&["tree", STATE, "--failed"], true),
        (&["tree", STATE, "--after", "nonsense"], false),
        (&["provider", "unmatched", "sim", "--state", STATE], true),
        (&["since", "list", "--state", STATE], true),
        (&["since", "list", "--state", STATE, "--after", "nonsense"], false),
        (&["since", "reset", "job", "--state", STATE], true),
        (&["keys", "create", "--state", STATE], true),
        (&["credentials", "rotate", "--state", STATE], true),
        (&["prune", STATE, "--older-than", "0s"], true),
    ];
    each_leaves_it_whole(&world, STATE, &commands).await;
    world.finish().await;
}

#[tokio::test]
async fn a_run_that_fails_or_is_interrupted_leaves_the_state_file_whole() {
    let (_simulator, world) = start("steps: [{ id: none, call: none, on_failure: fail_job }]").await;
    each_leaves_it_whole(&world, STATE, &[(&RUN, false)]).await;
    world.provider("http://127.0.0.1:1", PROVIDER);
    world.write(JOB, "provider: ./sim.yaml\nsteps: [{ id: users, call: users }]");
    let mut run = world.tidegate(&["run", JOB, "--allow-private=127.0.0.0/8", "--ui=0"]).spawn();
    run.says("the page, for you once").await;
    run.signal("INT").await;
    let ended = run.wait().await.expect(130);
    is_whole(&world, STATE, &ended.line).await;
    world.finish().await;
}

#[tokio::test]
async fn a_gateway_that_is_asked_to_end_leaves_its_state_file_whole() {
    let (served, _simulator) = Served::before(&crate::client::fixture::third_party(5, 0), "").await;
    served.run(&["submit", JOB, "--wait"]).await.expect(0);
    let world = served.end().await;
    is_whole(&world, crate::client::fixture::STATE, "SIGTERM").await;
    world.finish().await;
}

#[tokio::test]
async fn a_file_that_is_refused_is_left_as_whole_as_it_was() {
    let world = World::new();
    world.run(&["keys", "create", "--state", "newer.db"]).await.expect(0);
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(world.path("newer.db"));
    let pool = sqlx::SqlitePool::connect_with(file).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99999999999999, 'newer', TRUE, x'00', 0)";
    sqlx::query(newer).execute(&pool).await.unwrap();
    pool.close().await;
    for args in [&["status", "newer.db"][..], &["keys", "create", "--state", "newer.db"]] {
        let ended = world.run(args).await;
        assert_ne!(ended.code, Some(0), "{}", ended.line);
        assert_eq!(world.files("-wal"), Vec::<std::path::PathBuf>::new(), "after {}", ended.line);
    }
    std::fs::remove_file(world.path("newer.db")).unwrap();
    world.finish().await;
}
