//! Credentials for calls: lent, and parked when their provider takes them no more.

use std::time::Duration;

use anyhow::Context;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Call, Envelope, Event, Failure, Message, Parked, Wait};
use tidegate_provider::{Due, Oauth2, OnFailure, Step};
use tidegate_specs::JobSpec;
use tidegate_telemetry::inject;

use crate::credentials::{CredentialsError, Lent, Parking};
use crate::permits::pause_ms;
use crate::refresh::{Refreshed, give_up, refresh, refresh_early};
use crate::service::Shared;

/// What a call is made with.
pub(crate) enum Lending {
    /// With any of these, or without a credential if the job names none.
    With(Vec<Lent>),
    /// All credentials are parked: the call goes back, until one is renewed.
    Parked,
    /// There is none of those that the job names.
    Missing,
    /// It has no token now.
    Later(Wait),
    /// It can't have one any more, and can't be parked either.
    Failed(Failure),
}

/// The credentials that the call's job names, with tokens that are good now, without those that are parked or not there.
pub(crate) async fn lend(shared: &Shared, (spec, step): (&JobSpec, &Step), call: &Call) -> anyhow::Result<Lending> {
    if spec.credentials().is_empty() {
        return Ok(Lending::With(Vec::new()));
    }
    'look: loop {
        let (mut usable, mut unusable, mut otherwise) = (Vec::new(), Vec::new(), None);
        for name in spec.credentials() {
            let lent = patiently(shared, || shared.deps.credentials.get(&spec.tenant, name.as_str())).await?;
            let Some(lent) = lent else { continue };
            if lent.parked.is_some() {
                unusable.push(lent);
                continue;
            }
            match with_token(shared, (spec, step), call, lent).await? {
                None => continue 'look,
                Some(Lending::With(lent)) => usable.extend(lent),
                // The one that has a token first.
                Some(Lending::Later(wait)) => match &otherwise {
                    Some(Lending::Later(sooner)) if sooner.until_ms <= wait.until_ms => {}
                    _ => otherwise = Some(Lending::Later(wait)),
                },
                Some(other) => otherwise = otherwise.or(Some(other)),
            }
        }
        if !usable.is_empty() {
            return Ok(Lending::With(usable));
        }
        if let Some(otherwise) = otherwise {
            return Ok(otherwise);
        }
        if unusable.is_empty() {
            return Ok(Lending::Missing);
        }
        // The job may have come after they were parked, and is told of it by this; one that was renewed meanwhile shows up.
        for lent in &unusable {
            let Some(parked) = &lent.parked else { continue };
            match park(shared, &spec.tenant, lent.version, parked).await? {
                Parking::Done => {}
                Parking::Outdated => continue 'look,
                Parking::Impossible => return Ok(Lending::With(unusable)),
            }
        }
        hold(shared, call).await?;
        return Ok(Lending::Parked);
    }
}

/// Whether the token of a credential has ended, or was refused for what may be its age.
pub(crate) fn needs_token(shared: &Shared, spec: &JobSpec, lent: &Lent) -> bool {
    due(shared, spec, lent) == Due::Now
}

fn due(shared: &Shared, spec: &JobSpec, lent: &Lent) -> Due {
    let Some(oauth2) = spec.oauth2() else { return Due::No };
    if oauth2.renews(&lent.credential) && shared.refreshes.was_refused(&spec.tenant, lent) {
        return Due::Now;
    }
    oauth2.due(&lent.credential, (shared.deps.clock)())
}

