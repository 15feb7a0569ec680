//! Planner and ledger together, over random jobs: trees of steps that wait for each other, pages, failures, conditions;
//! with plans that come twice, in any order, late or never, and processes that die.
//!
//! Set `TIDEGATE_SEED` to run one seed alone. Seeds that failed are kept in [`FAILED_ONCE`].

mod chance;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use chance::Chance;
use tidegate_contracts::{
    Call, Class, Failure, FetchId, Fingerprint, JobId, Next, Outcome, PageFacts, PagePointer, Plan,
};
use tidegate_ledger::{
    Bounds, DEFAULT_TENANT, FetchFilter, FetchRow, JobCounts, JobRow, Ledger, NewJob, NewPage, Packed, SqliteLedger,
    Sync, Windows,
};
use tidegate_planner::{begin, needs_items, plan};
use tidegate_provider::{JobFile, Spec, parse_job, parse_provider};

const PROVIDER: &str = r#"
tidegate: 1
provider: x
base_url: https://x.example
endpoints:
  list: { get: /list, items: "$.items[*]", key: "$.id", pages: { cursor: cursor, next: "$.next" } }
  of: { get: "/of/{id}", items: "$.items[*]", key: "$.id", pages: { cursor: cursor, next: "$.next" } }
"#;

/// Random jobs, each by two schedules.
const SEEDS: u64 = 60;
/// Seeds of jobs that came out wrong once.
const FAILED_ONCE: [u64; 0] = [];
/// Most moves of one run; more means that it hangs.
const MOVES_MAX: usize = 50_000;
const NOW: i64 = 1_800_000_000_000;
const LEASE: i64 = 60_000;

#[tokio::test]
async fn whatever_happens_a_job_is_done_once_and_nothing_before_its_turn() {
    let seeds = match std::env::var("TIDEGATE_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => FAILED_ONCE.into_iter().chain(0..SEEDS).collect(),
    };
    let mut waited = 0;
    for seed in seeds {
        let spec = random_job(seed);
        waited += spec.steps().iter().filter(|step| !step.after().is_empty()).count();
        let [one, two] = [run(&spec, seed, 1).await, run(&spec, seed, 2).await];
        // A stop comes sooner or later; all else is the same whatever the schedule.
        if one.reason.is_none() && two.reason.is_none() {
            assert_eq!((one.state, counts(&one)), (two.state, counts(&two)), "seed {seed}: {spec:#?}");
        }
    }
    assert!(waited > 20 || std::env::var_os("TIDEGATE_SEED").is_some(), "{waited} steps wait for others");
}

fn counts(row: &JobRow) -> JobCounts {
    JobCounts { requests: 0, ..row.counts }
}

/// A job of some steps, in a tree, that wait for each other as far as that makes sense.
fn random_job(seed: u64) -> Spec {
    let mut chance = Chance::new(seed);
    let mut steps: Vec<String> = Vec::new();
    for n in 0..2 + chance.below(5) {
        let mut step = format!("- id: s{n}\n");
        if n == 0 || chance.one_in(4) {
            step.push_str("  call: list\n");
        } else {
            let parent = chance.below(n);
            let _ = write!(step, "  call: of\n  for_each: s{parent}\n  with: {{ id: '{{{{ item.id }}}}' }}\n");
            match chance.below(6) {
                0 => step.push_str("  when: item.id % 2 == 0\n"),
                1 => step.push_str("  when: item.gone == 1 or item.id < 3\n"),
                _ => {}
            }
        }
        let on_failure = ["continue", "skip_children", "skip_children", "fail_job"][chance.below(4)];
        let _ = writeln!(step, "  on_failure: {on_failure}");
        steps.push(step);
    }
    for n in 0..steps.len() {
        let after = format!("  after: [s{}]\n", chance.below(steps.len()));
        let without = steps[n].clone();
        steps[n].push_str(&after);
        if chance.one_in(3) || compile(&steps).is_err() {
            steps[n] = without;
        }
    }
    compile(&steps).unwrap_or_else(|problems| panic!("seed {seed}: {problems}"))
}

fn compile(steps: &[String]) -> Result<Spec, String> {
    let text = format!("provider: x\nsteps:\n{}", steps.concat());
    let job: JobFile = parse_job(&text, "job.yaml").map_err(|problems| format!("{problems:?}"))?.file;
    let provider = parse_provider(PROVIDER, "x.yaml").expect("a provider").file;
    Spec::compile(job, provider).map_err(|problems| format!("{problems:?}"))
}

