//! Moving jobs of very many calls to the lane for them, and back.

use sqlx::PgConnection;

use crate::{LedgerError, Windows};

/// Jobs that somebody else has locked are moved the next time.
pub(super) async fn settle(tx: &mut PgConnection, windows: &Windows) -> Result<(), LedgerError> {
    let (enter, leave) = windows.whales();
    let moved = sqlx::query!(
        "/* move_whales */
        UPDATE jobs SET lane = coalesce(lane_asked, 'bulk'), lane_asked = CASE WHEN lane_asked IS NULL THEN lane END
        WHERE id IN (
            SELECT id FROM jobs
            WHERE finished_at_ms IS NULL AND (lane_asked IS NULL AND lane = 'normal' AND calls_open >= $1
                OR lane_asked IS NOT NULL AND calls_open < $2)
            ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)",
        enter,
        leave,
    );
    moved.execute(tx).await?;
    Ok(())
}
