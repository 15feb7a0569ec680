//! Recounting every counter from the rows it counts.

use sqlx::{Row, SqliteConnection};

use super::rows::{count, fetch_id, job_id};
use crate::LedgerError;
use crate::audit::{audit_steps, compare};

/// Fetches whose counters are not what their calls, pages and children say, at most 100.
const FETCHES: &str = "/* audit_fetches */
    SELECT fetches.id,
        json_object('calls_planned', calls_planned, 'calls_open', calls_open, 'calls_succeeded', calls_succeeded,
            'calls_skipped', calls_skipped, 'calls_failed', calls_failed, 'calls_cancelled', calls_cancelled,
            'children_open', children_open, 'blockers_open', blockers_open, 'spoiled', spoiled, 'items', items) AS kept,
        json_object('calls_planned', coalesce(planned, 0), 'calls_open', coalesce(open, 0),
            'calls_succeeded', coalesce(succeeded, 0), 'calls_skipped', coalesce(skipped, 0),
            'calls_failed', coalesce(failed, 0), 'calls_cancelled', coalesce(cancelled, 0),
            'children_open', coalesce(children, 0),
            'blockers_open', iif(finished_at_ms IS NULL AND open > 0, coalesce(blockers, 0), 0),
            'spoiled', coalesce(troubled, 0) + coalesce(spoiled_below, 0), 'items', coalesce(stored, 0)) AS counted
    FROM fetches
    LEFT JOIN (SELECT calls.fetch_id, count(*) AS planned, count(*) FILTER (WHERE ended_at_ms IS NULL) AS open,
            count(*) FILTER (WHERE state = 'succeeded') AS succeeded, count(*) FILTER (WHERE state = 'skipped') AS skipped,
            count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE (state = 'failed' AND NOT tolerated) OR (state = 'cancelled' AND message IS NOT NULL))
                AS troubled,
            sum(pages.items) FILTER (WHERE state = 'succeeded') AS stored
        FROM calls LEFT JOIN pages ON pages.call_seq = calls.seq GROUP BY calls.fetch_id) AS of_calls
        ON of_calls.fetch_id = fetches.id
    LEFT JOIN (SELECT parent_id, count(*) FILTER (WHERE finished_at_ms IS NULL) AS children,
            sum(spoiled) FILTER (WHERE finished_at_ms IS NOT NULL) AS spoiled_below FROM fetches GROUP BY parent_id)
        AS of_children ON of_children.parent_id = fetches.id
    LEFT JOIN (SELECT barriers.fetch_id, count(*) AS blockers FROM barriers JOIN fetches AS above
            ON above.id = barriers.blocker_id WHERE above.finished_at_ms IS NULL GROUP BY barriers.fetch_id)
        AS of_blockers ON of_blockers.fetch_id = fetches.id
    WHERE kept <> counted LIMIT 100";

/// Jobs whose counters are not what their calls and fetches say, at most 100.
const JOBS: &str = "/* audit_jobs */
    SELECT jobs.id,
        json_object('calls_planned', calls_planned, 'calls_open', calls_open, 'calls_released', calls_released,
            'calls_held', calls_held,
            'calls_succeeded', calls_succeeded, 'calls_skipped', calls_skipped, 'calls_failed', calls_failed,
            'calls_tolerated', calls_tolerated, 'calls_cancelled', calls_cancelled, 'requests', requests,
            'fetches_planned', fetches_planned, 'fetches_open', fetches_open, 'items', items) AS kept,
        json_object('calls_planned', coalesce(planned, 0), 'calls_open', coalesce(open, 0),
            'calls_released', coalesce(released, 0), 'calls_held', coalesce(held, 0), 'calls_succeeded', coalesce(succeeded, 0),
            'calls_skipped', coalesce(skipped, 0), 'calls_failed', coalesce(failed, 0),
            'calls_tolerated', coalesce(tolerated, 0), 'calls_cancelled', coalesce(cancelled, 0),
            'requests', coalesce(sent, 0), 'fetches_planned', coalesce(fetches, 0),
            'fetches_open', coalesce(unfinished, 0), 'items', coalesce(stored, 0)) AS counted
    FROM jobs
    LEFT JOIN (SELECT job_id, count(*) AS planned, count(*) FILTER (WHERE ended_at_ms IS NULL) AS open,
            count(*) FILTER (WHERE state = 'released') AS released, sum(held) AS held,
            count(*) FILTER (WHERE state = 'succeeded') AS succeeded, count(*) FILTER (WHERE state = 'skipped') AS skipped,
            count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
            sum(tolerated) AS tolerated, sum(requests) AS sent FROM calls GROUP BY job_id) AS of_calls
        ON of_calls.job_id = jobs.id
    LEFT JOIN (SELECT job_id, count(*) AS fetches, count(*) FILTER (WHERE finished_at_ms IS NULL) AS unfinished,
            sum(items) AS stored FROM fetches GROUP BY job_id) AS of_fetches
        ON of_fetches.job_id = jobs.id
    WHERE jobs.pruned_at_ms IS NULL AND kept <> counted LIMIT 100";

