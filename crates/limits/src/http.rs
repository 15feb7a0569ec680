//! What travels between executors and the arbiter over HTTP, as JSON. Fields are added, never changed.
//!
//! Each side tells its time, so that none depends on the other's clock.

use serde::{Deserialize, Serialize};

use crate::charge::{Decision, Question, Report};
use crate::limiter::Usage;

/// `POST` here asks for permits.
pub const PERMITS_PATH: &str = "/v1/permits";
/// `POST` here gives permits back.
pub const REPORTS_PATH: &str = "/v1/reports";
/// `GET` here shows every budget in use.
pub const LIMITS_PATH: &str = "/v1/limits";

/// Asks for permits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PermitsRequest {
    /// Each is decided on its own, in this order.
    pub questions: Vec<Question>,
}

/// The answer to a [`PermitsRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitsReply {
    /// The arbiter's time, Unix ms: times of the decisions are by this clock.
    pub now_ms: i64,
    /// One for each question, in order.
    pub decisions: Vec<Decision>,
}

/// Gives permits back; answered with 204 and no body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportsRequest {
    /// The executor's time, Unix ms: times that the reports tell are by this clock.
    pub now_ms: i64,
    /// In the order in which they came about.
    pub reports: Vec<Report>,
}

/// Every budget in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsReply {
    /// The arbiter's time, Unix ms: times of the budgets are by this clock.
    pub now_ms: i64,
    /// By key, the first ones where there are too many to show.
    pub limits: Vec<Usage>,
    /// How many are not shown.
    #[serde(default)]
    pub left_off: usize,
}

#[cfg(test)]
mod tests;
