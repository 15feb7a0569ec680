//! Logging in and out, and what keeps the page to itself.

use reqwest::Method;
use secrecy::SecretString;
use tidegate_gateway::{Config, LocalPass};
use tidegate_registry::{Registry as _, Scope};

use super::browser::{Browser, csrf};
use crate::world::{NOW, World};

#[tokio::test]
async fn who_has_a_key_logs_in_goes_where_they_wanted_and_logs_out() {
    let world = World::start().await;
    let mut browser = Browser::new(&world);
    assert_eq!(browser.get("/").await.header("location"), "/ui/jobs");
    let got = browser.get("/ui/jobs?state=failed").await;
    assert_eq!((got.status.as_u16(), got.header("location")), (303, "/ui/login?then=%2Fui%2Fjobs%3Fstate%3Dfailed"));
    assert!(
        browser.page("/ui/login?then=%2Fui%2Fjobs%3Fstate%3Dfailed").await.contains("value=\"/ui/jobs?state=failed\"")
    );
    let got = browser.log_in(&world.key, "/ui/jobs?state=failed").await;
    assert_eq!((got.status.as_u16(), got.header("location")), (303, "/ui/jobs?state=failed"));
    let cookie = got.header("set-cookie");
    assert!(cookie.ends_with("; Path=/ui; Max-Age=3600; HttpOnly; SameSite=Strict"), "{cookie}");
    let secret = world.key.split('_').nth(2).unwrap();
    assert!(!cookie.contains(secret) && !cookie.contains(world.key.split('_').nth(1).unwrap()));
    assert!(!browser.page("/ui/jobs").await.contains(secret));
    assert_eq!(browser.press("/ui/jobs", "/ui/logout").await.header("location"), "/ui/login");
    assert!(!browser.cookies.contains_key("tidegate-session"));
    assert_eq!(browser.get("/ui/jobs").await.status, 303);
}

#[tokio::test]
async fn one_is_never_sent_to_another_site() {
    let world = World::start().await;
    for then in ["https://evil.example/", "//evil.example/ui/", "/v1/jobs", "/ui/\r\nx: y", "javascript:alert(1)"] {
        let got = Browser::new(&world).log_in(&world.key, then).await;
        assert_eq!(got.header("location"), "/ui/jobs", "{then}");
    }
}

#[tokio::test]
async fn a_cookie_goes_by_https_alone_where_the_page_came_by_it() {
    let world = World::start().await;
    let got = world.bare(Method::GET, "/ui/login").header("x-forwarded-proto", "https").send().await;
    assert!(got.header("set-cookie").ends_with("; HttpOnly; SameSite=Strict; Secure"));
}

#[tokio::test]
async fn a_key_that_is_not_taken_is_refused_with_the_reason_and_not_shown_again() {
    let world = World::start().await;
    let submitter = world.key("a", &[Scope::Submit], None).await;
    let expired = world.key("a", &[Scope::Read], Some(NOW)).await;
    let other = World::start().await.key;
    for (key, reason) in [
        ("tg_nonsense", "not an API key"),
        (other.as_str(), "not known"),
        (&expired, "has expired"),
        (&submitter, "the page needs a key with the scope read; this one has submit"),
    ] {
        let got = Browser::new(&world).log_in(key, "").await;
        assert_eq!((got.status.as_u16(), got.header("content-type")), (403, "text/html; charset=utf-8"));
        assert!(got.text.contains(reason) && !got.text.contains(key), "{}", got.text);
    }
}

#[tokio::test]
async fn logins_with_a_key_are_so_many_in_a_minute() {
    let world = World::with(Config { logins_per_minute: 1, ..Config::default() }).await;
    assert_eq!(Browser::new(&world).log_in(&world.key, "").await.status, 303);
    let refused = Browser::new(&world).log_in(&world.key, "").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "60"));
    let other = world.key("a", &[Scope::Read], None).await;
    assert_eq!(Browser::new(&world).log_in(&other, "").await.status, 303, "each key");
}

