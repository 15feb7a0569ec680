//! Files and command lines that are wrong: exit code 2, a message that names the place and what was expected there, and
//! nothing is called or left behind.

use crate::hostile::{Hostile, Trick, page};
use crate::world::{JOB, RUN, STATE, World};

const GOOD_JOB: &str = "provider: ./sim.yaml\nsteps:\n  - { id: items, call: items }\n";
const ENDPOINTS: &str = "endpoints:
  items: { get: /items, items: '$.items[*]', key: $.id, params: [q] }
  child: { get: '/items/{id}' }
";

/// Something wrong, and what is said of it.
struct Wrong<'a> {
    what: &'a str,
    job: &'a str,
    /// What stands in the provider file below its first three lines.
    provider: &'a str,
    args: &'a [&'a str],
    /// All of standard error, but `error: ` before each line.
    says: &'a [&'a str],
}

impl Wrong<'_> {
    const NOTHING: Self = Wrong { what: "", job: GOOD_JOB, provider: ENDPOINTS, args: &[], says: &[] };

    async fn check(&self) {
        let hostile = Hostile::start(|_| Trick::json(page(0, 3, ""))).await;
        let world = World::new();
        world.write(JOB, self.job);
        world.provider(hostile.origin(), self.provider);
        world.write("itself.yaml", "tidegate: 1\nprovider: itself\nextends: ./itself.yaml\n");
        let finished = world.job(self.args).await;
        let says: String = self.says.iter().map(|line| format!("error: {line}\n")).collect();
        assert_eq!(finished.stderr, says, "{}", self.what);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{}", self.what);
        assert!(hostile.seen().is_empty(), "{}: something was called", self.what);
        assert_eq!(world.files("").len(), 3, "{}: something was left behind: {:?}", self.what, world.files(""));
        world.finish().await;
    }
}

#[tokio::test]
async fn a_job_file_that_is_wrong_is_refused_with_the_place_and_what_was_expected() {
    for wrong in [
        Wrong {
            what: "malformed YAML",
            job: "provider: ./sim.yaml\nsteps: [ { id: items\n",
            says: &["job.yaml:2:10: unclosed bracket '{'"],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "an unknown field",
            job: "provider: ./sim.yaml\nsteps:\n  - { id: items, call: items, forEach: a }\n",
            says: &[
                "job.yaml:3:31: steps[0].forEach: unknown field; expected one of after, call, for_each, id, limit, \
                     max_pages, on_failure, push, when, with; did you mean for_each?",
            ],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "pages to push, and nowhere to push them to",
            job: "provider: ./sim.yaml\npush: true\nsteps:\n  - { id: items, call: items, push: true }\n",
            says: &[
                "job.yaml:2:7: push: expected false (pages are pushed over RabbitMQ, which only a cluster has), found true",
                "job.yaml:4:37: steps[0].push: expected false (pages are pushed over RabbitMQ, which only a cluster has), found true",
            ],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "an unknown endpoint",
            job: "provider: ./sim.yaml\nsteps:\n  - { id: items, call: itmes }\n",
            says: &[
                "job.yaml:3:24: steps[0].call: unknown endpoint itmes; expected one of child, items; did you mean \
                     items?",
            ],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "an unknown step",
            job: "provider: ./sim.yaml\nsteps:\n  - { id: items, call: items }\n  - { id: more, call: child, \
                  for_each: item, with: { id: '{{ item.id }}' } }\n",
            says: &["job.yaml:4:40: steps[1].for_each: unknown step item; expected items"],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "steps in a circle",
            job: "provider: ./sim.yaml\nsteps:\n  - { id: a, call: items, for_each: b }\n  - { id: b, call: items, \
                  for_each: a }\n  - { id: c, call: items, for_each: c }\n",
            says: &[
                "job.yaml:3:37: steps[0].for_each: expected a step above this one, found b below it",
                "job.yaml:5:37: steps[2].for_each: expected another step; a step can't follow from its own items, \
                 found \"c\"",
            ],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "two steps of one name",
            job: "provider: ./sim.yaml\nsteps:\n  - { id: items, call: items }\n  - { id: items, call: items }\n",
            says: &["job.yaml:4:11: steps[1].id: expected another id, found \"items\" a second time"],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "a template that does not end",
            job: "provider: ./sim.yaml\nsteps:\n  - { id: items, call: items, with: { q: '{{ config.q' } }\n",
            says: &["job.yaml:3:42: steps[0].with.q: expected }} after {{, found \"{{ config.q\""],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "a template that names a secret",
            job: "provider: ./sim.yaml\ncredential: alice\nsteps:\n  - { id: items, call: items, with: { q: '{{ \
                  credential.token }}' } }\n",
            says: &["job.yaml:4:42: steps[0].with.q: expected config, found credential"],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "a parameter that the endpoint does not have",
            job: "provider: ./sim.yaml\nsteps:\n  - { id: items, call: items, with: { p: 1 } }\n",
            says: &["job.yaml:3:39: steps[0].with.p: items has no parameter p; expected q"],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "a provider file that is not there",
            job: "provider: ./none.yaml\nsteps:\n  - { id: items, call: items }\n",
            says: &["./none.yaml can't be read: No such file or directory (os error 2)"],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "a provider that no folder has",
            job: "provider: none\nsteps:\n  - { id: items, call: items }\n",
            says: &["there is no provider none; looked for none.yaml, .yml and .json in ."],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "a provider file that extends itself",
            job: "provider: ./itself.yaml\nsteps:\n  - { id: items, call: items }\n",
            says: &["./itself.yaml extends itself, or more than 8 files"],
            ..Wrong::NOTHING
        },
        Wrong {
            what: "a credential that is nowhere",
            job: "provider: ./sim.yaml\ncredential: alice\nsteps:\n  - { id: items, call: items }\n",
            says: &["there is no credential alice: the variable TIDEGATE_CREDENTIAL_ALICE is not set"],
            ..Wrong::NOTHING
        },
    ] {
        wrong.check().await;
    }
}

