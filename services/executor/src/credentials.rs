//! Where credentials come from, and what is told of those that a provider takes no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_contracts::Parked;
use tidegate_provider::Credential;

/// Credentials can't be read now. Calls wait.
#[derive(Debug, thiserror::Error)]
#[error("credentials can't be read: {0}")]
pub struct CredentialsError(pub String);

/// A credential, as of now.
#[derive(Debug, Clone)]
pub struct Lent {
    /// The secrets.
    pub credential: Arc<Credential>,
    /// Which of those that there were under this name.
    pub version: i64,
    /// Since when and why no call is made with it.
    pub parked: Option<Parked>,
}

/// What came of parking a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parking {
    /// It is parked, and the jobs wait that have no other.
    Done,
    /// It was renewed or deleted meanwhile: look again.
    Outdated,
    /// It can't be renewed while its jobs go on: they go on without it, or end.
    Impossible,
}

/// A version of a credential, and who wants to replace it.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The version.
    pub version: i64,
    /// Who wants to refresh it: at most 64 characters; nobody else calls itself so.
    pub by: &'a str,
}

/// Whose turn it is to refresh a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Who asked, until the end of the lease.
    Mine {
        /// Refreshes of this version that were begun, this one included.
        tries: u32,
        /// What came of one of them is not known.
        lost: bool,
    },
    /// Somebody else's, or nobody's for a while: not before this Unix ms.
    NotBefore(i64),
    /// It was renewed, parked or deleted meanwhile: look again.
    Changed,
}

/// Credentials by tenant and name. One that was parked is lent as such, though that was impossible.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The one of this name, if the tenant has it.
    ///
    /// # Errors
    /// [`CredentialsError`].
    async fn get(&self, tenant: &str, name: &str) -> Result<Option<Lent>, CredentialsError>;

    /// Parks a credential, if it is still of this version. Idempotent.
    ///
    /// # Errors
    /// [`CredentialsError`].
    async fn park(&self, tenant: &str, version: i64, parked: &Parked) -> Result<Parking, CredentialsError>;

    /// Asks for the turn to refresh a credential, until `until_ms`.
    ///
    /// # Errors
    /// [`CredentialsError`].
    async fn lease(&self, of: &Version<'_>, until_ms: i64, now_ms: i64) -> Result<Turn, CredentialsError>;

    /// Gives the turn back: it is nobody's before `until_ms`. `lost`: what came of the refresh is not known.
    ///
    /// # Errors
    /// [`CredentialsError`].
    async fn postpone(&self, of: &Version<'_>, until_ms: i64, lost: bool) -> Result<(), CredentialsError>;

    /// A job that waited goes on, perhaps since one of these was renewed: what is kept of them is read anew.
    fn look_again(&self) {}

    /// Stores what a refresh has brought as the next version; `false` when this one is no longer the newest. Idempotent by
    /// version.
    ///
    /// # Errors
    /// [`CredentialsError`].
    async fn renew(&self, of: &Version<'_>, credential: &Credential, now_ms: i64) -> Result<bool, CredentialsError>;
}

/// These and no others, whoever asks: those of the command line. They come from variables and files that are read at the
/// start, so none can be parked until it is renewed. What a refresh brings is gone with the process.
#[derive(Debug, Default)]
pub struct FixedCredentials(Mutex<HashMap<String, Lent>>);

impl FixedCredentials {
    /// These credentials.
    #[must_use]
    pub fn new(credentials: impl IntoIterator<Item = Credential>) -> Self {
        let lent = |credential: Credential| Lent { credential: Arc::new(credential), version: 1, parked: None };
        let named = credentials.into_iter().map(|credential| (credential.name().to_owned(), lent(credential)));
        Self(Mutex::new(named.collect()))
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Lent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Credentials for FixedCredentials {
    async fn get(&self, _tenant: &str, name: &str) -> Result<Option<Lent>, CredentialsError> {
        Ok(self.all().get(name).cloned())
    }

    async fn park(&self, _tenant: &str, _version: i64, parked: &Parked) -> Result<Parking, CredentialsError> {
        if let Some(lent) = self.all().get_mut(&parked.credential) {
            lent.parked.get_or_insert_with(|| parked.clone());
        }
        Ok(Parking::Impossible)
    }

    async fn lease(&self, of: &Version<'_>, _until_ms: i64, _now_ms: i64) -> Result<Turn, CredentialsError> {
        let is_newest = self.all().get(of.name).is_some_and(|lent| lent.version == of.version);
        // The lock within the executor is all that it takes here.
        Ok(if is_newest { Turn::Mine { tries: 1, lost: false } } else { Turn::Changed })
    }

    async fn postpone(&self, _of: &Version<'_>, _until_ms: i64, _lost: bool) -> Result<(), CredentialsError> {
        Ok(())
    }

    async fn renew(&self, of: &Version<'_>, credential: &Credential, _now_ms: i64) -> Result<bool, CredentialsError> {
        let lent = Lent { credential: Arc::new(credential.clone()), version: of.version + 1, parked: None };
        match self.all().get_mut(of.name).filter(|before| before.version == of.version) {
            Some(before) => *before = lent,
            None => return Ok(false),
        }
        Ok(true)
    }
}
