//! Many jobs under one limit, in simulated time: when each of them is done, in turns and without.
//!
//! `cargo run --release -p tidegate-limits --example fairness` has a whale of 100,000 calls and 100 jobs of 50 calls share 100
//! calls a second, and a person come by in the middle of it. Then ten thousand jobs of 5 calls come at once, and a person each
//! second before and after; with `-- spike` only these.

#![expect(clippy::print_stdout, reason = "its figures are its purpose")]

mod drive;

use std::time::Duration;

use drive::{Done, Job, drive};
use tidegate_limits::{Aligned, Rate};

/// A job that nobody is beside.
const ALONE: u32 = 20_000;
/// Calls a second that the limit allows.
const PER_S: u32 = 100;
const WHALE: u32 = 100_000;
const SMALL: u32 = 50;
const SMALL_JOBS: usize = 100;
/// When the person comes.
const PERSON_AT_MS: i64 = 20_000;

/// The spike: jobs in the normal lane, with so many calls each, that come at the same time.
const SPIKE_JOBS: usize = 10_000;
const SPIKE_CALLS: u32 = 5;
const SPIKE_AT_MS: i64 = 10_000;
/// One a second, with one call each.
const PERSONS: usize = 60;

fn main() {
    let bucket = Rate::Bucket { calls: PER_S, restore_per_s: f64::from(PER_S) };
    let window = Rate::Window { calls: 10 * PER_S, per: Duration::from_secs(10), aligned: Aligned::Epoch };
    let rates = [("bucket", &bucket), ("window of 10 s", &window)];
    if std::env::args().all(|argument| argument != "spike") {
        whale_and_small(&rates);
    }
    spike_of_small(&bucket);
    alone(&rates);
}

/// How often calls ask that all wait for one limit.
fn alone(rates: &[(&str, &Rate)]) {
    println!("\n| a job of 20,000 calls alone | questions for each call | used |");
    println!("| --- | --- | --- |");
    for &(name, rate) in rates {
        let Done { granted, asked, until_ms, .. } =
            drive(rate, &[Job { lane: 1, begin_ms: 0, calls: ALONE }], true, 0..1);
        println!("| {name} | {:.2} | {:.1} % |", asked as f64 / granted as f64, used(granted, until_ms));
    }
}

/// Of what the limit allows by then, in per cent.
fn used(granted: u64, until_ms: i64) -> f64 {
    granted as f64 / ((until_ms as f64 / 1_000.0 + 1.0) * f64::from(PER_S)) * 100.0
}

fn whale_and_small(rates: &[(&str, &Rate)]) {
    println!(
        "| limit | whale's lane | small jobs come | in turns | small jobs done: first, median, last | of fair share | person's 20 calls | used |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for &(name, rate) in rates {
        for (lane, whale_lane) in [("normal", 1), ("bulk", 2)] {
            for begin_ms in [0, 10_000] {
                for in_turns in [false, true] {
                    row((name, rate), (lane, whale_lane), begin_ms, in_turns);
                }
            }
        }
    }
}

fn spike_of_small(rate: &Rate) {
    println!("\n| beside the persons | a person's call: median, 95 %, longest |");
    println!("| --- | --- |");
    for (others, spike_jobs) in [("nobody", 0), ("a spike of 10,000 jobs", SPIKE_JOBS)] {
        spike(rate, (others, spike_jobs));
    }
}

fn spike(rate: &Rate, (others, spike_jobs): (&str, usize)) {
    let persons = (0..PERSONS).map(|number| Job { lane: 0, begin_ms: 1_000 * number as i64, calls: 1 });
    let spike = (0..spike_jobs).map(|_| Job { lane: 1, begin_ms: SPIKE_AT_MS, calls: SPIKE_CALLS });
    let jobs: Vec<Job> = persons.chain(spike).collect();
    let Done { took_ms, .. } = drive(rate, &jobs, true, 0..PERSONS);
    let mut took_ms = took_ms[..PERSONS].to_vec();
    took_ms.sort_unstable();
    let s = |place: usize| took_ms[place] as f64 / 1_000.0;
    println!("| {others} | {:.2}, {:.2}, {:.2} s |", s(PERSONS / 2), s(PERSONS * 95 / 100), s(PERSONS - 1));
}

fn row((name, rate): (&str, &Rate), (lane, whale_lane): (&str, u8), begin_ms: i64, in_turns: bool) {
    let whale = Job { lane: whale_lane, begin_ms: 0, calls: WHALE };
    let small = (0..SMALL_JOBS).map(|_| Job { lane: 1, begin_ms, calls: SMALL });
    let person = Job { lane: 0, begin_ms: PERSON_AT_MS, calls: 20 };
    let jobs: Vec<Job> = [whale, person].into_iter().chain(small).collect();
    let Done { took_ms, granted, until_ms, .. } = drive(rate, &jobs, in_turns, 1..jobs.len());
    let mut small: Vec<i64> = took_ms[2..].to_vec();
    small.sort_unstable();
    let fair_ms = f64::from(SMALL) * (SMALL_JOBS + 1) as f64 / f64::from(PER_S) * 1_000.0;
    let s = |ms: i64| ms as f64 / 1_000.0;
    println!(
        "| {name} | {lane} | after {:.0} s | {} | {:.1}, {:.1}, {:.1} s | {:.2} | {:.1} s | {:.1} % |",
        s(begin_ms),
        if in_turns { "yes" } else { "no" },
        s(small[0]),
        s(small[SMALL_JOBS / 2]),
        s(small[SMALL_JOBS - 1]),
        small[SMALL_JOBS - 1] as f64 / fair_ms,
        s(took_ms[1]),
        used(granted, until_ms),
    );
}
