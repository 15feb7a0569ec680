//! Where a limit is not enough for all: whose turn it is.

use super::*;
use crate::charge::Question;
use crate::line::By;

fn by(lane: u8, job: &str) -> By {
    By { lane, tenant: "one".to_owned(), job: job.to_owned(), waited_for: None }
}

/// One call of a job, that waited before or did not.
fn asks(limiter: &mut Limiter, now_ms: i64, rate: &Rate, by: &By, has_waited: bool) -> Result<Permit, i64> {
    let by = By { waited_for: has_waited.then(|| "limit".to_owned()), ..by.clone() };
    let question = Question::new(vec![charge("limit", rate, 1)]).by(by);
    match limiter.decide(now_ms, &question) {
        Decision::Granted(permit) => {
            report(limiter, now_ms, &permit, true, Some(Told::default()));
            Ok(permit)
        }
        Decision::Wait { until_ms, .. } => Err(until_ms),
    }
}

/// How often each was granted, where each has so many calls that come whenever they are told to, until a time.
fn shares(rate: &Rate, callers: &[(By, usize)], until_ms: i64) -> Vec<u32> {
    shares_of(Limiter::default(), rate, callers, until_ms)
}

fn shares_of(mut limiter: Limiter, rate: &Rate, callers: &[(By, usize)], until_ms: i64) -> Vec<u32> {
    let mut due: Vec<(i64, usize, bool)> = Vec::new();
    callers.iter().enumerate().for_each(|(number, (_, calls))| due.extend(vec![(0, number, false); *calls]));
    let mut granted = vec![0; callers.len()];
    while let Some(now_ms) = due.iter().map(|(at_ms, ..)| *at_ms).min().filter(|now_ms| *now_ms < until_ms) {
        for (at_ms, number, has_waited) in due.iter_mut().filter(|(at_ms, ..)| *at_ms <= now_ms) {
            match asks(&mut limiter, now_ms, rate, &callers[*number].0, *has_waited) {
                Ok(_) => {
                    granted[*number] += 1;
                    (*at_ms, *has_waited) = (now_ms + 1, false);
                }
                Err(until_ms) => (*at_ms, *has_waited) = (until_ms, true),
            }
        }
    }
    granted
}

#[test]
fn jobs_share_alike_however_many_calls_of_each_wait() {
    let granted = shares(&bucket(5, 10.0), &[(by(1, "whale"), 200), (by(1, "a"), 5), (by(1, "b"), 1)], 100_000);
    assert!(granted.iter().all(|granted| (300..=370).contains(granted)), "{granted:?} of 1,000");
    assert!(granted.iter().sum::<u32>() >= 990, "{granted:?}: nothing is wasted");
}

#[test]
fn a_tenant_s_share_does_not_grow_with_its_jobs() {
    let other = By { tenant: "two".to_owned(), ..by(1, "a") };
    let granted = shares(&bucket(5, 10.0), &[(by(1, "a"), 9), (by(1, "b"), 9), (by(1, "c"), 9), (other, 9)], 100_000);
    assert!((480..=520).contains(&granted[3]), "{granted:?} of 1,000");
}

#[test]
fn higher_lanes_go_first_and_no_lane_starves() {
    let lanes: Vec<(By, usize)> = (0..4).map(|lane| (by(lane, "job"), 20)).collect();
    let granted = shares(&bucket(50, 100.0), &lanes, 100_000);
    for (lane, share) in [1_000, 100, 10, 1].into_iter().enumerate() {
        let fair = f64::from(share) / 1_111.0 * f64::from(granted.iter().sum::<u32>());
        assert!(f64::from(granted[lane]) >= fair * 0.9 - 1.0, "lane {lane}: {granted:?}");
    }
    assert!(granted[3] >= 5, "{granted:?}");
}

#[test]
fn lanes_and_tenants_share_by_the_weights_that_are_set() {
    let other = By { tenant: "two".to_owned(), ..by(1, "a") };
    let callers = [(by(1, "a"), 20), (other, 20), (by(2, "b"), 20)];
    let tenants = BTreeMap::from([("one".to_owned(), 3)]);
    let sharing = Sharing::new(&[100, 4, 2, 1], &[0, 0, 0], tenants).unwrap();
    let limiter = Limiter::default().sharing(Arc::new(sharing));
    let granted = shares_of(limiter, &bucket(5, 10.0), &callers, 120_000);
    for (granted, fair) in granted.iter().zip([600, 200, 400]) {
        assert!(granted.abs_diff(fair) <= fair / 10, "{granted:?} of 1,200");
    }
}

#[test]
fn headroom_is_what_is_set() {
    let (rate, person) = (window(100, 600_000, Aligned::Epoch), by(0, "person"));
    let sharing = Sharing::new(&[1_000, 100, 10, 1], &[40, 0, 0], BTreeMap::new()).unwrap();
    let mut limiter = Limiter::default().sharing(Arc::new(sharing));
    for _ in 0..2 {
        asks(&mut limiter, 0, &rate, &person, false).unwrap();
    }
    let taken = (0..200).take_while(|_| asks(&mut limiter, 1_000, &rate, &by(1, "job"), false).is_ok()).count();
    assert_eq!(taken, 58, "all but 40, and what is used");
}

#[test]
fn part_of_a_window_is_kept_for_higher_lanes_that_were_seen_lately() {
    let rate = window(100, 600_000, Aligned::Epoch);
    let take = |limiter: &mut Limiter, now_ms, lane| {
        (0..200).take_while(|_| asks(limiter, now_ms, &rate, &by(lane, "job"), false).is_ok()).count()
    };
    let mut limiter = Limiter::default();
    grant(&mut limiter, 0, &rate);
    assert!(asks(&mut limiter, 0, &rate, &by(0, "person"), false).is_ok());
    assert_eq!(take(&mut limiter, 1_000, 1), 88, "all but a tenth, and what is used");
    assert_eq!(take(&mut limiter, 2_000, 2), 0);
    assert_eq!(take(&mut limiter, 3_000, 0), 10, "the person gets the rest");
    let mut limiter = Limiter::default();
    grant(&mut limiter, 0, &rate);
    assert!(asks(&mut limiter, 0, &rate, &by(0, "person"), false).is_ok());
    assert_eq!(take(&mut limiter, 60_000, 3), 98, "nobody else was seen for a minute");
}

#[test]
fn who_does_not_come_back_holds_nobody_up_for_long() {
    let (mut limiter, rate) = (Limiter::default(), bucket(1, 1.0));
    grant(&mut limiter, 0, &rate);
    let told_ms = asks(&mut limiter, 0, &rate, &by(0, "gone"), false).unwrap_err();
    let mut until_ms = asks(&mut limiter, 0, &rate, &by(1, "stays"), false).unwrap_err();
    let mut now_ms = 0;
    while until_ms > now_ms {
        now_ms = until_ms;
        until_ms = asks(&mut limiter, now_ms, &rate, &by(1, "stays"), true).err().unwrap_or(now_ms);
    }
    assert!(now_ms <= told_ms + 5_000 + 2_000, "granted at {now_ms}");
}

#[test]
fn slots_have_no_line_for_it_would_keep_them_from_being_used() {
    let (mut limiter, rate) = (Limiter::default(), concurrency(1, 60_000));
    let slot = grant(&mut limiter, 0, &rate);
    for job in ["a", "b"] {
        asks(&mut limiter, 0, &rate, &by(1, job), false).unwrap_err();
    }
    report(&mut limiter, 10, &slot, true, None);
    assert!(asks(&mut limiter, 10, &rate, &by(3, "c"), false).is_ok());
}
