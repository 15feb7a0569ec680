//! The metrics.

use crate::{Kind, Metric};

/// Bounds for requests to third parties, s.
const OF_CALLS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Bounds for our own requests, s.
const OF_REQUESTS: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds for commits, s.
const OF_COMMITS: &[f64] = &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Bounds for waits, s: a permit's, up to where a call is parked.
const OF_WAITS: &[f64] = &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0];
/// Bounds for jobs, s.
const OF_JOBS: &[f64] = &[0.1, 1.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0, 604_800.0];
/// Bounds for how far an estimate was off, as a part of the whole time.
const OF_ERRORS: &[f64] = &[0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0];
/// Bounds for what is done at once.
const OF_BATCHES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

macro_rules! metrics {
    ($($constant:ident: $kind:expr, $name:literal, $unit:literal, $service:literal, [$($label:literal),*], $text:literal;)*) => {
        $(
            #[doc = $text]
            pub const $constant: Metric = Metric {
                name: $name, kind: $kind, unit: $unit, service: $service, labels: &[$($label),*], text: $text,
            };
        )*
        /// All of them, by service and name.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    LIMIT_BLOCKED: Kind::Gauge, "tidegate.limit.blocked", "{budget}", "arbiter", ["provider", "limit"],
        "Budgets that a provider's refusal, or its wish for a pause, blocks";
    LIMIT_BUDGETS: Kind::Gauge, "tidegate.limit.budgets", "{budget}", "arbiter", ["provider", "limit"],
        "Budgets in use: one of each value of what the limit counts by, such as credentials";
    LIMIT_OVERRIDES: Kind::Gauge, "tidegate.limit.overrides", "{override}", "arbiter", ["provider", "does"],
        "What people want of budgets instead of what the provider file says: `pause` or `rate`";
    LIMIT_PACE: Kind::Gauge, "tidegate.limit.pace", "{unit}/h", "arbiter", ["provider", "limit"],
        "Learnt pace, of all budgets together, in units of cost";
    LIMIT_SIZE: Kind::Gauge, "tidegate.limit.size", "{unit}", "arbiter", ["provider", "limit"],
        "Units of cost that fit into all budgets together, as configured, told or learnt; of those for which that is known";
    LIMIT_USED: Kind::Gauge, "tidegate.limit.used", "{unit}", "arbiter", ["provider", "limit"],
        "Units of cost that are charged to all budgets together, and not restored yet; for concurrency, calls in flight";
    LIMIT_UTILIZATION: Kind::Gauge, "tidegate.limit.utilization", "1", "arbiter", ["provider", "limit"],
        "Used part of the budget that is fullest, 0 to 1";
    PERMIT_GRANTED: Kind::Counter, "tidegate.permit.granted", "{permit}", "arbiter", [],
        "Permits granted";
    PERMIT_REFUSED: Kind::Counter, "tidegate.permit.refused", "{request}", "arbiter", ["provider", "limit"],
        "Requests that a provider refused because of a limit; `any` where the answer did not say which of several";
    PERMIT_RETURNED: Kind::Counter, "tidegate.permit.returned", "{permit}", "arbiter", [],
        "Permits given back, whatever came of them; one that is given back twice counts twice";
    PERMIT_UNUSED: Kind::Counter, "tidegate.permit.unused", "{permit}", "arbiter", [],
        "Permits given back without a request";
    PERMIT_WAITS: Kind::Counter, "tidegate.permit.waits", "{question}", "arbiter", ["provider", "limit", "reason"],
        "Questions answered with a time to come back, by the limit that binds, and why: it is `full`, somebody `paused` it, \
         or the provider is `down`";
    PROVIDER_DOWN: Kind::Gauge, "tidegate.provider.down", "{breaker}", "arbiter", ["provider"],
        "Breakers that keep calls from a provider that is ill; 0 while it is well";
    REDIS_AWAY: Kind::Gauge, "tidegate.redis.away", "{store}", "arbiter", ["calls"],
        "1 while Redis does not answer, by what becomes of calls: they `wait`, or go by a `share` of what was seen; else 0";
    BROKER_BLOCKED: Kind::Gauge, "tidegate.broker.blocked", "{connection}", "bus", ["connection"],
        "1 while the broker takes nothing over a connection, because it is out of memory or disk";
    BROKER_CONNECTED: Kind::Gauge, "tidegate.broker.connected", "{connection}", "bus", ["connection"],
        "1 while a connection to the broker lives, 0 while it is lost";
    MESSAGE_REDELIVERED: Kind::Counter, "tidegate.message.redelivered", "{message}", "bus", ["message"],
        "Messages delivered again, by their type: whoever had them before ended without a word, or failed";
    ANSWER_UNMATCHED: Kind::Counter, "tidegate.answer.unmatched", "{answer}", "executor", ["provider"],
        "Answers that are no page and that no error rule speaks of";
    CALL_DURATION: Kind::Histogram(OF_CALLS), "tidegate.call.duration", "s", "executor", ["provider", "lane", "class"],
        "Time of one request, from sending to its answer judged, by class (`page`: a page came)";
    CALL_IN_FLIGHT: Kind::Gauge, "tidegate.call.in_flight", "{call}", "executor", [],
        "Requests on the wire";
    CALL_PARKED: Kind::Counter, "tidegate.call.parked", "{call}", "executor", ["provider", "lane"],
        "Calls parked on the bus because they wait for long";
    CALL_SLEEPING: Kind::Gauge, "tidegate.call.sleeping", "{call}", "executor", [],
        "Calls that wait where they stand, for up to 2 s";
    CALL_WAITS: Kind::Counter, "tidegate.call.waits", "{wait}", "executor", ["provider", "lane", "reason"],
        "Waits of calls, slept or parked, by reason: `limit`, `paused`, `down`, `backoff`, `arbiter` (it can't be asked), \
         `tokens` (the token endpoint gives none), or `results` (the exchange does not take their pages)";
    CREDENTIAL_PARKED: Kind::Counter, "tidegate.credential.parked", "{refusal}", "executor", ["provider", "class"],
        "Refusals that parked a credential, until it is renewed";
    LIMIT_IGNORED: Kind::Counter, "tidegate.limit.ignored", "{header}", "executor", ["provider"],
        "Headers and fields of answers that spoke of a limit and made no sense: negative, not a number, long past, far away";
    PAGE_PUSHED: Kind::Counter, "tidegate.page.pushed", "{page}", "executor", ["provider", "kind"],
        "Pages pushed to the results exchange: with items, as a reference, or refused for now";
    PERMIT_WAIT: Kind::Histogram(OF_WAITS), "tidegate.permit.wait.duration", "s", "executor", ["lane"],
        "Time between a call's first question for a permit and its permit, of calls that were not parked";
    TOKEN_ASKED: Kind::Counter, "tidegate.token.asked", "{request}", "executor", ["provider", "end"],
        "Requests for new tokens (OAuth 2.0): `renewed`, `refused` for good, or `later`";
    HTTP_DURATION: Kind::Histogram(OF_REQUESTS), "http.server.request.duration", "s", "gateway",
        ["http.request.method", "http.route", "http.response.status_code"],
        "From a request to the head of its answer";
    JOB_SUBMITTED: Kind::Counter, "tidegate.job.submitted", "{job}", "gateway", ["lane"],
        "Jobs taken";
    PLAN_FETCHES: Kind::Counter, "tidegate.plan.fetches", "{fetch}", "planner", [],
        "Fetches that plans begin, those known already included";
    PLAN_MADE: Kind::Counter, "tidegate.plan.made", "{plan}", "planner", [],
        "Plans made, those made twice included";
    PLAN_PAGES: Kind::Counter, "tidegate.plan.pages", "{page}", "planner", [],
        "Pages that plans ask for, those known already included";
    CALL_ENDED: Kind::Counter, "tidegate.call.ended", "{call}", "tracker", ["end"],
        "Plans that end a call, by how; one that comes twice counts twice";
    CALL_OPEN: Kind::Gauge, "tidegate.call.open", "{call}", "tracker", ["provider", "lane"],
        "Planned calls of unfinished jobs that have not ended";
    CALL_OUT: Kind::Gauge, "tidegate.call.out", "{call}", "tracker", ["provider", "lane"],
        "Calls within their jobs' windows: released, and not ended";
    CALL_RELEASED: Kind::Counter, "tidegate.call.released", "{call}", "tracker", [],
        "Calls released into their job's window";
    CALL_WINDOW: Kind::Gauge, "tidegate.call.window", "{call}", "tracker", ["provider", "lane"],
        "Calls that may be out together: the windows of all running jobs";
    COMMIT_DURATION: Kind::Histogram(OF_COMMITS), "tidegate.commit.duration", "s", "tracker", [],
        "Time of one commit of plans";
    COMMIT_PLANS: Kind::Histogram(OF_BATCHES), "tidegate.commit.plans", "{plan}", "tracker", [],
        "Plans in one commit";
    DEAD_KEPT: Kind::Counter, "tidegate.dead.kept", "{letter}", "tracker", ["queue"],
        "Dead letters that were taken off the bus, by the queue they died in";
    DEAD_LETTERS: Kind::Gauge, "tidegate.dead.letters", "{letter}", "tracker", [],
        "Dead letters that are kept";
    JOB_DURATION: Kind::Histogram(OF_JOBS), "tidegate.job.duration", "s", "tracker", ["state"],
        "Time from a job's submission to its end, by how it ended";
    JOB_ETA_ERROR: Kind::Histogram(OF_ERRORS), "tidegate.job.eta.error", "1", "tracker", ["truth"],
        "How far the estimate at half time was off, as a part of the job's whole time, by whether the job ended `earlier` \
         or `later`; of jobs that were looked at before their half";
    JOB_OPEN: Kind::Gauge, "tidegate.job.open", "{job}", "tracker", ["provider", "lane", "state"],
        "Unfinished jobs: `running`, `paused`, or `parked` until their credential is renewed";
    JOB_STALLED: Kind::Gauge, "tidegate.job.stalled", "{job}", "tracker", ["provider", "lane"],
        "Running jobs of which no call has ended for as long as a call's lease, though nothing of them waits";
    QUEUE_PARKED: Kind::Gauge, "tidegate.queue.parked", "{message}", "tracker", ["level"],
        "Messages parked until they are due, by the level of the delay ladder: on N those that came there with 2^N s or more to wait, and less than twice that";
    QUEUE_READY: Kind::Gauge, "tidegate.queue.ready", "{message}", "tracker", ["queue", "provider", "lane"],
        "Messages to be delivered now, by queue (those of `calls` by provider and lane, while these have jobs); over a broker one may carry many outcomes or plans";
    SWEEP_CALLS: Kind::Counter, "tidegate.sweep.calls", "{call}", "tracker", [],
        "Calls that nobody had spoken of, released again; 0 while nothing is lost";
    SWEEP_JOBS: Kind::Counter, "tidegate.sweep.jobs", "{job}", "tracker", [],
        "Jobs that no planner had seen, told again; 0 while nothing is lost";
}
