//! Learns hidden limits in simulated time, and says how well.
//!
//! `cargo run --release -p tidegate-limits --example learn [FROM TO]` draws a hidden limiter from each seed; without
//! seeds it takes those of the final check, which no constant was tuned on. `-- change` has limits that change only,
//! `-- quota` a quota beside a limit on the pace, and `-- plot FOLDER` draws three runs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its figures are its purpose")]

use std::process::ExitCode;
use std::thread;

mod cases;
mod chance;
mod change;
mod drive;
mod hidden;
mod plot;
mod quota;

use cases::{Case, Score, draw};
use drive::learner;

/// Seeds of the final check. Some that were never looked at say more: see `docs/limits.md`.
const FINAL: (u64, u64) = (10_000, 10_200);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["plot", folder] => {
            if let Err(error) = plot::write(folder.as_ref()) {
                eprintln!("pictures can't be written into {folder}: {error}");
                return ExitCode::FAILURE;
            }
        }
        ["change"] => change::check(),
        ["quota"] => quota::check(),
        [from, to] => match (from.parse(), to.parse()) {
            (Ok(from), Ok(to)) => check(from, to),
            _ => return usage(),
        },
        [] => {
            check(FINAL.0, FINAL.1);
            change::check();
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: learn [FROM TO | change | quota | plot FOLDER]");
    ExitCode::FAILURE
}

/// Each case, how it went, and whether it is within reach of somebody who knows the rate; on all processors.
fn run(from: u64, to: u64) -> Vec<(Case, Score, bool)> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = |thread: usize| {
        let cases = (from..to).skip(thread).step_by(threads).map(draw);
        cases.map(|case| {
            let score = case.score(learner());
            let is_possible = score.meets() || case.is_possible();
            (case, score, is_possible)
        })
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || share(thread).collect::<Vec<_>>())).collect();
        started.into_iter().flat_map(|thread| thread.join().expect("no case panics")).collect()
    });
    done.sort_by_key(|(case, ..)| case.seed);
    done
}

/// Prints every case that falls short, and the sums.
fn check(from: u64, to: u64) {
    let (mut met, mut possible, mut scores) = (0, 0, Vec::new());
    for (case, score, is_possible) in run(from, to) {
        scores.push(score);
        possible += u64::from(is_possible);
        met += u64::from(score.meets());
        if !score.meets() {
            let Score { used, refused, refused_in_warm_up } = score;
            println!(
                "{:5} {} use {:5.1} % refused {:5.2} % ({:4.1} % in the warm-up)  {}",
                case.seed,
                if is_possible { "missed" } else { "beyond" },
                used * 100.0,
                refused * 100.0,
                refused_in_warm_up * 100.0,
                case.name,
            );
        }
    }
    let all = to - from;
    let at = |share: f64, of: fn(&Score) -> f64| {
        let mut sorted: Vec<f64> = scores.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share) as usize] * 100.0
    };
    println!(
        "{met} of {all} hidden limiters: at least 95 % used and at most 1 % refused ({possible} are within reach)"
    );
    println!(
        "use: median {:.1} %, a tenth below {:.1} %; refused: median {:.2} %, a tenth above {:.2} %, at most {:.2} %",
        at(0.5, |score| score.used),
        at(0.1, |score| score.used),
        at(0.5, |score| score.refused),
        at(0.9, |score| score.refused),
        at(1.0, |score| score.refused),
    );
}

#[cfg(test)]
mod tests;
