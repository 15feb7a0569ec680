//! What is known of a credential that is parked.

use serde::{Deserialize, Serialize};

use crate::Class;

/// A credential that its provider takes no more: no call is made with it until it is renewed. As stored with it, and with the
/// jobs that wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Name of the credential.
    pub credential: String,
    /// Name of the provider that takes it no more.
    pub provider: String,
    /// `auth_expired` or `auth_revoked`.
    pub class: Class,
    /// What the provider said; at most [`crate::Failure::MESSAGE_MAX_CHARS`] characters, secrets removed.
    pub message: String,
    /// Since when, Unix ms.
    pub since_ms: i64,
}

impl std::fmt::Display for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { credential, provider, class, message, .. } = self;
        write!(f, "credential {credential} of provider {provider}, which is parked because of {class}: {message}")
    }
}
