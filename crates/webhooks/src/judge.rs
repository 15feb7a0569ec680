//! What an attempt came to: done, given up, or when again.

use std::time::Duration;

use tidegate_ledger::{Then, Tried};

/// Pauses after each failed attempt: about a day in all.
const PAUSES: [Duration; 10] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(8),
    Duration::from_hours(8),
];

/// Most attempts.
pub const ATTEMPTS_MAX: u32 = PAUSES.len() as u32 + 1;

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// An answer of this status, after so many redirects.
    Status {
        /// HTTP status.
        status: u16,
        /// Redirects that were followed: whoever answered is not who was named.
        redirects: u8,
    },
    /// None; the reason, for people, without secrets.
    None(String),
}

/// Decides. A 2xx is the end, and so is a 410: nobody is there any more. Everything else is tried again, until it was
/// tried [`ATTEMPTS_MAX`] times.
#[must_use]
pub fn judge(attempt: u32, answered: Answered, now_ms: i64) -> Tried {
    let (last, then) = match answered {
        Answered::Status { redirects: 1.., .. } => {
            ("it redirects, which is not followed: name the address that it leads to".to_owned(), None)
        }
        Answered::Status { status, .. } if (200..300).contains(&status) => (status.to_string(), Some(Then::Delivered)),
        Answered::Status { status: 410, .. } => ("410: gone".to_owned(), Some(Then::GivenUp)),
        Answered::Status { status, .. } => (status.to_string(), None),
        Answered::None(reason) => (reason, None),
    };
    Tried { last, then: then.unwrap_or_else(|| again(attempt, now_ms)) }
}

fn again(attempt: u32, now_ms: i64) -> Then {
    let pause = usize::try_from(attempt.saturating_sub(1)).ok().and_then(|failed| PAUSES.get(failed));
    match pause.map(|pause| i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)) {
        Some(pause_ms) => Then::Again { at_ms: now_ms.saturating_add(pause_ms) },
        None => Then::GivenUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(attempt: u32, status: u16) -> Then {
        judge(attempt, Answered::Status { status, redirects: 0 }, 1_000).then
    }

    #[test]
    fn a_success_and_a_receiver_that_is_gone_are_the_end() {
        assert_eq!((status(1, 200), status(9, 204)), (Then::Delivered, Then::Delivered));
        assert_eq!(status(1, 410), Then::GivenUp);
    }

    #[test]
    fn everything_else_is_tried_again_for_about_a_day() {
        assert_eq!((status(1, 500), status(2, 404)), (Then::Again { at_ms: 3_000 }, Then::Again { at_ms: 16_000 }));
        let (mut now_ms, mut attempt) = (0, 1);
        while let Then::Again { at_ms } = judge(attempt, Answered::None("no connection".into()), now_ms).then {
            (now_ms, attempt) = (at_ms, attempt + 1);
        }
        assert_eq!(attempt, ATTEMPTS_MAX);
        let hours = now_ms / 3_600_000;
        assert!((22..=25).contains(&hours), "{hours}");
    }

    #[test]
    fn a_redirect_is_no_delivery_whoever_answered() {
        let tried = judge(1, Answered::Status { status: 200, redirects: 1 }, 0);
        assert!(matches!(tried.then, Then::Again { .. }) && tried.last.contains("redirects"));
    }
}
