//! When it is time for a new token.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use xxhash_rust::xxh3::xxh3_64;

use super::Oauth2;
use crate::Credential;

/// When the token ends: Unix seconds, Unix ms, or RFC 3339.
pub(super) const EXPIRES_AT: &str = "expires_at";
/// When the token was asked for, Unix ms.
pub(super) const REFRESHED_AT: &str = "refreshed_at";

/// A token that is refused so soon after it was fetched, in ms, is not refused for its age: another one would be, too.
pub const FRESH_MS: i64 = 60_000;
/// Unix seconds are below this until the year 5138, Unix ms above it since 1973.
const SECONDS_MAX: i64 = 100_000_000_000;
/// A token is not refreshed before all of its time but this share of it is over.
const SHARE: i64 = 5;

/// Whether it is time for a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// No; or the credential has no other than the one it has.
    No,
    /// The one before can be used until the new one is there.
    Soon,
    /// There is none that can be used.
    Now,
}

impl Oauth2 {
    /// Whether it is time for a new token of this credential. The last quarter of the time before the token's end that is
    /// meant for it is drawn by the token, so that not all of a provider are refreshed at once, and all executors agree.
    #[must_use]
    pub fn due(&self, credential: &Credential, now_ms: i64) -> Due {
        if !self.renews(credential) {
            return Due::No;
        }
        let Some(token) = credential.field("access_token").or_else(|| credential.field("token")) else {
            return Due::Now;
        };
        let Some(expires_at_ms) = time(credential, EXPIRES_AT) else { return Due::No };
        if now_ms >= expires_at_ms {
            return Due::Now;
        }
        let margin_ms = i64::try_from(self.refresh_before.as_millis()).unwrap_or(i64::MAX);
        let life_ms = time(credential, REFRESHED_AT).map(|since_ms| (expires_at_ms - since_ms).max(0));
        let margin_ms = margin_ms.min(life_ms.map_or(i64::MAX, |life_ms| life_ms / SHARE));
        let drawn = i64::try_from(xxh3_64(token.expose_secret().as_bytes()) % 256).unwrap_or_default();
        let margin_ms = margin_ms - margin_ms / 1_024 * drawn;
        if now_ms >= expires_at_ms.saturating_sub(margin_ms) { Due::Soon } else { Due::No }
    }

    /// Whether a token that was refused just now may be so for its age, so that a new one is worth asking for.
    #[must_use]
    pub fn may_have_expired(&self, credential: &Credential, now_ms: i64) -> bool {
        let is_fresh = time(credential, REFRESHED_AT).is_some_and(|since_ms| now_ms - since_ms < FRESH_MS);
        let is_over = time(credential, EXPIRES_AT).is_some_and(|expires_at_ms| now_ms >= expires_at_ms);
        self.renews(credential) && (is_over || !is_fresh)
    }
}

/// The time in a field, Unix ms.
fn time(credential: &Credential, field: &str) -> Option<i64> {
    let text = credential.field(field)?.expose_secret();
    if let Ok(number) = text.parse::<i64>() {
        return Some(if number.abs() < SECONDS_MAX { number * 1_000 } else { number });
    }
    let since_1970 = humantime::parse_rfc3339_weak(text).ok()?.duration_since(std::time::UNIX_EPOCH);
    since_1970.ok().and_then(|since: Duration| i64::try_from(since.as_millis()).ok())
}
