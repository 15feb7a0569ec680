//! Why a job or a fetch is not finished: a sentence for people, and the reasons with their numbers.

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_contracts::{Parked, WaitReason};
use tidegate_ledger::{FetchRow, JobRow, JobState, OutGroup};

/// Name of the limit that stands for an arbiter that can't be asked.
const ARBITER: &str = "arbiter";
/// Reasons that the sentence names.
const NAMED: usize = 3;

/// Why something is not finished.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Explanation {
    /// In one sentence.
    pub sentence: String,
    /// What keeps it, the most calls first; none when it is finished.
    pub reasons: Vec<Reason>,
}

/// What keeps some calls.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Reason {
    /// Of which kind.
    pub kind: Kind,
    /// The limit's or the credential's name, or the failure's class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// How many calls (fetches, where the kind says so).
    pub calls: u64,
    /// When the first of them goes on, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_due_ms: Option<i64>,
    /// When the last of them goes on, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_due_ms: Option<i64>,
    /// One of the calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
    /// In words.
    pub words: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Calls wait until a limit of the provider has room.
    Limit,
    /// Calls wait since somebody paused a limit of the provider. When they are due, they look whether it still is.
    LimitPaused,
    /// Calls wait since the provider is down. The first of them that is due tries whether it still is.
    ProviderDown,
    /// Calls wait since the arbiter can't be asked.
    Arbiter,
    /// Calls wait since the results exchange does not take their pages, which are stored.
    Results,
    /// Calls wait after a failure that may pass.
    BackOff,
    /// Calls are on their way to an executor, or on the wire.
    Executors,
    /// Calls wait in the ledger until others of the job have ended: only so many are out at once.
    Window,
    /// Calls are held until what their fetches come `after` has finished.
    After,
    /// Calls wait in the ledger, since the job is paused.
    Paused,
    /// Calls wait in the ledger for a credential to be renewed, which its provider takes no more.
    Credential,
    /// The job is being stopped; calls that are out come back first.
    Stopping,
    /// The planner has not begun with the job.
    NotPlanned,
    /// Fetches below this one are not finished; counts fetches.
    Children,
}

/// A call, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Example {
    /// Its id.
    pub call: String,
    /// Its fetch.
    pub fetch: String,
    /// Its step.
    pub step: String,
    /// Which page, in words.
    pub page: String,
}

/// Why a job is not finished, at `now_ms`, by what of it is out.
#[must_use]
pub fn explain(job: &JobRow, out: &[OutGroup], now_ms: i64) -> Explanation {
    if job.state.is_final() {
        return finished(&format!("{}: the job is finished", job.state.name()));
    }
    let mut reasons = Vec::new();
    if job.state == JobState::Submitted {
        reasons.push(plain(Kind::NotPlanned, 0, "the planner has not begun with the job".to_owned()));
    }
    let mut all = reasons_of((job, now_ms), out, job.counts.calls_open, job.counts.calls_held);
    reasons.append(&mut all);
    said(job, reasons, now_ms)
}

/// Why a fetch of a job is not finished.
#[must_use]
pub fn explain_fetch(job: &JobRow, fetch: &FetchRow, out: &[OutGroup], now_ms: i64) -> Explanation {
    if fetch.finished_at_ms.is_some() {
        return finished("the fetch is finished");
    }
    // What waits has made no call: all of its open ones are held.
    let held = if fetch.blockers_open > 0 { fetch.calls_open } else { 0 };
    let mut reasons = reasons_of((job, now_ms), out, fetch.calls_open, held);
    if fetch.children_open > 0 {
        let below = fetch.children_open;
        reasons.push(plain(Kind::Children, below, format!("{below} fetches below it are not finished")));
    }
    said(job, reasons, now_ms)
}

fn finished(sentence: &str) -> Explanation {
    Explanation { sentence: sentence.to_owned(), reasons: Vec::new() }
}

fn plain(kind: Kind, calls: u64, words: String) -> Reason {
    Reason { kind, what: None, calls, first_due_ms: None, last_due_ms: None, example: None, words }
}

/// So many calls, and what they do.
fn wait(calls: u64) -> String {
    if calls == 1 { "1 call waits".to_owned() } else { format!("{calls} calls wait") }
}

