//! Samples of answers that no error rule speaks of.

use super::scene::NOW;
use crate::{NewUnmatched, UNMATCHED_AGE_MS, UNMATCHED_MAX, UnmatchedAnswers, UnmatchedRow};

fn sample(tenant: &str, fingerprint: i64, count: u64, last_seen_ms: i64) -> NewUnmatched {
    let sample = format!("{{\"status\":400,\"seen\":{last_seen_ms}}}");
    NewUnmatched { tenant: tenant.to_owned(), provider: "acme".to_owned(), fingerprint, sample, count, last_seen_ms }
}

async fn listed<L: UnmatchedAnswers>(ledger: &L, tenant: &str) -> Vec<UnmatchedRow> {
    ledger.unmatched(tenant, "acme").await.expect("lists")
}

/// Of samples of one error the first stays, and they are counted; each tenant has its own.
pub async fn samples_of_one_error_are_one<L: UnmatchedAnswers>(ledger: &L) {
    let first = [sample("a", 1, 2, NOW), sample("b", 1, 1, NOW), sample("a", -2, 1, NOW + 1)];
    ledger.keep_unmatched(&first, NOW).await.expect("keeps");
    ledger.keep_unmatched(&[sample("a", 1, 3, NOW + 5)], NOW + 5).await.expect("keeps");
    let rows = listed(ledger, "a").await;
    let expected = UnmatchedRow {
        fingerprint: 1,
        sample: first[0].sample.clone(),
        count: 5,
        first_seen_ms: NOW,
        last_seen_ms: NOW + 5,
    };
    assert_eq!((rows.len(), &rows[0], rows[1].fingerprint), (2, &expected, -2));
    assert_eq!(listed(ledger, "b").await.iter().map(|row| row.count).collect::<Vec<_>>(), [1]);
    assert!(listed(ledger, "c").await.is_empty());
    assert!(ledger.unmatched("a", "other").await.expect("lists").is_empty());
}

/// Of each provider so many are kept, those that were seen last, for so long.
pub async fn samples_are_bounded_by_number_and_age<L: UnmatchedAnswers>(ledger: &L) {
    let max = i64::from(UNMATCHED_MAX);
    let many: Vec<_> = (0..max + 3).map(|n| sample("a", n, 1, NOW + n)).collect();
    ledger.keep_unmatched(&[sample("b", 7, 1, NOW)], NOW).await.expect("keeps");
    ledger.keep_unmatched(&many, NOW).await.expect("keeps");
    let kept: Vec<i64> = listed(ledger, "a").await.iter().map(|row| row.fingerprint).collect();
    assert_eq!(kept, (3..max + 3).rev().collect::<Vec<_>>());
    let late = NOW + max + 1 + UNMATCHED_AGE_MS;
    ledger.keep_unmatched(&[sample("a", -1, 1, late)], late).await.expect("keeps");
    let kept: Vec<i64> = listed(ledger, "a").await.iter().map(|row| row.fingerprint).collect();
    assert_eq!(kept, [-1, max + 2, max + 1]);
    assert_eq!(listed(ledger, "b").await.len(), 1, "another's are not touched");
}
