//! The courier: tells of finished jobs and parked credentials, at the address that their file names under `notify`.
//!
//! It is here because executors are the one way out: they have the address guard, and the credentials. What is to be told
//! is in the ledger since it happened. Any number of couriers share the work: a notice is lent to one of them for
//! [`LEASE_MS`]. Should it die meanwhile, another sends the same message again, with the same `webhook-id`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tidegate_daemon::{Clock, Shutdown};
use tidegate_egress::{BodyLimits, Deadlines, Egress, Request};
use tidegate_ledger::{Ledger, Notice, Notices};
use tidegate_provider::file::Notify;
use tidegate_specs::Specs;
use tidegate_webhooks::{Answered, Message, Secret, judge, message};
use tokio::task::JoinSet;
use url::Url;

use crate::credentials::Credentials;

/// Between two looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most notices in hand at once.
const IN_HAND_MAX: u32 = 16;
/// How long a notice is lent, in ms: longer than any attempt takes.
const LEASE_MS: i64 = 60_000;
/// Longest attempt.
const ATTEMPT_MAX: Duration = Duration::from_secs(20);
/// Most bytes of an answer, of which only the status is looked at.
const ANSWER_MAX_BYTES: u64 = 1 << 20;
/// Fields of a credential that hold a secret for signing, the first that is there.
const SECRET_FIELDS: [&str; 2] = ["secret", "token"];

/// What the courier works with.
pub struct CourierDeps {
    /// What is to be told.
    pub notices: Arc<dyn Notices>,
    /// Of which jobs.
    pub ledger: Arc<dyn Ledger>,
    /// Their files.
    pub specs: Arc<Specs>,
    /// The way out.
    pub egress: Egress,
    /// Secrets by name.
    pub credentials: Arc<dyn Credentials>,
    /// Now.
    pub clock: Clock,
}

/// Runs the courier until the shutdown is requested; attempts in hand end first. Idempotent by job, event and time,
/// which make the message's id.
///
/// # Errors
/// None: what can't be done now is tried again.
pub async fn courier(deps: CourierDeps, shutdown: Shutdown) -> anyhow::Result<()> {
    let deps = Arc::new(deps);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut in_hand = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            Some(_) = in_hand.join_next() => continue,
            _ = looks.tick() => {}
        }
        let room = IN_HAND_MAX.saturating_sub(u32::try_from(in_hand.len()).unwrap_or(u32::MAX));
        if room == 0 {
            continue;
        }
        match deps.notices.take_due(room, LEASE_MS, (deps.clock)()).await {
            Ok(due) => due.into_iter().for_each(|notice| {
                in_hand.spawn(deliver(Arc::clone(&deps), notice));
            }),
            // The database may be away; what is due stays so.
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "can't ask what is to be told"),
        }
    }
    while in_hand.join_next().await.is_some() {}
    Ok(())
}

async fn deliver(deps: Arc<CourierDeps>, notice: Notice) {
    let answered = attempt(&deps, &notice).await.unwrap_or_else(|error| Answered::None(format!("{error:#}")));
    let now_ms = (deps.clock)();
    let tried = judge(notice.attempt, answered, now_ms);
    let (job, event, attempt) = (notice.job, notice.event.name(), notice.attempt);
    tracing::info!(job.id = %job, event, attempt, last = tried.last, then = ?tried.then, "webhook");
    if let Err(error) = deps.notices.tried(&notice, &tried, now_ms).await {
        // It is told once more when its lease is over, under the same id.
        tracing::warn!(job.id = %job, error = &error as &dyn std::error::Error, "can't note what came of a webhook");
    }
}

/// One attempt. An error's text has no secret in it: those of `egress` show none.
async fn attempt(deps: &CourierDeps, notice: &Notice) -> anyhow::Result<Answered> {
    let job = deps.ledger.job(notice.job).await?.context("the job is gone")?;
    let stored = deps.specs.get(notice.job).await?;
    let notify = stored.spec.job().notify.as_ref().context("the job's file names no address")?;
    let secret = secret(deps, notify, &job.tenant).await?;
    let request = request(notify, &message(notice, &job), secret.as_ref(), (deps.clock)() / 1_000)?;
    Ok(match deps.egress.call(request).await {
        Ok(answer) => Answered::Status { status: answer.status.as_u16(), redirects: answer.redirects },
        Err(error) => Answered::None(error.to_string()),
    })
}

async fn secret(deps: &CourierDeps, notify: &Notify, tenant: &str) -> anyhow::Result<Option<Secret>> {
    let Some(name) = &notify.secret else { return Ok(None) };
    let credential = deps.credentials.get(tenant, name.as_str()).await?;
    let credential = credential.with_context(|| format!("there is no credential {name}"))?.credential;
    let field = SECRET_FIELDS.iter().find_map(|field| credential.field(field));
    let field = field.with_context(|| format!("credential {name}: expected a field secret or token"))?;
    Ok(Some(Secret::parse(field).with_context(|| format!("credential {name}"))?))
}

fn request(notify: &Notify, message: &Message, secret: Option<&Secret>, now_s: i64) -> anyhow::Result<Request> {
    let url = Url::parse(&notify.url).context("the address can't be read")?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("webhook-id"), HeaderValue::from_str(&message.id)?);
    headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(now_s));
    if let Some(secret) = secret {
        let signature = HeaderValue::from_str(&secret.sign(&message.id, now_s, &message.body))?;
        headers.insert(HeaderName::from_static("webhook-signature"), signature);
    }
    Ok(Request {
        headers,
        body: Some(Bytes::copy_from_slice(&message.body)),
        deadlines: Deadlines { first_byte: ATTEMPT_MAX, idle: ATTEMPT_MAX, total: ATTEMPT_MAX },
        limits: BodyLimits { decoded_bytes: ANSWER_MAX_BYTES, ..BodyLimits::default() },
        ..Request::new(Method::POST, url)
    })
}