#[tokio::test]
async fn a_session_ends_unused_or_old_or_with_its_key() {
    let world = World::start().await;
    let mut browser = Browser::of(&world).await;
    let first = browser.cookies["tidegate-session"].clone();
    for _ in 0..11 {
        world.pass(3_600_000);
        browser.page("/ui/jobs").await;
    }
    assert_ne!(browser.cookies["tidegate-session"], first, "it is sealed anew as it is used");
    world.pass(3_600_001);
    assert_eq!(browser.get("/ui/jobs").await.status, 303, "12 hours");
    let mut browser = Browser::of(&world).await;
    world.pass(3_600_001);
    assert_eq!(browser.get("/ui/jobs").await.status, 303, "an hour unused");
    let mut browser = Browser::of(&world).await;
    let id = world.key.split('_').nth(1).unwrap();
    assert!(world.registry.revoke_key(&"a".parse().unwrap(), id, NOW).await.unwrap());
    world.pass(tidegate_registry::TRUSTED_MS);
    assert_eq!(browser.get("/ui/jobs").await.status, 303, "revoked");
}

#[tokio::test]
async fn a_form_without_its_sessions_token_changes_nothing() {
    let world = World::start().await;
    let job = world.submit().await;
    let mut browser = Browser::of(&world).await;
    let of_another = csrf(&Browser::of(&world).await.page("/ui/jobs").await);
    let path = format!("/ui/jobs/{job}/cancel");
    for fields in [&[][..], &[("csrf", "")], &[("csrf", &of_another)]] {
        let got = browser.send(&path, fields).await;
        assert_eq!((got.status.as_u16(), got.header("content-type")), (403, "text/html; charset=utf-8"));
    }
    let json = browser.ask(Method::POST, &path).json("{}").send().await;
    assert_eq!(json.status, 415);
    assert_eq!(world.get(&format!("/v1/jobs/{job}")).await.json()["state"], "submitted");
    let got = browser.send("/ui/login", &[("csrf", "of nobody"), ("key", &world.key)]).await;
    assert_eq!(got.status, 403, "nor does it log anybody in");
    browser.cookies.clear();
    assert_eq!(browser.send(&path, &[("csrf", &of_another)]).await.status, 303, "nor without a session");
}

#[tokio::test]
async fn every_answer_keeps_scripts_frames_and_other_sites_out() {
    let world = World::start().await;
    let job = world.submit().await;
    let mut browser = Browser::of(&world).await;
    let job = format!("/ui/jobs/{job}");
    for path in [
        "/ui/login",
        "/ui/jobs",
        &job,
        "/ui/jobs/nothing",
        "/ui/limits",
        "/ui/credentials",
        "/ui/assets/page.css",
        "/ui/assets/nothing",
    ] {
        let got = browser.get(path).await;
        let policy = got.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(got.header("x-content-type-options"), "nosniff", "{path}");
        let is_page = got.header("content-type").starts_with("text/html");
        assert!(!is_page || got.header("cache-control") == "no-store", "{path}");
        for inline in ["<style", " style=", "<script>", " onclick=", "http://", "https://"] {
            assert!(!is_page || !got.text.contains(inline), "{inline} in {path}: {}", got.text);
        }
    }
}

#[tokio::test]
async fn a_one_time_address_lets_one_in_once() {
    let token = SecretString::from("of-the-terminal");
    let pass = LocalPass { token, tenant: "a".parse().unwrap() };
    let world = World::with(Config { local_pass: Some(pass), ..Config::default() }).await;
    let job = world.submit().await;
    let mut browser = Browser::new(&world);
    assert_eq!(browser.get("/ui/enter?token=another").await.status, 403);
    assert_eq!(browser.get("/ui/enter?token=of-the-terminal").await.header("location"), "/ui/jobs");
    assert!(browser.page("/ui/jobs").await.contains(&job.to_string()));
    assert_eq!(Browser::new(&world).get("/ui/enter?token=of-the-terminal").await.status, 403);
    let without = World::start().await;
    assert_eq!(Browser::new(&without).get("/ui/enter?token=of-the-terminal").await.status, 403);
}
