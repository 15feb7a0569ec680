//! What a webhook says.

use jiff::Timestamp;
use serde_json::json;
use tidegate_ledger::{JobRow, Notice, NoticeEvent};

/// A webhook's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The header `webhook-id`: the same for each attempt to tell of one event of one job.
    pub id: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// The message of a notice. Small, whatever the job fetched: ids, counts, and where to read the rest, as paths of the
/// gateway's API. The counts are those of `job`, as of now.
#[must_use]
pub fn message(notice: &Notice, job: &JobRow) -> Message {
    let (id, event) = (job.id, notice.event.name());
    let (kind, state, finished_at_ms) = match notice.event {
        NoticeEvent::CredentialParked => ("credential.parked".to_owned(), "running", None),
        _ => (format!("job.{event}"), event, Some(notice.at_ms)),
    };
    let mut data = json!({
        "id": id,
        "name": job.name,
        "provider": job.provider,
        "state": state,
        "reason": job.reason,
        "submitted_at_ms": job.submitted_at_ms,
        "started_at_ms": job.started_at_ms,
        "finished_at_ms": finished_at_ms,
        "counts": job.counts,
        "links": { "job": format!("/v1/jobs/{id}"), "items": format!("/v1/jobs/{id}/items") },
    });
    if let Some(parked) = &notice.parked {
        data["parked"] = json!(parked);
        data["links"]["credential"] = format!("/v1/credentials/{}", parked.credential).into();
    }
    let body = json!({ "type": kind, "timestamp": timestamp(notice.at_ms), "data": data });
    Message { id: format!("{id}_{event}_{}", notice.at_ms), body: body.to_string().into_bytes() }
}

/// As RFC 3339 has it.
fn timestamp(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tidegate_contracts::{Class, JobId, Lane, Parked};
    use tidegate_ledger::{JobCounts, JobState};

    use super::*;

    #[test]
    fn a_message_tells_of_one_finishing_the_same_each_time() {
        let job = JobRow {
            id: JobId::new(),
            tenant: "acme".into(),
            name: "nightly".into(),
            provider: "mastodon".into(),
            lane: Lane::Normal,
            lane_asked: None,
            state: JobState::Failed,
            extend: false,
            reason: None,
            submitted_at_ms: 1,
            started_at_ms: Some(2),
            finished_at_ms: Some(1_800_000_000_123),
            paused_at_ms: None,
            parked: None,
            pruned_at_ms: None,
            counts: JobCounts { items: 7, ..JobCounts::default() },
        };
        let (event, at_ms) = (NoticeEvent::Failed, 1_800_000_000_123);
        let notice = Notice { job: job.id, event, at_ms, parked: None, attempt: 1 };
        let said = message(&notice, &job);
        assert_eq!(said, message(&Notice { attempt: 2, ..notice.clone() }, &job));
        assert_eq!(said.id, format!("{}_failed_1800000000123", job.id));
        assert!(!said.id.contains('.'), "a full stop would be part of what is signed");
        let body: Value = serde_json::from_slice(&said.body).unwrap();
        assert_eq!((&body["type"], &body["timestamp"]), (&"job.failed".into(), &"2027-01-15T08:00:00.123Z".into()));
        assert_eq!((&body["data"]["counts"]["items"], &body["data"]["state"]), (&7.into(), &"failed".into()));
        assert_eq!(body["data"]["links"]["items"], format!("/v1/jobs/{}/items", job.id));

        let (credential, provider, class) = ("alice".to_owned(), job.provider.clone(), Class::AuthRevoked);
        let parked = Parked { credential, provider, class, message: "no".into(), since_ms: at_ms };
        let notice = Notice { event: NoticeEvent::CredentialParked, parked: Some(parked), ..notice };
        let body: Value = serde_json::from_slice(&message(&notice, &job).body).unwrap();
        let data = &body["data"];
        assert_eq!((&body["type"], &data["state"]), (&"credential.parked".into(), &"running".into()));
        assert_eq!((&data["parked"]["class"], &data["parked"]["message"]), (&"auth_revoked".into(), &"no".into()));
        assert_eq!(data["links"]["credential"], "/v1/credentials/alice");
    }
}
