//! Outputs that can't be written: exit code 4, and what was fetched is in the state file.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::mount::{Mount, ReadOnly};
use crate::hostile::{Hostile, Trick, page};
use crate::process::program;
use crate::world::{JOB, OUT, STATE, World};

const ENDPOINTS: &str = "endpoints:
  items:
    get: /items
    items: '$.items[*]'
    pages: { cursor: after, next: $.next }
";
const STEPS: &str = "steps: [ { id: items, call: items } ]\n";
const LINE: &str = "run job.yaml --quiet --allow-private=127.0.0.0/8";

/// A list of so many pages of a thousand items.
async fn list(pages: u64) -> Hostile {
    Hostile::start(move |seen| {
        let n = seen.number("after");
        let next = if n + 1 < pages { format!(r#","next":{}"#, n + 1) } else { String::new() };
        Trick::json(page(n * 1_000, (n + 1) * 1_000, &next))
    })
    .await
}

async fn kept(world: &World) -> usize {
    world.run(&["items", STATE]).await.expect(0).stdout.lines().count()
}

#[tokio::test]
async fn an_output_that_cannot_be_opened_is_known_before_anything_is_called() {
    let hostile = list(1).await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    std::fs::create_dir_all(world.path("folder/items.ndjson")).expect("a folder");
    let read_only = ReadOnly::with(&[]);
    let in_read_only = read_only.as_ref().map(|folder| folder.path("out.ndjson"));
    let outputs = ["none/out.ndjson", "job.yaml/out.ndjson", "job.yaml/", "folder"];
    for output in outputs.map(Path::new).into_iter().chain(in_read_only.as_deref()) {
        let output = output.to_string_lossy();
        let finished = world.run(&["run", JOB, "-q", "--allow-private", "-o", &output]).await.expect(4);
        assert!(finished.stderr.starts_with(&format!("error: can't write {output}")), "{}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
        assert!(hostile.seen().is_empty(), "{output}: something was called");
    }
    assert_eq!(world.files(".part").len(), 0);
    world.finish().await;
}

/// A device stays one: an output beside it that takes its name in the end would put a file in its place.
#[tokio::test]
async fn a_pipe_is_written_where_it_is() {
    let hostile = list(3).await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    let pipe = world.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let reading = tokio::task::spawn_blocking({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe)
    });
    world.run(&["run", JOB, "-q", "--allow-private", "-o", "pipe"]).await.expect(0);
    let read = reading.await.expect("no panic").expect("a pipe");
    assert_eq!(read.lines().count(), 3_000);
    assert!(std::fs::metadata(&pipe).expect("still there").file_type().is_fifo());
    std::fs::remove_file(pipe).expect("a pipe");
    world.finish().await;
}

#[tokio::test]
async fn a_link_is_followed_and_stays() {
    let hostile = list(1).await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    world.write("real.ndjson", "old\n");
    std::os::unix::fs::symlink("real.ndjson", world.path(OUT)).expect("a link");
    world.job(&[]).await.expect(0);
    assert!(world.path(OUT).is_symlink());
    assert_eq!(world.read("real.ndjson").lines().count(), 1_000);
    world.finish().await;
}

#[tokio::test]
async fn a_full_device_ends_the_run_and_loses_nothing() {
    let hostile = list(5).await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut command = Command::new(program());
    command.args(LINE.split(' ')).args(["-o", "-"]).current_dir(world.path("")).stdout(full()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.starts_with("error: can't write standard output: No space left on device"), "{stderr}");
    // It stopped before it had all; the same command goes on.
    let kept = kept(&world).await;
    assert!(kept >= 1_000, "{kept}");
    let finished = world.job(&[]).await.expect(0);
    assert_eq!((finished.number("/items"), world.ids(OUT).len()), (5_000, 5_000));
    assert_eq!(hostile.seen().len(), 5, "a page was asked for twice");
    world.finish().await;
}

#[tokio::test]
async fn a_full_disk_under_the_output_ends_the_run_and_loses_nothing() {
    let Some(mount) = Mount::of_kib(64) else { return };
    let hostile = list(20).await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    let out = mount.path(OUT).to_string_lossy().into_owned();
    let finished = world.run(&["run", JOB, "-q", "--allow-private", "-o", &out]).await.expect(4);
    assert!(finished.stderr.starts_with(&format!("error: can't write {out}: No space left")), "{}", finished.stderr);
    assert_eq!(std::fs::read_dir(mount.path("")).expect("the mount").count(), 0, "nothing is left in its way");
    let before = kept(&world).await;
    assert!(before >= 1_000, "{before}");
    mount.grow_to_kib(4_096);
    world.run(&["run", JOB, "-q", "--allow-private", "-o", &out]).await.expect(0);
    assert_eq!(std::fs::read_to_string(&out).expect("the output").lines().count(), 20_000);
    assert_eq!(hostile.seen().len(), 20, "a page was asked for twice");
    world.finish().await;
}

/// `| head -n 1`: the reader has what it wanted, which is nobody's fault.
#[tokio::test]
async fn a_reader_that_goes_away_ends_the_run_quietly() {
    let hostile = list(400).await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    let script = r#""$0" "$@" -o - | head -n 1; echo "${PIPESTATUS[0]}""#;
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(program()).args(LINE.split(' ')).current_dir(world.path(""));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout, "{\"id\":0}\n4\n", "{stderr}");
    assert_eq!(stderr, "");
    let kept = kept(&world).await;
    assert!((1_000..400_000).contains(&kept), "it stopped early: {kept}");
    // So it does where nothing is called at all.
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(program()).args(["items", STATE]).current_dir(world.path(""));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"id\":0}\n4\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    world.finish().await;
}
