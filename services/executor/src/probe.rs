//! Calls by hand: what `tidegate provider try` shows, and `tidegate plan --probe` looks at.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tidegate_contracts::{Call, Class, Failure, Next, PageFacts};
use tidegate_daemon::Clock;
use tidegate_egress::Egress;
use tidegate_ledger::DEFAULT_TENANT;
use tidegate_limits::Reading;
use tidegate_provider::{Credential, Due, Oauth2, Spec, Step, redact_credential};

use crate::attempt::is_unauthorized;
use crate::credentials::{Credentials, CredentialsError, Lent, Turn, Version};
use crate::judge::{Judged, judge, judge_silence};
use crate::prepare::{By, Prepared, failure, prepare};
use crate::refresh::{Fetched, LEASE_MS, fetch, refusal};

/// What calls by hand call themselves where they refresh a credential.
const BY: &str = "by hand";

/// What one call by hand brought.
#[derive(Debug)]
pub struct Probe {
    /// The answer, if there was one.
    pub answer: Option<ProbeAnswer>,
    /// The page, or why there is none.
    pub page: Result<ProbePage, Failure>,
}

/// An answer, without its body.
#[derive(Debug)]
pub struct ProbeAnswer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// To the first byte, in ms.
    pub first_byte_ms: u64,
    /// To the end, in ms.
    pub total_ms: u64,
    /// Of the body on the wire.
    pub wire_bytes: u64,
    /// Of the body, decoded.
    pub body_bytes: u64,
    /// What the headers say of each limit that the call touched, by the limit's id.
    pub readings: Vec<(String, Reading)>,
}

/// A page.
#[derive(Debug)]
pub struct ProbePage {
    /// What it says of itself and others.
    pub facts: PageFacts,
    /// Its items, one JSON text a line.
    pub lines: Vec<u8>,
}

/// Makes calls by hand, with tokens as an executor has them. Nobody else works with the same credentials meanwhile.
pub struct Prober<'a> {
    /// Of what.
    pub spec: &'a Spec,
    /// What the calls are made with: the first that the job names.
    pub credentials: &'a dyn Credentials,
    /// The way out.
    pub egress: &'a Egress,
    /// Now.
    pub clock: &'a Clock,
}

impl Prober<'_> {
    /// Makes one request, without asking for a permit, storing or repeating anything. Before it a token is fetched and stored, if
    /// there is none that is good; after it, should the one that there was be refused for its age, and the request made once more.
    ///
    /// # Errors
    /// When the call can't be made at all.
    pub async fn probe(&self, step: &Step, call: &Call) -> Result<Probe, Failure> {
        let Some(lent) = self.lend().await? else { return self.probe_with(step, call, None).await };
        let probed = self.probe_with(step, call, Some(&lent)).await?;
        let is_unauthorized = matches!(&probed.page, Err(failure) if is_unauthorized(failure.class));
        let is_old = |oauth2: &Oauth2| oauth2.may_have_expired(&lent.credential, (self.clock)());
        if !is_unauthorized || !self.spec.oauth2().is_some_and(is_old) {
            return Ok(probed);
        }
        let lent = self.refresh(&lent).await?;
        self.probe_with(step, call, lent.as_ref()).await
    }

    async fn probe_with(&self, step: &Step, call: &Call, lent: Option<&Lent>) -> Result<Probe, Failure> {
        let credential = lent.map(|lent| Arc::clone(&lent.credential));
        probe(self.spec, step, call, credential, (self.egress, (self.clock)())).await
    }

    /// The credential, if the job names one and there is one, with a token that is good now.
    ///
    /// # Errors
    /// When no token can be had.
    pub async fn lend(&self) -> Result<Option<Lent>, Failure> {
        let Some(name) = self.spec.credentials().first() else { return Ok(None) };
        let lent = self.credentials.get(DEFAULT_TENANT, name.as_str()).await.map_err(unreadable)?;
        match lent {
            Some(lent) if self.is_due(&lent) => self.refresh(&lent).await,
            lent => Ok(lent),
        }
    }

    fn is_due(&self, lent: &Lent) -> bool {
        self.spec.oauth2().is_some_and(|oauth2| oauth2.due(&lent.credential, (self.clock)()) == Due::Now)
    }

    /// Asks the token endpoint once, and stores what it answers with.
    async fn refresh(&self, lent: &Lent) -> Result<Option<Lent>, Failure> {
        let (credentials, name, now_ms) = (self.credentials, lent.credential.name(), (self.clock)());
        let of = Version { tenant: DEFAULT_TENANT, name, version: lent.version, by: BY };
        let lost_before = match credentials.lease(&of, now_ms + LEASE_MS, now_ms).await.map_err(unreadable)? {
            Turn::Mine { lost, .. } => lost,
            Turn::NotBefore(_) | Turn::Changed => {
                return Err(failure(
                    Class::Transient,
                    format!("credential {name} is being refreshed by somebody else"),
                ));
            }
        };
        let (lost, failure) = match fetch(self.spec, &lent.credential, (self.egress, self.clock)).await {
            Some(Fetched::Renewed(renewed)) => {
                credentials.renew(&of, &renewed, (self.clock)()).await.map_err(unreadable)?;
                return credentials.get(DEFAULT_TENANT, name).await.map_err(unreadable);
            }
            Some(Fetched::Refused { why, status }) => (false, refusal(&why, status, lost_before)),
            Some(Fetched::Later { why, lost, .. }) => (lost, failure(Class::Transient, format!("no token: {why}"))),
            Some(Fetched::Impossible(failure)) => (false, failure),
            None => return Ok(Some(lent.clone())),
        };
        credentials.postpone(&of, (self.clock)(), lost).await.map_err(unreadable)?;
        Err(failure)
    }
}

fn unreadable(error: CredentialsError) -> Failure {
    failure(Class::Transient, error.to_string())
}

async fn probe(
    spec: &Spec,
    step: &Step,
    call: &Call,
    credential: Option<Arc<Credential>>,
    (egress, now_ms): (&Egress, i64),
) -> Result<Probe, Failure> {
    let by = By { tenant: DEFAULT_TENANT, egress: "default", buckets: None };
    let prepared = prepare((spec, step), call, credential, by)?;
    let answer = match egress.call(prepared.request.clone()).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Probe { answer: None, page: Err(hide(judge_silence(&error).failure, &prepared)) }),
    };
    let heard = spec.readings(&prepared.charges, (&answer.headers, &answer.body), now_ms);
    let readings = heard.into_iter().map(|(charge, reading)| (charge.limit.clone(), reading)).collect();
    let page = match judge(step.endpoint(), (&call.pointer, call.since.as_ref()), &answer, now_ms) {
        Judged::Page(mut page) => {
            if let Some(Next::Url(url)) = &mut page.facts.next {
                *url = spec.strip_secrets(step, url, prepared.credential.as_deref());
            }
            Ok(ProbePage { facts: page.facts, lines: page.lines })
        }
        Judged::Trouble(trouble) => Err(hide(trouble.failure, &prepared)),
    };
    let answer = ProbeAnswer {
        status: answer.status,
        first_byte_ms: answer.first_byte_ms,
        total_ms: answer.total_ms,
        wire_bytes: answer.wire_bytes,
        body_bytes: answer.body.len() as u64,
        headers: answer.headers,
        readings,
    };
    Ok(Probe { answer: Some(answer), page })
}

/// The failure without the credential, which the third party may have repeated.
fn hide(failure: Failure, prepared: &Prepared) -> Failure {
    match &prepared.credential {
        Some(credential) => Failure { message: redact_credential(&failure.message, credential), ..failure },
        None => failure,
    }
}
