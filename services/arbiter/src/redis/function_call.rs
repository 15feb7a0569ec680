//! One call of a function: its keys, each budget named once, and its arguments.

use std::collections::HashMap;

use redis::Cmd;
use tidegate_limits::{
    Aligned, Breaker, By, Charge, Does, Health, Lasts, Learn, LearnSlots, Override, OverrideKind, Question, Rate,
    Report, Sharing, Terms,
};

use super::away::Spent;
use super::keys::Keys;
use super::known::{Life, Seen};

/// Keys and arguments that grow together.
pub(super) struct FunctionCall<'a> {
    keys: &'a Keys,
    sharing: &'a Sharing,
    family: &'a str,
    now_ms: i64,
    numbers: HashMap<&'a str, usize>,
    /// By their number, less 1.
    budgets: Vec<&'a str>,
    names: Vec<String>,
    arguments: Vec<String>,
    /// Arguments that are no text, after the others.
    states: Vec<Vec<u8>>,
}

impl<'a> FunctionCall<'a> {
    /// By somebody who knows that life; `is_caller_s_time` in tests, where the server's time does not count.
    pub(super) fn new(
        (keys, sharing): (&'a Keys, &'a Sharing),
        family: &'a str,
        life: Life,
        now_ms: i64,
        is_caller_s_time: bool,
    ) -> Self {
        let is_caller_s_time = u8::from(is_caller_s_time).to_string();
        Self {
            keys,
            sharing,
            family,
            now_ms,
            numbers: HashMap::new(),
            budgets: Vec::new(),
            names: vec![keys.last_id(family), keys.index(family), keys.overrides(family), keys.life(family)],
            arguments: vec![now_ms.to_string(), is_caller_s_time, life.began, life.last_id.to_string(), lanes(sharing)],
            states: Vec::new(),
        }
    }

    pub(super) fn ask(&mut self, questions: &[&'a Question]) {
        self.argument(questions.len());
        for question in questions {
            match &question.by {
                None => self.argument(""),
                Some(By { lane, tenant, job, credential, waited_for }) => {
                    self.argument(lane);
                    let weight = self.sharing.tenant(tenant).to_string();
                    let [credential, waited_for] =
                        [credential, waited_for].map(|text| text.clone().unwrap_or_default());
                    self.arguments.extend([tenant.clone(), weight, job.clone(), credential, waited_for]);
                }
            }
            self.argument(question.want);
            self.argument(question.choices().count());
            for charges in question.choices() {
                self.argument(charges.len());
                charges.iter().for_each(|charge| self.charge(charge));
            }
        }
    }

    fn charge(&mut self, charge: &'a Charge) {
        self.budget(&charge.key);
        self.arguments.push(charge.limit.clone());
        self.arguments.push(rate(&charge.rate.terms(), self.now_ms));
        self.arguments.push(match charge.headroom {
            None => charge.cost.to_string(),
            Some(headroom) => format!("{};{}", charge.cost, listed(headroom.lanes())),
        });
    }

    pub(super) fn report(&mut self, reports: &[&'a Report]) {
        self.argument(reports.len());
        for report in reports {
            let told = report.answer.as_ref();
            let refused = told.and_then(|told| told.refused.as_ref());
            self.argument(report.permit.id);
            self.argument(report.permit.calls);
            self.argument(u8::from(report.sent));
            self.argument(u8::from(told.is_some()));
            self.argument(report.health.map_or("", health));
            self.argument(report.took_us.map_or_else(String::new, |us| us.to_string()));
            self.argument(report.permit.keys.len());
            for key in &report.permit.keys {
                self.budget(key);
                let reading = told.and_then(|told| told.readings.get(key));
                // A reading is numbers and flags: nothing that JSON can't write.
                let json = reading.and_then(|reading| serde_json::to_string(reading).ok());
                self.arguments.push(json.unwrap_or_default());
            }
            self.argument(u8::from(refused.is_some()));
            let until_ms = refused.and_then(|refused| refused.until_ms);
            self.arguments.push(until_ms.map_or_else(String::new, |ms| ms.to_string()));
            self.argument(refused.map_or("", |refused| lasts(refused.lasts)));
            let blocked = refused.map_or(&[][..], |refused| &refused.keys);
            self.argument(blocked.len());
            blocked.iter().for_each(|key| self.budget(key));
        }
    }

    /// What is known of budgets.
    pub(super) fn restore(&mut self, known: &'a [(String, Seen)]) {
        for (key, seen) in known {
            self.number(key);
            self.argument(seen.at_us);
            self.states.push(seen.state.clone());
        }
    }

    /// What was granted while the store was away: by an arbiter that heard of it last at `heard_ms` by the store's clock, under
    /// ids up to `last_id`.
    pub(super) fn charge_spent(&mut self, spent: &'a [Spent], last_id: u64, heard_ms: i64) {
        self.argument(last_id);
        self.argument(heard_ms);
        self.argument(spent.len());
        for Spent { charge, units, first_ms, calls, cost, granted_ms } in spent {
            self.charge(charge);
            self.argument(units);
            self.arguments.push(first_ms.map_or_else(String::new, |ms| ms.to_string()));
            self.argument(calls);
            self.argument(cost);
            self.argument(granted_ms);
        }
    }

    pub(super) fn put_override(&mut self, wanted: &Override) {
        let rate = match &wanted.does {
            Does::Pause => String::new(),
            Does::Rate(wanted) => rate(&wanted.terms(), self.now_ms),
        };
        // A rate is numbers: nothing that JSON can't write.
        let json = serde_json::to_string(&Override { until_ms: None, ..wanted.clone() }).unwrap_or_default();
        let until_ms = wanted.until_ms.map_or_else(String::new, |ms| ms.to_string());
        self.arguments.extend([
            "put".to_owned(),
            kind(wanted.kind()).to_owned(),
            wanted.key.clone(),
            until_ms,
            rate,
            json,
        ]);
    }

    pub(super) fn delete_override(&mut self, key: &str, kinds: &[OverrideKind]) {
        self.arguments.extend(["delete".to_owned(), key.to_owned()]);
        self.arguments.extend(kinds.iter().map(|&one| kind(one).to_owned()));
    }

    /// Names budgets without saying anything of them.
    pub(super) fn name(&mut self, budgets: impl IntoIterator<Item = &'a str>) {
        for key in budgets {
            self.number(key);
        }
    }

    fn argument(&mut self, argument: impl ToString) {
        self.arguments.push(argument.to_string());
    }

    fn budget(&mut self, key: &'a str) {
        let number = self.number(key);
        self.argument(number);
    }

    fn number(&mut self, key: &'a str) -> usize {
        let next = self.numbers.len() + 1; // Lua counts from 1.
        let (names, budgets, keys, family) = (&mut self.names, &mut self.budgets, self.keys, self.family);
        *self.numbers.entry(key).or_insert_with(|| {
            names.extend(keys.budget(family, key));
            budgets.push(key);
            next
        })
    }

    pub(super) fn command(&self, function: &str) -> Cmd {
        let mut command = redis::cmd("FCALL");
        command.arg(function).arg(self.names.len()).arg(&self.names).arg(&self.arguments);
        command.arg(&self.states);
        command
    }

    /// The budgets that are named, by their number less 1.
    pub(super) fn budgets(&self) -> &[&'a str] {
        &self.budgets
    }
}

/// What `sharing_of` in `limiter.lua` reads.
fn lanes(sharing: &Sharing) -> String {
    let lanes = sharing.weights().into_iter().chain(sharing.headroom_percent());
    listed(lanes.chain([sharing.trickle_percent()]))
}

fn listed(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

fn kind(kind: OverrideKind) -> &'static str {
    match kind {
        OverrideKind::Pause => "pause",
        OverrideKind::Rate => "rate",
    }
}

fn lasts(lasts: Lasts) -> &'static str {
    match lasts {
        Lasts::FromNow => "",
        Lasts::ByClock => "c",
        Lasts::Period => "p",
    }
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Well => "well",
        Health::Ill => "ill",
        Health::Silent => "silent",
    }
}

