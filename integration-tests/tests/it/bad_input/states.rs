//! State files that can't be used: exit code 3, a clear message, and what was committed before can be read.

use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection};

use super::mount::{Mount, ReadOnly};
use crate::hostile::{Hostile, Trick, head, page};
use crate::process::Finished;
use crate::world::{JOB, OUT, STATE, World};

const ENDPOINTS: &str = "timeouts: { first_byte: 30s, idle: 30s }
endpoints:
  items:
    get: /items
    items: '$.items[*]'
    pages: { cursor: after, next: $.next }
";
const STEPS: &str = "steps: [ { id: items, call: items } ]\n";

async fn world() -> (Hostile, World) {
    let hostile = Hostile::start(|_| Trick::json(page(0, 3, ""))).await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    (hostile, world)
}

/// One line, without the code's own words.
#[track_caller]
fn check_text(finished: &Finished, says: &str) {
    let text = &finished.stderr;
    assert!(text.starts_with("error: ") && text.contains(says), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in ["PoolTimedOut", "sqlx", "panicked"] {
        assert!(!text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_state_file_is_refused_and_left_as_it_is() {
    let (hostile, world) = world().await;
    let text = "provider: x\n".repeat(1_000);
    world.write("notes.txt", &text);
    for args in
        [["run", JOB, "-q", "--state", "notes.txt"].as_slice(), &["items", "notes.txt"], &["status", "notes.txt"]]
    {
        let finished = world.run(args).await.expect(3);
        check_text(&finished, "notes.txt");
        assert_eq!(finished.stderr.matches("file is not a database").count(), 1, "{}", finished.stderr);
    }
    assert_eq!(world.read("notes.txt"), text);
    assert!(hostile.seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_folder_for_the_state_file_is_made_if_it_can_be() {
    let (hostile, world) = world().await;
    world.job(&["--state", "new/deep/state.db"]).await.expect(0);
    assert!(world.exists("new/deep/state.db"));
    for (path, says) in [("job.yaml/state.db", "job.yaml"), ("new/deep", "new/deep")] {
        let finished = world.run(&["run", JOB, "-q", "--state", path]).await.expect(3);
        check_text(&finished, says);
    }
    assert_eq!(hostile.seen().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_state_file_that_may_only_be_read_is_refused_by_its_name() {
    let (hostile, world) = world().await;
    world.job(&[]).await.expect(0);
    let Some(folder) = ReadOnly::with(&[&world.path(STATE)]) else { return world.finish().await };
    let state = folder.path("job.db").to_string_lossy().into_owned();
    let finished = world.run(&["run", JOB, "-q", "--fresh", "--allow-private", "--state", &state]).await.expect(3);
    check_text(&finished, &state.replace(".db", ".lock"));
    check_text(&world.run(&["items", &state]).await.expect(3), &state);
    assert_eq!(hostile.seen().len(), 1);
    // A copy is all it takes.
    std::fs::copy(&state, world.path("copy.sqlite")).expect("a copy");
    let items = world.run(&["items", "copy.sqlite"]).await.expect(0);
    assert_eq!(items.stdout, world.read(OUT));
    world.finish().await;
}

#[tokio::test]
async fn a_state_file_of_a_newer_program_is_refused_and_left_as_it_is() {
    let (_hostile, world) = world().await;
    world.job(&[]).await.expect(0);
    let newer = world.path("newer.sqlite");
    std::fs::copy(world.path(STATE), &newer).expect("a copy");
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
               VALUES (99990101000001, 'from the future', 1, x'00', 0)";
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", newer.display())).await.expect("a database");
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("a table of migrations");
    connection.close().await.expect("it is written");
    let before = std::fs::read(&newer).expect("a file");
    for args in [["run", JOB, "-q", "--fresh", "--state", "newer.sqlite"].as_slice(), &["items", "newer.sqlite"]] {
        let finished = world.run(args).await.expect(3);
        check_text(&finished, "newer tidegate");
        assert!(
            finished.stderr.contains("99990101000001") && finished.stderr.contains("upgrade"),
            "{}",
            finished.stderr
        );
    }
    assert_eq!(std::fs::read(&newer).expect("a file"), before);
    world.finish().await;
}

#[tokio::test]
async fn a_job_in_the_file_that_this_build_can_not_read_is_refused_and_not_waited_for() {
    let hostile = Hostile::start(|_| Trick::answer("403 Forbidden", "", "")).await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    world.job(&[]).await.expect(1);
    let asked = hostile.seen().len();
    // As a build with other files might have written it.
    let url = format!("sqlite://{}", world.path(STATE).display());
    let mut connection = SqliteConnection::connect(&url).await.expect("it opens");
    sqlx::query(r#"UPDATE jobs SET spec = '{"job":{},"provider":{}}'"#)
        .execute(&mut connection)
        .await
        .expect("changed");
    connection.close().await.expect("it is written");
    let finished = world.job(&[]).await.expect(3);
    check_text(&finished, "can't be used");
    assert!(finished.stderr.contains("--fresh"), "{}", finished.stderr);
    assert_eq!(hostile.seen().len(), asked);
    world.finish().await;
}

/// The second one is refused before it touches anything that the first one works on.
#[tokio::test]
async fn a_job_that_runs_already_is_refused_and_the_running_one_is_not_disturbed() {
    let hostile = Hostile::start(|seen| match seen.query("after") {
        None => Trick::json(page(0, 1_000, r#","next":"b""#)),
        Some(_) => Trick::Drip {
            bytes: [head("200 OK", "", None), page(1_000, 1_002, "")].concat().into_bytes(),
            pause: Duration::from_millis(20),
        },
    })
    .await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    let first = world.job_line(&[]).spawn();
    crate::world::until("the second page is asked for", || hostile.seen().len() == 2).await;
    let second = world.job(&[]).await.expect(3);
    check_text(&second, "job.db is in use by another tidegate");
    first.wait().await.expect(0);
    assert_eq!(world.ids(OUT).len(), 1_002);
    assert_eq!(hostile.seen().len(), 2);
    world.finish().await;
}

/// Pages of items that do not pack well fill the disk.
#[tokio::test]
async fn a_full_disk_under_the_state_file_ends_the_run_and_what_was_committed_can_be_read() {
    let Some(mount) = Mount::of_kib(2 << 10) else { return };
    let hostile = Hostile::start(|seen| {
        let n = seen.number("after");
        let item = |id: u64| format!(r#"{{"id":{id},"text":"{}"}}"#, noise(id, 500));
        let items: Vec<String> = (n * 100..n * 100 + 100).map(item).collect();
        let next = if n < 49 { format!(r#","next":{}"#, n + 1) } else { String::new() };
        Trick::json(format!(r#"{{"items":[{}]{next}}}"#, items.join(",")))
    })
    .await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    let state = mount.path("state.db").to_string_lossy().into_owned();
    let run = ["run", JOB, "-q", "--json", "--allow-private", "--state", &state];
    let finished = world.run(&run).await.expect(3);
    assert!(
        finished.stderr.contains("the disk of the state file is full; what was committed before is safe"),
        "{}",
        finished.stderr
    );
    let status = world.run(&["status", &state, "--json"]).await.expect(0);
    let committed = status.number("/0/items");
    assert!((100..5_000).contains(&committed), "{committed}");
    let items = world.run(&["items", &state]).await.expect(0);
    assert!(items.stdout.lines().count() as u64 >= committed);
    // Again, and nothing is different, as long as the disk is full.
    world.run(&run).await.expect(3);
    mount.grow_to_kib(32 << 10);
    let finished = world.run(&run).await.expect(0);
    assert_eq!(finished.number("/items"), 5_000);
    let asked: std::collections::HashSet<String> = hostile.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(asked.len(), 50);
    // Only what was on the wire when the disk was full came twice.
    assert!(hostile.seen().len() <= 54, "{}", hostile.seen().len());
    let all = world.run(&["items", &state]).await.expect(0);
    assert_eq!(all.stdout.lines().count(), 5_000);
    world.finish().await;
}

/// Text that does not pack.
fn noise(seed: u64, chars: usize) -> String {
    // Constants of Knuth's MMIX generator (The Art of Computer Programming 2, 3.3.4).
    let step = |state: u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let digits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_".as_bytes();
    let states = std::iter::successors(Some(step(seed)), |state| Some(step(*state)));
    states.take(chars).map(|state| char::from(digits[(state >> 58) as usize])).collect()
}
