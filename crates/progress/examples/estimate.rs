//! How good estimates are: replays jobs of several shapes in simulated time, and compares what is estimated at 10, 25, 50,
//! 75 and 90 % of the way with what came. `cargo run -p tidegate-progress --example estimate`.
#![expect(clippy::print_stdout, reason = "its purpose")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use tidegate_contracts::{JobId, Lane, WaitReason};
use tidegate_ledger::{JobCounts, JobRow, JobState, Pace, StepRow, Waiting};
use tidegate_progress::{Facts, Rate, Shape, StepShape, estimate};

/// Calls in flight.
const AT_ONCE: usize = 16;
/// A call takes so long, ms, give or take a half.
const CALL_MS: u64 = 100;
/// Where the estimate is looked at, % of the way.
const LOOKS: [i64; 5] = [10, 25, 50, 75, 90];

/// A step: its parent, pages of a fetch (least and most), whether the first page tells how many, items on a page.
type Step = (Option<usize>, (u64, u64), bool, u64);

/// A job to replay.
struct Replay {
    name: &'static str,
    steps: Vec<Step>,
    /// So many calls in so many ms.
    limit: Option<(u64, i64)>,
}

/// A call: its step, its fetch, and its place in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Call(usize, u64, u64);

struct World<'a> {
    replay: &'a Replay,
    chance: u64,
    now_ms: i64,
    planned: VecDeque<Call>,
    /// In flight, by when they end.
    flying: BinaryHeap<Reverse<(i64, Call)>>,
    /// Pages in all, and open ones, of each fetch.
    fetches: HashMap<u64, (u64, u64)>,
    rows: Vec<StepRow>,
    ended_ms: Vec<i64>,
    window: (i64, u64),
}

impl<'a> World<'a> {
    fn new(replay: &'a Replay) -> Self {
        let zero = |n: usize| StepRow {
            step: n.to_string(),
            fetches: 0,
            fetches_done: 0,
            fetches_paged: 0,
            calls_planned: 0,
            calls_open: 0,
            calls_failed: 0,
            calls_skipped: 0,
            calls_paged: 0,
            items: 0,
            left_out: 0,
            guards: vec![],
        };
        let rows = (0..replay.steps.len()).map(zero).collect();
        let mut world = Self {
            replay,
            chance: 7,
            now_ms: 0,
            planned: VecDeque::new(),
            flying: BinaryHeap::new(),
            fetches: HashMap::new(),
            rows,
            ended_ms: Vec::new(),
            window: (0, 0),
        };
        for (step, (parent, ..)) in replay.steps.iter().enumerate() {
            if parent.is_none() {
                world.begin(step);
            }
        }
        world
    }

