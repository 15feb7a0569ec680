//! The sample files, from text to requests and charges.

use std::path::{Path, PathBuf};

use tidegate_contracts::{PagePointer, Params, Primitive};
use tidegate_limits::Headroom;
use tidegate_provider::file::CredentialPool;
use tidegate_provider::load::{load_job, load_provider, load_provider_of};
use tidegate_provider::{CallShape, Caller, Credential, JobFile, ProviderFile, Spec};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn spec(job: &str) -> Spec {
    let path = fixture(job);
    let job = load_job(&path).unwrap_or_else(|error| panic!("{error}")).file;
    let provider = load_provider_of(&job, &path, &[]).unwrap_or_else(|error| panic!("{error}")).file;
    Spec::compile(job, provider).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn credential(name: &str, fields: &[(&str, &str)]) -> Credential {
    Credential::new(name, fields.iter().map(|(field, secret)| ((*field).to_owned(), (*secret).into())))
}

fn params(pairs: &[(&str, &str)]) -> Params {
    pairs.iter().copied().collect()
}

#[test]
fn a_job_with_a_provider_that_extends_another_compiles() {
    let spec = spec("social-job.yaml");
    assert_eq!(spec.roots().map(|step| step.id()).collect::<Vec<_>>(), ["followers"]);
    assert_eq!(spec.children("followers").map(|step| step.id()).collect::<Vec<_>>(), ["statuses"]);
    let statuses = spec.step("statuses").unwrap();
    assert_eq!(statuses.paging().max_pages, 3);
    let deadlines = spec.deadlines(statuses);
    assert_eq!((deadlines.connect.as_secs(), deadlines.first_byte.as_secs()), (3, 40), "the parent's, then its own");
    assert_eq!((deadlines.idle.as_secs(), deadlines.total.as_secs()), (30, 60), "nobody's, then the endpoint's");
    let item = serde_json::json!({ "id": 18_446_744_073_709_551_615_u64, "acct": "bob" });
    let found = spec.params(statuses, Some(&item), Some(&params(&[("id", "109")]))).unwrap();
    assert_eq!(found.get("id"), Some(&Primitive::from("18446744073709551615")), "no digit is lost");
    assert_eq!(found.get("exclude_replies"), Some(&Primitive::Bool(true)));
    assert_eq!(found.get("since_id"), Some(&Primitive::from("1090")));
}

#[test]
fn a_link_is_followed_with_authentication_and_only_at_home() {
    let spec = spec("social-job.yaml");
    let step = spec.step("followers").unwrap();
    let alice = credential("alice", &[("token", "s3cret-token")]);
    let ask = |pointer: &PagePointer| spec.request(step, &params(&[("id", "109")]), pointer, Some(&alice));
    let first = ask(&PagePointer::First).unwrap();
    assert_eq!(first.url.as_str(), "https://social.example/api/v1/accounts/109/followers?limit=80");
    assert_eq!(first.headers["accept"], "application/activity+json");
    assert_eq!(first.headers["authorization"], "Bearer s3cret-token");
    assert!(first.headers["authorization"].is_sensitive());
    let next = "https://social.example/api/v1/accounts/109/followers?max_id=7&limit=80";
    let second = ask(&PagePointer::Url { url: format!("{next}#top") }).unwrap();
    assert_eq!((second.url.as_str(), &second.headers["authorization"]), (next, &first.headers["authorization"]));
    for elsewhere in [
        "https://evil.example/api",
        "http://social.example/api",
        "https://social.example:8443/api",
        "https://user@social.example/api",
        "https://social.example@evil.example/",
        "file:///etc/passwd",
        "data:text/plain,x",
    ] {
        let error = ask(&PagePointer::Url { url: elsewhere.to_owned() }).unwrap_err().to_string();
        assert!(error.contains("expected it at https://social.example"), "{elsewhere}: {error}");
    }
    assert!(ask(&PagePointer::Url { url: "/relative".to_owned() }).is_err());
}

#[test]
fn query_authentication_is_added_once_and_never_shown() {
    let spec = spec("catalog-job.yaml");
    let step = spec.step("shelf").unwrap();
    let shop = credential("shop", &[("token", "top&secret")]);
    let ask =
        |pointer| spec.request(step, &params(&[("shelf", "a b"), ("sort", "title")]), &pointer, Some(&shop)).unwrap();
    let request = ask(PagePointer::Number { page: 2, size: 200 });
    let sent = "https://api.catalog.example/v2/shelves/a%20b/books\
                ?units=metric&key=top%26secret&sort=title&page=2&per_page=200";
    assert_eq!(request.url.as_str(), sent);
    assert_eq!(request.secret_query, ["key"]);
    let shown = format!("{} {request:?}", request.describe());
    assert!(shown.contains("key=***&sort=title") && !shown.contains("secret&") && !shown.contains("top"), "{shown}");

    let bare = "https://api.catalog.example/v2/shelves/a%20b/books?page=3";
    let followed = ask(PagePointer::Url { url: bare.to_owned() });
    assert_eq!(followed.url.as_str(), format!("{bare}&key=top%26secret"));
    let again = ask(PagePointer::Url { url: followed.url.to_string() });
    assert_eq!(again.url, followed.url);
    assert_eq!(spec.strip_secrets(step, followed.url.as_str(), None), bare);
    let leaked = format!("{bare}&access_token=top%26secret");
    assert_eq!(spec.strip_secrets(step, &leaked, Some(&shop)), bare, "a secret under another name");
}

#[test]
fn parameters_travel_in_a_body_where_the_endpoint_says_so() {
    let spec = spec("notes-job.json");
    let rows = spec.step("rows").unwrap();
    let params = spec.params(rows, None, None).unwrap();
    let bob = credential("bob", &[("user", "bob"), ("password", "pass:word")]);
    let cursor = PagePointer::Cursor { cursor: "42".to_owned() };
    let request = spec.request(rows, &params, &cursor, Some(&bob)).unwrap();
    assert_eq!(request.url.as_str(), "http://127.0.0.1:8090/v1/databases/d%2F1/query");
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["authorization"], "Basic Ym9iOnBhc3M6d29yZA==");
    let body: serde_json::Value = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
    let expected = serde_json::json!({ "archived": false, "filter": "café", "start_cursor": "42", "page_size": 100 });
    assert_eq!(body, expected);
    assert!(rows.endpoint().is_idempotent());
    assert!(!spec.step("clean").unwrap().endpoint().is_idempotent());
}

