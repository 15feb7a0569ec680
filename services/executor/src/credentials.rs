//! Where credentials come from, and what is told of those that a provider takes no more.

use std::collections::HashMap;
use std::sync::Arc;

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
    /// It can't be renewed while its jobs go on.
    Impossible,
}

/// Credentials by tenant and name.
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
}

/// These and no others, whoever asks: those of the command line. They come from variables and files that are read at the
/// start, so none can be renewed.
#[derive(Debug, Default)]
pub struct FixedCredentials(HashMap<String, Arc<Credential>>);

impl FixedCredentials {
    /// These credentials.
    #[must_use]
    pub fn new(credentials: impl IntoIterator<Item = Credential>) -> Self {
        Self(credentials.into_iter().map(|credential| (credential.name().to_owned(), Arc::new(credential))).collect())
    }
}

#[async_trait]
impl Credentials for FixedCredentials {
    async fn get(&self, _tenant: &str, name: &str) -> Result<Option<Lent>, CredentialsError> {
        let lent = |credential| Lent { credential: Arc::clone(credential), version: 1, parked: None };
        Ok(self.0.get(name).map(lent))
    }

    async fn park(&self, _tenant: &str, _version: i64, _parked: &Parked) -> Result<Parking, CredentialsError> {
        Ok(Parking::Impossible)
    }
}
