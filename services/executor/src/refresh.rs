//! Refreshes a credential's token, one executor at a time (OAuth 2.0).
//!
//! Within this process a lock for each credential has one call ask for it; among processes, the lease of its row. What came of
//! it is stored as the credential's next version before any call uses it, and whoever waits finds that version.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tidegate_contracts::{Class, Failure, Wait, WaitReason};
use tidegate_daemon::Clock;
use tidegate_egress::{BodyLimits, Deadlines, Egress, EgressError, Failure as Failed, Request, Sent};
use tidegate_limits::headers::retry_after;
use tidegate_provider::{Credential, RequestParts, Spec, TokenAnswer, redact_credential};
use tidegate_specs::JobSpec;
use tokio::sync::Mutex as Turnstile;

use crate::credentials::{Lent, Turn, Version};
use crate::handle_call::SLEEP_MAX_MS;
use crate::judge::sent;
use crate::lend::patiently;
use crate::prepare::{chain, failure};
use crate::service::Shared;

/// How long a refresh is its executor's alone, in ms: longer than it may take, by more than clocks may differ.
pub(crate) const LEASE_MS: i64 = 45_000;
/// Longest time of a request for a token.
const WITHIN: Duration = Duration::from_secs(30);
/// Largest answer of a token endpoint, in bytes.
const ANSWER_MAX_BYTES: u64 = 1 << 20;
/// Between two looks whether another executor is done, in ms.
const LOOK_EVERY_MS: i64 = 100;
/// Longest time that a call is parked for before it looks whether another executor is done, in ms.
const PARKED_MAX_MS: i64 = 5_000;
/// Longest pause after the first refresh that failed, in ms; it doubles.
const FIRST_PAUSE_MS: i64 = 1_000;
/// Longest pause, in ms, unless the endpoint asks for a longer one; also how long a refusal is remembered.
const LONGEST_PAUSE_MS: i64 = 60_000;
/// Times that storing a token is tried again at the end of the process, each after a second.
const LAST_TRIES: u32 = 10;
/// Most credentials that are kept apart; those that nobody refreshes are forgotten above it.
const KEPT_MAX: usize = 10_000;

/// What came of a refresh.
pub(crate) enum Refreshed {
    /// There is another version now, or somebody parked or deleted it: look again.
    Look,
    /// The token endpoint refuses the credential.
    Refused(Failure),
    /// No token can be asked for at all.
    Failed(Failure),
    /// It is tried again, not before the wait is over.
    Later(Wait),
}

/// Credentials that are being refreshed here.
#[derive(Default)]
pub(crate) struct Refreshes(Mutex<HashMap<(String, String), Arc<Entry>>>);

#[derive(Default)]
pub(crate) struct Entry {
    /// Whoever has it asks.
    turn: Turnstile<Pause>,
    /// The version whose token was refused.
    refused: AtomicI64,
}

/// What is not asked for again for a while.
#[derive(Default)]
struct Pause {
    version: i64,
    /// Unix ms.
    until_ms: i64,
    /// What the endpoint said, if it refused. For calls whose credential can't be parked.
    refused: Option<Failure>,
}

impl Refreshes {
    fn of(&self, tenant: &str, name: &str) -> Arc<Entry> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, entry| Arc::strong_count(entry) > 1);
        }
        Arc::clone(kept.entry((tenant.to_owned(), name.to_owned())).or_default())
    }

    /// Whether a call was refused with this version, so that no other need be made to know it.
    pub(crate) fn was_refused(&self, tenant: &str, lent: &Lent) -> bool {
        self.of(tenant, lent.credential.name()).refused.load(Relaxed) == lent.version
    }

    /// Whatever is stored under this name from now on is another credential.
    pub(crate) fn forget(&self, tenant: &str, name: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&(tenant.to_owned(), name.to_owned()));
    }

    /// A call was refused with this version for what may be its age.
    pub(crate) fn refuse(&self, tenant: &str, lent: &Lent) {
        self.of(tenant, lent.credential.name()).refused.store(lent.version, Relaxed);
    }
}

