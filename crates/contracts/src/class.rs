//! Failure classes: what a bad answer means, whoever gave it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What went wrong with a call; the class alone says what happens next (`ARCHITECTURE.md`, "Failure, by class").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Passing trouble: 5xx, a broken connection. Retried with back-off.
    Transient,
    /// A deadline passed. Retried with back-off.
    Timeout,
    /// Refused by a rate limit. Waits; costs no attempt.
    RateLimited,
    /// A long quota is used up. Waits long; costs no attempt.
    QuotaExhausted,
    /// The token has run out.
    AuthExpired,
    /// The token is dead or was never right.
    AuthRevoked,
    /// The token may not do this.
    Permission,
    /// Not there. The fetch ends, counted as skipped.
    NotFound,
    /// No longer there. The fetch ends, counted as skipped.
    Gone,
    /// The request is wrong; repeating it can't help.
    Invalid,
    /// The provider wants a smaller page.
    TooMuchData,
    /// Nobody answers at the provider's address.
    ProviderDown,
    /// The answer can't be trusted: a 200 with an error in it, HTML, truncated JSON. Never a blank page.
    Suspect,
    /// The answer is larger than the limits allow; repeating it can't help.
    TooLarge,
    /// Refused here, before anything was sent: a target address that is not allowed, a redirect that leaves HTTPS.
    Blocked,
}

impl Class {
    /// Less of the same may go well: a page of such a failure is asked for again in smaller ones, where it can be.
    #[must_use]
    pub fn may_fit_smaller(self) -> bool {
        matches!(self, Self::TooMuchData | Self::TooLarge | Self::Timeout)
    }

    /// The class's name as in files, messages and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::AuthExpired => "auth_expired",
            Self::AuthRevoked => "auth_revoked",
            Self::Permission => "permission",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::Invalid => "invalid",
            Self::TooMuchData => "too_much_data",
            Self::ProviderDown => "provider_down",
            Self::Suspect => "suspect",
            Self::TooLarge => "too_large",
            Self::Blocked => "blocked",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