/// What keeps `open` calls, of which those of `out` are out, and `held` wait for other fetches.
fn reasons_of((job, now_ms): (&JobRow, i64), out: &[OutGroup], open: u64, held: u64) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = out.iter().map(|group| of_group(job, group, now_ms)).collect();
    let released: u64 = out.iter().map(|group| group.calls).sum();
    if held > 0 {
        reasons.push(plain(Kind::After, held, format!("{} until what comes before has finished", wait(held))));
    }
    let planned = open.saturating_sub(released + held);
    if planned > 0 {
        reasons.push(in_the_ledger((job, now_ms), planned));
    }
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.calls));
    reasons
}

/// What keeps calls that may go out as far as their fetches go.
fn in_the_ledger((job, now_ms): (&JobRow, i64), calls: u64) -> Reason {
    let who_waits = wait(calls);
    if job.paused_at_ms.is_some() {
        return plain(Kind::Paused, calls, format!("{who_waits} for `resume`: the job is paused"));
    }
    let Some(parked) = &job.parked else {
        let moved = job.lane_asked.map_or(String::new(), |asked| {
            let (lane, open) = (job.lane, job.counts.calls_open);
            format!(", in lane {lane}, to which it was moved from {asked} for its {open} open calls")
        });
        let words = format!("{who_waits} their turn: as many of the job are out as may be at once{moved}");
        return plain(Kind::Window, calls, words);
    };
    let Parked { credential, provider, class, message, since_ms } = parked;
    let since = clock(*since_ms, now_ms);
    let words = format!(
        "{who_waits} for credential `{credential}` of provider {provider}, parked since {since} because of {class}: \
         {message}"
    );
    Reason { what: Some(credential.clone()), ..plain(Kind::Credential, calls, words) }
}

fn of_group(job: &JobRow, group: &OutGroup, now_ms: i64) -> Reason {
    let (calls, provider) = (group.calls, &job.provider);
    let who_waits = wait(calls);
    let (kind, what, words) = match &group.reason {
        Some(WaitReason::Limit(limit)) if limit == ARBITER => {
            (Kind::Arbiter, None, format!("{who_waits} for the arbiter, which can't be asked"))
        }
        Some(WaitReason::Limit(limit)) if limit == WaitReason::RESULTS => {
            (Kind::Results, None, format!("{who_waits} with their pages for the results exchange"))
        }
        Some(WaitReason::Limit(limit)) if limit == WaitReason::TOKENS => {
            let words = format!("{who_waits} for the token endpoint of provider {provider}");
            (Kind::Credential, None, words)
        }
        Some(WaitReason::Limit(limit)) => {
            (Kind::Limit, Some(limit.clone()), format!("{who_waits} for limit `{limit}` of provider {provider}"))
        }
        Some(WaitReason::Paused { limit, reason, until_ms }) => {
            let end = until_ms.map_or("somebody resumes it".to_owned(), |end_ms| clock(end_ms, now_ms));
            let words =
                format!("{who_waits} since limit `{limit}` of provider {provider} is paused ({reason}) until {end}");
            (Kind::LimitPaused, Some(limit.clone()), words)
        }
        Some(WaitReason::Down { since_ms, cause }) => {
            let next =
                group.first_due_ms.map_or(String::new(), |due_ms| format!(", next probe at {}", clock(due_ms, now_ms)));
            let since = clock(*since_ms, now_ms);
            let cause = cause.as_ref().map_or(String::new(), |cause| format!(" ({cause})"));
            let words = format!("{who_waits} since provider {provider} is down since {since}{cause}{next}");
            (Kind::ProviderDown, None, words)
        }
        Some(WaitReason::Backoff(class)) => {
            (Kind::BackOff, Some(class.to_string()), format!("{who_waits} in back-off after {class}"))
        }
        None => {
            let are = if calls == 1 { "call is" } else { "calls are" };
            (Kind::Executors, None, format!("{calls} {are} with executors or on their way there"))
        }
    };
    let example = group.example.as_ref().map(|example| Example {
        call: example.call.to_string(),
        fetch: example.fetch.to_string(),
        step: example.step.clone(),
        // Not the pointer itself: a cursor or an address may carry what should not be shown.
        page: example.pointer.to_string(),
    });
    let (first_due_ms, last_due_ms) = (group.first_due_ms, group.last_due_ms);
    Reason { kind, what, calls, first_due_ms, last_due_ms, example, words }
}

