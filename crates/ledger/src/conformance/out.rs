//! What is out, and how fast pages come.

use tidegate_contracts::{End, Wait, WaitReason};

use super::scene::{NOW, Scene, deferred, end, fetch, first, new_job, offsets, ok};
use crate::{Ledger, Pace};

/// Parked calls by reason with their due times, the rest as what is with executors; of the job or of one fetch.
pub async fn what_is_out_is_told_by_what_it_waits_for(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 5).await;
    let other = fetch(scene.job, None, "others", 1, vec![first()]);
    let calls = scene.commit(&[scene.begin(vec![other, scene.root(vec![offsets(0, 9)])])]).await.released;
    let backoff = Wait { until_ms: NOW + 70, reason: WaitReason::Backoff(tidegate_contracts::Class::Timeout) };
    let plans = [
        deferred(&calls[1], NOW + 50, 1),
        deferred(&calls[2], NOW + 90, 1),
        end(&calls[3], End::Deferred { wait: backoff }),
        deferred(&calls[4], NOW - 1, 1),
    ];
    scene.commit(&plans).await;
    let out = ledger.out(scene.job, None, NOW).await.expect("reads");
    let told: Vec<_> = out.iter().map(|group| (group.calls, group.first_due_ms, group.last_due_ms)).collect();
    assert_eq!(told.len(), 3);
    assert_eq!(told.iter().filter(|group| **group == (2, Some(NOW + 50), Some(NOW + 90))).count(), 1);
    assert_eq!(told.iter().filter(|group| **group == (2, None, None)).count(), 1, "due ones are with executors");
    assert_eq!(told[2], (1, Some(NOW + 70), Some(NOW + 70)), "the most first");
    let limit = out.iter().find(|group| group.reason == Some(WaitReason::Limit("token".into()))).expect("a limit");
    let example = limit.example.as_ref().expect("one of them");
    assert!([calls[1].call, calls[2].call].contains(&example.call) && example.step == "roots");

    let of_fetch = ledger.out(scene.job, Some(calls[0].fetch), NOW).await.expect("reads");
    assert_eq!((of_fetch.len(), of_fetch[0].calls, &of_fetch[0].reason), (1, 1, &None));
    assert!(ledger.out(new_job("unknown").id, None, NOW).await.expect("reads").is_empty());
    let waiting = ledger.waiting(scene.job, NOW).await.expect("reads");
    assert_eq!((waiting[0].until_ms, waiting[0].last_until_ms), (NOW + 50, NOW + 90));
}

/// Of this job, and no other.
pub async fn a_fetch_is_shown_by_its_id(ledger: &dyn Ledger) {
    let (scene, root, _) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    let shown = ledger.fetch(scene.job, root).await.expect("reads").expect("is there");
    assert_eq!((shown.id, shown.step.as_str(), shown.calls_open), (root, "roots", 3));
    assert_eq!(ledger.fetch(new_job("another").id, root).await.expect("reads"), None);
}

/// At most so many of them, and those of this job only.
pub async fn the_pace_is_that_of_the_last_pages(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 4)]).await;
    assert_eq!(ledger.pace(scene.job, 10).await.expect("reads"), None);
    scene.commit(&calls.iter().take(3).map(ok).collect::<Vec<_>>()).await;
    let (another, _, others) = Scene::with_root(ledger, vec![first()]).await;
    another.commit(&[ok(&others[0])]).await;
    assert_eq!(ledger.pace(scene.job, 10).await.expect("reads"), Some(Pace { pages: 3, since_ms: NOW }));
    assert_eq!(ledger.pace(scene.job, 2).await.expect("reads"), Some(Pace { pages: 2, since_ms: NOW }));
}
