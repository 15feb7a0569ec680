//! Jobs that are submitted under a key.

use super::scene::{NOW, new_job};
use crate::{Idempotency, JobFilter, JobState, Ledger, NewJob, Submitted};

fn keyed(tenant: &str, key: &str, body: char) -> NewJob {
    let idempotency = Idempotency { key: key.into(), body_hash: body.to_string().repeat(64) };
    NewJob { tenant: tenant.into(), idempotency: Some(idempotency), ..new_job("a job") }
}

/// A client that submits the same twice, not knowing what came of it, has one job.
pub async fn a_key_makes_one_job(ledger: &dyn Ledger) {
    let submit = async |job: &NewJob| ledger.submit(job, NOW).await.expect("submits");
    let [first, again, other] = [keyed("a", "k", '1'), keyed("a", "k", '1'), keyed("a", "k", '2')];
    assert_eq!(submit(&first).await, Submitted::New);
    assert_eq!(submit(&again).await, Submitted::Same(first.id));
    assert_eq!(submit(&other).await, Submitted::Different(first.id));
    assert_eq!(submit(&first).await, Submitted::Same(first.id));
    for job in [&again, &other] {
        assert!(ledger.job(job.id).await.expect("reads").is_none());
    }
    // Whatever has become of the job.
    ledger.cancel(first.id, "not needed", NOW).await.expect("cancels");
    assert_eq!(submit(&again).await, Submitted::Same(first.id));
    assert_eq!(ledger.job(first.id).await.expect("reads").map(|job| job.state), Some(JobState::Cancelled));
}

/// Nobody meets another's jobs by guessing a key.
pub async fn a_key_is_its_tenants_own(ledger: &dyn Ledger) {
    for job in [keyed("a", "k", '1'), keyed("b", "k", '1'), keyed("a", "K", '1'), new_job("none"), new_job("none")] {
        assert_eq!(ledger.submit(&job, NOW).await.expect("submits"), Submitted::New);
    }
    assert_eq!(ledger.jobs(&JobFilter::newest(10)).await.expect("reads").len(), 5);
}

/// As when a client's first request is slow and it sends a second: exactly one of them is stored.
pub async fn a_key_submitted_at_once_makes_one_job(ledger: &dyn Ledger) {
    for round in 0..20 {
        let key = format!("round {round}");
        let [one, two, three] = ['1', '1', '2'].map(|body| keyed("a", &key, body));
        let (first, second, third) =
            tokio::join!(ledger.submit(&one, NOW), ledger.submit(&two, NOW), ledger.submit(&three, NOW));
        let jobs = [(&one, first), (&two, second), (&three, third)].map(|(job, came)| (job, came.expect("submits")));
        let (stored, _) = jobs.iter().find(|(_, came)| *came == Submitted::New).expect("one is stored");
        for (job, came) in &jobs {
            let expected = match (job.id == stored.id, job.idempotency == stored.idempotency) {
                (true, _) => Submitted::New,
                (false, true) => Submitted::Same(stored.id),
                (false, false) => Submitted::Different(stored.id),
            };
            assert_eq!(*came, expected, "round {round}");
            assert_eq!(ledger.job(job.id).await.expect("reads").is_some(), job.id == stored.id, "round {round}");
        }
    }
}