fn said(job: &JobRow, mut reasons: Vec<Reason>, now_ms: i64) -> Explanation {
    let state = match () {
        () if job.reason.is_some() => {
            let words = "the job is being stopped: what is out comes back first".to_owned();
            reasons.insert(0, plain(Kind::Stopping, job.counts.calls_open, words));
            "stopping"
        }
        () if job.paused_at_ms.is_some() => "paused",
        () if reasons.iter().any(|reason| reason.kind == Kind::Executors) => "running",
        () => "waiting",
    };
    let mut parts: Vec<String> = reasons.iter().take(NAMED).map(|reason| in_words(reason, now_ms)).collect();
    if reasons.len() > NAMED {
        parts.push(format!("{} more reasons", reasons.len() - NAMED));
    }
    if parts.is_empty() {
        parts.push("what came last is being planned".to_owned());
    }
    Explanation { sentence: format!("{state}: {}", parts.join("; ")), reasons }
}

fn in_words(reason: &Reason, now_ms: i64) -> String {
    match (reason.first_due_ms, reason.last_due_ms) {
        _ if matches!(reason.kind, Kind::LimitPaused | Kind::ProviderDown) => reason.words.clone(),
        (Some(first), Some(last)) if first == last => format!("{} until {}", reason.words, clock(last, now_ms)),
        (Some(first), Some(last)) => {
            format!(
                "{}, the first until {}, the last until {}",
                reason.words,
                clock(first, now_ms),
                clock(last, now_ms)
            )
        }
        _ => reason.words.clone(),
    }
}

