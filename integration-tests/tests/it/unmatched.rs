//! Answers that no error rule speaks of are kept, and become rules.

use tidegate_simulator::{EndpointSpec, Faults, Simulator, SimulatorSpec};

use crate::world::{JOB, STATE, World};

const PROVIDER: &str = r#"
retry: { attempts: 2, base: 1ms, cap: 2ms }
auth: { bearer: "{{ credential.token }}" }
endpoints:
  list: { get: /list, items: "$.items[*]", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 10 } } }
"#;
const STEPS: &str = "credential: me\nsteps: [{ id: list, call: list }]";
const CREDENTIAL: (&str, &str) = ("TIDEGATE_CREDENTIAL_ME", r#"{"token":"canary-0123"}"#);

#[tokio::test]
async fn what_no_rule_knows_is_kept_and_becomes_a_rule_and_its_test() {
    let faults = Faults { error_in_200: 1.0, max_faults_per_page: u32::MAX, ..Faults::default() };
    let list = EndpointSpec::at("/list").items(30).cursor("cursor", "$.next").size("limit", 10).faults(faults);
    let simulator = Simulator::start(&SimulatorSpec::seeded(7).with("list", list)).await.unwrap();
    let world = World::with(&simulator.base_url(), PROVIDER, STEPS);
    let run = async || world.job_line(&[]).env(CREDENTIAL.0, CREDENTIAL.1).run().await;
    run().await.expect(1);
    let show = ["provider", "unmatched", "sim", "--state", STATE];
    let yaml = world.run(&show).await.expect(0).stdout;
    assert!(yaml.contains("list: 200, taken for suspect, 2 times"), "{yaml}");
    assert!(!yaml.contains("canary"), "{yaml}");
    // As it is printed it goes into the provider file, and into what was recorded.
    let (rules, answers) = yaml.split_once("answers:").expect("both parts");
    world.provider(&simulator.base_url(), &format!("{PROVIDER}{rules}"));
    std::fs::create_dir_all(world.path("tests")).expect("a folder");
    world.write("tests/sim.yaml", &format!("answers:{answers}"));
    let tested = world.run(&["provider", "test", "sim.yaml"]).await.expect(0);
    assert!(tested.stdout.contains("1 answers") && !tested.stderr.contains("no recorded answer"), "{tested:?}");
    world.run(&["provider", "check", "sim.yaml"]).await.expect(0);
    // What a rule knows is not kept.
    world.write(JOB, &format!("provider: ./sim.yaml\nname: other\n{STEPS}"));
    run().await.expect(1);
    let rows = world.run(&[&show[..], &["--json"]].concat()).await.expect(0).stdout;
    assert!(rows.lines().count() == 1 && rows.contains("\"count\":2"), "{rows}");
    world.finish().await;
}