/// A credential that is not parked, its token refreshed if it is time. `None`: look again.
async fn with_token(
    shared: &Shared,
    (spec, step): (&JobSpec, &Step),
    call: &Call,
    lent: Lent,
) -> anyhow::Result<Option<Lending>> {
    let is_alone = spec.credentials().len() == 1;
    let refreshed = match due(shared, spec, &lent) {
        Due::No => None,
        Due::Soon => match refresh_early(shared, spec, &lent).await? {
            Some(Refreshed::Later(_)) | None => None,
            refreshed => refreshed,
        },
        Due::Now => Some(refresh(shared, spec, &lent).await?),
    };
    match refreshed {
        None => Ok(Some(Lending::With(vec![lent]))),
        Some(Refreshed::Look) => Ok(None),
        Some(Refreshed::Later(wait)) => Ok(Some(Lending::Later(wait))),
        Some(Refreshed::Failed(failure)) => {
            give_up(shared, spec, &lent).await;
            Ok(Some(Lending::Failed(failure)))
        }
        Some(Refreshed::Refused(failure)) => {
            match refused(shared, (spec, step), call, (&lent, &failure, is_alone)).await? {
                Parking::Done if !is_alone => Ok(None),
                Parking::Done => {
                    shared.refreshes.forget(&spec.tenant, lent.credential.name());
                    Ok(Some(Lending::Parked))
                }
                Parking::Outdated => Ok(None),
                Parking::Impossible => {
                    give_up(shared, spec, &lent).await;
                    Ok(Some(Lending::Failed(failure)))
                }
            }
        }
    }
}

/// A call was refused with a credential for what may be its token's age: the next one is made with another token.
pub(crate) fn refused_for_age(shared: &Shared, spec: &JobSpec, lent: &Lent) -> bool {
    let expired = |oauth2: &Oauth2| oauth2.may_have_expired(&lent.credential, (shared.deps.clock)());
    let is_so = spec.oauth2().is_some_and(expired);
    if is_so {
        shared.refreshes.refuse(&spec.tenant, lent);
    }
    is_so
}

/// The provider does not take the credential of a call: parks it, if it can be renewed. If the job has no other, its other calls
/// are held meanwhile: they would fail the same way.
pub(crate) async fn refused(
    shared: &Shared,
    (spec, step): (&JobSpec, &Step),
    call: &Call,
    (lent, failure, is_last): (&Lent, &Failure, bool),
) -> anyhow::Result<Parking> {
    if step.on_failure() == OnFailure::Continue {
        return Ok(Parking::Impossible);
    }
    let parked = Parked {
        credential: lent.credential.name().to_owned(),
        provider: call.provider.clone(),
        class: failure.class,
        message: failure.message.clone(),
        since_ms: (shared.deps.clock)(),
    };
    if is_last {
        shared.stopped.expect(call.job);
    }
    let parking = park(shared, &spec.tenant, lent.version, &parked).await?;
    match parking {
        Parking::Outdated if is_last => shared.stopped.expect_no_more(call.job),
        Parking::Outdated => {}
        Parking::Impossible if is_last => {}
        Parking::Done | Parking::Impossible => {
            shared.metrics.credential_parked(&call.provider, failure.class);
            tracing::warn!(tenant = spec.tenant, credential = parked.credential,
                provider = parked.provider, class = %parked.class, error = parked.message, "credential parked");
        }
    }
    if is_last && parking == Parking::Done {
        hold(shared, call).await?;
    }
    Ok(parking)
}

async fn park(shared: &Shared, tenant: &str, version: i64, parked: &Parked) -> anyhow::Result<Parking> {
    patiently(shared, || shared.deps.credentials.park(tenant, version, parked)).await
}

/// The call's job has no credential left that can be used: none of its calls goes out until one is renewed.
async fn hold(shared: &Shared, call: &Call) -> anyhow::Result<()> {
    shared.stopped.pause(call.job);
    // Whoever does not hear of it finds out within a second or so.
    let event = Envelope::new(Message::Event(Event::JobPaused { job: call.job }), (shared.deps.clock)(), inject());
    shared.deps.bus.publish(&Queue::Events, vec![event]).await.context("can't tell of a parked credential")?;
    Ok(())
}

/// Asks however long it takes: a call never goes out without its credential, and does not fail because it can't be read now.
pub(crate) async fn patiently<T, F>(shared: &Shared, ask: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, CredentialsError>>,
{
    let mut failures = 0;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        tracing::warn!(%error, "a call waits for its credential");
        failures += 1;
        let pause = Duration::from_millis(pause_ms(failures, rand::random()).unsigned_abs());
        // At the end of the process the slots are closed.
        anyhow::ensure!(!shared.slots.is_closed(), error);
        tokio::time::sleep(pause).await;
    }
}
