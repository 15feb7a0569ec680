//! The way of one call message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_bus::{Delivery, or_redelivered};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Call, Class, Envelope, Failure, Message, Outcome, Wait, WaitReason};
use tidegate_limits::{By as Asker, Decision, Why};
use tidegate_provider::{OnFailure, Spec, Step};
use tidegate_specs::{JobSpec, SpecsError};
use tidegate_telemetry::{inject, span_link};
use tracing::Instrument as _;

use crate::attempt::{After, Permitted, attempt, can_shrink, give_back, store};
use crate::credentials::{Lent, Parking};
use crate::in_hand::Held;
use crate::lend::{Lending, lend, needs_token, refused, refused_for_age};
use crate::permits::pause_ms;
use crate::prepare::failure;
use crate::push::push;
use crate::retry::stops_job;
use crate::service::Shared;
use crate::sleepers::{Kind, Woke};
use crate::ways::{Choice, Way, granted, question, ways};

/// A shorter wait is slept where it stands, in ms; a longer one is parked on the bus.
pub(crate) const SLEEP_MAX_MS: i64 = 2_000;
/// What makes room for others in the executor's hand is away for so long at least, in ms: what a broker can measure.
const AWAY_MS: i64 = 1_000;
/// In place of a limit's id: the arbiter can't be asked.
pub(crate) const ARBITER: &str = "arbiter";
/// A call whose handling dies this often is taken for the cause of it, and fails.
const DEATHS_MAX: u32 = 3;

/// What to do with a call now.
#[expect(clippy::large_enum_variant, reason = "it is returned once for each call, and nearly always the larger one")]
enum Now {
    End(Outcome),
    Wait(Wait),
}

/// Decode, load, decide, save and emit, acknowledge. Idempotent by call: when it comes again its page is looked for
/// first, and what is stored is not asked for twice.
pub(crate) async fn handle_call(shared: Arc<Shared>, delivery: Delivery) -> anyhow::Result<()> {
    let Message::Call(call) = &delivery.envelope.message else {
        return Ok(delivery.reject("not a message for an executor").await?);
    };
    let call = call.clone();
    let Some(held) = shared.in_hand.take(call.call, call.job) else {
        return Ok(or_redelivered(delivery.ack().await)?);
    };
    let span = tracing::info_span!("call", job.id = %call.job, call.id = %call.call, provider = call.provider,
        lane = call.lane.name(), step = call.step, otel.status_code = tracing::field::Empty);
    if let Some(sender) = &delivery.envelope.traceparent {
        span_link(&span, sender);
    }
    make_and_tell(&shared, (delivery, held), call).instrument(span).await
}

