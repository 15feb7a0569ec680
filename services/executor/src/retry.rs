//! Whether, when and at what price a call is made again. Pure: time and chance are arguments.

use std::time::Duration;

use tidegate_contracts::Class;
use tidegate_provider::{OnFailure, RetryPolicy};

/// Attempts at a page that can shrink, until a timeout makes it.
const TIMEOUTS_MAX: u32 = 2;

/// What is known of a call that failed just now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    pub(crate) class: Class,
    /// The third party may have acted on it, and must not twice.
    pub(crate) may_have_acted: bool,
    /// The same can be asked for in smaller pages.
    pub(crate) can_shrink: bool,
    /// Attempts spent, this one included.
    pub(crate) attempt: u32,
    /// Unix ms of the first failure.
    pub(crate) since_ms: i64,
    /// Unix ms until which the third party asks to wait.
    pub(crate) told_until_ms: Option<i64>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Make it again, not before this Unix ms.
    Again { until_ms: i64 },
    /// Ask the arbiter again, which has been told of the refusal. Costs no attempt.
    AskAgain,
    /// It has failed for good.
    GiveUp,
}

/// Exponential back-off with full jitter (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog 2015):
/// a pause drawn evenly from nothing to `base * 2^(attempt - 1)`, at most `cap`. A time that the third party asks for is
/// obeyed, however long, with the jitter on top. `chance` is in [0, 1).
pub(crate) fn decide(policy: &RetryPolicy, failed: &Failed, now_ms: i64, chance: f64) -> Next {
    match failed.class {
        Class::RateLimited | Class::QuotaExhausted => return Next::AskAgain,
        Class::Transient | Class::Timeout | Class::Suspect | Class::ProviderDown => {}
        _ => return Next::GiveUp,
    }
    // Once may be chance; a page that is too large takes too long every time.
    let shrinks = failed.can_shrink && failed.class == Class::Timeout && failed.attempt >= TIMEOUTS_MAX;
    if failed.may_have_acted || failed.attempt >= policy.attempts || shrinks {
        return Next::GiveUp;
    }
    let longest =
        policy.base.saturating_mul(2_u32.saturating_pow(failed.attempt.saturating_sub(1).min(31))).min(policy.cap);
    let pause_ms = millis(longest.mul_f64(chance.clamp(0.0, 1.0)));
    let until_ms = failed.told_until_ms.unwrap_or(now_ms).max(now_ms).saturating_add(pause_ms);
    // A wait that was asked for does not eat the budget: the third party promises to be back by then.
    let spent_ms = now_ms.saturating_sub(failed.since_ms).saturating_add(pause_ms);
    if spent_ms > millis(policy.budget) { Next::GiveUp } else { Next::Again { until_ms } }
}