#[test]
fn charges_name_every_limit_that_applies() {
    let spec = spec("social-job.yaml");
    let step = spec.step("statuses").unwrap();
    let params = params(&[("id", "7")]);
    let keys = |ordinal| -> Vec<String> {
        let call = CallShape { params: &params, pointer: &PagePointer::First, ordinal };
        let caller = Caller { egress: "eu-1", credential: Some("alice"), tenant: None, buckets: None };
        spec.charges(step, &call, &caller).unwrap().into_iter().map(|charge| charge.key).collect()
    };
    // What keeps calls from a provider that is down is added to every provider.
    let (host, token, breaker) =
        ("{social}/host/egress=eu-1", "{social}/token/credential=alice", "{social}/breaker/egress=eu-1");
    assert_eq!(keys(0), [host, token, breaker]);
    let call = CallShape { params: &params, pointer: &PagePointer::First, ordinal: 0 };
    let charges = spec.charges(step, &call, &Caller::default()).unwrap();
    let kept: Vec<_> = charges.iter().map(|charge| charge.headroom.map(Headroom::lanes)).collect();
    assert_eq!(kept, [Some([40, 10, 0, 0]), None, None]);
    assert_eq!(keys(1), ["{social}/paging/credential=alice", host, token, breaker]);
    let of = |tenant| {
        let call = CallShape { params: &params, pointer: &PagePointer::First, ordinal: 0 };
        let caller = Caller { egress: "eu-1", credential: Some("alice"), tenant: Some(tenant), buckets: None };
        spec.charges(step, &call, &caller).unwrap().into_iter().map(|charge| charge.key).collect::<Vec<_>>()
    };
    // What counts by the address counts for all; alice of one tenant is not alice of another.
    assert_eq!(of("acme"), [host, "{social}/token/credential=alice,of=acme", breaker]);
    assert_eq!(of("other"), [host, "{social}/token/credential=alice,of=other", breaker]);
    assert!(spec.header_names("token").unwrap().remaining.is_some());
    assert!(spec.header_names("paging").is_none(), "another one has headers of its own");
}

#[test]
fn costs_and_keys_follow_the_call() {
    let spec = spec("catalog-job.yaml");
    let charges = |step: &str, params: &Params| {
        let pointer = PagePointer::Number { page: 1, size: 200 };
        let call = CallShape { params, pointer: &pointer, ordinal: 0 };
        let caller = Caller { egress: "x", credential: Some("shop"), tenant: Some("acme"), buckets: None };
        let charges = spec.charges(spec.step(step).unwrap(), &call, &caller).unwrap();
        charges.into_iter().map(|charge| (charge.key, charge.cost)).collect::<Vec<_>>()
    };
    assert_eq!(
        charges("shelf", &params(&[("shelf", "a,b")])),
        [
            ("{catalog}/units/app=main,shelf=a%2Cb".to_owned(), 3),
            ("{catalog}/open/credential=shop,endpoint=books.list,method=GET,tenant=acme".to_owned(), 1),
            ("{catalog}/breaker/egress=x".to_owned(), 1)
        ]
    );
    assert_eq!(charges("found", &params(&[("q", "x")]))[1], ("{catalog}/searches/provider=".to_owned(), 5));
    assert!(spec.header_names("units").is_some() && spec.header_names("searches").is_some(), "who it is, answers show");
    assert!(spec.header_names("open").is_none(), "slots are told by nobody");
}

