//! What both ledgers' recounts share.

use serde_json::{Map, Value};
use sqlx::types::Json;

/// Counters by name, as a row keeps them or as they were counted.
pub(crate) type Counters = Json<Map<String, Value>>;

/// Adds what differs.
pub(crate) fn compare(of: &impl std::fmt::Display, kept: &Counters, counted: &Counters, differences: &mut Vec<String>) {
    for (name, kept) in &kept.0 {
        let counted = counted.0.get(name).unwrap_or(&Value::Null);
        if kept != counted {
            differences.push(format!("{of}: {name} is {kept}, counted {counted}"));
        }
    }
}

/// Steps whose counters are not what their fetches say, at most 100; `$object` makes JSON of names and values.
macro_rules! audit_steps {
    ($object:literal) => {
        concat!(
            "/* audit_steps */
    SELECT * FROM (SELECT jobs.id,
        ",
            $object,
            "('step', step_counts.step, 'fetches', fetches, 'fetches_done', fetches_done, 'fetches_paged', fetches_paged,
            'calls_planned', calls_planned_, 'calls_open', calls_open_, 'calls_failed', calls_failed_,
            'calls_skipped', calls_skipped_, 'calls_paged', calls_paged, 'items', items_, 'guarded', guarded) AS kept,
        ",
            $object,
            "('step', step_counts.step, 'fetches', coalesce(planned, 0), 'fetches_done', coalesce(done, 0),
            'fetches_paged', coalesce(paged, 0), 'calls_planned', coalesce(calls, 0), 'calls_open', coalesce(open, 0),
            'calls_failed', coalesce(failed, 0), 'calls_skipped', coalesce(skipped, 0),
            'calls_paged', coalesce(paged_calls, 0), 'items', coalesce(stored, 0), 'guarded', coalesce(guards, 0)) AS counted
    FROM jobs JOIN (SELECT job_id, step, fetches, fetches_done, fetches_paged, calls_planned AS calls_planned_,
            calls_open AS calls_open_, calls_failed AS calls_failed_, calls_skipped AS calls_skipped_, calls_paged,
            items AS items_, coalesce((SELECT sum(step_guards.fetches) FROM step_guards
                WHERE step_guards.job_id = step_counts.job_id AND step_guards.step = step_counts.step), 0) AS guarded
            FROM step_counts) AS step_counts ON step_counts.job_id = jobs.id
    LEFT JOIN (SELECT job_id, step, count(*) AS planned, count(finished_at_ms) AS done,
            count(*) FILTER (WHERE calls_open = 0) AS paged, sum(calls_planned) AS calls, sum(calls_open) AS open,
            sum(calls_failed) AS failed, sum(calls_skipped) AS skipped,
            sum(calls_planned) FILTER (WHERE calls_open = 0) AS paged_calls, sum(items) AS stored,
            count(*) FILTER (WHERE fetch_end IN ('repeated_pointer', 'repeated_page', 'page_cap', 'tiny_pages', 'depth_cap')) AS guards
        FROM fetches GROUP BY job_id, step) AS of_fetches
        ON of_fetches.job_id = jobs.id AND of_fetches.step = step_counts.step
    WHERE jobs.pruned_at_ms IS NULL) AS counters WHERE kept <> counted LIMIT 100"
        )
    };
}
pub(crate) use audit_steps;
