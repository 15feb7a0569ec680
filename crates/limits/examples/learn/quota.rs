//! Two limits at once: one on the pace, and a quota over minutes to an hour whose even rate is well below that.

use tidegate_limits::learn::{Learn, Learner};

use super::chance::Chance;
use super::drive::Drive;
use super::hidden::Hidden;

/// How callers who always want more, and then a job that needs half of the quota, fared.
#[derive(Debug)]
pub(crate) struct Fared {
    pub(crate) name: &'static str,
    /// Of what the quota allows, in the last windows.
    pub(crate) used: f64,
    pub(crate) refused: f64,
    /// Of all calls, from the first on.
    pub(crate) refused_in_all: f64,
    /// How long the job took, over how long the limit on the pace would have it take.
    pub(crate) times: f64,
}

/// Six windows of the quota, of which three are measured; then two without a call, and a job of half the quota.
pub(crate) fn fare(name: &'static str, pace: Hidden, quota: Hidden, start_per_s: f64) -> Fared {
    let (pace_per_s, window_ms) = (pace.per_s(), quota.memory_ms());
    let calls = quota.per_s() * window_ms / 1e3;
    let learner = Learner::new(&Learn { start_per_s, ..Learn::default() });
    let mut drive = Drive::new(learner, Hidden::both(pace, quota), 100.0, Chance::new(11));
    drive.run(3.0 * window_ms);
    let warm = drive.count;
    drive.run(3.0 * window_ms);
    let count = drive.count.since(warm);
    drive.rest(2.0 * window_ms);
    let (before, begun_ms) = (drive.count.accepted, drive.now_ms);
    while (drive.count.accepted - before) as f64 <= calls / 2.0 && drive.now_ms < begun_ms + 10.0 * window_ms {
        drive.run(100.0);
    }
    Fared {
        name,
        used: count.accepted as f64 / (3.0 * calls),
        refused: count.refused_share(),
        refused_in_all: drive.count.refused_share(),
        times: (drive.now_ms - begun_ms) / (calls / 2.0 / pace_per_s * 1e3),
    }
}

pub(crate) fn all() -> Vec<Fared> {
    let bucket = || Hidden::bucket(10.0, 20.0);
    let (hour, minutes) = (3.6e6, 300e3);
    vec![
        fare("bucket 10/s, 3,600/h by the clock", bucket(), Hidden::window(3_600, hour, Some(1e6)), 1.0),
        fare("bucket 10/s, 3,600/h by the clock, begun at 5/s", bucket(), Hidden::window(3_600, hour, Some(1e6)), 5.0),
        fare("bucket 10/s, 3,600/h from the first call", bucket(), Hidden::window(3_600, hour, None), 1.0),
        fare("bucket 10/s, 3,600/h sliding", bucket(), Hidden::sliding(3_600, hour, false), 1.0),
        fare("bucket 10/s, 600 in 5 min by the clock", bucket(), Hidden::window(600, minutes, Some(1e5)), 5.0),
        fare(
            "50 in 1 s, 5,000 in 15 min sliding",
            Hidden::window(50, 1e3, None),
            Hidden::sliding(5_000, 900e3, false),
            1.0,
        ),
        fare(
            "sliding 20 in 1 s, 10,000/h by the clock",
            Hidden::sliding(20, 1e3, false),
            Hidden::window(10_000, hour, Some(2e6)),
            5.0,
        ),
        fare("bucket 100/s, 20,000 in 15 min", Hidden::bucket(100.0, 20.0), Hidden::window(20_000, 900e3, None), 50.0),
    ]
}

pub(crate) fn check() {
    for Fared { name, used, refused, refused_in_all, times } in all() {
        println!(
            "{name}: {:.1} % of the quota used, {:.2} % refused ({:.2} % from the first call on); a job of half the quota takes {times:.2} times what the pace allows",
            used * 100.0,
            refused * 100.0,
            refused_in_all * 100.0,
        );
    }
}
