//! Where a limit is not enough for all: whose turn it is.

use super::*;
use crate::charge::Question;
use crate::line::By;

fn by(lane: u8, job: &str) -> By {
    By { lane, tenant: "one".to_owned(), job: job.to_owned(), credential: None, waited_for: None }
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

/// Of which only so many have turns of their own.
#[test]
fn a_tenant_s_share_does_not_grow_with_hundreds_of_jobs() {
    let other = By { tenant: "two".to_owned(), ..by(1, "a") };
    let jobs = (0..300).map(|number| (by(1, &number.to_string()), 1));
    let callers: Vec<(By, usize)> = jobs.chain([(other, 9)]).collect();
    let granted = shares(&bucket(5, 50.0), &callers, 20_000);
    assert!(granted[300] >= 350, "{} of 1,000, of which each job gets its first in any case", granted[300]);
}

#[test]
fn calls_of_a_job_that_waits_alone_come_back_one_after_the_other() {
    let (mut limiter, mut asked, mut granted) = (Limiter::default(), 0, 0);
    let mut due = vec![(0, false); 100];
    while let Some(now_ms) = due.iter().map(|(at_ms, _)| *at_ms).min().filter(|now_ms| *now_ms < 20_000) {
        for (at_ms, has_waited) in due.iter_mut().filter(|(at_ms, _)| *at_ms <= now_ms) {
            asked += 1;
            let decision = asks(&mut limiter, now_ms, &bucket(10, 100.0), &by(1, "job"), *has_waited);
            granted += i32::from(decision.is_ok());
            (*at_ms, *has_waited) = decision.map_or_else(|until_ms| (until_ms, true), |_| (now_ms + 1, false));
        }
    }
    assert!(granted >= 2_000, "{granted}: nothing is wasted");
    assert!(asked <= 4 * granted, "{asked} questions for {granted} calls");
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
    assert_eq!(take(&mut limiter, 60_000, 2), 98, "nobody else was seen for a minute");
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

#[test]
fn some_slots_are_kept_for_higher_lanes_that_were_seen_lately() {
    let takes = |limiter: &mut Limiter, rate: &Rate, now_ms, lane, want| {
        let question = Question { want, ..Question::new(vec![charge("limit", rate, 1)]).by(by(lane, "job")) };
        let granted = |decision| if let Decision::Granted(permit) = decision { Some(permit) } else { None };
        std::iter::from_fn(|| granted(limiter.decide(now_ms, &question))).map(|permit| permit.calls).sum::<u32>()
    };
    for want in [1, 64] {
        for (slots, bulk, trickle) in [(1, 1, 1), (2, 1, 1), (5, 4, 3), (20, 16, 15), (100, 80, 75)] {
            let rate = concurrency(slots, 600_000);
            for (lane, expected) in [(0, slots), (2, bulk), (3, trickle)] {
                let mut limiter = Limiter::default();
                for higher in 0..=2 {
                    let permit = asks(&mut limiter, 0, &rate, &by(higher, "higher"), false).unwrap();
                    assert_eq!(permit.calls, 1);
                }
                let granted = takes(&mut limiter, &rate, 1_000, lane, want);
                assert_eq!(granted, expected, "{slots} slots, lane {lane}");
                assert_eq!(takes(&mut limiter, &rate, 2_000, 0, want), slots - expected, "a person gets the rest");
                assert_eq!(takes(&mut limiter, &rate, 90_000, lane, want), 0);
            }
            let mut limiter = Limiter::default();
            asks(&mut limiter, 0, &rate, &by(0, "person"), false).unwrap();
            let granted = takes(&mut limiter, &rate, 60_000, 2, want);
            assert_eq!(granted, slots, "nobody else was seen for a minute");
        }
    }
}

#[test]
fn who_waits_for_a_slot_is_seen_and_so_gets_one() {
    let (mut limiter, rate) = (Limiter::default(), concurrency(3, 600_000));
    let bulk: Vec<Permit> = (0..3).map(|_| grant(&mut limiter, 0, &rate)).collect();
    asks(&mut limiter, 10, &rate, &by(0, "person"), false).unwrap_err();
    report(&mut limiter, 20, &bulk[0], true, None);
    assert_eq!(asks(&mut limiter, 20, &rate, &by(2, "bulk"), true), Err(270));
    asks(&mut limiter, 30, &rate, &by(0, "person"), true).unwrap();
}

/// A limit's own headroom, instead of the setting.
#[test]
fn a_limit_may_keep_what_it_says_for_higher_lanes() {
    let rate = window(100, 600_000, Aligned::Epoch);
    let own = vec![60, 0, 0].try_into().unwrap();
    let takes = |limiter: &mut Limiter, lane, headroom| {
        let charge = Charge { headroom, ..charge("limit", &rate, 1) };
        let question = Question::new(vec![charge]).by(by(lane, "job"));
        (0..200).take_while(|_| matches!(limiter.decide(1_000, &question), Decision::Granted(_))).count()
    };
    let mut limiter = Limiter::default();
    grant(&mut limiter, 0, &rate);
    assert!(asks(&mut limiter, 0, &rate, &by(0, "person"), false).is_ok());
    assert_eq!(takes(&mut limiter, 1, Some(own)), 38, "all but 60, and what is used");
    assert_eq!(takes(&mut limiter, 1, None), 50, "all but a tenth");
}

#[test]
fn a_job_s_credentials_share_its_turns_and_get_no_more_by_being_many() {
    let with = |job: &str, credential: &str| By { credential: Some(credential.to_owned()), ..by(1, job) };
    let callers = [(with("a", "one"), 30), (with("a", "two"), 3), (with("b", "one"), 9)];
    let granted = shares(&bucket(5, 10.0), &callers, 100_000);
    for (granted, fair) in granted.iter().zip([250, 250, 500]) {
        assert!(granted.abs_diff(fair) <= fair / 10, "{granted:?} of 1,000");
    }
}

/// When calls of the trickle lane are granted, of whom so many wait all the time, for so long.
fn trickle(limiter: &mut Limiter, rate: &Rate, calls: usize, for_ms: i64) -> Vec<i64> {
    // Long after any other lane was seen.
    let begin_ms = 600_000;
    let (mut due, mut granted_ms) = (vec![(begin_ms, false); calls], Vec::new());
    while let Some(now_ms) = due.iter().map(|(at_ms, _)| *at_ms).min().filter(|now_ms| *now_ms < begin_ms + for_ms) {
        for (at_ms, has_waited) in due.iter_mut().filter(|(at_ms, _)| *at_ms <= now_ms) {
            match asks(limiter, now_ms, rate, &by(3, "job"), *has_waited) {
                Ok(_) => {
                    granted_ms.push(now_ms - begin_ms);
                    (*at_ms, *has_waited) = (now_ms + 1, false);
                }
                Err(until_ms) => (*at_ms, *has_waited) = (until_ms, true),
            }
        }
    }
    granted_ms
}

/// What the pace allows, by itself: the first at once, and so many units later no earlier than so many steps, less 100 ms.
#[test]
fn trickle_is_spread_evenly_over_a_limit_that_nobody_else_wants() {
    for rate in [window(100, 10_000, Aligned::Epoch), sliding(100, 10_000), bucket(100, 10.0)] {
        for (percent, step_ms) in [(100, 100), (50, 200)] {
            let sharing = Sharing::default().trickle(percent).unwrap();
            let mut limiter = Limiter::default().sharing(Arc::new(sharing));
            let granted_ms = trickle(&mut limiter, &rate, 30, 60_000);
            let most = 60_000 / step_ms;
            assert!(
                (most - 3..=most + 2).contains(&(granted_ms.len() as i64)),
                "{rate:?}: {} of {most}",
                granted_ms.len()
            );
            for (first, from_ms) in granted_ms.iter().enumerate() {
                for (units, at_ms) in granted_ms[first..].iter().enumerate() {
                    assert!(at_ms - from_ms >= units as i64 * step_ms - 100 - step_ms, "{rate:?}: {granted_ms:?}");
                }
            }
        }
    }
}

#[test]
fn trickle_takes_all_at_once_where_it_has_no_pace_and_nothing_while_others_want_it() {
    let rate = window(100, 10_000, Aligned::Epoch);
    let mut limiter = Limiter::default().sharing(Arc::new(Sharing::default().trickle(0).unwrap()));
    let granted_ms = trickle(&mut limiter, &rate, 100, 5_000);
    assert_eq!((granted_ms.len(), granted_ms.last()), (100, Some(&0)));
    let granted = shares(&bucket(5, 10.0), &[(by(1, "job"), 20), (by(3, "trickle"), 20)], 60_000);
    assert!(granted[1] <= 12, "{granted:?}: about one of 101");
    assert!(granted[0] >= 580, "{granted:?}");
}

#[test]
fn those_who_wait_for_the_pace_ask_seldom() {
    let rate = window(1_000, 10_000, Aligned::Epoch);
    let (mut limiter, mut asked) = (Limiter::default(), 0);
    let mut due = vec![(0, false); 250];
    while let Some(now_ms) = due.iter().map(|(at_ms, _)| *at_ms).min().filter(|now_ms| *now_ms < 10_000) {
        for (at_ms, has_waited) in due.iter_mut().filter(|(at_ms, _)| *at_ms <= now_ms) {
            asked += 1;
            let decision = asks(&mut limiter, now_ms, &rate, &by(3, "job"), *has_waited);
            (*at_ms, *has_waited) = decision.map_or_else(|until_ms| (until_ms, true), |_| (now_ms + 1, false));
        }
    }
    assert!(asked <= 5_000, "{asked} questions for 1,000 calls");
}
