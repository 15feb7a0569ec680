use super::*;

/// A learner that was asked whenever it said, answered at once by a provider that accepts `accepts(now_ms)`.
fn drive(learner: &mut Learner, from_ms: f64, for_ms: f64, mut accepts: impl FnMut(f64) -> bool) -> (u32, u32) {
    let (mut now_ms, mut counts) = (from_ms, (0, 0));
    while now_ms < from_ms + for_ms {
        match learner.permit(now_ms) {
            Ok(()) if accepts(now_ms) => {
                counts.0 += 1;
                learner.report(Outcome::Accepted, 1.0, now_ms, now_ms + 1.0);
            }
            Ok(()) => {
                counts.1 += 1;
                learner.report(Outcome::Refused { until_ms: None }, 1.0, now_ms, now_ms + 1.0);
            }
            Err(until_ms) => {
                assert!(until_ms > now_ms, "a wait ends later than now");
                now_ms = until_ms;
            }
        }
    }
    counts
}

/// A bucket of 10 that restores `per_s`.
fn bucket(per_s: f64) -> impl FnMut(f64) -> bool {
    let (mut left, mut at_ms) = (10.0_f64, 0.0);
    move |now_ms| {
        left = (left + (now_ms - at_ms) * per_s / 1_000.0).min(10.0);
        at_ms = now_ms;
        let accepts = left >= 1.0;
        left -= f64::from(u8::from(accepts));
        accepts
    }
}

fn learnt(per_s: f64) -> Learner {
    let mut learner = Learner::new(&Learn::default());
    drive(&mut learner, 1e6, 600e3, bucket(per_s));
    learner
}

#[test]
fn the_pace_rises_until_the_first_refusal_and_then_stays_below_it() {
    let mut learner = Learner::new(&Learn::default());
    let (accepted, refused) = drive(&mut learner, 1e6, 20e3, |_| true);
    assert_eq!(refused, 0);
    assert!((80..95).contains(&accepted), "the integral of (1 + t / 10)^2 over 20 s: {accepted}");
    let pace_per_s = learnt(20.0).pace_per_s().0;
    assert!((19.0..20.5).contains(&pace_per_s), "{pace_per_s}");
}

#[test]
fn refusals_of_calls_sent_before_calls_were_accepted_again_say_nothing() {
    let mut learner = learnt(20.0);
    let before = learner.pace_per_s();
    let (sent_ms, now_ms) = (learner.resumed_ms - 10.0, 2e6);
    for _ in 0..5 {
        learner.report(Outcome::Refused { until_ms: None }, 1.0, sent_ms, now_ms);
    }
    assert_eq!(learner.pace_per_s(), before);
    assert!(learner.trouble.is_none());
}

#[test]
fn errors_that_are_no_refusals_teach_nothing() {
    let mut learner = learnt(20.0);
    let before = learner.clone();
    for _ in 0..50 {
        learner.report(Outcome::Other, 1.0, 1.7e6, 1.7e6);
    }
    assert_eq!(learner, before);
}

#[test]
fn a_burst_of_refusals_counts_once() {
    let learner = learnt(20.0);
    let paces: Vec<f64> = [2, 40]
        .into_iter()
        .map(|refusals| {
            let (mut learner, now_ms) = (learner.clone(), 1.7e6);
            for _ in 0..refusals {
                learner.report(Outcome::Refused { until_ms: None }, 1.0, now_ms, now_ms + 100.0);
            }
            assert!(learner.ready_ms(now_ms + 100.0) > now_ms + 100.0, "it stops");
            let at_ms = learner.ready_ms(now_ms + 100.0);
            learner.go(1.0, at_ms);
            learner.report(Outcome::Accepted, 1.0, at_ms, at_ms + 100.0);
            learner.speed_per_s(at_ms + 100.0)
        })
        .collect();
    assert_eq!(paces[0], paces[1]);
}

