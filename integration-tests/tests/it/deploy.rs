//! The cluster's files: `docker-compose.yml`, `.env.sample` and what `deploy/make-secrets` makes agree with each other, and
//! hold what they promise. `integration-tests/compose/run` brings the cluster up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Docker keeps logs where only this user may look.
const ROOT: &str = "logs";
/// One ends by itself, the others have nothing in their images to ask them with.
const NOT_ASKED: [&str; 5] = ["migrate", "collector", "logs", "tempo", "loki"];
/// Read by docker compose itself.
const NOT_IN_THE_FILE: [&str; 1] = ["COMPOSE_PROJECT_NAME"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn compose() -> Value {
    serde_saphyr::from_str(&text("docker-compose.yml")).expect("docker-compose.yml is YAML")
}

fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    compose["services"].as_object().expect("services").iter().map(|(name, service)| (name.as_str(), service))
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `${NAME:-DEFAULT}` as NAME and DEFAULT.
fn settings_of_the_file() -> BTreeMap<String, String> {
    let file = text("docker-compose.yml");
    let mut settings = BTreeMap::new();
    for after in file.split("${").skip(1) {
        let setting = after.split('}').next().expect("a closing brace");
        let (name, default) = setting.split_once(":-").unwrap_or_else(|| panic!("{setting} has no default"));
        let other = settings.insert(name.to_owned(), default.to_owned());
        assert!(other.is_none_or(|other| other == default), "{name} has two defaults");
    }
    settings
}

/// `NAME=VALUE` lines, each below a comment that says what it is and its default.
fn settings_of_the_sample() -> BTreeMap<String, String> {
    let sample = text(".env.sample");
    let (mut settings, mut comment) = (BTreeMap::new(), String::new());
    for line in sample.lines() {
        if let Some(said) = line.strip_prefix('#') {
            comment.push_str(said);
        } else if let Some((name, value)) = line.split_once('=') {
            let default = comment.split("Default: ").nth(1).and_then(|said| said.split([' ', ',']).next());
            let default = default.unwrap_or_else(|| panic!("{name} does not say its default"));
            let expected = if value.is_empty() { "none" } else { value };
            assert!(NOT_IN_THE_FILE.contains(&name) || default == expected, "{name} says {default}, but is {expected}");
            assert!(settings.insert(name.to_owned(), value.to_owned()).is_none(), "{name} stands there twice");
            comment.clear();
        } else {
            assert!(line.is_empty(), "neither comment nor setting: {line}");
            comment.clear();
        }
    }
    settings
}

#[test]
fn the_sample_has_every_setting_of_the_cluster_with_its_default_and_no_other() {
    let mut sample = settings_of_the_sample();
    sample.retain(|name, _| !NOT_IN_THE_FILE.contains(&name.as_str()));
    assert_eq!(sample, settings_of_the_file());
    assert!(sample.len() > 20, "{sample:?}");
}

#[test]
fn every_container_is_confined() {
    let compose = compose();
    for (name, service) in services(&compose) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(strings(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert!(service["cap_add"].is_null() && service["privileged"].is_null(), "{name}");
        let user = service["user"].as_str().and_then(|user| user.split(':').next()?.parse::<u32>().ok());
        assert!(user.is_some_and(|user| user > 0 || name == ROOT), "{name} runs as {user:?}");
        assert!(service["pids_limit"].is_u64() && service["mem_limit"].is_string(), "{name}");
        assert!(service["stop_grace_period"].is_string(), "{name}");
        assert_eq!(service["healthcheck"]["test"].is_array(), !NOT_ASKED.contains(&name), "{name}");
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is published on {port}");
        }
    }
    assert_eq!(services(&compose).count(), 9 + 6);
}

#[test]
fn stores_are_on_networks_without_a_way_out_and_executors_do_not_see_redis() {
    let compose = compose();
    let internal = |network: &str| compose["networks"][network]["internal"] == true;
    let networks = |service: &str| strings(&compose["services"][service]["networks"]);
    let inside =
        ["postgres", "redis", "planner", "tracker", "arbiter", "migrate", "collector", "prometheus", "tempo", "loki"];
    for service in inside {
        assert!(networks(service).iter().all(|network| internal(network)), "{service}: {:?}", networks(service));
    }
    for network in networks("redis") {
        assert!(!networks("executor").contains(&network));
    }
}

#[test]
fn what_watches_is_there_when_its_profile_is_asked_for_and_its_files_are() {
    let compose = compose();
    let watching = services(&compose).filter(|(_, service)| !service["profiles"].is_null()).map(|(name, _)| name);
    let watching: BTreeSet<&str> = watching.collect();
    assert_eq!(watching, BTreeSet::from(["collector", "grafana", "logs", "loki", "prometheus", "tempo"]));
    for name in watching {
        let service = &compose["services"][name];
        assert_eq!(strings(&service["profiles"]), ["observability"], "{name}");
        let image = service["image"].as_str().and_then(|image| image.split_once(":-")).expect("an image").1;
        let version = image.trim_end_matches('}').rsplit(':').next().expect("a version");
        assert!(version.matches('.').count() == 2, "{name} is not pinned: {image}");
        for file in strings(&service["volumes"]).iter().filter_map(|volume| volume.strip_prefix("./")) {
            let file = file.split(':').next().expect("a file");
            assert!(root().join(file).exists(), "{name} mounts {file}, which is not there");
            if file.ends_with(".yaml") {
                let _: Value = serde_saphyr::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            }
        }
    }
}

#[test]
fn secrets_come_as_files_that_the_script_makes_once_and_only_their_owner_reaches() {
    let compose = compose();
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    let made = || {
        let done = Command::new(root().join("deploy/make-secrets")).arg(&secrets).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        fs::read_dir(&secrets)
            .unwrap()
            .map(|file| file.unwrap().path())
            .map(|file| (file.clone(), fs::read_to_string(file).unwrap()))
            .collect::<BTreeMap<_, _>>()
    };
    let first = made();
    assert_eq!(fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(made(), first);

    let declared = compose["secrets"].as_object().unwrap();
    for (name, secret) in declared {
        let file = secret["file"].as_str().and_then(|file| file.strip_prefix("deploy/secrets/")).expect("a file");
        let text = first.get(&secrets.join(file)).unwrap_or_else(|| panic!("{name} is not made"));
        assert!(text.len() >= 32, "{name} holds {} characters", text.len());
        assert!(!text.contains("guest"), "{name}");
    }
    let mut used = BTreeSet::new();
    for (name, service) in services(&compose) {
        let taken: BTreeSet<&str> = service["secrets"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|secret| secret.as_str().or(secret["source"].as_str()))
            .collect();
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            if let Some(secret) = value.as_str().and_then(|value| value.strip_prefix("/run/secrets/")) {
                assert!(variable.ends_with("_FILE"), "{name}: {variable}");
                assert!(taken.contains(secret), "{name} does not take {secret}");
            }
        }
        used.extend(taken.into_iter().map(str::to_owned));
    }
    assert_eq!(used, declared.keys().cloned().collect());
}