/// The time of day, UTC, with how many days ahead it is.
fn clock(at_ms: i64, now_ms: i64) -> String {
    let (seconds, days) = (at_ms.div_euclid(1_000), at_ms.div_euclid(86_400_000) - now_ms.div_euclid(86_400_000));
    let of_day = seconds.rem_euclid(86_400);
    let time = format!("{:02}:{:02}:{:02} UTC", of_day / 3_600, of_day / 60 % 60, of_day % 60);
    match days {
        ..=-2 => format!("{time} {} days ago", -days),
        -1 => format!("{time} yesterday"),
        0 => time,
        1 => format!("{time} tomorrow"),
        days => format!("{time} in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_contracts::{Class, JobId, Lane};
    use tidegate_ledger::JobCounts;

    use super::*;

    /// 2027-01-15 08:00:00 UTC.
    const NOW: i64 = 1_800_000_000_000;

    fn job(state: JobState, open: u64) -> JobRow {
        JobRow {
            id: JobId::new(),
            tenant: "a".into(),
            name: "a job".into(),
            provider: "mastodon".into(),
            lane: Lane::Normal,
            lane_asked: None,
            state,
            extend: false,
            reason: None,
            submitted_at_ms: NOW,
            started_at_ms: Some(NOW),
            finished_at_ms: None,
            paused_at_ms: None,
            parked: None,
            pruned_at_ms: None,
            counts: JobCounts { calls_planned: open, calls_open: open, ..JobCounts::default() },
        }
    }

    fn group(reason: Option<WaitReason>, calls: u64, due_ms: Option<(i64, i64)>) -> OutGroup {
        let (first_due_ms, last_due_ms) = due_ms.unzip();
        OutGroup { reason, calls, first_due_ms, last_due_ms, example: None }
    }

    #[test]
    fn what_most_calls_wait_for_comes_first_and_nothing_is_left_out() {
        let limit = group(Some(WaitReason::Limit("token".into())), 212, Some((NOW + 200_000, NOW + 200_000)));
        let backoff = group(Some(WaitReason::Backoff(Class::Timeout)), 3, Some((NOW + 1_000, NOW + 90_000_000)));
        let told = explain(&job(JobState::Running, 300), &[backoff, limit, group(None, 5, None)], NOW);
        assert_eq!(
            told.sentence,
            "running: 212 calls wait for limit `token` of provider mastodon until 08:03:20 UTC; 80 calls wait their turn: \
             as many of the job are out as may be at once; 5 calls are with executors or on their way there; 1 more reasons"
        );
        let kinds: Vec<_> = told.reasons.iter().map(|reason| (reason.kind, reason.calls)).collect();
        assert_eq!(kinds, [(Kind::Limit, 212), (Kind::Window, 80), (Kind::Executors, 5), (Kind::BackOff, 3)]);
        assert_eq!(kinds.iter().map(|(_, calls)| calls).sum::<u64>(), 300, "all open calls are told of");
    }

    #[test]
    fn a_limit_that_somebody_paused_is_named_with_the_reason_and_the_end_of_the_pause() {
        let sentence = |until_ms| {
            let reason = WaitReason::Paused { limit: "token".into(), reason: "maintenance".into(), until_ms };
            let group = group(Some(reason), 5, Some((NOW + 15_000, NOW + 15_000)));
            explain(&job(JobState::Running, 5), &[group], NOW).sentence
        };
        let why = "waiting: 5 calls wait since limit `token` of provider mastodon is paused (maintenance) until";
        assert_eq!(sentence(Some(NOW + 61_000)), format!("{why} 08:01:01 UTC"));
        assert_eq!(sentence(None), format!("{why} somebody resumes it"));
    }

    #[test]
    fn a_provider_that_is_down_is_named_with_since_when_and_the_next_probe() {
        let sentence = |since_ms, cause: Option<&str>| {
            let cause = cause.map(str::to_owned);
            let group = group(Some(WaitReason::Down { since_ms, cause }), 5, Some((NOW + 61_000, NOW + 75_000)));
            explain(&job(JobState::Running, 5), &[group], NOW).sentence
        };
        let words = |since: &str| {
            format!("waiting: 5 calls wait since provider mastodon is down since {since}, next probe at 08:01:01 UTC")
        };
        assert_eq!(sentence(NOW - 3_600_000, None), words("07:00:00 UTC"));
        assert_eq!(sentence(NOW - 36_000_000, None), words("22:00:00 UTC yesterday"));
        let refused = sentence(NOW - 3_600_000, Some("connection refused"));
        assert_eq!(refused, words("07:00:00 UTC (connection refused)"));
    }

    #[test]
    fn a_token_endpoint_that_gives_no_token_is_no_limit() {
        let tokens = group(Some(WaitReason::Limit(WaitReason::TOKENS.into())), 5, Some((NOW + 61_000, NOW + 61_000)));
        let told = explain(&job(JobState::Running, 5), &[tokens], NOW);
        assert_eq!(
            told.sentence,
            "waiting: 5 calls wait for the token endpoint of provider mastodon until 08:01:01 UTC"
        );
        assert_eq!(told.reasons[0].kind, Kind::Credential);
    }

    #[test]
    fn a_credential_that_is_parked_is_named_with_what_its_provider_said() {
        let (credential, provider, class) = ("alice".to_owned(), "mastodon".to_owned(), Class::AuthRevoked);
        let parked = Parked { credential, provider, class, message: "revoked".into(), since_ms: NOW - 60_000 };
        let waits = JobRow { parked: Some(parked), ..job(JobState::Running, 7) };
        let told = explain(&waits, &[], NOW);
        assert_eq!(
            told.sentence,
            "waiting: 7 calls wait for credential `alice` of provider mastodon, parked since 07:59:00 UTC because of \
             auth_revoked: revoked"
        );
        assert_eq!((told.reasons[0].kind, told.reasons[0].what.as_deref()), (Kind::Credential, Some("alice")));
        let paused = JobRow { paused_at_ms: Some(NOW), ..waits };
        assert!(explain(&paused, &[], NOW).sentence.starts_with("paused: 7 calls wait for `resume`"));
    }

    #[test]
    fn a_job_that_is_paused_stopped_unplanned_or_finished_says_so() {
        let sentence = |job: &JobRow| explain(job, &[], NOW).sentence;
        let running = job(JobState::Running, 7);
        let paused = JobRow { paused_at_ms: Some(NOW), ..running.clone() };
        assert_eq!(sentence(&paused), "paused: 7 calls wait for `resume`: the job is paused");
        assert!(
            sentence(&JobRow { reason: Some("no".into()), ..running.clone() })
                .starts_with("stopping: the job is being")
        );
        let counts = JobCounts { calls_held: 5, ..running.counts };
        assert_eq!(
            sentence(&JobRow { counts, ..running.clone() }),
            "waiting: 5 calls wait until what comes before has finished; 2 calls wait their turn: as many of the job are \
             out as may be at once"
        );
        assert_eq!(sentence(&job(JobState::Submitted, 0)), "waiting: the planner has not begun with the job");
        assert_eq!(sentence(&job(JobState::Failed, 0)), "failed: the job is finished");
        assert_eq!(sentence(&job(JobState::Running, 0)), "waiting: what came last is being planned");
    }

    #[test]
    fn times_are_those_of_the_day_and_say_when_it_is_another() {
        assert_eq!(clock(NOW, NOW), "08:00:00 UTC");
        assert_eq!(clock(NOW + 86_400_000, NOW), "08:00:00 UTC tomorrow");
        assert_eq!(clock(NOW + 3 * 86_400_000 + 61_000, NOW), "08:01:01 UTC in 3 days");
    }
}