/// Refreshes it, waiting for whoever does already. For a call that has no other token.
pub(crate) async fn refresh(shared: &Shared, spec: &JobSpec, lent: &Lent) -> anyhow::Result<Refreshed> {
    let entry = shared.refreshes.of(&spec.tenant, lent.credential.name());
    let mut turn = entry.turn.lock().await;
    by_turn(shared, spec, lent, (&mut turn, SLEEP_MAX_MS)).await
}

/// Refreshes it if nobody does. For a call whose token is good for a while yet.
pub(crate) async fn refresh_early(shared: &Shared, spec: &JobSpec, lent: &Lent) -> anyhow::Result<Option<Refreshed>> {
    let entry = shared.refreshes.of(&spec.tenant, lent.credential.name());
    let Ok(mut turn) = entry.turn.try_lock() else { return Ok(None) };
    by_turn(shared, spec, lent, (&mut turn, 0)).await.map(Some)
}

/// Gives the lease back after the refusal of a token endpoint was told.
pub(crate) async fn give_up(shared: &Shared, spec: &JobSpec, lent: &Lent) {
    postpone(shared, &version_of(shared, spec, lent), (shared.deps.clock)(), false).await;
}

fn version_of<'a>(shared: &'a Shared, spec: &'a JobSpec, lent: &'a Lent) -> Version<'a> {
    let (tenant, name) = (spec.tenant.as_str(), lent.credential.name());
    Version { tenant, name, version: lent.version, by: &shared.name }
}

/// `wait_ms`: how long another executor is waited for.
async fn by_turn(
    shared: &Shared,
    spec: &JobSpec,
    lent: &Lent,
    (pause, wait_ms): (&mut Pause, i64),
) -> anyhow::Result<Refreshed> {
    let clock = &shared.deps.clock;
    let (of, wait_until_ms) = (version_of(shared, spec, lent), clock() + wait_ms);
    // Whoever waited here for somebody else finds what that one brought, and asks nobody.
    let newest = patiently(shared, || shared.deps.credentials.get(of.tenant, of.name)).await?;
    if newest.is_none_or(|newest| newest.version != lent.version || newest.parked.is_some()) {
        return Ok(Refreshed::Look);
    }
    if pause.version == lent.version && clock() < pause.until_ms {
        return Ok(pause.refused.clone().map_or_else(|| later(pause.until_ms), Refreshed::Refused));
    }
    let (tries, lost) = loop {
        match patiently(shared, || shared.deps.credentials.lease(&of, clock() + LEASE_MS, clock())).await? {
            Turn::Mine { tries, lost } => break (tries, lost),
            Turn::Changed => return Ok(Refreshed::Look),
            Turn::NotBefore(until_ms) if clock() >= wait_until_ms => {
                let until_ms = until_ms.min(clock() + PARKED_MAX_MS);
                *pause = Pause { version: lent.version, until_ms, refused: None };
                return Ok(later(until_ms));
            }
            Turn::NotBefore(_) => tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS.unsigned_abs())).await,
        }
    };
    let refreshed = ask(shared, spec, lent, (tries, lost)).await;
    let (until_ms, refused) = match &refreshed {
        Refreshed::Later(wait) => (wait.until_ms, None),
        Refreshed::Refused(failure) => (clock() + LONGEST_PAUSE_MS, Some(failure.clone())),
        Refreshed::Look | Refreshed::Failed(_) => (0, None),
    };
    *pause = Pause { version: lent.version, until_ms, refused };
    Ok(refreshed)
}

