//! Stored pages.

use tidegate_contracts::{CallId, Fingerprint, JobId, NewPages, Next, PageFacts, PagePointer};

use super::chance::Chance;
use super::scene::{NOW, Scene, fetch};
use crate::{Ledger, NewPage, Packed};

/// A job that has begun with fetches `one`, `two` and `three` of 700 pages each.
async fn begin(ledger: &dyn Ledger) -> JobId {
    let scene = Scene::new(ledger, 1).await;
    let pages = NewPages::Numbers { from: 0, until: 700, size: 10, ordinal: 0 };
    let fetches = ["one", "two", "three"].map(|name| fetch(scene.job, None, name, 7, vec![pages.clone()]));
    ledger.commit(&[scene.begin(fetches.into())], &scene.windows, NOW).await.expect("begins");
    scene.job
}

/// Page `n` of a fetch with this fingerprint and `items` items.
fn page(job: JobId, name: &str, n: u64, fingerprint: i64, items: u32) -> NewPage {
    let fetch = fetch(job, None, name, 7, vec![]).fetch;
    let facts = PageFacts {
        items,
        total: Some(1 << 40),
        next: Some(Next::Cursor(format!("after \"{n}\""))),
        has_more: Some(true),
        fingerprint: Fingerprint(fingerprint),
        ..PageFacts::default()
    };
    let lines = Packed::pack(format!("{{\"page\":{n}}}\n").repeat(items as usize).as_bytes()).expect("packs");
    let call = CallId::derive(fetch, &PagePointer::Number { page: n, size: 10 });
    NewPage { call, fetch, job, step: name.into(), facts, top: None, lines }
}

async fn put(ledger: &dyn Ledger, pages: &[NewPage]) -> Vec<PageFacts> {
    ledger.put_pages(pages, NOW).await.expect("stores")
}

/// A call that is made twice has its first answer; the second is told of it.
pub async fn a_page_is_stored_only_once(ledger: &dyn Ledger) {
    let job = begin(ledger).await;
    let first = page(job, "one", 1, -7, 2);
    let other = NewPage { call: first.call, ..page(job, "one", 2, 8, 3) };
    assert_eq!(put(ledger, std::slice::from_ref(&first)).await, std::slice::from_ref(&first.facts));
    assert_eq!(put(ledger, &[other, first.clone()]).await, [first.facts.clone(), first.facts.clone()]);
    assert_eq!(ledger.page_facts(first.call).await.expect("reads"), Some(first.facts));
    assert_eq!(ledger.page_lines(job, first.call).await.expect("reads"), Some(first.lines));
    assert_eq!(
        ledger.page_lines(begin(ledger).await, first.call).await.expect("reads"),
        None,
        "it is not another job's"
    );
    assert_eq!(ledger.pages_after(job, 0, 10).await.expect("reads").len(), 1);
    assert_eq!(put(ledger, &[]).await, []);
}

/// Pages belong to calls; one that nobody planned has no page, nor has its batch.
pub async fn a_page_without_its_call_is_refused(ledger: &dyn Ledger) {
    let job = begin(ledger).await;
    let (known, unknown) = (page(job, "one", 1, 1, 2), page(job, "one", 700, 2, 2));
    assert!(ledger.put_pages(&[known.clone(), unknown.clone()], NOW).await.is_err());
    for page in [known, unknown] {
        assert_eq!(ledger.page_facts(page.call).await.expect("reads"), None);
    }
}

/// As when an executor's batch holds a redelivered call; also over the bounds of one statement.
pub async fn a_page_twice_in_a_batch_is_stored_once(ledger: &dyn Ledger) {
    let job = begin(ledger).await;
    let mut pages: Vec<NewPage> = (0..100).map(|n| page(job, "one", n, n as i64, 2)).collect();
    let facts: Vec<PageFacts> = pages.iter().map(|page| page.facts.clone()).collect();
    pages.insert(1, NewPage { call: pages[0].call, ..page(job, "one", 500, 500, 9) });
    pages.push(NewPage { call: pages[0].call, ..page(job, "one", 600, 600, 9) });
    let stored = put(ledger, &pages).await;
    assert_eq!(stored[0], facts[0]);
    assert_eq!((&stored[1], &stored[101]), (&facts[0], &facts[0]));
    assert_eq!(stored[2..101], facts[1..]);
    assert_eq!(ledger.pages_after(job, 0, 200).await.expect("reads").len(), 100);
}