/// What the third party answers: a function of the call, so that who asks twice hears the same.
fn answer(seed: u64, call: &Call) -> (Outcome, Vec<u8>) {
    let (call, mut chance) = (call.clone(), Chance::of(seed, call.call.as_bytes()));
    let failure = |class| Failure { class, status: Some(422), message: format!("it is {class}") };
    match chance.below(12) {
        0 => return (Outcome::Failed { call, failure: failure(Class::NotFound) }, vec![]),
        1 => return (Outcome::Failed { call, failure: failure(Class::Invalid) }, vec![]),
        _ => {}
    }
    // The same items on several pages, some more than once; never blank, which would end the list.
    let items: Vec<usize> = (0..1 + chance.below(3)).map(|_| chance.below(6)).collect();
    let page = match &call.pointer {
        PagePointer::Cursor { cursor } => cursor.parse().unwrap_or(0),
        _ => 0,
    };
    let next = (page < 3 && chance.one_in(3)).then(|| Next::Cursor((page + 1).to_string()));
    let (bytes, _) = call.call.as_bytes().split_first_chunk::<8>().expect("16 bytes");
    let facts = PageFacts {
        items: items.len() as u32,
        total: None,
        next,
        has_more: None,
        fingerprint: Fingerprint(i64::from_be_bytes(*bytes)),
        repeated: false,
        took_ms: None,
        seen: 0,
        ends_seen: false,
    };
    let lines = items.iter().fold(String::new(), |mut lines, id| {
        let _ = writeln!(lines, "{{\"id\":{id}}}");
        lines
    });
    (Outcome::Page { call, facts }, lines.into_bytes())
}

/// Runs a job to its end, by one schedule of many.
async fn run(spec: &Spec, seed: u64, schedule: u64) -> JobRow {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = SqliteLedger::open(&folder.path().join("state.db"), Sync::Normal).await.expect("opens");
    let mut chance = Chance::new(seed.wrapping_mul(1_000_003) ^ schedule);
    let job = JobId::from_slice(&[seed as u8; 16]).expect("16 bytes");
    let new = NewJob {
        id: job,
        tenant: DEFAULT_TENANT.into(),
        name: "a random job".into(),
        fingerprint: "00ff".into(),
        spec: "{}".into(),
        provider: "x".into(),
        lane: tidegate_contracts::Lane::Normal,
        idempotency: None,
        bounds: Bounds::default(),
        extend: false,
    };
    ledger.submit(&new, NOW).await.expect("submits");
    let windows = Windows { calls: [1 + chance.below(6) as u32; 4], lease_ms: LEASE, ..Windows::default() };
    let mut ring = Ring {
        ledger: &ledger,
        spec,
        seed,
        job,
        windows,
        chance,
        now_ms: NOW,
        calls: vec![],
        plans: vec![],
        finished: 0,
        stopped: false,
        began: HashSet::new(),
    };
    for _ in 0..MOVES_MAX {
        let row = ledger.job(job).await.expect("reads").expect("is there");
        if row.state.is_final() {
            assert_eq!(ring.finished, 1, "seed {seed}: told of its end once");
            assert!(row.counts.balances() && row.counts.calls_held == 0, "seed {seed}: {row:?}");
            ledger.close().await;
            return row;
        }
        ring.make_a_move().await;
    }
    panic!("seed {seed}: not finished after {MOVES_MAX} moves");
}

/// The processes around a ledger.
struct Ring<'a> {
    ledger: &'a SqliteLedger,
    spec: &'a Spec,
    seed: u64,
    job: JobId,
    windows: Windows,
    chance: Chance,
    now_ms: i64,
    calls: Vec<Call>,
    plans: Vec<Plan>,
    finished: usize,
    stopped: bool,
    /// Fetches of which some call was released, by id.
    began: HashSet<FetchId>,
}

