//! Pushing stored pages to the results exchange, for jobs that ask for it: after the page is stored, before its outcome is
//! told. So a process that dies in between loses none, and a page may come twice, each time under the same message id.
//!
//! What the exchange does not take now waits as a call does: parked, without a slot, and shown by `explain`. When the call
//! comes again its page is found, and pushed.

use anyhow::Context;
use tidegate_bus::BusError;
use tidegate_contracts::{Call, PageFacts, PushedPage, Wait, WaitReason};
use tidegate_ledger::Packed;
use tidegate_specs::SpecsError;
use tokio::sync::Semaphore;

use crate::service::Shared;

/// Items of pages that are on their way to the broker at once, in KiB: 64 MiB.
const ROOM_KIB: u32 = 64 << 10;
/// Shortest wait of a page that was not taken, in ms; the longest is twice that.
const PAUSE_MS: i64 = 5_000;

/// How pages are pushed.
pub(crate) struct Pushing {
    /// A page with more bytes of items is pushed as a reference.
    max_bytes: u32,
    room: Semaphore,
}

impl Pushing {
    pub(crate) fn new(max_bytes: u32) -> Self {
        Self { max_bytes: max_bytes.min(ROOM_KIB << 10), room: Semaphore::new(ROOM_KIB as usize) }
    }
}

/// Pushes the stored page of a call, if its step says so. Returns how long the call waits, where the exchange does not take
/// the page now. Idempotent by call, for those who get it: the call is the message's id.
pub(crate) async fn push(shared: &Shared, call: &Call, facts: &PageFacts) -> anyhow::Result<Option<Wait>> {
    if !shared.deps.bus.pushes() {
        return Ok(None);
    }
    let spec = match shared.deps.specs.get(call.job).await {
        Ok(spec) => spec,
        Err(SpecsError::Ledger(error)) => return Err(error.into()),
        // Of a job that this build can't read, nobody knows what to push.
        Err(SpecsError::Unknown(_) | SpecsError::Unusable { .. }) => return Ok(None),
    };
    if !spec.step(&call.step).is_some_and(tidegate_provider::Step::is_pushed) {
        return Ok(None);
    }
    // As it is stored: where two executors made the call, the first one's page stayed.
    let Some(packed) = shared.deps.ledger.page_lines(call.job, call.call).await? else { return Ok(None) };
    let (_room, lines) = take(&shared.pushing, &packed).await?;
    let page = PushedPage {
        tenant: spec.tenant.clone(),
        job: call.job,
        job_name: spec.name(),
        step: call.step.clone(),
        fetch: call.fetch,
        call: call.call,
        params: call.params.clone(),
        items: facts.items,
        lines,
    };
    let kind = page.kind();
    let error = match shared.deps.bus.push(page).await {
        Ok(()) => {
            shared.metrics.pushed(&call.provider, kind);
            return Ok(None);
        }
        Err(error @ BusError::Closed) => return Err(error).context("can't push a page"),
        Err(error) => error,
    };
    shared.metrics.pushed(&call.provider, "refused");
    if !shared.deps.ledger.stopped(&[call.job]).await?.is_empty() {
        tracing::warn!(job.id = %call.job, call.id = %call.call, error = &error as &dyn std::error::Error,
            "a page is not pushed: the exchange does not take it, and its job is stopped");
        return Ok(None);
    }
    let until_ms = (shared.deps.clock)() + PAUSE_MS + rand::random_range(0..PAUSE_MS);
    tracing::warn!(job.id = %call.job, call.id = %call.call, error = &error as &dyn std::error::Error,
        "the exchange does not take a page; trying again");
    Ok(Some(Wait { until_ms, reason: WaitReason::Limit(WaitReason::RESULTS.to_owned()) }))
}

/// The items of a page, with the room that they take meanwhile; `None` of a page that is too large, or that can't be
/// unpacked, which its reader is then told by the gateway.
async fn take<'a>(
    pushing: &'a Pushing,
    packed: &Packed,
) -> anyhow::Result<(tokio::sync::SemaphorePermit<'a>, Option<Vec<u8>>)> {
    let bytes = packed.unpacked_bytes().filter(|bytes| *bytes <= pushing.max_bytes as usize);
    let kib = bytes.map_or(1, |bytes| u32::try_from(bytes >> 10).unwrap_or(ROOM_KIB) + 1);
    let room = pushing.room.acquire_many(kib.min(ROOM_KIB)).await.context("there is no room for pages")?;
    Ok((room, bytes.and_then(|_| packed.unpack().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_up_to_the_limit_is_pushed_whole_and_a_larger_one_as_a_reference() {
        let pushing = Pushing::new(10);
        for (lines, whole) in [(&b""[..], true), (b"{\"a\":123}\n", true), (b"{\"a\":1234}\n", false)] {
            let packed = Packed::pack(lines).expect("packs");
            let (_room, taken) = take(&pushing, &packed).await.expect("room");
            assert_eq!(taken, whole.then(|| lines.to_vec()));
        }
        assert_eq!(pushing.room.available_permits(), ROOM_KIB as usize, "the room is given back");
    }

    #[tokio::test]
    async fn a_page_that_can_not_be_unpacked_is_a_reference() {
        let (_room, taken) = take(&Pushing::new(10), &Packed::from_bytes(b"not zstd".to_vec()))
            .await
            .map(|(_, taken)| ((), taken))
            .expect("room");
        assert_eq!(taken, None);
    }
}
