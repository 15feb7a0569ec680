//! Asking the gateway.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidegate_contracts::JobId;
use tidegate_limits::{Override, OverrideKind};
use url::Url;

use crate::answer::{
    BudgetPage, Credential, Dead, DeadPage, Explanation, FailedPage, FetchPage, Job, JobDetail, JobPage, Key, MadeKey,
    MarkPage, MarksReset, Provider, Ready, Retried, StoredCredential, Submitted, UnmatchedAnswer,
};
use crate::error::{ClientError, Problem};
use crate::events::Events;
use crate::items::{ItemQuery, Items};

/// How it names itself.
const USER_AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
/// Longest time until connected.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time between two pieces of an answer; streams of events have a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(60);
/// Largest answer that is read whole, in bytes.
const ANSWER_MAX_BYTES: usize = 64 << 20;
/// Longest part of a strange answer that is shown, in characters.
const STRANGE_MAX_CHARS: usize = 200;

/// A gateway, and the key to it. Clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    base: Url,
    /// `Authorization`, marked as sensitive, so that nothing prints it.
    bearer: Option<HeaderValue>,
    http: reqwest::Client,
}

/// Which jobs.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// In one of these states.
    pub states: Vec<String>,
    /// Of this provider.
    pub provider: Option<String>,
    /// Of exactly this name.
    pub name: Option<String>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// How many at most.
    pub limit: Option<u32>,
}

/// Which budgets.
#[derive(Debug, Clone, Default)]
pub struct BudgetQuery {
    /// Of this provider.
    pub provider: Option<String>,
    /// Of the limit of this id.
    pub id: Option<String>,
    /// Only those that are blocked or paused.
    pub blocked: bool,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// Which dead letters to list.
#[derive(Debug, Clone, Default)]
pub struct DeadQuery {
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this job.
    pub job: Option<String>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl Client {
    /// A client of the gateway at `base`. Without a key it may only ask whether it is ready. If the process has no rustls
    /// crypto provider yet, it gets *ring*.
    ///
    /// # Errors
    /// [`ClientError::Key`], [`ClientError::Setup`].
    pub fn new(base: Url, key: Option<SecretString>) -> Result<Self, ClientError> {
        // An `Err` means that another part of the process chose a provider before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        #[expect(clippy::disallowed_methods, reason = "the gateway is our own, and may well have a private address")]
        let builder = reqwest::Client::builder();
        // A key is for the one it was meant for, and a gateway leads nowhere else.
        let builder = builder.redirect(reqwest::redirect::Policy::none()).user_agent(USER_AGENT);
        let http = builder.connect_timeout(CONNECT).read_timeout(SILENCE).build().map_err(ClientError::Setup)?;
        Ok(Self { base, bearer: key.as_ref().map(bearer).transpose()?, http })
    }

    /// Submits a job file, JSON or YAML; the same key with the same file is the same job.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn submit(&self, file: &str, idempotency_key: Option<&str>) -> Result<Submitted, ClientError> {
        self.submit_with(file, idempotency_key, &[]).await
    }

    /// As [`Client::submit`], of a job that takes only what is new since the last one of its name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn extend(&self, file: &str, idempotency_key: Option<&str>) -> Result<Submitted, ClientError> {
        self.submit_with(file, idempotency_key, &[("extend", "true".to_owned())]).await
    }

    async fn submit_with(
        &self,
        file: &str,
        idempotency_key: Option<&str>,
        query: &[(&str, String)],
    ) -> Result<Submitted, ClientError> {
        let ask = self.ask_with(Method::POST, &["v1", "jobs"], query);
        let mut ask = ask.header(CONTENT_TYPE, media(file)).body(file.to_owned());
        if let Some(key) = idempotency_key {
            ask = ask.header("idempotency-key", key);
        }
        let response = self.send(ask).await?;
        let replayed = response.headers().contains_key("idempotency-replayed");
        Ok(Submitted { replayed, ..self.read(response).await? })
    }

