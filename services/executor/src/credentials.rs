//! Where credentials come from.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_provider::Credential;

/// Credentials can't be read now. Calls wait.
#[derive(Debug, thiserror::Error)]
#[error("credentials can't be read: {0}")]
pub struct CredentialsError(pub String);

/// Credentials by tenant and name.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The one of this name, if the tenant has it.
    ///
    /// # Errors
    /// [`CredentialsError`].
    async fn get(&self, tenant: &str, name: &str) -> Result<Option<Arc<Credential>>, CredentialsError>;
}

/// These and no others, whoever asks: those of the command line.
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
    async fn get(&self, _tenant: &str, name: &str) -> Result<Option<Arc<Credential>>, CredentialsError> {
        Ok(self.0.get(name).cloned())
    }
}
