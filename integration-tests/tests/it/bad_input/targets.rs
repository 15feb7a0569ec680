//! Where calls go and do not go, and what they take along.

use crate::hostile::{Hostile, Trick, page};
use crate::world::{JOB, OUT, STATE, World};

const TOKEN: &str = "canary-7f3a9c";
const ENDPOINTS: &str = "retry: { attempts: 2, base: 10ms }
auth: { bearer: '{{ credential.token }}' }
endpoints:
  items: { get: /items, items: '$.items[*]', key: $.id, pages: { next_url: $.next } }
  linked: { get: /items, items: '$.items[*]', key: $.id, pages: { link: next } }
";
const STEPS: &str = "credential: alice\nsteps: [ { id: items, call: items } ]\n";

/// A job that runs with the token; it ends with this code.
async fn run(world: &World, code: i32) -> crate::process::Finished {
    let finished = world.job_line(&["--log", "debug"]).env("TIDEGATE_CREDENTIAL_ALICE", TOKEN).run().await;
    assert!(!finished.stdout.contains(TOKEN) && !finished.stderr.contains(TOKEN), "the token is shown");
    for file in world.files("") {
        let bytes = std::fs::read(&file).expect("a file of the test's own");
        let leak = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
        assert!(!leak, "the token stands in {}", file.display());
    }
    finished.expect(code)
}

fn failure(finished: &crate::process::Finished) -> (String, String) {
    let failure = &finished.json()["failures"][0];
    let text = |field: &str| failure[field].as_str().unwrap_or_default().to_owned();
    (text("class"), text("message"))
}

#[tokio::test]
async fn a_private_target_is_not_called_unless_allowed_and_the_message_offers_the_flag() {
    let hostile = Hostile::start(|_| Trick::json(page(0, 3, ""))).await;
    let world = World::new();
    world.provider(hostile.origin(), "endpoints: { items: { get: /items, items: '$.items[*]' } }\n");
    world.write(JOB, "provider: ./sim.yaml\nsteps: [ { id: items, call: items } ]\n");
    let refused = world.run(&["run", JOB, "--json", "-q"]).await.expect(1);
    let (class, message) = failure(&refused);
    assert_eq!(class, "blocked");
    assert!(hostile.seen().is_empty());
    let offered = message.split('`').find(|word| word.starts_with("--allow-private"));
    let offered = offered.unwrap_or_else(|| panic!("no flag in {message}"));
    // What is offered works as it stands.
    let finished = world.run(&["run", JOB, "--json", "-q", offered]).await.expect(0);
    assert_eq!(finished.number("/items"), 3);
    world.finish().await;
}