    /// A page of jobs, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn jobs(&self, query: &JobQuery) -> Result<JobPage, ClientError> {
        let JobQuery { states, provider, name, after, limit } = query.clone();
        let states = (!states.is_empty()).then(|| states.join(","));
        let limit = limit.map(|limit| limit.to_string());
        let pairs = [("state", states), ("provider", provider), ("name", name), ("after", after), ("limit", limit)];
        let pairs: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.answer(self.ask_with(Method::GET, &["v1", "jobs"], &pairs)).await
    }

    /// How a job stands.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn job(&self, job: JobId) -> Result<JobDetail, ClientError> {
        self.answer(self.ask(Method::GET, &["v1", "jobs", &job.to_string()])).await
    }

    /// Why a job, or a fetch of it, is not finished.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain(&self, job: JobId, fetch: Option<&str>) -> Result<Explanation, ClientError> {
        let job = job.to_string();
        let ask = match fetch {
            None => self.ask(Method::GET, &["v1", "jobs", &job, "explain"]),
            Some(fetch) => self.ask(Method::GET, &["v1", "jobs", &job, "fetches", fetch, "explain"]),
        };
        self.answer(ask).await
    }

    /// A page of one level of a job's tree.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tree(&self, job: JobId, query: &[(&str, String)]) -> Result<FetchPage, ClientError> {
        self.answer(self.ask_with(Method::GET, &["v1", "jobs", &job.to_string(), "tree"], query)).await
    }

    /// A page of a job's failed and skipped calls.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn failures(&self, job: JobId, query: &[(&str, String)]) -> Result<FailedPage, ClientError> {
        self.answer(self.ask_with(Method::GET, &["v1", "jobs", &job.to_string(), "failures"], query)).await
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel(&self, job: JobId) -> Result<Job, ClientError> {
        self.answer(self.ask(Method::DELETE, &["v1", "jobs", &job.to_string()])).await
    }

    /// Pauses a job.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn pause(&self, job: JobId) -> Result<Job, ClientError> {
        self.answer(self.ask(Method::POST, &["v1", "jobs", &job.to_string(), "pause"])).await
    }

    /// Goes on with a paused job.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn resume(&self, job: JobId) -> Result<Job, ClientError> {
        self.answer(self.ask(Method::POST, &["v1", "jobs", &job.to_string(), "resume"])).await
    }

    /// Has the failed and cancelled calls of a finished job made again; of the failed ones those that `alike` tells, by
    /// the names of the route's query: all, where it is empty.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retry_failed(&self, job: JobId, alike: &[(&str, String)]) -> Result<Retried, ClientError> {
        self.answer(self.ask(Method::POST, &["v1", "jobs", &job.to_string(), "retry-failed"]).query(alike)).await
    }

    /// Watches a job, from the present or the event whose id was seen last; `None` when its end was seen already.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self, job: JobId, seen: Option<&str>) -> Result<Option<Events>, ClientError> {
        let mut ask = self.ask(Method::GET, &["v1", "jobs", &job.to_string(), "events"]);
        if let Some(seen) = seen {
            ask = ask.header("last-event-id", seen);
        }
        let response = self.send(ask).await?;
        Ok((response.status() != StatusCode::NO_CONTENT).then(|| Events::new(self.name(), response)))
    }

    /// A job's items, as lines.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn items(&self, job: JobId, query: &ItemQuery) -> Result<Items, ClientError> {
        let ask = self.ask_with(Method::GET, &["v1", "jobs", &job.to_string(), "items"], &query.pairs());
        Ok(Items::new(self.name(), self.send(ask).await?))
    }

    /// A page of marks: from where the next job of a name goes on that is submitted by [`Client::extend`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn marks(&self, query: &[(&str, String)]) -> Result<MarkPage, ClientError> {
        self.answer(self.ask_with(Method::GET, &["v1", "since"], query)).await
    }

    /// Forgets marks of jobs of a name, of all steps or one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reset_marks(&self, job: &str, step: Option<&str>) -> Result<MarksReset, ClientError> {
        let pairs = [("job", Some(job)), ("step", step)];
        let pairs: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect();
        self.answer(self.ask_with(Method::DELETE, &["v1", "since"], &pairs)).await
    }

    /// Stores a provider file, JSON or YAML.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_provider(&self, name: &str, file: &str) -> Result<Provider, ClientError> {
        let ask = self.ask(Method::PUT, &["v1", "providers", name]);
        self.answer(ask.header(CONTENT_TYPE, media(file)).body(file.to_owned())).await
    }

    /// A stored provider file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn provider(&self, name: &str) -> Result<Provider, ClientError> {
        self.answer(self.ask(Method::GET, &["v1", "providers", name])).await
    }

    /// Stored provider files, without what is in them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn providers(&self) -> Result<Vec<Provider>, ClientError> {
        self.list(&["v1", "providers"], "providers").await
    }

    /// Deletes a provider file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_provider(&self, name: &str) -> Result<(), ClientError> {
        self.send(self.ask(Method::DELETE, &["v1", "providers", name])).await.map(drop)
    }

    /// Stores a credential: JSON, an object of fields or one text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_credential(&self, name: &str, json: &SecretString) -> Result<StoredCredential, ClientError> {
        let ask = self.ask(Method::PUT, &["v1", "credentials", name]);
        self.answer(ask.header(CONTENT_TYPE, "application/json").body(json.expose_secret().to_owned())).await
    }

    /// Names of credentials.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn credentials(&self) -> Result<Vec<Credential>, ClientError> {
        self.list(&["v1", "credentials"], "credentials").await
    }

    /// Deletes a credential.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_credential(&self, name: &str) -> Result<(), ClientError> {
        self.send(self.ask(Method::DELETE, &["v1", "credentials", name])).await.map(drop)
    }

    /// Makes an API key of these scopes (`submit`, `read`, `admin`), which expires at a Unix time in ms, if at any.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn make_key(
        &self,
        name: &str,
        scopes: &[&str],
        expires_at_ms: Option<i64>,
    ) -> Result<MadeKey, ClientError> {
        let wanted = json!({ "name": name, "scopes": scopes, "expires_at_ms": expires_at_ms }).to_string();
        let ask = self.ask(Method::POST, &["v1", "keys"]).header(CONTENT_TYPE, "application/json").body(wanted);
        self.answer(ask).await
    }

    /// The tenant's API keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn keys(&self) -> Result<Vec<Key>, ClientError> {
        self.list(&["v1", "keys"], "keys").await
    }

    /// Revokes an API key by its id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke_key(&self, id: &str) -> Result<(), ClientError> {
        self.send(self.ask(Method::DELETE, &["v1", "keys", id])).await.map(drop)
    }

    /// A page of budgets, by key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn budgets(&self, query: &BudgetQuery) -> Result<BudgetPage, ClientError> {
        let BudgetQuery { provider, id, blocked, after } = query.clone();
        let blocked = blocked.then(|| "true".to_owned());
        let pairs = [("provider", provider), ("id", id), ("blocked", blocked), ("after", after)];
        let pairs: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.answer(self.ask_with(Method::GET, &["v1", "limits"], &pairs)).await
    }

    /// Pauses a budget, or sets another rate.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_override(&self, wanted: &Override) -> Result<Override, ClientError> {
        let body = json!(wanted).to_string();
        let ask = self.ask(Method::PUT, &["v1", "limits", "overrides"]).header(CONTENT_TYPE, "application/json");
        self.answer(ask.body(body)).await
    }

    /// Ends what is wanted of a budget, of one kind or of all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_override(&self, key: &str, kind: Option<OverrideKind>) -> Result<(), ClientError> {
        let does = kind.map(|kind| match kind {
            OverrideKind::Pause => ("does", "pause".to_owned()),
            OverrideKind::Rate => ("does", "rate".to_owned()),
        });
        let pairs: Vec<_> = [("key", key.to_owned())].into_iter().chain(does).collect();
        self.send(self.ask_with(Method::DELETE, &["v1", "limits", "overrides"], &pairs)).await.map(drop)
    }

    /// Answers that no error rule of a provider speaks of, those seen last first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn unmatched(&self, provider: &str) -> Result<Vec<UnmatchedAnswer>, ClientError> {
        self.list(&["v1", "providers", provider, "unmatched"], "unmatched").await
    }

    /// A page of dead letters, newest first. Only for the tenant that runs the deployment.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn dead_letters(&self, query: &DeadQuery) -> Result<DeadPage, ClientError> {
        let DeadQuery { queue, job, after, limit } = query.clone();
        let limit = limit.map(|limit| limit.to_string());
        let pairs = [("queue", queue), ("job", job), ("after", after), ("limit", limit)];
        let pairs: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.answer(self.ask_with(Method::GET, &["v1", "dead"], &pairs)).await
    }

    /// A dead letter, with what it says.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn dead_letter(&self, id: &str) -> Result<Dead, ClientError> {
        self.answer(self.ask(Method::GET, &["v1", "dead", id])).await
    }

    /// Sends a dead letter again, to the queue it died in.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn replay_dead(&self, id: &str) -> Result<Dead, ClientError> {
        self.answer(self.ask(Method::POST, &["v1", "dead", id, "replay"])).await
    }

    /// Drops a dead letter.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn drop_dead(&self, id: &str) -> Result<(), ClientError> {
        self.send(self.ask(Method::DELETE, &["v1", "dead", id])).await.map(drop)
    }

    /// Whether the gateway is ready; one that is not is no error.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ready(&self) -> Result<Ready, ClientError> {
        let response = self.ask(Method::GET, &["readyz"]).send().await.map_err(|error| self.unreached(error))?;
        self.read(response).await
    }

    fn ask(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.ask_with(method, path, &[])
    }

    fn ask_with(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self.base.clone();
        // An address that can't have a path is refused with the request.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let ask = self.http.request(method, url);
        match &self.bearer {
            Some(bearer) => ask.header(AUTHORIZATION, bearer.clone()),
            None => ask,
        }
    }

    async fn send(&self, ask: RequestBuilder) -> Result<Response, ClientError> {
        let response = ask.send().await.map_err(|error| self.unreached(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
        let problem: Problem = self.read(response).await?;
        Err(ClientError::Refused(Box::new(Problem { retry_after_s: retry_after, ..problem })))
    }

    async fn answer<T: DeserializeOwned>(&self, ask: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(ask).await?;
        self.read(response).await
    }

    async fn list<T: DeserializeOwned>(&self, path: &[&str], field: &str) -> Result<Vec<T>, ClientError> {
        let mut answer: Value = self.answer(self.ask(Method::GET, path)).await?;
        serde_json::from_value(answer[field].take()).map_err(|error| ClientError::Strange(error.to_string()))
    }

    async fn read<T: DeserializeOwned>(&self, mut response: Response) -> Result<T, ClientError> {
        let (status, mut bytes) = (response.status(), Vec::new());
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreached(error))? {
            if bytes.len() + piece.len() > ANSWER_MAX_BYTES {
                return Err(ClientError::Strange(format!("an answer of more than {ANSWER_MAX_BYTES} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            let text: String = String::from_utf8_lossy(&bytes).chars().take(STRANGE_MAX_CHARS).collect();
            // An answer that was a success may hold a key: it is not shown.
            let shown = if status.is_success() { String::new() } else { format!(": {text}") };
            ClientError::Strange(format!("status {status}, {error}{shown}"))
        })
    }

    fn unreached(&self, error: reqwest::Error) -> ClientError {
        ClientError::Reach(self.name(), error.without_url())
    }

    fn name(&self) -> String {
        self.base.host_str().map_or_else(
            || self.base.to_string(),
            |host| match self.base.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
        )
    }
}

fn bearer(key: &SecretString) -> Result<HeaderValue, ClientError> {
    let mut header = HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).map_err(|_| ClientError::Key)?;
    header.set_sensitive(true);
    Ok(header)
}

/// A file that begins like a JSON object is one; everything else is YAML.
fn media(file: &str) -> &'static str {
    if file.trim_start().starts_with('{') { "application/json" } else { "application/yaml" }
}
