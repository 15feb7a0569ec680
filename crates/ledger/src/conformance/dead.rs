//! Messages that could not be handled.

use tidegate_contracts::{DeadId, JobId};

use super::scene::NOW;
use crate::{DEAD_BODY_MAX_BYTES, DeadBounds, DeadFilter, DeadLetters, DeadRow, NewDead};

fn letter(number: u8, job: Option<JobId>) -> NewDead {
    NewDead {
        id: DeadId::derive("outcomes", &[number], NOW),
        queue: if number.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
        kind: job.map(|_| "call".to_owned()),
        job,
        reason: format!("no. {number}\0{}", "é".repeat(1_000)),
        redelivered: number.into(),
        died_at_ms: NOW,
        body: vec![number; 100],
    }
}

async fn list<L: DeadLetters>(ledger: &L, filter: DeadFilter) -> Vec<u32> {
    let rows = ledger.dead(&filter).await.expect("lists");
    rows.into_iter().map(|row| row.redelivered).collect()
}

/// A letter that is taken twice is kept once; they come newest first, page by page, by queue and by job.
pub async fn a_dead_letter_is_kept_once_and_listed<L: DeadLetters>(ledger: &L) {
    let job = JobId::new();
    let letters: Vec<NewDead> = (1..=5).map(|number| letter(number, (number > 3).then_some(job))).collect();
    ledger.keep_dead(&letters[..3], NOW).await.expect("keeps");
    ledger.keep_dead(&letters, NOW + 1).await.expect("keeps the rest");
    let all = DeadFilter { limit: 10, ..DeadFilter::default() };
    assert_eq!(list(ledger, all.clone()).await, [5, 4, 3, 2, 1]);
    assert_eq!(list(ledger, DeadFilter { limit: 2, ..all.clone() }).await, [5, 4]);
    assert_eq!(list(ledger, DeadFilter { before: Some(letters[3].id), ..all.clone() }).await, [3, 2, 1]);
    assert_eq!(list(ledger, DeadFilter { queue: Some("even".into()), ..all.clone() }).await, [4, 2]);
    assert_eq!(list(ledger, DeadFilter { job: Some(job), ..all.clone() }).await, [5, 4]);
    let unknown = DeadId::derive("", &[], 0);
    assert!(list(ledger, DeadFilter { before: Some(unknown), ..all }).await.is_empty());

    let (row, body) = ledger.dead_letter(letters[3].id).await.expect("reads").expect("it is there");
    let expected = DeadRow {
        id: letters[3].id,
        queue: "even".to_owned(),
        kind: Some("call".to_owned()),
        job: Some(job),
        reason: row.reason.clone(),
        redelivered: 4,
        died_at_ms: NOW,
        kept_at_ms: NOW + 1,
        bytes: 100,
        replayed_at_ms: None,
    };
    assert_eq!((row, body), (expected, vec![4; 100]));
    let (first, _) = ledger.dead_letter(letters[0].id).await.expect("reads").expect("it is there");
    assert_eq!((first.kept_at_ms, first.kind, first.job), (NOW, None, None), "the first one stays");
    assert!(first.reason.starts_with("no. 1") && first.reason.chars().count() == 500, "{}", first.reason);
}

/// A letter that was sent again says so; one that is dropped is gone, and only it.
pub async fn a_dead_letter_is_replayed_and_dropped<L: DeadLetters>(ledger: &L) {
    let letters = [letter(1, None), letter(2, None)];
    ledger.keep_dead(&letters, NOW).await.expect("keeps");
    for now_ms in [NOW + 5, NOW + 6] {
        assert!(ledger.replayed_dead(letters[0].id, now_ms).await.expect("notes"));
    }
    let (row, _) = ledger.dead_letter(letters[0].id).await.expect("reads").expect("it is there");
    assert_eq!(row.replayed_at_ms, Some(NOW + 6));
    assert!(ledger.drop_dead(letters[0].id).await.expect("drops"));
    assert!(!ledger.drop_dead(letters[0].id).await.expect("drops nothing"));
    assert!(!ledger.replayed_dead(letters[0].id, NOW).await.expect("notes nothing"));
    assert!(ledger.dead_letter(letters[0].id).await.expect("reads").is_none());
    assert_eq!(list(ledger, DeadFilter { limit: 9, ..DeadFilter::default() }).await, [2]);
}

/// What is kept is bounded by number, bytes and age, and the oldest goes first; of what is too long, the beginning stays.
pub async fn dead_letters_are_bounded<L: DeadLetters>(ledger: &L) {
    let bounds = DeadBounds::default();
    let all = DeadFilter { limit: 10, ..DeadFilter::default() };
    for number in 1..=6 {
        ledger.keep_dead(&[letter(number, None)], NOW + i64::from(number)).await.expect("keeps");
    }
    assert_eq!(ledger.prune_dead(&bounds, NOW).await.expect("prunes"), (0, 6));
    assert_eq!(ledger.prune_dead(&DeadBounds { letters: 5, ..bounds }, NOW).await.expect("prunes"), (1, 5));
    assert_eq!(ledger.prune_dead(&DeadBounds { bytes: 450, ..bounds }, NOW).await.expect("prunes"), (1, 4));
    let aged = DeadBounds { age_ms: 100, ..bounds };
    assert_eq!(ledger.prune_dead(&aged, NOW + 104).await.expect("prunes"), (1, 3));
    assert_eq!(list(ledger, all).await, [6, 5, 4]);
    let long = NewDead { body: vec![7; DEAD_BODY_MAX_BYTES + 1], ..letter(7, None) };
    ledger.keep_dead(std::slice::from_ref(&long), NOW).await.expect("keeps");
    let (row, body) = ledger.dead_letter(long.id).await.expect("reads").expect("it is there");
    assert_eq!((row.bytes, body.len()), (DEAD_BODY_MAX_BYTES as u64 + 1, DEAD_BODY_MAX_BYTES));
}
