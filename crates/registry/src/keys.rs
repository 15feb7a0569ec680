//! Whose key a request bears.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use subtle::ConstantTimeEq as _;

use crate::{ApiKey, KeyRow, Registry, RegistryError};

/// How long what the registry said of a key is believed, in ms: for so long a key that was revoked elsewhere still works.
pub const TRUSTED_MS: i64 = 60_000;
/// Most keys remembered.
pub const KEYS_KEPT_MAX: usize = 10_000;

/// Why a key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is not that of a key, or a character of it is wrong.
    #[error("this is not an API key: expected tg_, an id, a secret and a check sum")]
    Malformed,
    /// There is none like it.
    #[error("this API key is not known")]
    Unknown,
    /// It was revoked.
    #[error("this API key was revoked")]
    Revoked,
    /// It has expired.
    #[error("this API key has expired")]
    Expired,
}

/// A key was not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not taken.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The registry could not be asked.
    #[error("can't look up an API key")]
    Registry(#[from] RegistryError),
}

/// Verifies API keys; remembers some, so that a request costs no statement.
pub struct Keys {
    registry: Arc<dyn Registry>,
    kept: Mutex<HashMap<String, (Arc<KeyRow>, i64)>>,
}

impl Keys {
    /// None remembered yet.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, kept: Mutex::default() }
    }

    /// The key whose text this is.
    ///
    /// # Errors
    /// [`VerifyError`]. What is wrong with a key is told only to those who have its secret.
    pub async fn verify(&self, text: &str, now_ms: i64) -> Result<Arc<KeyRow>, VerifyError> {
        let key = ApiKey::parse(text).ok_or(Refusal::Malformed)?;
        let row = match self.kept(key.id(), now_ms) {
            Some(row) => row,
            None => self.look_up(&key, now_ms).await?.ok_or(Refusal::Unknown)?,
        };
        if !matches(&key, &row) {
            return Err(Refusal::Unknown.into());
        }
        taken(row, now_ms)
    }

    /// The key of this id, for those who have shown its secret before, as far as it is still taken.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub async fn still(&self, id: &str, now_ms: i64) -> Result<Arc<KeyRow>, VerifyError> {
        let row = match self.kept(id, now_ms) {
            Some(row) => row,
            None => {
                let row = Arc::new(self.registry.key(id).await?.ok_or(Refusal::Unknown)?);
                self.keep(&row, now_ms);
                row
            }
        };
        taken(row, now_ms)
    }

    /// Asks the registry about this key again when it comes next.
    pub fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    async fn look_up(&self, key: &ApiKey, now_ms: i64) -> Result<Option<Arc<KeyRow>>, RegistryError> {
        let Some(row) = self.registry.key(key.id()).await? else { return Ok(None) };
        let row = Arc::new(row);
        // A stranger who knows an id neither counts as its use nor takes a place here.
        if matches(key, &row) {
            if let Err(error) = self.registry.key_used(key.id(), now_ms).await {
                tracing::warn!(key.id = key.id(), error = &error as &dyn std::error::Error, "can't note a key's use");
            }
            self.keep(&row, now_ms);
        }
        Ok(Some(row))
    }

    fn keep(&self, row: &Arc<KeyRow>, now_ms: i64) {
        let mut kept = self.lock();
        if kept.len() >= KEYS_KEPT_MAX {
            kept.clear();
        }
        kept.insert(row.id.clone(), (Arc::clone(row), now_ms));
    }

    fn kept(&self, id: &str, now_ms: i64) -> Option<Arc<KeyRow>> {
        let kept = self.lock();
        let (row, since_ms) = kept.get(id)?;
        (0..TRUSTED_MS).contains(&(now_ms - since_ms)).then(|| Arc::clone(row))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Arc<KeyRow>, i64)>> {
        // A panic while holding it can only have left the map as it was.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key, unless it was revoked or has expired.
fn taken(row: Arc<KeyRow>, now_ms: i64) -> Result<Arc<KeyRow>, VerifyError> {
    if row.revoked_at_ms.is_some() {
        return Err(Refusal::Revoked.into());
    }
    if row.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms) {
        return Err(Refusal::Expired.into());
    }
    Ok(row)
}

/// In a time that does not tell how much of it is right.
fn matches(key: &ApiKey, row: &KeyRow) -> bool {
    key.digest()[..].ct_eq(&row.digest).into()
}