/// Whether a failure of this class stops the whole job; the planner decides the same when it hears of it.
pub(crate) fn stops_job(class: Class, on_failure: OnFailure) -> bool {
    match class {
        Class::NotFound | Class::Gone => false,
        // Every call that follows would fail too.
        Class::AuthExpired | Class::AuthRevoked => on_failure != OnFailure::Continue,
        _ => on_failure == OnFailure::FailJob,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 6,
        budget: Duration::from_secs(1_800),
        base: Duration::from_millis(500),
        cap: Duration::from_secs(60),
    };

    fn failed(class: Class, attempt: u32) -> Failed {
        Failed { class, may_have_acted: false, can_shrink: false, attempt, since_ms: 1_000, told_until_ms: None }
    }

    #[test]
    fn only_passing_trouble_is_tried_again() {
        use Class::*;
        for class in [Transient, Timeout, Suspect, ProviderDown] {
            assert!(matches!(decide(&POLICY, &failed(class, 1), 1_000, 0.5), Next::Again { .. }), "{class}");
        }
        for class in [AuthExpired, AuthRevoked, Permission, NotFound, Gone, Invalid, TooMuchData, TooLarge, Blocked] {
            assert_eq!(decide(&POLICY, &failed(class, 1), 1_000, 0.5), Next::GiveUp, "{class}");
        }
    }

    #[test]
    fn a_refusal_by_a_limit_costs_no_attempt_however_many() {
        assert_eq!(decide(&POLICY, &failed(Class::RateLimited, 1_000), 1_000, 0.5), Next::AskAgain);
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        assert!(matches!(decide(&POLICY, &failed(Class::Transient, 5), 1_000, 0.0), Next::Again { .. }));
        assert_eq!(decide(&POLICY, &failed(Class::Transient, 6), 1_000, 0.0), Next::GiveUp);
    }

    #[test]
    fn a_second_timeout_of_a_page_that_can_be_smaller_is_the_last() {
        let large = |class, attempt| Failed { can_shrink: true, ..failed(class, attempt) };
        assert!(matches!(decide(&POLICY, &large(Class::Timeout, 1), 1_000, 0.0), Next::Again { .. }));
        assert_eq!(decide(&POLICY, &large(Class::Timeout, 2), 1_000, 0.0), Next::GiveUp);
        assert!(matches!(decide(&POLICY, &large(Class::Transient, 2), 1_000, 0.0), Next::Again { .. }));
    }

    #[test]
    fn what_may_have_been_acted_upon_is_not_sent_twice() {
        let unsafe_call = Failed { may_have_acted: true, ..failed(Class::Timeout, 1) };
        assert_eq!(decide(&POLICY, &unsafe_call, 1_000, 0.5), Next::GiveUp);
    }

    /// A thousand calls that failed in the same moment, as at the end of an outage, come back spread over the whole of the pause.
    #[test]
    fn calls_that_failed_together_come_back_apart() {
        let call = failed(Class::ProviderDown, 4);
        // As chances come, each call for itself: the fractional parts of multiples of the golden ratio.
        let chances = (0..1_000).map(|call| (f64::from(call) * 0.618_033_988_749_895).fract());
        let mut tenths = [0; 10];
        for chance in chances {
            let Next::Again { until_ms } = decide(&POLICY, &call, 1_000, chance) else { panic!("it is tried again") };
            // Half a second, doubled three times.
            tenths[usize::try_from((until_ms - 1_000) / 400).expect("after the failure")] += 1;
        }
        assert!(tenths.iter().all(|calls| (90..=110).contains(calls)), "{tenths:?}");
    }

    #[test]
    fn a_time_that_was_asked_for_is_obeyed_even_beyond_the_budget() {
        let told = Failed { told_until_ms: Some(8_000_000), ..failed(Class::Transient, 1) };
        assert_eq!(decide(&POLICY, &told, 1_000, 0.0), Next::Again { until_ms: 8_000_000 });
    }

    #[test]
    fn trouble_that_lasts_longer_than_the_budget_is_given_up() {
        assert_eq!(decide(&POLICY, &failed(Class::Transient, 2), 1_801_001, 0.0), Next::GiveUp);
    }

    #[test]
    fn a_dead_credential_stops_a_job_unless_its_step_goes_on_after_failures() {
        use OnFailure::{Continue, FailJob, SkipChildren};
        for (class, on_failure, stops) in [
            (Class::AuthRevoked, SkipChildren, true),
            (Class::AuthExpired, FailJob, true),
            (Class::AuthRevoked, Continue, false),
            (Class::Transient, FailJob, true),
            (Class::Transient, SkipChildren, false),
            (Class::NotFound, FailJob, false),
        ] {
            assert_eq!(stops_job(class, on_failure), stops, "{class} {on_failure:?}");
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_the_back_off_allows(attempt in 1_u32..6, chance in 0.0_f64..1.0, now in 1_000_i64..2_000) {
            let Next::Again { until_ms } = decide(&POLICY, &failed(Class::Transient, attempt), now, chance) else {
                return Err(TestCaseError::fail("gave up"));
            };
            prop_assert!(until_ms >= now);
            prop_assert!(until_ms - now <= (500_i64 << (attempt - 1)).min(60_000));
        }
    }
}
