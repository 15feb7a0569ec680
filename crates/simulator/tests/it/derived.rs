//! A simulator made from a provider file, paged by the product's own reading code.

use std::collections::{BTreeMap, VecDeque};

use http::{HeaderMap, StatusCode};
use tidegate_answer::{Classifier, Pages, Reader, Verdict};
use tidegate_contracts::{Class, PagePointer};
use tidegate_pagination::{Advance, advance, begin};
use tidegate_provider::file::{Endpoint, Placement, ProviderFile};
use tidegate_provider::parse_provider;
use tidegate_simulator::{EndpointSpec, Running, Simulator, SimulatorSpec, StartError};

use crate::client::{Answer, call, encoded};

const FILE: &str = r#"
tidegate: 1
provider: social
base_url: "https://social.example/api"
auth: { bearer: "{{ credential.token }}" }
limits:
  - { id: token, key: [credential], window: { calls: 200, per: 5m }, headers: {} }
errors:
  - { status: 403, json: { "$.error.code": 4 }, class: rate_limited, scope: token }
  - { status: 400, json: { "$.error.code": 190 }, class: auth_revoked }
endpoints:
  by_link:
    get: /accounts/{id}/followers
    items: "$[*]"
    key: "$.id"
    pages: { link: next, size: { param: limit, max: 20 } }
  by_offset:
    get: /offset
    items: "$.accounts"
    pages: { offset: offset, size: { param: limit, max: 20 }, total: "$.meta.count" }
  by_page:
    get: /page
    items: "$.books[*]"
    pages: { page: page, first: 0, size: { param: per_page, max: 20 }, total: { header: X-Total-Count } }
  by_page_without_total:
    get: /open
    items: "$.books[*]"
    pages: { page: page, size: { param: per_page, max: 20 }, parallel: 3 }
  by_cursor:
    get: /cursor
    items: "$.data.edges[*].node"
    pages: { cursor: after, next: "$.data.page.end", has_more: "$.data.page.more", size: { param: first, max: 20 } }
  by_posted_cursor:
    post: /rows
    send: json
    items: "$.results[*]"
    pages: { cursor: start_cursor, next: "$.next_cursor", has_more: "$.has_more", size: { param: page_size, max: 20 } }
  by_last_item:
    get: /charges
    items: "$.data[*]"
    key: "$.object.id"
    pages: { cursor: starting_after, next: { last_item: "$.object.id" }, has_more: "$.has_more", size: { param: limit, max: 20 } }
  by_address:
    get: /address
    items: "$.items[*]"
    pages: { next_url: "$.links.next" }
  by_address_in_header:
    get: /header
    items: "$.items[*]"
    pages: { next_url: { header: Next-Page } }
  unpaged:
    get: /all
    items: "$.items[*]"
  single:
    get: /accounts/{id}
"#;

fn file() -> ProviderFile {
    parse_provider(FILE, "social.yaml").unwrap().file
}

async fn start(spec: SimulatorSpec) -> Running {
    let defaults = EndpointSpec::default().items(95);
    let (spec, notes) =
        SimulatorSpec { defaults, ..spec }.derived_from(&file(), &tidegate_provider::Recorded::default()).unwrap();
    assert_eq!(notes, Vec::<String>::new());
    Simulator::start(&spec).await.unwrap()
}

/// Reads pages of an endpoint as planner and executor do.
struct Client<'a> {
    running: &'a Running,
    endpoint: &'a Endpoint,
    pages: Pages,
    reader: Reader,
}

impl<'a> Client<'a> {
    fn new(running: &'a Running, endpoint: &'a Endpoint) -> Self {
        let reader = Reader::new(endpoint.items.as_ref(), endpoint.key.as_ref(), endpoint.pages.as_ref());
        Self { running, endpoint, pages: endpoint.pages.clone().unwrap_or_default(), reader }
    }

