//! A credential that is parked, and the jobs of a ledger in the same database.

use std::sync::Arc;

use tidegate_contracts::{Class, JobId, Lane, Parked};
use tidegate_ledger::{Bounds, Ledger, NewJob, NoticeEvent, Notices, Submitted};
use tidegate_provider::Credential;
use tidegate_provider::file::Name;
use tidegate_registry::{Registry, SealingKeys, Tenant, Vault};

/// Unix ms of the first parking.
const SINCE: i64 = 1_800_000_000_000;

fn job(tenant: &Tenant, credential: &str) -> NewJob {
    let notify = r#"{"url":"https://hooks.example/","on":["credential_parked"]}"#;
    let id = JobId::new();
    NewJob {
        id,
        tenant: tenant.to_string(),
        name: "waits".into(),
        fingerprint: id.to_string(),
        spec: format!(r#"{{"job":{{"credential":"{credential}","notify":{notify}}}}}"#),
        provider: "x".into(),
        lane: Lane::Normal,
        idempotency: None,
        bounds: Bounds::default(),
        extend: false,
    }
}

fn parked(credential: &str, since_ms: i64) -> Parked {
    let (provider, message) = ("x".into(), "it's \"revoked\"".into());
    Parked { credential: credential.into(), provider, class: Class::AuthRevoked, message, since_ms }
}

/// Parking has its jobs wait, of this tenant and this credential alone, and tells their owner once; a version that was
/// replaced is not parked; storing it anew and deleting it let them go on.
pub(crate) async fn jobs_wait_for_a_parked_credential<L: Ledger + Notices>(registry: Arc<dyn Registry>, ledger: &L) {
    let (a, b): (Tenant, Tenant) = ("a".parse().expect("a name"), "b".parse().expect("a name"));
    let (alice, bob) = (Name::try_from("alice".to_owned()), Name::try_from("bob".to_owned()));
    let (alice, bob) = (alice.expect("a name"), bob.expect("a name"));
    let keys = SealingKeys::parse(&SealingKeys::generate("k1")).expect("a key");
    let vault = Vault::new(Arc::clone(&registry), Arc::new(keys));
    let secret = Credential::from_text("alice", "s3cret").expect("a token");
    for (tenant, name) in [(&a, &alice), (&a, &bob), (&b, &alice)] {
        registry.add_tenant(tenant, 1).await.expect("is there");
        vault.put(tenant, name, &secret, 1).await.expect("stored");
    }
    let jobs = [job(&a, "alice"), job(&a, "bob"), job(&b, "alice")];
    for job in &jobs {
        assert_eq!(ledger.submit(job, 1).await.expect("stored"), Submitted::New);
    }
    let ids = jobs.each_ref().map(|job| job.id);
    let wait = async || ledger.paused(&ids).await.expect("reads");

    for since_ms in [SINCE, SINCE + 1] {
        assert!(vault.park(&a, 1, &parked("alice", since_ms)).await.expect("parks"));
        assert_eq!(wait().await, [ids[0]]);
    }
    let row = ledger.job(ids[0]).await.expect("reads").expect("is there");
    assert_eq!(row.parked, Some(parked("alice", SINCE)), "since it was parked first");
    assert_eq!(vault.open(&a, &alice).await.expect("opens").expect("is there").parked, row.parked);
    let listed = registry.credentials(&a).await.expect("lists");
    assert_eq!(listed.iter().map(|row| row.parked().is_some()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(ledger.parked("a", "alice").await.expect("reads"), [ids[0]]);
    assert!(ledger.parked("a", "bob").await.expect("reads").is_empty());

    // A job that comes later is told by whoever meets the credential.
    let late = job(&a, "alice");
    ledger.submit(&late, 1).await.expect("stored");
    assert!(vault.park(&a, 1, &parked("alice", SINCE + 2)).await.expect("parks"));
    assert_eq!(ledger.paused(&[late.id]).await.expect("reads"), [late.id]);
    let told = ledger.take_due(10, 1, SINCE).await.expect("takes");
    assert_eq!(told.len(), 2, "each once: {told:?}");
    assert!(told.iter().all(|notice| notice.event == NoticeEvent::CredentialParked && notice.at_ms == SINCE));
    assert_eq!(told[0].parked, Some(parked("alice", SINCE)));

    assert_eq!(vault.put(&a, &alice, &secret, 2).await.expect("stored"), 2);
    assert!(wait().await.is_empty());
    assert!(!vault.park(&a, 1, &parked("alice", SINCE)).await.expect("asks"), "that version is no longer used");
    assert!(wait().await.is_empty());
    assert!(vault.park(&a, 2, &parked("alice", SINCE + 3)).await.expect("parks"));
    assert!(registry.delete_credential(&a, &alice).await.expect("deletes"));
    assert!(wait().await.is_empty());
    assert!(!vault.park(&a, 2, &parked("alice", SINCE)).await.expect("asks"), "it is gone");
}
