//! Credentials for calls: lent, and parked when their provider takes them no more.

use std::time::Duration;

use anyhow::Context;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Call, Envelope, Event, Failure, Message, Parked};
use tidegate_specs::JobSpec;
use tidegate_telemetry::inject;

use crate::credentials::{CredentialsError, Lent, Parking};
use crate::permits::pause_ms;
use crate::service::Shared;

/// What a call is made with.
pub(crate) enum Lending {
    /// With this, or without a credential if the job names none.
    With(Option<Lent>),
    /// The credential is parked: the call goes back, until it is renewed.
    Parked,
    /// There is none of the name that the job says.
    Missing,
}

/// The credential that the call's job names.
pub(crate) async fn lend(shared: &Shared, spec: &JobSpec, call: &Call) -> anyhow::Result<Lending> {
    let Some(name) = &spec.job().credential else { return Ok(Lending::With(None)) };
    loop {
        let lent = patiently(shared, || shared.deps.credentials.get(&spec.tenant, name.as_str())).await?;
        let Some(lent) = lent else { return Ok(Lending::Missing) };
        let Some(parked) = &lent.parked else { return Ok(Lending::With(Some(lent))) };
        // The job may have come after it was parked, and is told of it by this.
        match park(shared, &spec.tenant, lent.version, parked, call).await? {
            Parking::Done => return Ok(Lending::Parked),
            Parking::Outdated | Parking::Impossible => {}
        }
    }
}

/// The provider does not take the credential of a call: parks it, if it can be renewed. Others of the job are held meanwhile:
/// they would fail the same way.
pub(crate) async fn refused(
    shared: &Shared,
    spec: &JobSpec,
    call: &Call,
    (lent, failure): (&Lent, &Failure),
) -> anyhow::Result<Parking> {
    let parked = Parked {
        credential: lent.credential.name().to_owned(),
        provider: call.provider.clone(),
        class: failure.class,
        message: failure.message.clone(),
        since_ms: (shared.deps.clock)(),
    };
    shared.stopped.expect(call.job);
    let parking = park(shared, &spec.tenant, lent.version, &parked, call).await?;
    match parking {
        Parking::Done => tracing::warn!(tenant = spec.tenant, credential = parked.credential,
            provider = parked.provider, class = %parked.class, error = parked.message, "credential parked"),
        Parking::Outdated => shared.stopped.expect_no_more(call.job),
        Parking::Impossible => {}
    }
    Ok(parking)
}

async fn park(shared: &Shared, tenant: &str, version: i64, parked: &Parked, call: &Call) -> anyhow::Result<Parking> {
    let parking = patiently(shared, || shared.deps.credentials.park(tenant, version, parked)).await?;
    if parking == Parking::Done {
        shared.stopped.pause(call.job);
        // Whoever does not hear of it finds out within a second or so.
        let event = Envelope::new(Message::Event(Event::JobPaused { job: call.job }), (shared.deps.clock)(), inject());
        shared.deps.bus.publish(&Queue::Events, vec![event]).await.context("can't tell of a parked credential")?;
    }
    Ok(parking)
}

/// Asks however long it takes: a call never goes out without its credential, and does not fail because it can't be read now.
async fn patiently<T, F>(shared: &Shared, ask: impl Fn() -> F) -> anyhow::Result<T>
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