#[test]
fn a_provider_without_limits_obeys_what_it_is_told() {
    let spec = spec("notes-job.json");
    let call = CallShape { params: &Params::default(), pointer: &PagePointer::First, ordinal: 0 };
    let charges = spec.charges(spec.step("rows").unwrap(), &call, &Caller::default()).unwrap();
    let named = charges.iter().map(|charge| (charge.limit.as_str(), charge.key.as_str())).collect::<Vec<_>>();
    assert_eq!(named, [("told", "{notes}/told/credential="), ("breaker", "{notes}/breaker/egress=")]);
    assert!(spec.header_names("told").is_some());
}

#[test]
fn files_come_back_the_same_from_json() {
    for job in ["social-job.yaml", "catalog-job.yaml", "notes-job.json"] {
        let spec = spec(job);
        let text = serde_json::to_string(spec.job()).unwrap();
        assert_eq!(&serde_json::from_str::<JobFile>(&text).unwrap(), spec.job(), "{text}");
        let text = serde_json::to_string(spec.provider()).unwrap();
        assert_eq!(&serde_json::from_str::<ProviderFile>(&text).unwrap(), spec.provider(), "{text}");
        let again = tidegate_provider::parse_provider(&text, "stored").unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(&again.file, spec.provider());
    }
}

#[test]
fn a_fingerprint_knows_what_is_asked_and_not_how_files_are_called() {
    let at = |path: &str, change: &dyn Fn(&mut JobFile)| {
        let mut job = load_job(&fixture("social-job.yaml")).unwrap().file;
        let provider = load_provider_of(&job, &fixture("social-job.yaml"), &[]).unwrap().file;
        job.provider = path.to_owned();
        change(&mut job);
        Spec::compile(job, provider).unwrap().fingerprint().to_owned()
    };
    let plain = at("social", &|_| {});
    assert_eq!(plain.len(), 32);
    assert_eq!(plain, at("elsewhere/file.yaml", &|_| {}));
    assert_ne!(plain, at("social", &|job| job.credential = None));
    assert_ne!(plain, at("social", &|job| job.max_in_flight = Some(1)));
}

#[test]
fn what_a_request_can_not_carry_is_named() {
    let spec = spec("social-job.yaml");
    let step = spec.step("followers").unwrap();
    let ask = |params: &Params, token: Option<&str>| {
        let credential = token.map(|token| credential("alice", &[("token", token)]));
        let error = spec.request(step, params, &PagePointer::First, credential.as_ref()).unwrap_err();
        std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    };
    let fine = params(&[("id", "1")]);
    assert_eq!(ask(&Params::default(), Some("token")), "parameter id is missing");
    assert_eq!(ask(&params(&[("id", "")]), Some("token")), "parameter id is empty");
    assert_eq!(ask(&params(&[("id", "..")]), Some("token")), "parameter id makes a . or .. segment");
    assert_eq!(ask(&fine, None), "header authorization can't be rendered: credential.token is not there");
    let split = ask(&fine, Some("secret\r\nX-Evil: 1"));
    assert_eq!(split, "header authorization: expected text without line breaks and control characters");
}

#[test]
fn samples_of_the_repository_compile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let providers = root.join("providers");
    let files = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "json")).collect()
    };
    for path in files(&providers) {
        load_provider(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
    }
    for path in files(&root.join("examples")) {
        if !std::fs::read_to_string(&path).unwrap().contains("steps") {
            load_provider(&path, std::slice::from_ref(&providers)).unwrap_or_else(|error| panic!("{error}"));
            continue;
        }
        let job = load_job(&path).unwrap_or_else(|error| panic!("{error}"));
        let provider = load_provider_of(&job.file, &path, std::slice::from_ref(&providers));
        let provider = provider.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Err(problems) = Spec::compile(job.file, provider.file) {
            panic!("{}: {problems:?}", path.display());
        }
    }
}

#[test]
fn a_spec_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Spec>();
    shared::<Credential>();
}

#[test]
fn several_credentials_are_for_the_provider_file_to_allow() {
    let spec = |pool: Option<CredentialPool>, credential: &str| {
        let mut job = load_job(&fixture("social-job.yaml")).unwrap().file;
        let mut provider = load_provider_of(&job, &fixture("social-job.yaml"), &[]).unwrap().file;
        provider.credential_pool = pool;
        job.credential = serde_json::from_str(credential).unwrap();
        Spec::compile(job, provider)
    };
    let pool = r#"["alice", "bob"]"#;
    for refused in [None, Some(CredentialPool::Refused)] {
        let problems = spec(refused, pool).unwrap_err();
        assert_eq!(problems[0].field.to_string(), "credential");
        assert!(problems[0].message.starts_with("expected one name: the file of provider social allows no pool"));
        assert!(spec(refused, r#""alice""#).is_ok() && spec(refused, r#"["alice"]"#).is_ok());
    }
    for (allowed, stays) in [(CredentialPool::ByChain, true), (CredentialPool::ByCall, false)] {
        let spec = spec(Some(allowed), pool).unwrap();
        assert_eq!(spec.credentials().len(), 2);
        assert_eq!(spec.stays_with_one(spec.step("followers").unwrap()), stays, "a Link names the next page");
    }
}