/// Equal items on a page before, of the same fetch; a blank page repeats nothing. Whoever asks again hears the same.
pub async fn a_page_is_repeated_within_its_fetch_only(ledger: &dyn Ledger) {
    let job = begin(ledger).await;
    let other_job = begin(ledger).await;
    let pages = [
        (page(job, "one", 1, 5, 2), false),
        (page(job, "one", 2, 5, 2), true),
        (page(job, "two", 1, 5, 2), false),
        (page(other_job, "one", 1, 5, 2), false),
        (page(job, "one", 3, 6, 2), false),
        (page(job, "one", 4, 0, 0), false),
        (page(job, "one", 5, 0, 0), false),
        (page(job, "one", 6, 6, 2), true),
    ];
    let repeated = |facts: Vec<PageFacts>| facts.into_iter().map(|facts| facts.repeated).collect::<Vec<_>>();
    let (all, expected): (Vec<NewPage>, Vec<bool>) = pages.into_iter().unzip();
    assert_eq!(repeated(put(ledger, &all[..1]).await), expected[..1]);
    assert_eq!(repeated(put(ledger, &all).await), expected);
    let claimed: Vec<NewPage> = all
        .iter()
        .cloned()
        .map(|mut page| {
            page.facts.repeated = true;
            page
        })
        .collect();
    assert_eq!(repeated(put(ledger, &claimed).await), expected);
    let mut read = Vec::new();
    for page in &all {
        read.push(ledger.page_facts(page.call).await.expect("reads").expect("is there"));
    }
    assert_eq!(repeated(read), expected);
    // What a caller says of it does not count, the ledger finds out.
    let mut fresh = page(job, "three", 1, 5, 2);
    fresh.facts.repeated = true;
    assert_eq!(repeated(put(ledger, &[fresh]).await), [false]);
}

/// Items, byte for byte, from nothing to more than a row holds.
pub async fn lines_read_back_as_they_were_stored(ledger: &dyn Ledger) {
    let job = begin(ledger).await;
    // Bytes that don't pack.
    let mut chance = Chance::new(1);
    let noise: Vec<u8> = (0..300_000).map(|_| chance.below(256) as u8).collect();
    for (n, lines) in [Vec::new(), b"{\"a\":\"\\u0000\"}\n".to_vec(), noise].into_iter().enumerate() {
        let new = NewPage { lines: Packed::pack(&lines).expect("packs"), ..page(job, "one", n as u64, n as i64, 1) };
        put(ledger, std::slice::from_ref(&new)).await;
        let read = ledger.page_lines(job, new.call).await.expect("reads").expect("is there");
        assert_eq!(read.unpack().expect("unpacks"), lines);
    }
}

/// A reader comes back with the last number it has seen, and misses nothing.
pub async fn pages_come_in_the_order_of_storing(ledger: &dyn Ledger) {
    let job = begin(ledger).await;
    let other = begin(ledger).await;
    let mine: Vec<NewPage> = (0..7).map(|n| page(job, "one", 7 - n, n as i64, 2)).collect();
    for page_of_mine in &mine {
        put(ledger, &[page_of_mine.clone(), page(other, "one", u64::from(page_of_mine.facts.items), 1, 1)]).await;
    }
    let (mut seq, mut read) = (0, Vec::new());
    loop {
        let rows = ledger.pages_after(job, seq, 3).await.expect("reads");
        assert_eq!(rows.len(), 3.min(mine.len() - read.len()));
        let Some(last) = rows.last() else { break };
        assert!(rows.is_sorted_by_key(|row| row.seq) && rows[0].seq > seq);
        assert!(rows.iter().all(|row| row.params == r#"{"n":7}"#));
        seq = last.seq;
        read.extend(rows);
    }
    let told: Vec<_> = read.into_iter().map(|row| (row.fetch, row.step, row.items, row.lines)).collect();
    let stored: Vec<_> = mine.into_iter().map(|page| (page.fetch, page.step, page.facts.items, page.lines)).collect();
    assert_eq!(told, stored);
}
