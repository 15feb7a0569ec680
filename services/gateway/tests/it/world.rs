//! A running gateway, and short words for asking it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tidegate_arbiter::{Arbiter, MemoryStore};
use tidegate_bus::{Bus, InProcess, InProcessConfig};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{
    Call, CallEnd, Class, End, Envelope, Event, Failure, FetchId, Fingerprint, JobId, Message, NewFetch, NewPages,
    PageFacts, Params, Plan,
};
use tidegate_daemon::{Clock, Handle, Health, Shutdown};
use tidegate_gateway::{Config, Deps, HttpBudgets, HttpBudgetsConfig, start};
use tidegate_ledger::{Committed, Ledger, NewPage, Packed, SqliteLedger, Sync, Windows};
use tidegate_registry::{NewKey, Registry, Scope, Scopes, SealingKeys, SqliteRegistry, Tenant, Vault};
use tokio::net::TcpListener;

/// When everything begins, Unix ms.
pub(crate) const NOW: i64 = 1_800_000_000_000;
/// Longest wait for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const PROVIDER: &str = r#"{"tidegate": 1, "provider": "shop", "base_url": "https://shop.example",
    "endpoints": {"orders": {"get": "/orders", "items": "$.orders[*]"}}}"#;
pub(crate) const JOB: &str = r#"{"provider": "shop", "steps": [{"id": "orders", "call": "orders"}]}"#;

pub(crate) struct World {
    pub(crate) address: String,
    pub(crate) ledger: Arc<SqliteLedger>,
    pub(crate) registry: Arc<SqliteRegistry>,
    pub(crate) bus: Arc<InProcess>,
    pub(crate) health: Health,
    pub(crate) shutdown: Shutdown,
    pub(crate) handle: Option<Handle>,
    pub(crate) dir: tempfile::TempDir,
    /// A key of tenant `a` for everything.
    pub(crate) key: String,
    pub(crate) arbiter: Arc<Arbiter>,
    /// Serves until the world ends.
    _arbiter_served: Handle,
    now_ms: Arc<AtomicI64>,
    client: reqwest::Client,
}

/// A request that is being made.
pub(crate) struct Ask(reqwest::RequestBuilder);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