#[tokio::test]
async fn a_provider_file_that_is_wrong_is_refused_with_the_place_and_what_was_expected() {
    for (what, provider, says) in [
        ("malformed YAML", "endpoints: { items: { get: /items }\n", "./sim.yaml:4:12: unclosed bracket '{'"),
        (
            "an unknown field",
            "endponts: {}\n",
            "./sim.yaml:4:1: endponts: unknown field; expected one of auth, base_url, body, config, \
             credential_pool, description, \
             endpoints, errors, extends, headers, insecure_http, limits, provider, query, retry, tidegate, timeouts; did \
             you mean endpoints?",
        ),
        (
            "a bad JSONPath",
            "endpoints: { items: { get: /items, items: '$.items[' } }\n",
            "./sim.yaml:4:43: endpoints.items.items: expected a JSONPath such as `$.data.items[*]`, found `$.items[`",
        ),
        (
            "a bad regular expression",
            "endpoints: { items: { get: /items } }\nerrors: [ { message: '(', class: gone } ]\n",
            "./sim.yaml:5:22: errors[0].message: expected a regular expression, found `(`: unclosed group",
        ),
        (
            "a negative page size",
            "endpoints: { items: { get: /items, pages: { offset: o, size: { param: limit, max: -5 } } } }\n",
            "./sim.yaml:4:83: endpoints.items.pages.size.max: expected a whole number from 1, found -5",
        ),
        (
            "a secret written into it",
            "auth: { bearer: s3cret }\nendpoints: { items: { get: /items } }\n",
            "./sim.yaml:4:17: auth.bearer: expected a template that names a credential, such as {{ credential.token }}, \
             found none",
        ),
    ] {
        Wrong { what, provider, says: &[says], ..Wrong::NOTHING }.check().await;
    }
}