#[test]
fn a_told_time_is_waited_for() {
    let mut learner = learnt(20.0);
    learner.report(Outcome::Refused { until_ms: Some(1.75e6) }, 1.0, 1.7e6, 1.7e6);
    assert_eq!(learner.ready_ms(1.7e6), 1.75e6);
}

#[test]
fn it_is_never_slower_than_the_floor_nor_quicker_than_the_cap() {
    let learn = Learn { floor_per_s: 2.0, cap_per_s: 5.0, ..Learn::default() };
    let mut learner = Learner::new(&learn);
    let (accepted, _) = drive(&mut learner, 1e6, 100e3, |_| true);
    assert!((350..=500).contains(&accepted), "{accepted}");
    drive(&mut learner, 1.2e6, 600e3, bucket(0.5));
    assert_eq!(learner.speed_per_s(1.8e6), 2.0);
}

#[test]
fn a_restart_goes_on_at_nine_tenths_and_a_second_one_takes_no_more() {
    let learner = learnt(20.0);
    let pace_per_s = learner.pace_per_s().0;
    let once = learner.at_rest();
    assert_eq!(once.pace_per_s().0, 0.9 * pace_per_s);
    let twice = once.at_rest();
    assert_eq!(twice.pace_per_s().0, 0.9 * pace_per_s);
    let mut back = twice;
    drive(&mut back, 2e6, 600e3, bucket(20.0));
    assert!(back.pace_per_s().0 >= 0.97 * pace_per_s, "{} after a restart, {pace_per_s} before", back.pace_per_s().0);
}

#[test]
fn its_state_is_small_and_comes_back_from_json() {
    let learner = learnt(20.0);
    let json = serde_json::to_string(&learner).unwrap();
    assert!(json.len() < 4_096, "{} bytes", json.len());
    let back: Learner = serde_json::from_str(&json).unwrap();
    assert!((back.pace_per_s().0 - learner.pace_per_s().0).abs() < 1e-9);
}

#[test]
fn an_idle_time_is_not_saved_up() {
    let mut learner = learnt(20.0);
    let now_ms = 1e7;
    let at_once = (0..100).take_while(|_| learner.permit(now_ms).is_ok()).count();
    assert!(at_once <= 2, "{at_once} calls after an idle hour");
}

#[test]
fn what_older_arbiters_learnt_is_loaded_and_goes_on() {
    let mut learner = Learner::new(&Learn { start_per_s: 10.0, ..Learn::default() });
    drive(&mut learner, 1e6, 60e3, bucket(20.0));
    assert_eq!(learner.mode, Mode::Follow);
    let mut json = serde_json::to_value(&learner).unwrap();
    json.as_object_mut().unwrap().remove("quota");
    for newer in ["last_ms", "last_accepted", "former_per_s"] {
        json["follow"].as_object_mut().unwrap().remove(newer).unwrap();
    }
    let mut older: Learner = serde_json::from_value(json).unwrap();
    let (accepted, _) = drive(&mut older, 1.06e6, 60e3, bucket(20.0));
    assert!((1_100..=1_220).contains(&accepted), "{accepted}");
}

#[test]
fn a_long_wall_where_a_pace_held_is_a_quota_s_end_and_leaves_the_pace() {
    let mut learner = learnt(20.0);
    let (pace_per_s, start_ms) = (learner.pace_per_s().0, 1.6e6);
    let (mut inner, mut left) = (bucket(20.0), 1_000);
    let (accepted, _) = drive(&mut learner, start_ms, 200e3, |now_ms| {
        let accepts = left > 0 && inner(now_ms);
        left -= i32::from(accepts);
        accepts
    });
    assert_eq!(accepted, 1_000, "then there is a wall");
    drive(&mut learner, start_ms + 200e3, 30e3, bucket(20.0));
    assert!(
        learner.pace_per_s().0 >= 0.95 * pace_per_s,
        "{} after the wall, {pace_per_s} before",
        learner.pace_per_s().0
    );
}