/// Steps whose counters are not what their fetches say.
const STEPS: &str = audit_steps!("json_object");

/// Rows that belong to nothing, or lack what they should have.
const STRAYS: &str = "/* audit_strays */
    SELECT 'calls without their fetch' AS what, count(*) AS found FROM calls
        WHERE NOT EXISTS (SELECT 1 FROM fetches WHERE id = calls.fetch_id AND job_id = calls.job_id)
    UNION ALL SELECT 'fetches without counters of their step', count(*) FROM fetches
        WHERE NOT EXISTS (SELECT 1 FROM step_counts WHERE job_id = fetches.job_id AND step = fetches.step)
    UNION ALL SELECT 'fetches without their parent', count(*) FROM fetches
        WHERE parent_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM fetches above WHERE above.id = fetches.parent_id AND above.job_id = fetches.job_id)
    UNION ALL SELECT 'held calls that nothing holds', count(*) FROM calls
        WHERE held = 1 AND NOT EXISTS (SELECT 1 FROM fetches WHERE id = calls.fetch_id AND blockers_open > 0)
    UNION ALL SELECT 'calls out before what they come after', count(*) FROM calls
        WHERE (state = 'released' OR (state = 'planned' AND held = 0))
            AND EXISTS (SELECT 1 FROM fetches WHERE id = calls.fetch_id AND blockers_open > 0)
    UNION ALL SELECT 'barriers without their fetches', count(*) FROM barriers
        WHERE NOT EXISTS (SELECT 1 FROM fetches WHERE id = barriers.fetch_id AND job_id = barriers.job_id)
            OR NOT EXISTS (SELECT 1 FROM fetches WHERE id = barriers.blocker_id AND job_id = barriers.job_id)
    UNION ALL SELECT 'succeeded calls without their page', count(*) FROM calls
        WHERE state = 'succeeded' AND NOT EXISTS (SELECT 1 FROM pages WHERE call_seq = calls.seq)
    UNION ALL SELECT 'pages without their call', count(*) FROM pages
        WHERE NOT EXISTS (SELECT 1 FROM calls JOIN fetches ON fetches.id = calls.fetch_id JOIN jobs ON jobs.id = calls.job_id
            WHERE calls.seq = call_seq AND fetches.seq = fetch_seq AND jobs.seq = job_seq)";

pub(super) async fn differences(connection: &mut SqliteConnection) -> Result<Vec<String>, LedgerError> {
    let mut differences = Vec::new();
    for row in sqlx::query(FETCHES).fetch_all(&mut *connection).await? {
        compare(&fetch_id(&row, "id")?, &row.try_get("kept")?, &row.try_get("counted")?, &mut differences);
    }
    for row in sqlx::query(JOBS).fetch_all(&mut *connection).await? {
        compare(&job_id(&row, "id")?, &row.try_get("kept")?, &row.try_get("counted")?, &mut differences);
    }
    for row in sqlx::query(STEPS).fetch_all(&mut *connection).await? {
        compare(&job_id(&row, "id")?, &row.try_get("kept")?, &row.try_get("counted")?, &mut differences);
    }
    for row in sqlx::query(STRAYS).fetch_all(connection).await? {
        let found = count(&row, "found")?;
        if found > 0 {
            differences.push(format!("{found} {}", row.try_get::<&str, _>("what")?));
        }
    }
    Ok(differences)
}