/// Asks the token endpoint, and stores what it answers with.
async fn ask(shared: &Shared, spec: &JobSpec, lent: &Lent, (tries, lost): (u32, bool)) -> Refreshed {
    let of = version_of(shared, spec, lent);
    let Some(out) = shared.deps.out.first() else {
        return Refreshed::Failed(failure(Class::Invalid, "this executor has no way out"));
    };
    let Some(fetched) = fetch(spec, &lent.credential, (&out.egress, &shared.deps.clock)).await else {
        return Refreshed::Look;
    };
    let end = match &fetched {
        Fetched::Renewed(_) => Some("renewed"),
        Fetched::Refused { .. } => Some("refused"),
        Fetched::Later { .. } => Some("later"),
        Fetched::Impossible(_) => None,
    };
    if let Some(end) = end {
        shared.metrics.token_asked(spec.provider().provider.as_str(), end);
    }
    match fetched {
        Fetched::Renewed(credential) => {
            store(shared, &of, &credential).await;
            tracing::info!(tenant = of.tenant, credential = of.name, tries, "token refreshed");
            Refreshed::Look
        }
        Fetched::Refused { why, status } => Refreshed::Refused(refusal(&why, status, lost)),
        Fetched::Later { why, told_until_ms, lost } => {
            let now_ms = (shared.deps.clock)();
            let until_ms = pause_until_ms(tries, told_until_ms, now_ms, rand::random());
            tracing::warn!(
                tenant = of.tenant,
                credential = of.name,
                tries,
                error = why,
                wait_ms = until_ms - now_ms,
                "a token could not be refreshed"
            );
            postpone(shared, &of, until_ms, lost).await;
            later(until_ms)
        }
        Fetched::Impossible(failure) => Refreshed::Failed(failure),
    }
}

/// What came of one request for a token. Its texts have no secrets in them.
pub(crate) enum Fetched {
    /// The credential with its new token.
    Renewed(Credential),
    /// It is refused for good.
    Refused { why: String, status: Option<u16> },
    /// Trouble that passes. `lost`: the endpoint may have made a token that nobody has.
    Later { why: String, told_until_ms: Option<i64>, lost: bool },
    /// None can be asked for at all.
    Impossible(Failure),
}

/// Asks the token endpoint once; `None` where the credential is used as it is.
pub(crate) async fn fetch(spec: &Spec, credential: &Credential, (egress, clock): (&Egress, &Clock)) -> Option<Fetched> {
    let hidden = |text: &str| redact_credential(text, credential);
    let parts = match spec.token_request(credential)? {
        Ok(parts) => parts,
        Err(error) => return Some(Fetched::Impossible(failure(Class::Invalid, hidden(&chain(&error))))),
    };
    let asked_at_ms = clock();
    let answer = egress.call(request(parts, spec.provider().insecure_http)).await;
    let now_ms = clock();
    let said = match &answer {
        Ok(answer) => TokenAnswer::read(answer.status, &answer.body),
        Err(error) if is_forbidden(error) => {
            let text = format!("no token was asked for: {}", chain(error));
            return Some(Fetched::Impossible(failure(Class::Blocked, text)));
        }
        Err(error) => TokenAnswer::Later(chain(error)),
    };
    Some(match said {
        TokenAnswer::Tokens(tokens) => Fetched::Renewed(tokens.renew(credential, asked_at_ms)),
        TokenAnswer::Refused(why) => {
            Fetched::Refused { why: hidden(&why), status: answer.ok().map(|answer| answer.status.as_u16()) }
        }
        TokenAnswer::Later(why) => {
            let told_until_ms = answer.as_ref().ok().and_then(|answer| {
                let sent = sent(&answer.headers);
                Some(retry_after(sent("Retry-After")?, now_ms, &sent)?.at_ms)
            });
            Fetched::Later { why: hidden(&why), told_until_ms, lost: is_lost(&answer.map(|answer| answer.status)) }
        }
    })
}

/// What is told of a refusal. `lost`: what came of an earlier request is not known.
pub(crate) fn refusal(why: &str, status: Option<u16>, lost: bool) -> Failure {
    let after = if lost { "; an earlier answer was lost, and with it a new refresh token, perhaps" } else { "" };
    let text = format!("the token endpoint refuses to renew it: {why}{after}");
    Failure { status, ..failure(Class::AuthRevoked, text) }
}