/// A rate as a budget's state has it: without the edges of a calendar's periods.
pub(super) fn rate_text(wanted: &Rate, now_ms: i64) -> String {
    let text = rate(&wanted.terms(), now_ms);
    text.split_once('|').map_or_else(|| text.clone(), |(rate, _)| rate.to_owned())
}

/// What `meter_of` in `budget.lua` reads.
fn rate(terms: &Terms, now_ms: i64) -> String {
    match *terms {
        Terms::Quota { calls, ref calendar } => {
            let edges = calendar.edges_ms(now_ms).map(|edge_ms| edge_ms.to_string()).join(":");
            format!("q:{calls}:{}:{calendar}|{edges}", calendar.per.least_ms())
        }
        Terms::Window { calls, per_ms, aligned } => {
            let aligned = match aligned {
                Aligned::FirstCall => 'f',
                Aligned::Epoch => 'e',
                Aligned::Told => 't',
            };
            format!("w:{calls}:{per_ms}:{aligned}")
        }
        Terms::Sliding { calls, per_ms } => format!("s:{calls}:{per_ms}"),
        Terms::Bucket { calls, every_us } => format!("b:{calls}:{every_us}"),
        Terms::Concurrency { calls, lease_ms } => format!("c:{calls}:{lease_ms}"),
        Terms::Slots { learn: LearnSlots { start, floor, cap }, lease_ms } => {
            format!("g:{start}:{floor}:{cap}:{lease_ms}")
        }
        Terms::Learn(learn) => {
            let Learn { start_per_s, floor_per_s, cap_per_s, refused_share } = learn;
            format!("l:{start_per_s}:{floor_per_s}:{cap_per_s}:{refused_share}")
        }
        Terms::Breaker { breaker: Breaker { failures, share, .. }, probes_ms: [first_ms, longest_ms, patience_ms] } => {
            format!("k:{failures}:{share}:{first_ms}:{longest_ms}:{patience_ms}")
        }
        Terms::Told => "t".to_owned(),
    }
}