    fn chance(&mut self, from: u64, to: u64) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from + (self.chance >> 33) % (to - from + 1)
    }

    fn begin(&mut self, step: usize) {
        let (_, (least, most), ..) = self.replay.steps[step];
        let pages = self.chance(least, most);
        let fetch = self.fetches.len() as u64;
        self.fetches.insert(fetch, (pages, 0));
        self.rows[step].fetches += 1;
        self.plan(Call(step, fetch, 0));
    }

    fn plan(&mut self, call: Call) {
        let row = &mut self.rows[call.0];
        row.calls_planned += 1;
        row.calls_open += 1;
        if let Some((_, open)) = self.fetches.get_mut(&call.1) {
            *open += 1;
        }
        self.planned.push_back(call);
    }

    fn end(&mut self, call @ Call(step, fetch, page): Call) {
        let (_, _, tells, items) = self.replay.steps[step];
        let (pages, _) = self.fetches[&fetch];
        if tells && page == 0 {
            (1..pages).for_each(|page| self.plan(Call(step, fetch, page)));
        } else if !tells && page + 1 < pages {
            self.plan(Call(step, fetch, page + 1));
        }
        for (below, (parent, ..)) in self.replay.steps.iter().enumerate() {
            if *parent == Some(step) {
                (0..items).for_each(|_| self.begin(below));
            }
        }
        let row = &mut self.rows[call.0];
        row.calls_open -= 1;
        row.items += items;
        if let Some((_, open)) = self.fetches.get_mut(&fetch) {
            *open -= 1;
            if *open == 0 {
                row.fetches_paged += 1;
                row.calls_paged += pages;
            }
        }
        self.ended_ms.push(self.now_ms);
    }

    /// Whether the limit lets another call go now.
    fn may_go(&mut self) -> bool {
        let Some((calls, per_ms)) = self.replay.limit else { return true };
        if self.now_ms >= self.window.0 + per_ms {
            self.window = (self.now_ms, 0);
        }
        self.window.1 += 1;
        self.window.1 <= calls || {
            self.window.1 = calls;
            false
        }
    }

    /// Goes on until then, or until all is done.
    fn run(&mut self, until_ms: i64) {
        loop {
            while self.flying.len() < AT_ONCE && !self.planned.is_empty() && self.may_go() {
                if let Some(call) = self.planned.pop_front() {
                    let takes = self.chance(CALL_MS / 2, CALL_MS * 3 / 2) as i64;
                    self.flying.push(Reverse((self.now_ms + takes, call)));
                }
            }
            let reset = self.replay.limit.map(|(_, per_ms)| self.window.0 + per_ms);
            let next = match (self.flying.peek(), reset) {
                (Some(Reverse((at_ms, _))), _) => *at_ms,
                (None, Some(reset)) if !self.planned.is_empty() => reset,
                _ => return,
            };
            if next > until_ms {
                self.now_ms = until_ms;
                return;
            }
            self.now_ms = next;
            if self.flying.peek().is_some_and(|Reverse((at_ms, _))| *at_ms == next)
                && let Some(Reverse((_, call))) = self.flying.pop()
            {
                self.end(call);
            }
        }
    }

    fn look(&self) -> tidegate_progress::Estimate {
        let sum = |pick: fn(&StepRow) -> u64| self.rows.iter().map(pick).sum::<u64>();
        let steps = self.replay.steps.iter().enumerate();
        let steps =
            steps.map(|(n, (parent, ..))| StepShape { id: n.to_string(), for_each: parent.map(|n| n.to_string()) });
        let rates = self
            .replay
            .limit
            .map(|(calls, per_ms)| ("token".to_owned(), Rate { calls: calls as f64, per_ms: per_ms as f64 }));
        let shape = Shape { steps: steps.collect(), rates: rates.into_iter().collect() };
        let waits = self.replay.limit.filter(|(calls, _)| self.window.1 >= *calls && !self.planned.is_empty());
        let waits = waits.map(|(_, per_ms)| self.window.0 + per_ms);
        let parked = self.planned.len().min(256) as u64;
        let waiting: Vec<Waiting> = waits
            .into_iter()
            .map(|until_ms| {
                let reason = WaitReason::Limit("token".into());
                Waiting { reason, calls: parked, until_ms, last_until_ms: until_ms }
            })
            .collect();
        let counts = JobCounts {
            calls_planned: sum(|row| row.calls_planned),
            calls_open: sum(|row| row.calls_open),
            calls_released: parked + self.flying.len() as u64,
            ..JobCounts::default()
        };
        let job = JobRow {
            id: JobId::new(),
            tenant: String::new(),
            name: String::new(),
            provider: String::new(),
            lane: Lane::Normal,
            lane_asked: None,
            state: JobState::Running,
            extend: false,
            reason: None,
            submitted_at_ms: 0,
            started_at_ms: Some(0),
            finished_at_ms: None,
            paused_at_ms: None,
            parked: None,
            pruned_at_ms: None,
            counts,
        };
        let last = &self.ended_ms[self.ended_ms.len().saturating_sub(100)..];
        let pace = last.first().map(|since_ms| Pace { pages: last.len() as u64, since_ms: *since_ms });
        let rows: Vec<StepRow> = self.rows.iter().filter(|row| row.fetches > 0).cloned().collect();
        estimate(&Facts { job: &job, steps: &rows, waiting: &waiting, pace, shape: &shape, now_ms: self.now_ms })
    }
}

fn main() {
    let flat = |name, limit| Replay { name, steps: vec![(None, (3_000, 3_000), true, 100)], limit };
    let replays = [
        flat("flat, total known", None),
        Replay { name: "chain, no total", steps: vec![(None, (400, 400), false, 100)], limit: None },
        Replay {
            name: "list and a chain for each item",
            steps: vec![(None, (40, 40), true, 20), (Some(0), (1, 10), false, 100)],
            limit: None,
        },
        Replay {
            name: "chain, and two levels below it",
            steps: vec![(None, (15, 15), false, 20), (Some(0), (1, 3), false, 4), (Some(1), (1, 5), true, 100)],
            limit: None,
        },
        flat("flat, 300 calls a minute", Some((300, 60_000))),
    ];
    println!("| job | calls | took | at | fraction | ETA off by | within low and high | basis |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for replay in &replays {
        let mut whole = World::new(replay);
        whole.run(i64::MAX / 2);
        let (took_ms, calls) = (whole.now_ms, whole.ended_ms.len());
        let mut world = World::new(replay);
        for look in LOOKS {
            world.run(took_ms * look / 100);
            let told = world.look();
            let off = told
                .eta_ms
                .map_or("none".to_owned(), |eta| format!("{:+.0} %", (eta - took_ms) as f64 / took_ms as f64 * 100.0));
            let low = told.eta_low_ms.is_none_or(|low| low <= took_ms);
            let high = told.eta_high_ms.is_none_or(|high| high >= took_ms);
            let within = if low && high { "yes" } else { "no" };
            println!(
                "| {} | {calls} | {:.1} s | {look} % | {:.0} % | {off} | {within} | {:?} |",
                replay.name,
                took_ms as f64 / 1_000.0,
                told.fraction * 100.0,
                told.basis
            );
        }
    }
}
