//! What goes wrong is told, and the exit code says whose it is to mend.

use super::fixture::{STEPS, Served, third_party};
use crate::world::{JOB, World};

#[tokio::test]
async fn who_has_no_job_or_no_key_is_told() {
    let served = Served::start().await;
    let nobody = "job_00000000000000000000000000000000";
    for command in ["status", "watch", "items", "cancel", "retry"] {
        let refused = served.run(&[command, nobody]).await.expect(1);
        assert_eq!(refused.stderr, "error: There is no such thing: there is no such job\n", "{command}");
        assert_eq!(refused.stdout, "");
    }
    served.run(&["watch", "job_1"]).await.expect(2);
    let wrong = served.cli(&["jobs"]).env("TIDEGATE_API_KEY", "tg_made_up").run().await.expect(1);
    assert!(
        wrong.stderr.starts_with("error: No valid API key") && !wrong.stderr.contains("made_up"),
        "{}",
        wrong.stderr
    );
    let torn = served.cli(&["jobs"]).env("TIDEGATE_API_KEY", "tg_a\nb").run().await.expect(2);
    assert_eq!(torn.stderr, "error: the API key has characters that no key has\n");
    let none = served.cli(&["jobs"]).env("TIDEGATE_API_KEY", "").run().await.expect(2);
    assert!(none.stderr.contains("TIDEGATE_API_KEY is not set"), "{}", none.stderr);
    let file = served.world.write("key", &format!("{}\n", served.key));
    let by_file = served.cli(&["jobs"]).env("TIDEGATE_API_KEY", "");
    by_file.env("TIDEGATE_API_KEY_FILE", &file.to_string_lossy()).run().await.expect(0);
    served.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_line_by_line() {
    let (served, _simulator) = Served::before(&third_party(1, 0), "").await;
    served.world.write(JOB, "provider: ./sim.yaml\nsteps:\n  - { id: users, cal: users }\n");
    let here = served.run(&["submit", JOB]).await.expect(2);
    assert!(here.stderr.contains("job.yaml:3:18:") && here.stderr.contains("cal"), "{}", here.stderr);
    served.run(&["providers", "put", "sim.yaml"]).await.expect(0);
    let text = format!("provider: sim\n{}", STEPS.replace("call: posts", "call: pots"));
    let there = served.cli(&["submit", "-"]).input(&served.world.write("stdin", &text)).run().await.expect(1);
    assert!(there.stderr.contains("\n  5:24: /steps/1/call: "), "{}", there.stderr);
    // A file that only the gateway finds wrong, for it alone knows the provider.
    served.world.write(JOB, &text);
    std::fs::remove_file(served.world.path("sim.yaml")).unwrap();
    let there = served.run(&["submit", JOB]).await.expect(1);
    assert!(there.stderr.contains("/steps/1/call: "), "{}", there.stderr);
    served.run(&["submit", "lost.yaml"]).await.expect(2);
    served.finish().await;
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_told_and_where_it_was_looked_for() {
    let world = World::new();
    let job = "job_00000000000000000000000000000000";
    for line in [&["jobs"][..], &["watch", job], &["items", job], &["status", job]] {
        let cli = world.tidegate(line).env("TIDEGATE_API_KEY", "tg_x").env("TIDEGATE_URL", "http://127.0.0.1:9");
        let said = cli.run().await.expect(70).stderr;
        assert!(said.contains("the gateway at 127.0.0.1:9 can't be reached: "), "{line:?}: {said}");
        assert!(said.contains("TIDEGATE_URL"), "{said}");
    }
    world.finish().await;
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_no_secrets() {
    let served = Served::start().await;
    let well = served.says(&["doctor"]).await;
    assert!(well.contains("ok     gateway") && well.contains("takes the API key"), "{well}");
    let ill = served
        .cli(&["doctor"])
        .env("TIDEGATE_API_KEY", "tg_canary_0")
        .env("TIDEGATE_URL", &format!("http://me:canary-1@{}", served.address))
        .env("TIDEGATE_POSTGRES", "postgres://me:canary-2@127.0.0.1:9/tidegate?password=canary-3")
        .env("TIDEGATE_REDIS", "redis://:canary-4@127.0.0.1:9/0")
        .env("TIDEGATE_RABBITMQ", "amqp://me:canary-5@127.0.0.1:9/tidegate");
    let ill = ill.run().await.expect(1);
    for name in ["gateway  ", "postgres ", "rabbitmq ", "redis    "] {
        assert!(ill.stdout.contains(&format!("WRONG  {name}")), "{name}: {}", ill.stdout);
    }
    assert!(ill.stdout.contains("No valid API key"), "{}", ill.stdout);
    assert!(!ill.stdout.contains("canary") && !ill.stderr.contains("canary"), "{}\n{}", ill.stdout, ill.stderr);
    let keyless = served.cli(&["doctor"]).env("TIDEGATE_API_KEY", "").run().await.expect(1);
    assert!(keyless.stdout.contains("ready, but TIDEGATE_API_KEY is not set"), "{}", keyless.stdout);
    served.finish().await;
}
