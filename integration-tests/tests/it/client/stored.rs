//! What a gateway keeps: provider files, credentials, keys.

use serde_json::{Value, json};

use super::fixture::{STATE, STEPS, Served, everything, third_party};
use crate::world::{JOB, assert_same, ids, items};

/// What must be seen nowhere.
const TOKEN: &str = "canary-5d1e-0123456789";

#[tokio::test]
async fn a_provider_is_stored_by_name_and_used_by_name() {
    let (served, simulator) = Served::before(&third_party(5, 0), "").await;
    assert_eq!(served.says(&["providers", "put", "sim.yaml"]).await, "sim: version 1");
    std::fs::remove_file(served.world.path("sim.yaml")).unwrap();
    served.world.write(JOB, &format!("provider: sim\n{STEPS}"));
    let job = served.run(&["submit", JOB, "--wait", "--json"]).await.expect(0).json();
    assert_same(ids(&served.items(job["id"].as_str().unwrap()).await), everything(&simulator));
    let shown: Value = serde_json::from_str(&served.says(&["providers", "show", "sim"]).await).unwrap();
    assert_eq!((&shown["name"], &shown["file"]["provider"]), (&json!("sim"), &json!("sim")));
    let listed = items(&served.says(&["providers", "list"]).await);
    assert_eq!((listed.len(), &listed[0]["name"], listed[0].get("file")), (1, &json!("sim"), None));
    assert_eq!(served.says(&["providers", "delete", "sim"]).await, "");
    let refused = served.run(&["submit", JOB]).await.expect(1);
    assert!(refused.stderr.contains("/provider: there is no stored provider \"sim\""), "{}", refused.stderr);
    served.finish().await;
}

#[tokio::test]
async fn a_stored_provider_goes_before_the_pack_of_its_name() {
    let (served, simulator) = Served::before(&third_party(5, 0), "").await;
    let own = served.world.read("sim.yaml").replace("provider: sim", "provider: hackernews");
    served.world.write("hackernews.yaml", &own);
    assert_eq!(served.says(&["providers", "put", "hackernews.yaml"]).await, "hackernews: version 1");
    std::fs::remove_file(served.world.path("hackernews.yaml")).unwrap();
    served.world.write(JOB, &format!("provider: hackernews\n{STEPS}"));
    let job = served.run(&["submit", JOB, "--wait", "--json"]).await.expect(0).json();
    assert_same(ids(&served.items(job["id"].as_str().unwrap()).await), everything(&simulator));
    assert_eq!(served.says(&["providers", "delete", "hackernews"]).await, "");
    let of_pack = served.run(&["submit", JOB]).await.expect(1);
    assert!(of_pack.stderr.contains("expected one of item, stories, user"), "{}", of_pack.stderr);
    served.finish().await;
}

#[tokio::test]
async fn a_credential_goes_in_by_standard_input_and_is_never_seen_again() {
    let spec = third_party(5, 0).token(TOKEN);
    let (served, simulator) = Served::before(&spec, "auth: { bearer: \"{{ credential.token }}\" }").await;
    served.world.write(JOB, &format!("provider: ./sim.yaml\ncredential: alice\n{STEPS}"));
    let early = served.run(&["submit", JOB]).await.expect(1);
    assert!(early.stderr.contains("/credential: there is no credential alice"), "{}", early.stderr);

    let token = served.world.write("token", &format!("{TOKEN}\n"));
    let put = ["credentials", "put", "alice"];
    assert_eq!(served.cli(&put).input(&token).run().await.expect(0).stdout, "alice: version 1\n");
    let object = served.world.write("token", &json!({ "token": TOKEN }).to_string());
    assert_eq!(served.cli(&put).input(&object).run().await.expect(0).stdout, "alice: version 2\n");
    let empty = served.cli(&put).run().await.expect(2);
    assert!(empty.stderr.contains("expected a token"), "{}", empty.stderr);

    let job = served.run(&["submit", JOB, "--wait", "--json", "--log", "trace"]).await.expect(0);
    let id = job.json()["id"].as_str().unwrap().to_owned();
    assert_same(ids(&served.items(&id).await), everything(&simulator));
    let listed = served.says(&["credentials", "list"]).await;
    assert_eq!((items(&listed).len(), &items(&listed)[0]["name"]), (1, &json!("alice")));
    let shown = served.says(&["status", &id]).await;
    for said in [job.stdout, job.stderr, listed, shown, served.log()] {
        assert!(!said.contains(TOKEN) && !said.contains(&served.key), "{said}");
    }
    for file in served.world.files("").iter().filter(|path| path.to_string_lossy().contains(STATE)) {
        let bytes = std::fs::read(file).unwrap();
        let found = bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
        assert!(!found, "the token stands in {}", file.display());
    }
    assert_eq!(served.says(&["credentials", "delete", "alice"]).await, "");
    assert_eq!(served.says(&["credentials", "list"]).await, "");
    served.finish().await;
}

#[tokio::test]
async fn keys_are_listed_without_their_secrets_and_revoked() {
    let served = Served::start().await;
    let made = ["keys", "create", "--state", STATE, "--name", "reader", "--scopes", "read"];
    let reader = served.says(&made).await;
    let jobs = || served.cli(&["jobs"]).env("TIDEGATE_API_KEY", &reader).run();
    jobs().await.expect(0);
    let keys = served.cli(&["keys", "list"]).env("TIDEGATE_API_KEY", &reader).run().await.expect(1);
    assert!(keys.stderr.contains("may not do this"), "{}", keys.stderr);

    let listed = served.says(&["keys", "list"]).await;
    assert!(!listed.contains(&reader) && !listed.contains(&served.key), "{listed}");
    let listed = items(&listed);
    let key = listed.iter().find(|key| key["name"] == "reader").expect("the key that was made");
    assert_eq!((listed.len(), &key["scopes"]), (2, &json!("read")));
    assert_eq!(served.says(&["keys", "revoke", key["id"].as_str().unwrap()]).await, "");
    let refused = jobs().await.expect(1);
    assert!(refused.stderr.contains("No valid API key"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(&reader), "{}", refused.stderr);
    served.run(&["keys", "revoke", "nobody"]).await.expect(1);
    served.finish().await;
}