/// The arbiter's budgets, asked as another process would.
async fn over_http(arbiter: Arc<Arbiter>, clock: Clock, shutdown: &Shutdown) -> (HttpBudgets, Handle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let deps = tidegate_arbiter::http::Deps { arbiter, health: Health::new() };
    let served = tidegate_arbiter::http::start(deps, Default::default(), listener, shutdown).unwrap();
    (HttpBudgets::new(HttpBudgetsConfig::new(vec![url]), clock).unwrap(), served)
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        // Twice is no harm.
        _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let ledger = Arc::new(SqliteLedger::open(&path, Sync::Normal).await.unwrap());
        let registry = Arc::new(SqliteRegistry::open(&path).await.unwrap());
        let now_ms = Arc::new(AtomicI64::new(NOW));
        let clock: Clock = Arc::new({
            let now_ms = Arc::clone(&now_ms);
            move || now_ms.load(Ordering::SeqCst)
        });
        let bus = Arc::new(InProcess::new(InProcessConfig::default(), Arc::clone(&clock)));
        let keys = Arc::new(SealingKeys::parse(&SealingKeys::generate("test")).unwrap());
        let vault = Vault::new(registry.clone(), keys);
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let arbiter = Arc::new(Arbiter::new(Arc::new(MemoryStore::new()), Arc::clone(&clock)));
        let (budgets, arbiter_served) = over_http(Arc::clone(&arbiter), Arc::clone(&clock), &shutdown).await;
        let budgets = Arc::new(budgets);
        let deps = Deps {
            bus: bus.clone(),
            ledger: ledger.clone(),
            notices: ledger.clone(),
            dead: ledger.clone(),
            unmatched: ledger.clone(),
            registry: registry.clone(),
            vault,
            budgets,
            clock,
            health: health.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let handle = Some(start(deps, config, listener, &shutdown));
        #[expect(clippy::disallowed_methods, reason = "here it is the client of the gateway")]
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let key = String::new();
        let mut world = Self {
            address,
            ledger,
            registry,
            bus,
            health,
            shutdown,
            handle,
            dir,
            key,
            arbiter,
            _arbiter_served: arbiter_served,
            now_ms,
            client,
        };
        world.key = world.tenant("a").await;
        world
    }

    /// Makes a tenant and a key of it for everything.
    pub(crate) async fn tenant(&self, name: &str) -> String {
        let tenant: Tenant = name.parse().unwrap();
        self.registry.add_tenant(&tenant, NOW).await.unwrap();
        self.key(name, &[Scope::Admin], None).await
    }

    pub(crate) async fn key(&self, tenant: &str, scopes: &[Scope], expires_at_ms: Option<i64>) -> String {
        let scopes = Scopes::new(scopes.iter().copied()).unwrap();
        let (key, text) = NewKey::generate(tenant.parse().unwrap(), "test", scopes, expires_at_ms);
        self.registry.add_key(&key, NOW).await.unwrap();
        text.expose_secret().to_owned()
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// A request with tenant `a`'s key.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        self.bare(method, path).key(&self.key)
    }

    /// A request without a key.
    pub(crate) fn bare(&self, method: Method, path: &str) -> Ask {
        Ask(self.client.request(method, format!("http://{}{path}", self.address)))
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.ask(Method::GET, path).send().await
    }

    pub(crate) async fn put_shop(&self) {
        let put = self.ask(Method::PUT, "/v1/providers/shop").json(PROVIDER).send().await;
        assert!(put.status.is_success(), "{put:?}");
    }

    /// Submits a job of the stored provider `shop`.
    pub(crate) async fn submit(&self) -> JobId {
        self.put_shop().await;
        let got = self.ask(Method::POST, "/v1/jobs").json(JOB).send().await;
        assert_eq!(got.status, StatusCode::ACCEPTED, "{got:?}");
        got.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// As planner and tracker would: begins the job with `calls` pages of one fetch.
    pub(crate) async fn begin(&self, job: JobId, calls: u64) -> Vec<Call> {
        let params = Params::default();
        let fetch = FetchId::derive(job, None, "orders", &params);
        let pages = vec![NewPages::Numbers { from: 1, until: calls + 1, size: 10, ordinal: 0 }];
        let root = NewFetch {
            fetch,
            parent: None,
            step: "orders".into(),
            params,
            pages,
            failure: None,
            tolerated: false,
            after: Vec::new(),
            mark: None,
        };
        self.commit(Plan { fetches: vec![root], ..empty(job) }).await.released
    }

    /// Ends a call with a page of these lines.
    pub(crate) async fn succeed(&self, call: &Call, lines: &str) -> Committed {
        let items = u32::try_from(lines.lines().count()).unwrap();
        let (bytes, _) = call.call.as_bytes().split_first_chunk::<8>().unwrap();
        let fingerprint = Fingerprint(i64::from_be_bytes(*bytes));
        let facts = PageFacts { items, total: None, next: None, has_more: None, fingerprint, ..PageFacts::default() };
        let lines = Packed::pack(lines.as_bytes()).unwrap();
        let page = NewPage {
            call: call.call,
            fetch: call.fetch,
            job: call.job,
            step: call.step.clone(),
            facts,
            top: None,
            lines,
        };
        self.ledger.put_pages(&[page], NOW).await.unwrap();
        self.end(call, End::Succeeded { items }).await
    }

    pub(crate) async fn fail(&self, call: &Call, message: &str) -> Committed {
        let failure = Failure { class: Class::Invalid, status: Some(422), message: message.into() };
        self.end(call, End::Failed { failure, tolerated: false }).await
    }

    pub(crate) async fn end(&self, call: &Call, end: End) -> Committed {
        let ended = CallEnd { fetch: call.fetch, call: call.call, attempt: 0, requests: 1, end };
        self.commit(Plan { ended: Some(ended), ..empty(call.job) }).await
    }

    /// Commits a plan and tells of it.
    async fn commit(&self, plan: Plan) -> Committed {
        let job = plan.job;
        let committed = self.ledger.commit(&[plan], &Windows::default(), NOW).await.unwrap();
        let event = Envelope::new(Message::Event(Event::JobProgressed { job }), NOW, None);
        self.bus.publish(&Queue::Events, vec![event]).await.unwrap();
        committed
    }

    /// Ends the gateway and waits for it.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.request();
        self.handle.take().unwrap().join_within(SOON).await.unwrap();
    }
}

fn empty(job: JobId) -> Plan {
    Plan::nothing(job)
}

impl Ask {
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub(crate) fn json(self, body: impl Into<reqwest::Body>) -> Self {
        self.body("application/json", body)
    }

    pub(crate) fn body(self, media: &str, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("content-type", media).body(body))
    }

    /// The answer, of which only the head has been read.
    pub(crate) async fn open(self) -> Response {
        tokio::time::timeout(SOON, self.0.send()).await.expect("in time").expect("an answer")
    }

    pub(crate) async fn send(self) -> Got {
        let response = self.open().await;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = tokio::time::timeout(SOON, response.text()).await.expect("in time").expect("a body");
        Got { status, headers, text }
    }
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The kind of the problem that this is, once it has been seen to be a whole one of this status.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], json!(status), "{problem}");
        for field in ["type", "title", "detail", "trace_id"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {problem}");
        }
        problem["type"].as_str().unwrap().trim_start_matches("/docs#problem-").to_owned()
    }

    /// Pointers of a problem's errors.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}