fn request(parts: RequestParts, insecure_http: bool) -> Request {
    Request {
        headers: parts.headers,
        body: parts.body.map(Into::into),
        insecure_http,
        deadlines: Deadlines { first_byte: WITHIN, idle: WITHIN, total: WITHIN },
        limits: BodyLimits { decoded_bytes: ANSWER_MAX_BYTES, ..BodyLimits::default() },
        ..Request::new(parts.method, parts.url)
    }
}

/// Stores the new version. What is not stored is lost, and with it the refresh token, perhaps: so it is tried for as long as
/// this process lives, and a little longer.
async fn store(shared: &Shared, of: &Version<'_>, credential: &Credential) {
    let mut last_tries = 0;
    while last_tries < LAST_TRIES {
        match shared.deps.credentials.renew(of, credential, (shared.deps.clock)()).await {
            Ok(true) => return,
            Ok(false) => {
                tracing::info!(
                    tenant = of.tenant,
                    credential = of.name,
                    "it was stored anew while its token was refreshed"
                );
                return;
            }
            Err(error) => tracing::warn!(%error, credential = of.name, "a new token can't be stored yet"),
        }
        last_tries += u32::from(shared.slots.is_closed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What can't be given back ends by itself.
async fn postpone(shared: &Shared, of: &Version<'_>, until_ms: i64, lost: bool) {
    if let Err(error) = shared.deps.credentials.postpone(of, until_ms, lost).await {
        tracing::warn!(%error, credential = of.name, "the lease of a credential is not given back; it ends by itself");
    }
}

fn later(until_ms: i64) -> Refreshed {
    Refreshed::Later(Wait { until_ms, reason: WaitReason::Limit(WaitReason::TOKENS.to_owned()) })
}

/// The address is none that may be called, whoever's token it is.
fn is_forbidden(error: &EgressError) -> bool {
    matches!(error.failure, Failed::Blocked { .. } | Failed::Redirect(_))
}

/// Whether the endpoint may have made a token that nobody has.
fn is_lost(answer: &Result<StatusCode, EgressError>) -> bool {
    match answer {
        Ok(status) => !status.is_client_error(),
        Err(error) => error.sent() == Sent::Unknown,
    }
}

/// When to ask again: after half to all of a pause that doubles. A time that the endpoint asks for is obeyed.
fn pause_until_ms(tries: u32, told_until_ms: Option<i64>, now_ms: i64, chance: f64) -> i64 {
    let longest_ms = (FIRST_PAUSE_MS << tries.saturating_sub(1).min(10)).min(LONGEST_PAUSE_MS);
    let pause_ms = longest_ms / 2 + (chance.clamp(0.0, 1.0) * (longest_ms / 2) as f64) as i64;
    told_until_ms.unwrap_or(now_ms).max(now_ms + pause_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_a_time_that_is_asked_for_is_obeyed() {
        let range = |tries| [0.0, 1.0].map(|chance| pause_until_ms(tries, None, 1_000, chance) - 1_000);
        assert_eq!([1, 2, 3].map(range), [[500, 1_000], [1_000, 2_000], [2_000, 4_000]]);
        assert_eq!([7, 99].map(range), [[30_000, 60_000]; 2]);
        assert_eq!(pause_until_ms(1, Some(900_000), 1_000, 1.0), 900_000);
        assert_eq!(pause_until_ms(1, Some(1), 1_000, 0.0), 1_500);
    }

    #[test]
    fn an_answer_is_lost_unless_the_endpoint_says_that_it_made_nothing() {
        assert!(!is_lost(&Ok(StatusCode::TOO_MANY_REQUESTS)));
        assert!(is_lost(&Ok(StatusCode::GATEWAY_TIMEOUT)) && is_lost(&Ok(StatusCode::OK)));
    }
}
