//! The job that an address names.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use tidegate_contracts::JobId;
use tidegate_ledger::JobRow;
use tidegate_registry::KeyRow;

use crate::app::App;
use crate::problem::{Kind, Problem};

/// The job that the address names, if it is the caller's; else there is none.
pub(crate) struct OwnJob(pub(crate) JobRow);

impl FromRequestParts<Arc<App>> for OwnJob {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let nothing = || Problem::not_found("job");
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, app).await;
        let id = path.ok().and_then(|path| path.0.get("id")?.parse::<JobId>().ok()).ok_or_else(nothing)?;
        // Every route with a job needs a key, and with one it has a caller.
        let caller = parts.extensions.get::<Arc<KeyRow>>();
        let caller = caller.ok_or_else(|| Problem::new(Kind::Unauthorized, Kind::Unauthorized.title()))?;
        let row = app.deps.ledger.job(id).await?.ok_or_else(nothing)?;
        if row.tenant == caller.tenant.as_str() { Ok(Self(row)) } else { Err(nothing()) }
    }
}

/// The job's pages and tree are still there.
pub(crate) fn has_tree(job: &JobRow) -> Result<(), Problem> {
    match job.pruned_at_ms {
        None => Ok(()),
        Some(at_ms) => {
            let detail =
                format!("the job finished long ago, and its pages and tree were deleted (pruned_at_ms {at_ms})");
            Err(Problem::new(Kind::Gone, detail))
        }
    }
}