async fn make_and_tell(shared: &Shared, (delivery, held): (Delivery, Held<'_>), mut call: Call) -> anyhow::Result<()> {
    let mut now = match end_without_request(shared, &delivery, &call).await? {
        Some(outcome) => Now::End(outcome),
        None => make(shared, &mut call).await?,
    };
    if let Now::End(Outcome::Page { call: pushed, facts }) = &now
        && let Some(wait) = push(shared, pushed, facts).await?
    {
        shared.metrics.waits(&call.provider, call.lane, &wait.reason);
        // When it comes again, its page is there.
        call = Call { again: true, ..pushed.clone() };
        now = Now::Wait(wait);
    }
    // From here on others speak of it: it may be back before the broker has confirmed that it went, and is not to be taken for
    // a second one then.
    drop(held);
    let outcome = match now {
        Now::End(outcome) => outcome,
        Now::Wait(wait) => park(shared, call, wait).await?,
    };
    let envelope = Envelope::new(Message::Outcome(outcome), (shared.deps.clock)(), inject());
    shared.deps.bus.publish(&Queue::Outcomes, vec![envelope]).await.context("can't send an outcome")?;
    Ok(or_redelivered(delivery.ack().await)?)
}

/// Parks a call. Before it is told: should it be told and then lost, the tracker would wait for its lease.
async fn park(shared: &Shared, call: Call, wait: Wait) -> anyhow::Result<Outcome> {
    let queue = Queue::Calls { provider: call.provider.clone(), lane: call.lane };
    let parked = Envelope::new(Message::Call(call.clone()), (shared.deps.clock)(), inject());
    shared.deps.bus.publish_later(&queue, parked, wait.until_ms).await.context("can't park a call")?;
    shared.metrics.parked(&call.provider, call.lane);
    Ok(Outcome::Deferred { call, wait })
}

/// The outcome of a call that needs no request: its page is there, its job is stopped or paused, or it kills its handlers.
async fn end_without_request(shared: &Shared, delivery: &Delivery, call: &Call) -> anyhow::Result<Option<Outcome>> {
    let came_before = call.again || delivery.redelivered > 0;
    if came_before && let Some(facts) = shared.deps.ledger.page_facts(call.call).await? {
        return Ok(Some(Outcome::Page { call: call.clone(), facts }));
    }
    if shared.stopped.contains(call.job) {
        return Ok(Some(Outcome::Cancelled { call: call.clone() }));
    }
    if shared.stopped.is_paused(call.job) {
        return Ok(Some(Outcome::Returned { call: call.clone() }));
    }
    if delivery.redelivered >= DEATHS_MAX {
        let failure = failure(Class::Suspect, format!("handling its answer died {} times", delivery.redelivered));
        return Ok(Some(Outcome::Failed { call: call.clone(), failure }));
    }
    Ok(None)
}

/// Makes the call, with another credential if the one before is renewed meanwhile.
async fn make(shared: &Shared, call: &mut Call) -> anyhow::Result<Now> {
    let failed = |call: &Call, failure| Now::End(Outcome::Failed { call: call.clone(), failure });
    let spec = match shared.deps.specs.get(call.job).await {
        Ok(spec) => spec,
        Err(SpecsError::Ledger(error)) => return Err(error.into()),
        Err(error) => return Ok(failed(call, failure(Class::Invalid, error.to_string()))),
    };
    if shared.stopped.meet(call.job) {
        if spec.was_stopped {
            shared.stopped.tell(call.job);
        } else if spec.was_paused {
            shared.stopped.pause(call.job);
        }
    }
    let Some(step) = spec.step(&call.step) else {
        return Ok(failed(call, failure(Class::Invalid, format!("the job has no step {}", call.step))));
    };
    loop {
        let pool = match lend(shared, (&spec, step), call).await? {
            Lending::With(pool) => pool,
            Lending::Parked => return Ok(Now::End(Outcome::Returned { call: call.clone() })),
            Lending::Missing => Vec::new(),
            Lending::Later(wait) => {
                shared.metrics.waits(&call.provider, call.lane, &wait.reason);
                return Ok(Now::Wait(wait));
            }
            Lending::Failed(failure) => {
                call.attempt += 1;
                return Ok(given_up(shared, (&spec, step), call, failure));
            }
        };
        let (failure, lent) = match make_with(shared, (&spec, step), call, &pool).await? {
            Made::Unauthorized(failure, lent) => (failure, pool.get(lent)),
            Made::Stale => continue,
            Made::Now(now) => return Ok(now),
        };
        let has_others = pool.len() > 1 && step.on_failure() != OnFailure::Continue;
        let parking = match lent {
            Some(lent) if refused_for_age(shared, &spec, lent) => continue,
            Some(lent) => refused(shared, (&spec, step), call, (lent, &failure, !has_others)).await?,
            None => Parking::Impossible,
        };
        match parking {
            Parking::Outdated => {}
            Parking::Done | Parking::Impossible if has_others => {}
            Parking::Done => return Ok(Now::End(Outcome::Returned { call: call.clone() })),
            Parking::Impossible => {
                call.attempt += 1;
                return Ok(given_up(shared, (&spec, step), call, failure));
            }
        }
    }
}

/// A call that has failed for good, and may stop its job by that.
fn given_up(shared: &Shared, (spec, step): (&Spec, &Step), call: &Call, failure: Failure) -> Now {
    if stops_job(failure.class, step.on_failure()) && !can_shrink(spec, call, failure.class) {
        shared.stopped.expect(call.job);
    }
    Now::End(Outcome::Failed { call: call.clone(), failure })
}

/// What came of making a call with one of several credentials.
#[expect(clippy::large_enum_variant, reason = "it is returned once for each call, and nearly always the larger one")]
enum Made {
    Now(Now),
    /// The provider does not take the credential, of this number.
    Unauthorized(Failure, usize),
    /// A credential's token has ended while the call waited.
    Stale,
}

/// Makes the call with one of these credentials, waiting in between for as long as that is short.
async fn make_with(
    shared: &Shared,
    (spec, step): (&JobSpec, &Step),
    call: &mut Call,
    pool: &[Lent],
) -> anyhow::Result<Made> {
    let buckets = shared.buckets.of(&spec.tenant, &call.provider);
    let (out, max) = (shared.deps.out.as_slice(), shared.max_choices);
    let choice = Choice { pool, out, max, buckets: buckets.as_deref() };
    let ways = match ways((spec, step), call, choice) {
        Ok(ways) => ways,
        Err(failure) => return Ok(Made::Now(Now::End(Outcome::Failed { call: call.clone(), failure }))),
    };
    let (mut unasked, mut asked_at) = (0, Instant::now());
    loop {
        shared.stopped.settled(call.job).await;
        let slot = shared.slots.acquire().await.context("the executor's slots are closed")?;
        if shared.stopped.is_expected(call.job) {
            continue;
        }
        if pool.iter().any(|lent| needs_token(shared, spec, lent)) {
            return Ok(Made::Stale);
        }
        if shared.stopped.contains(call.job) {
            return Ok(Made::Now(Now::End(Outcome::Cancelled { call: call.clone() })));
        }
        if shared.stopped.is_paused(call.job) {
            return Ok(Made::Now(Now::End(Outcome::Returned { call: call.clone() })));
        }
        let (wait, early) = match ask(shared, (&ways, &spec.tenant), call, &mut unasked).await {
            Asked::Granted(permit) => {
                shared.metrics.permitted(call.lane, asked_at.elapsed());
                let way = granted(&ways, &permit).context("a call has no way to be made")?;
                let (prepared, egress) = (&way.prepared, way.egress);
                let permitted = Permitted { tenant: &spec.tenant, spec: &spec.spec, prepared, egress, permit };
                match attempt(shared, permitted, call).await? {
                    After::Page(page, report) => {
                        let told = async {
                            give_back(shared, call, *report).await;
                            // The wire is free for another call, though this page is still on its way to the disk.
                            drop(slot);
                        };
                        let (stored, ()) = tokio::join!(store(shared, (&spec.spec, prepared), call, page), told);
                        return Ok(Made::Now(Now::End(stored?)));
                    }
                    After::Failed(failure) => return Ok(Made::Now(given_up(shared, (spec, step), call, failure))),
                    After::Unauthorized(failure) => return Ok(Made::Unauthorized(failure, way.lent)),
                    After::Later { until_ms, reason } => (Wait { until_ms, reason }, Early::Never),
                    After::AskAgain => {
                        asked_at = Instant::now();
                        continue;
                    }
                }
            }
            Asked::Wait { wait, early } => {
                if matches!(wait.reason, WaitReason::Down { .. }) {
                    // The time that the provider is down is not of the time that the call may fail for.
                    call.failing_since_ms = None;
                }
                (wait, early)
            }
        };
        drop(slot);
        shared.metrics.waits(&call.provider, call.lane, &wait.reason);
        if wait.until_ms - (shared.deps.clock)() > SLEEP_MAX_MS {
            return Ok(Made::Now(Now::Wait(wait)));
        }
        if sleep(shared, call, &wait, early).await == Woke::PutAway {
            let until_ms = wait.until_ms.max((shared.deps.clock)() + AWAY_MS);
            return Ok(Made::Now(Now::Wait(Wait { until_ms, ..wait })));
        }
    }
}

enum Asked {
    Granted(tidegate_limits::Permit),
    Wait { wait: Wait, early: Early },
}

/// What may make room before a wait is over.
#[derive(Clone, Copy)]
enum Early {
    Never,
    /// Another call's permit that comes back. The time to wait for is the call's own.
    Permit,
    /// The same, where nothing else does: at the time to wait for, one looks whether a slot of another executor's came free.
    Slot,
}

/// Asks the arbiter. While it can't be asked the call waits: it never goes out unasked, and that costs no attempt.
/// `unasked` counts the questions in a row that came to nothing.
async fn ask(shared: &Shared, (ways, tenant): (&[Way<'_>], &str), call: &mut Call, unasked: &mut u32) -> Asked {
    let by = Asker {
        lane: call.lane.rank(),
        tenant: tenant.to_owned(),
        job: call.job.to_string(),
        credential: None,
        waited_for: call.waited_for.clone(),
    };
    let decision = match shared.deps.permits.ask(question(ways, by)).await {
        Ok(decision) => decision,
        Err(error) => {
            shared.reach.failed(&error);
            *unasked += 1;
            let until_ms = (shared.deps.clock)() + pause_ms(*unasked, rand::random());
            let wait = Wait { until_ms, reason: WaitReason::Limit(ARBITER.to_owned()) };
            return Asked::Wait { wait, early: Early::Never };
        }
    };
    shared.reach.answered();
    (*unasked, call.waited_for) = (0, None);
    match decision {
        Decision::Granted(permit) => Asked::Granted(permit),
        Decision::Wait { until_ms, at_latest_ms, limit, why } => {
            call.waited_for = why.is_none().then(|| limit.clone());
            let cause = || shared.troubles.of(tenant, &call.provider);
            let reason = reason(limit, why, cause);
            let early = match until_ms < at_latest_ms {
                false => Early::Never,
                true if is_of_slots(ways, &reason) => Early::Slot,
                true => Early::Permit,
            };
            Asked::Wait { wait: Wait { until_ms, reason }, early }
        }
    }
}

fn reason(limit: String, why: Option<Why>, cause: impl FnOnce() -> Option<String>) -> WaitReason {
    match why {
        None => WaitReason::Limit(limit),
        Some(Why::Paused { reason, until_ms }) => WaitReason::Paused { limit, reason, until_ms },
        Some(Why::Down { since_ms }) => WaitReason::Down { since_ms, cause: cause() },
    }
}

fn is_of_slots(ways: &[Way<'_>], reason: &WaitReason) -> bool {
    let WaitReason::Limit(limit) = reason else { return false };
    let mut charges = ways.iter().flat_map(|way| &way.prepared.charges);
    charges.any(|charge| charge.limit == *limit && charge.rate.lease().is_some())
}

/// Sleeps a short wait.
async fn sleep(shared: &Shared, call: &Call, wait: &Wait, early: Early) -> Woke {
    let now_ms = (shared.deps.clock)();
    let pause = Duration::from_millis(u64::try_from(wait.until_ms - now_ms).unwrap_or(0).max(1));
    let _asleep = shared.gauges.sleep(wait.reason.to_string(), wait.until_ms);
    let (longest, may_end_early) = match early {
        Early::Never => (pause, false),
        Early::Permit => (pause, true),
        Early::Slot => (Duration::from_millis(SLEEP_MAX_MS.unsigned_abs()), true),
    };
    let (provider, reason) = (call.provider.clone(), wait.reason.to_string());
    let kind = Kind { provider, lane: call.lane, reason, job: call.job, may_end_early };
    shared.sleepers.sleep(kind, pause, longest).await
}
