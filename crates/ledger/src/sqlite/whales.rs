//! Moving jobs of very many calls to the lane for them, and back.

use sqlx::SqliteConnection;

use crate::{LedgerError, Windows};

pub(super) async fn settle(tx: &mut SqliteConnection, windows: &Windows) -> Result<(), LedgerError> {
    let (enter, leave) = windows.whales();
    let sql = "/* move_whales */
        UPDATE jobs SET lane = coalesce(lane_asked, 'bulk'), lane_asked = CASE WHEN lane_asked IS NULL THEN lane END
        WHERE finished_at_ms IS NULL AND (lane_asked IS NULL AND lane = 'normal' AND calls_open >= ?1
            OR lane_asked IS NOT NULL AND calls_open < ?2)";
    sqlx::query(sql).bind(enter).bind(leave).execute(tx).await?;
    Ok(())
}