impl Ring<'_> {
    async fn make_a_move(&mut self) {
        match self.chance.below(100) {
            0..50 if !self.calls.is_empty() => self.execute().await,
            50..90 if !self.plans.is_empty() => self.commit().await,
            90..93 => self.sweep(true).await,
            93..95 => self.sweep(false).await,
            _ if self.calls.is_empty() && self.plans.is_empty() => self.sweep(false).await,
            _ => {}
        }
    }

    async fn execute(&mut self) {
        let taken = self.chance.below(self.calls.len());
        let call = self.calls.swap_remove(taken);
        let (outcome, lines) = match self.stopped && self.chance.one_in(2) {
            true => (Outcome::Cancelled { call: call.clone() }, vec![]),
            false => answer(self.seed, &call),
        };
        if let Outcome::Page { call, facts } = &outcome {
            let page = NewPage {
                call: call.call,
                fetch: call.fetch,
                job: call.job,
                step: call.step.clone(),
                facts: facts.clone(),
                top: None,
                lines: Packed::pack(&lines).expect("packs"),
            };
            self.ledger.put_pages(&[page], self.now_ms).await.expect("stores");
        }
        let lines = if needs_items(self.spec, &outcome) { lines } else { vec![] };
        let planned = plan(self.spec, &outcome, &lines);
        if self.chance.one_in(8) {
            self.calls.push(call);
        }
        if self.chance.one_in(5) {
            self.plans.push(planned.clone());
        }
        if !self.chance.one_in(15) {
            self.plans.push(planned);
        }
    }

    async fn commit(&mut self) {
        let mut batch = Vec::new();
        for _ in 0..=self.chance.below(self.plans.len().min(6)) {
            let taken = self.chance.below(self.plans.len());
            batch.push(self.plans.swap_remove(taken));
        }
        let committed = self.ledger.commit(&batch, &self.windows, self.now_ms).await.expect("commits");
        self.finished += committed.finished.len();
        self.stopped |= !committed.stopped.is_empty();
        self.check(&committed.released).await;
        if !self.chance.one_in(10) {
            self.calls.extend(committed.released);
        }
    }

    async fn sweep(&mut self, everything: bool) {
        self.now_ms += LEASE;
        if everything {
            (self.calls, self.plans) = (vec![], vec![]);
        }
        let swept = self.ledger.sweep(everything, &self.windows, self.now_ms).await.expect("sweeps");
        if !swept.unplanned.is_empty() {
            self.plans.push(begin(self.spec, self.job));
        }
        let calls: Vec<Call> = swept.calls.into_iter().map(|(call, _)| call).collect();
        self.check(&calls).await;
        self.calls.extend(calls);
    }

    /// The account balances, and nothing of what goes out comes before what it is to come after.
    async fn check(&mut self, released: &[Call]) {
        let differences = self.ledger.audit().await.expect("counts");
        assert!(differences.is_empty(), "seed {}: {differences:#?}", self.seed);
        let new: Vec<&Call> = released.iter().filter(|call| !self.began.contains(&call.fetch)).collect();
        if new.iter().all(|call| self.spec.step(&call.step).expect("a step").after().is_empty()) {
            return;
        }
        let tree = self.tree().await;
        for call in new {
            self.in_turn(call, &tree);
            self.began.insert(call.fetch);
        }
    }

    /// As `docs/steps.md` says it, told from the tree alone: the branches awaited are those of the steps named in `after`,
    /// below the nearest item that both follow from. Each fetch here is named by its item's id.
    fn in_turn(&self, call: &Call, tree: &BTreeMap<FetchId, FetchRow>) {
        let path = |id: &str| {
            let mut path = vec![id.to_owned()];
            while let Some(parent) = self.spec.step(&path[0]).expect("a step").for_each() {
                path.insert(0, parent.to_owned());
            }
            path
        };
        let own = path(&call.step);
        let job_file = self.spec.job().steps.iter().find(|step| step.id.as_str() == call.step).expect("a step");
        for awaited in &job_file.after {
            let other = path(awaited.as_str());
            let shared = own.iter().zip(&other).take_while(|(own, other)| own == other).count();
            let row = &tree[&call.fetch];
            let (parent, params) = if shared == 0 { (None, None) } else { (row.parent, Some(&row.params)) };
            let branch = tree.values().filter(|fetch| {
                fetch.step == other[shared]
                    && fetch.parent == parent
                    && params.is_none_or(|params| *params == fetch.params)
            });
            for blocker in branch {
                assert!(blocker.finished_at_ms.is_some(), "seed {}: {call:?} is out before {blocker:?}", self.seed);
                let open =
                    tree.values().any(|fetch| fetch.parent == Some(blocker.id) && fetch.finished_at_ms.is_none());
                assert!(!open, "seed {}: {blocker:?} finished before what is below it", self.seed);
            }
        }
    }

    async fn tree(&self) -> BTreeMap<FetchId, FetchRow> {
        let (mut tree, mut parents) = (BTreeMap::new(), vec![None]);
        while let Some(parent) = parents.pop() {
            let filter = FetchFilter { parent, limit: 10_000, ..FetchFilter::default() };
            for row in self.ledger.fetches(self.job, &filter).await.expect("reads") {
                parents.push(Some(row.id));
                tree.insert(row.id, row);
            }
        }
        tree
    }
}