#[tokio::test]
async fn a_command_line_that_is_wrong_is_refused_with_what_was_expected() {
    for (what, args, says) in [
        ("--set without a value", ["--set", "host"].as_slice(), "--set host: expected NAME=VALUE"),
        ("--set without a name", &["--set", "=host"], "--set =host: expected NAME=VALUE"),
        (
            "--allow-private with no network",
            &["--allow-private=nonsense"],
            "--allow-private=nonsense: expected a network such as 127.0.0.0/8, or nothing for all",
        ),
        (
            "--step that the job does not have",
            &["--step", "items", "--step", "itmes"],
            "--step itmes: the job has no such step; expected items",
        ),
    ] {
        Wrong { what, args, says: &[says], ..Wrong::NOTHING }.check().await;
    }
}

#[tokio::test]
async fn a_job_file_that_cannot_be_read_is_told_apart_from_one_that_is_wrong() {
    let world = World::new();
    std::fs::create_dir(world.path("folder")).expect("a folder");
    std::fs::write(world.path("binary"), [0x7f, b'E', b'L', b'F', 0xff, 0xfe, 0x00]).expect("a file");
    world.write("large.yaml", &format!("{GOOD_JOB}# {}\n", "x".repeat(2 << 20)));
    for (file, says) in [
        ("none.yaml", "none.yaml can't be read: No such file or directory (os error 2)"),
        ("folder", "folder can't be read: Is a directory (os error 21)"),
        ("binary", "binary can't be read: stream did not contain valid UTF-8"),
        ("large.yaml", "large.yaml:1:1: expected a file of at most 1048576 bytes, found more"),
    ] {
        let finished = world.run(&["run", file]).await.expect(2);
        assert_eq!(finished.stderr, format!("error: {says}\n"), "{file}");
    }
    assert_eq!(world.files(".db").len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn items_refuses_what_its_state_file_does_not_hold() {
    let hostile = Hostile::start(|_| Trick::json(page(0, 3, ""))).await;
    let world = World::with(hostile.origin(), ENDPOINTS, "steps: [ { id: items, call: items } ]\n");
    world.job(&[]).await.expect(0);
    for (args, says) in [
        (["items", "none.db"].as_slice(), "there is no state file none.db"),
        (&["items", STATE, "--step", "itmes"], "--step itmes: the job has no such step; expected items"),
        (&["items", STATE, "--job", "nonsense"], "--job nonsense: expected job_ and 32 hexadecimal digits"),
        (&["items", STATE, "--job", "job_00000000000000000000000000000000"], ".tidegate/job.db holds no such job"),
    ] {
        let finished = world.run(args).await.expect(2);
        assert!(finished.stderr.starts_with(&format!("error: {says}")), "{args:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
    world.finish().await;
}

/// An item lacks what a step's parameters need: nobody can know that before.
#[tokio::test]
async fn a_template_that_fails_at_run_time_fails_its_fetch_and_keeps_the_rest() {
    let items = r#"{"items":[{"id":1,"q":"a"},{"id":2},{"id":3,"q":null},{"id":4,"q":"d"}]}"#;
    let hostile = Hostile::start(move |seen| match seen.query("q") {
        None => Trick::json(items),
        Some(_) => Trick::json(page(7, 9, "")),
    })
    .await;
    let job = "steps:\n  - { id: items, call: items }\n  - { id: more, call: items, for_each: items, with: { q: '{{ \
               item.q }}' } }\n";
    let world = World::with(hostile.origin(), ENDPOINTS, job);
    let finished = world.job(&[]).await.expect(1);
    assert_eq!((finished.number("/calls_succeeded"), finished.number("/calls_failed")), (3, 2));
    let failures = finished.json()["failures"].to_string();
    assert!(failures.contains("parameter q of step more") && failures.contains("item.q"), "{failures}");
    let said = world.run(&RUN[..2]).await;
    assert_eq!(hostile.seen().len(), 3, "{}", said.stderr);
    let kept = world.run(&["items", STATE]).await.expect(0);
    assert_eq!(kept.stdout.lines().count(), 4 + 2 * 2, "{}", kept.stdout);
    world.finish().await;
}