/// An address of the documentation would be refused for that; this one is public, and is not connected to.
#[tokio::test]
async fn plain_http_to_a_public_host_is_refused() {
    let world = World::with("http://1.1.1.1", ENDPOINTS, STEPS);
    let (class, message) = failure(&run(&world, 1).await);
    assert_eq!(class, "blocked");
    assert!(
        message.contains("`1.1.1.1`") && message.contains("insecure_http: true") && message.contains("https"),
        "{message}"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_redirect_to_another_host_takes_no_secret_along() {
    let elsewhere = Hostile::start(|_| Trick::json(page(0, 3, ""))).await;
    let to = format!("{}/items?key={TOKEN}", elsewhere.origin());
    let hostile = Hostile::start(move |_| Trick::redirect(&to)).await;
    for (auth, carries) in [
        ("auth: { bearer: '{{ credential.token }}' }", format!("authorization: bearer {TOKEN}")),
        ("auth: { header: { name: X-Key, value: '{{ credential.token }}' } }", format!("x-key: {TOKEN}")),
        ("auth: { query: { name: key, value: '{{ credential.token }}' } }", format!("key={TOKEN}")),
        ("auth: { basic: { username: a, password: '{{ credential.token }}' } }", "authorization: basic ".to_owned()),
        ("headers: { Cookie: 's={{ credential.token }}' }", format!("cookie: s={TOKEN}")),
    ] {
        let (before, before_elsewhere) = (hostile.seen().len(), elsewhere.seen().len());
        let world = World::with(
            hostile.origin(),
            &ENDPOINTS.replace("auth: { bearer: '{{ credential.token }}' }", auth),
            STEPS,
        );
        run(&world, 0).await;
        let (here, there) = (&hostile.seen()[before..], &elsewhere.seen()[before_elsewhere..]);
        assert_eq!((here.len(), there.len()), (1, 1), "{auth}");
        assert!(here[0].head.to_ascii_lowercase().contains(&carries), "{auth}: {}", here[0].head);
        let arrived = there[0].head.to_ascii_lowercase();
        assert!(!arrived.contains("authorization") && !arrived.contains("cookie"), "{auth}: {arrived}");
        // What the server itself put into its address is its own to give, unless the secret travels by that name.
        let own = if auth.contains("query") { "" } else { TOKEN };
        assert_eq!(arrived.matches(TOKEN).count(), usize::from(!own.is_empty()), "{auth}: {arrived}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_fails_at_once() {
    for (to, calls, says) in [
        ("/items?again=1", 6, "one more than the 5 allowed"),
        ("http://169.254.169.254/latest/meta-data/", 1, "`169.254.169.254` may not be called"),
        ("http://1.1.1.1/", 1, "plain http to a public host"),
        ("file:///etc/passwd", 1, "only http and https are spoken"),
        ("http://[::1", 1, "its Location is not one URL"),
    ] {
        let hostile = Hostile::start(move |_| Trick::redirect(to)).await;
        let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
        let (class, message) = failure(&run(&world, 1).await);
        assert_eq!(class, "blocked", "{to}: {message}");
        assert!(message.contains(says), "{to}: {message}");
        assert_eq!(hostile.seen().len(), calls, "{to}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_next_page_elsewhere_is_not_asked_for() {
    for call in ["items", "linked"] {
        let elsewhere = Hostile::start(|_| Trick::json(page(3, 6, ""))).await;
        let next = format!("{}/items?page=2", elsewhere.origin());
        let hostile = Hostile::start(move |_| {
            let headers = format!("content-type: application/json\r\nlink: <{next}>; rel=\"next\"\r\n");
            Trick::answer("200 OK", &headers, page(0, 3, &format!(r#","next":"{next}""#)))
        })
        .await;
        let world = World::with(hostile.origin(), ENDPOINTS, &STEPS.replace("call: items", &format!("call: {call}")));
        let finished = run(&world, 1).await;
        let (class, message) = failure(&finished);
        assert_eq!(class, "blocked", "{message}");
        assert!(message.contains(&format!("another origin, {}", elsewhere.origin())), "{message}");
        assert_eq!((hostile.seen().len(), elsewhere.seen().len()), (1, 0));
        world.finish().await;
    }
}

/// Sent on to another host, the page there names a next one there: the call for it would carry the token.
#[tokio::test]
async fn a_next_page_of_a_page_elsewhere_gets_no_token() {
    for call in ["items", "linked"] {
        let elsewhere = Hostile::start(|seen| match seen.query("page") {
            None => Trick::answer(
                "200 OK",
                "link: </items?page=2>; rel=\"next\"\r\n",
                page(0, 3, r#","next":"/items?page=2""#),
            ),
            Some(_) => Trick::json(page(3, 6, "")),
        })
        .await;
        let to = format!("{}/items", elsewhere.origin());
        let hostile = Hostile::start(move |_| Trick::redirect(&to)).await;
        let world = World::with(hostile.origin(), ENDPOINTS, &STEPS.replace("call: items", &format!("call: {call}")));
        let finished = run(&world, 1).await;
        let (class, message) = failure(&finished);
        assert!(matches!(class.as_str(), "blocked" | "invalid"), "{class}: {message}");
        assert!(message.contains(elsewhere.origin()) && message.contains(hostile.origin()), "{message}");
        assert!(elsewhere.seen().iter().all(|seen| !seen.head.contains(TOKEN)));
        assert_eq!(world.ids(OUT).len(), 3, "the first page is kept");
        world.finish().await;
    }
}

/// Some providers put the token into the next page's address; the ledger holds none.
#[tokio::test]
async fn a_token_in_the_address_of_the_next_page_is_not_stored() {
    let hostile = Hostile::start(|seen| match seen.query("page") {
        None => Trick::json(page(0, 3, &format!(r#","next":"/items?page=2&key={TOKEN}""#))),
        Some(_) => Trick::json(page(3, 6, "")),
    })
    .await;
    let auth = "auth: { query: { name: key, value: '{{ credential.token }}' } }";
    let world =
        World::with(hostile.origin(), &ENDPOINTS.replace("auth: { bearer: '{{ credential.token }}' }", auth), STEPS);
    run(&world, 0).await;
    assert_eq!(world.ids(OUT).len(), 6);
    assert!(hostile.seen()[1].target.contains(TOKEN), "it is sent again: {}", hostile.seen()[1].target);
    world.finish().await;
}

/// What an error repeats of the request is not shown.
#[tokio::test]
async fn a_token_that_an_error_repeats_is_masked() {
    let hostile = Hostile::start(|seen| {
        let sent =
            seen.head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization")).unwrap_or_default();
        Trick::answer("403 Forbidden", "", format!(r#"{{"error":"not allowed with {sent}"}}"#))
    })
    .await;
    let world = World::with(hostile.origin(), ENDPOINTS, STEPS);
    let (class, message) = failure(&run(&world, 1).await);
    assert_eq!(class, "permission");
    assert!(message.contains("not allowed with") && message.contains("***"), "{message}");
    world.finish().await;
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_then_named() {
    let hostile = Hostile::start(|_| Trick::Silence).await;
    let origin = hostile.origin().to_owned();
    drop(hostile);
    let world = World::with(&origin, ENDPOINTS, STEPS);
    let finished = run(&world, 1).await;
    let (class, message) = failure(&finished);
    assert_eq!((class.as_str(), finished.number("/requests")), ("provider_down", 2));
    assert!(message.contains(&format!("no connection to {origin}")) && message.contains("refused"), "{message}");
    let status = world.run(&["status", STATE]).await.expect(0);
    assert!(status.stdout.contains(&origin), "{}", status.stdout);
    world.finish().await;
}