    /// Lines of all items, in the order of their pages.
    async fn all(&self) -> Vec<serde_json::Value> {
        let paging = self.pages.paging();
        let mut waiting = VecDeque::from([begin(&paging)]);
        let mut read = BTreeMap::new();
        while let Some(new) = waiting.pop_front() {
            for (pointer, ordinal) in new.pointers() {
                let page = self.page(&pointer).await;
                let Advance { pages, .. } = advance(&paging, &pointer, ordinal, &page.facts);
                read.insert(ordinal, page.lines);
                waiting.extend(pages);
            }
        }
        let lines = read.into_values().flatten().collect::<Vec<u8>>();
        String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn page(&self, pointer: &PagePointer) -> tidegate_answer::PageRead {
        let (answer, url) = self.call(pointer).await;
        let (headers, status) = head(&answer);
        assert_eq!(Classifier::new(&file().errors, None).classify(status, &headers, &answer.body), Verdict::Page);
        self.reader.read(&headers, &answer.body, &url.parse().unwrap()).unwrap()
    }

    async fn call(&self, pointer: &PagePointer) -> (Answer, String) {
        let path = format!("/api{}", self.endpoint.route.path().replace("{id}", "7"));
        let method = self.endpoint.route.method();
        let query = self.pages.query(pointer);
        let (path, body) = match pointer.place() {
            PagePointer::Url { url } => (url.strip_prefix(&self.running.base_url()).unwrap().to_owned(), String::new()),
            _ if self.endpoint.send == Placement::Json => {
                let body: serde_json::Map<_, _> =
                    query.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                (path, serde_json::Value::Object(body).to_string())
            }
            _ => {
                let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
                (format!("{path}?{}", query.join("&")), String::new())
            }
        };
        let answer =
            call(self.running, &format!("{method} {path}"), "authorization: Bearer made-up\r\n", &body).await.unwrap();
        (answer, format!("{}{path}", self.running.base_url()))
    }
}

fn head(answer: &Answer) -> (HeaderMap, StatusCode) {
    let headers =
        answer.headers.iter().map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()));
    (headers.collect(), StatusCode::from_u16(answer.status).unwrap())
}

#[tokio::test]
async fn every_endpoint_of_a_file_is_read_whole_by_the_files_own_selectors() {
    let running = start(SimulatorSpec::seeded(7)).await;
    for (name, endpoint) in &file().endpoints {
        let items = Client::new(&running, endpoint).all().await;
        let id = |item: &serde_json::Value| {
            let id = item.pointer("/object/id").unwrap_or(&item["id"]);
            id.as_str().map_or_else(|| id.to_string(), str::to_owned)
        };
        let parent = if endpoint.route.path().contains("{id}") { "7" } else { "" };
        let expected = running.ids(name.as_str(), parent);
        assert_eq!(expected.len(), if name.as_str() == "single" { 1 } else { 95 });
        assert_eq!(items.iter().map(id).collect::<Vec<_>>(), expected, "{name}");
    }
}

#[tokio::test]
async fn refusals_are_taken_for_what_they_are_by_the_files_own_rules() {
    let running = start(SimulatorSpec::seeded(7).token("made-up")).await;
    let file = file();
    let classifier = Classifier::new(&file.errors, None);
    let client = Client::new(&running, &file.endpoints["unpaged"]);
    let class = |answer: &Answer| {
        let (headers, status) = head(answer);
        match classifier.classify(status, &headers, &answer.body) {
            Verdict::Failure(failure) => Some((failure.class, failure.scope)),
            Verdict::Page => None,
        }
    };
    for _ in 0..200 {
        assert_eq!(class(&client.call(&PagePointer::First).await.0), None);
    }
    let (refused, _) = client.call(&PagePointer::First).await;
    assert_eq!(class(&refused), Some((Class::RateLimited, Some("token".to_owned()))));
    assert_eq!((refused.status, refused.header("x-ratelimit-remaining")), (403, "0"));
    running.set_token(Some("another"));
    assert_eq!(class(&client.call(&PagePointer::First).await.0), Some((Class::AuthRevoked, None)));
}

#[tokio::test]
async fn a_spec_names_its_provider_file_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("social.yaml", FILE);
    write("spec.yaml", "simulate: 1\nprovider: social.yaml\nendpoints: { unpaged: { items: 3 } }\n");
    let spec = SimulatorSpec::load(&folder.path().join("spec.yaml")).unwrap();
    let running = Simulator::start(&spec).await.unwrap();
    assert_eq!(running.ids("unpaged", ""), ["1", "2", "3"]);
    assert_eq!(running.ids("by_link", "7").len(), 100);
    write("spec.yaml", "provider: missing.yaml\n");
    let spec = SimulatorSpec::load(&folder.path().join("spec.yaml")).unwrap();
    let StartError::Spec(error) = Simulator::start(&spec).await.unwrap_err() else { panic!("expected a spec's error") };
    assert!(error.to_string().starts_with("provider: "), "{error}");
}
