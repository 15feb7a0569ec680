//! Credentials of `tidegate run`, and of calls by hand: as they are given, but for tokens that were refreshed, which are kept in the state file.
//!
//! A refresh may replace the refresh token that was given, so what it brings has to outlive the process. It is sealed, by the key
//! that the environment names or one beside the state file. Whoever gives other fields than before means those.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use tidegate::embedded::State;
use tidegate_contracts::Parked;
use tidegate_daemon::Clock;
use tidegate_executor::{Credentials, CredentialsError, FixedCredentials, Lent, Parking, Turn, Version};
use tidegate_ledger::Sync;
use tidegate_provider::file::Name;
use tidegate_provider::{Credential, Spec};
use tidegate_registry::{Registry as _, Tenant, Vault};

use crate::say;
use crate::serve::VaultCredentials;
use crate::serve::sealing_keys;

/// Whose they are in the state file: no tenant of a gateway over the same file.
const TENANT: &str = "run";
/// Begins the names of fields that keep what was given.
const GIVEN: &str = "given.";

/// The credentials of a job, those whose tokens can be refreshed out of the state file.
pub(crate) async fn kept_credentials(
    spec: &Spec,
    given: Vec<Credential>,
    state: &State,
    clock: &Clock,
) -> anyhow::Result<Arc<dyn Credentials>> {
    let renews = |credential: &Credential| spec.oauth2().is_some_and(|oauth2| oauth2.renews(credential));
    if !given.iter().any(renews) {
        return Ok(Arc::new(FixedCredentials::new(given)));
    }
    let (tenant, now_ms) = (TENANT.parse::<Tenant>()?, clock());
    let registry = state.registry().await?;
    registry.add_tenant(&tenant, now_ms).await?;
    // The state file is this process's alone.
    registry.end_leases().await?;
    let vault = Vault::new(registry, Arc::new(sealing_keys(&state.path)?));
    let mut names = Vec::new();
    for credential in given.iter().filter(|credential| renews(credential)) {
        let name = Name::try_from(credential.name().to_owned()).map_err(anyhow::Error::msg)?;
        let kept = match vault.open(&tenant, &name).await {
            Ok(kept) => kept.map(|kept| kept.credential),
            Err(error) => {
                say::note(&format!(
                    "warning: the token kept in the state file is not used: {:#}",
                    anyhow::Error::from(error)
                ));
                None
            }
        };
        if !kept.is_some_and(|kept| is_of(&kept, credential)) {
            vault.put(&tenant, &name, &with_given(credential), now_ms).await?;
        }
        names.push(credential.name().to_owned());
    }
    let kept = VaultCredentials::new(vault, Arc::clone(clock));
    Ok(Arc::new(KeptCredentials { names, kept, fixed: FixedCredentials::new(given) }))
}

/// The same for calls by hand: works with them, over the state file where a token may be fetched.
pub(crate) async fn with_kept<T>(
    (spec, given): (&Spec, Vec<Credential>),
    (state, clock): (&Path, &Clock),
    work: impl AsyncFnOnce(&dyn Credentials) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let renews = |credential: &Credential| spec.oauth2().is_some_and(|oauth2| oauth2.renews(credential));
    if !given.iter().any(renews) {
        return work(&FixedCredentials::new(given)).await;
    }
    let state = State::open(state, Sync::Full).await?;
    let work = async |state: &State| work(&*kept_credentials(spec, given, state, clock).await?).await;
    state.close_after(work).await
}

/// The credential with a copy of each field, to know it again after its tokens were refreshed.
fn with_given(credential: &Credential) -> Credential {
    let fields: Vec<(String, SecretString)> =
        credential.fields().map(|(name, secret)| (name.to_owned(), secret.clone())).collect();
    let copies: Vec<_> = fields.iter().map(|(name, secret)| (format!("{GIVEN}{name}"), secret.clone())).collect();
    Credential::new(credential.name(), fields.into_iter().chain(copies))
}

/// Whether what is kept came of what is given.
fn is_of(kept: &Credential, given: &Credential) -> bool {
    let of_kept = kept.fields().filter_map(|(name, secret)| Some((name.strip_prefix(GIVEN)?, secret.expose_secret())));
    of_kept.eq(given.fields().map(|(name, secret)| (name, secret.expose_secret())))
}

struct KeptCredentials {
    /// Of those that are kept.
    names: Vec<String>,
    kept: VaultCredentials,
    fixed: FixedCredentials,
}

impl KeptCredentials {
    fn keeps(&self, name: &str) -> bool {
        self.names.iter().any(|kept| kept == name)
    }
}

#[async_trait]
impl Credentials for KeptCredentials {
    async fn get(&self, tenant: &str, name: &str) -> Result<Option<Lent>, CredentialsError> {
        if self.keeps(name) { self.kept.get(TENANT, name).await } else { self.fixed.get(tenant, name).await }
    }

    async fn park(&self, _tenant: &str, _version: i64, _parked: &Parked) -> Result<Parking, CredentialsError> {
        // Whoever could store it anew gave it at the start.
        Ok(Parking::Impossible)
    }

    async fn lease(&self, of: &Version<'_>, until_ms: i64, now_ms: i64) -> Result<Turn, CredentialsError> {
        self.kept.lease(&Version { tenant: TENANT, ..*of }, until_ms, now_ms).await
    }

    async fn postpone(&self, of: &Version<'_>, until_ms: i64, lost: bool) -> Result<(), CredentialsError> {
        self.kept.postpone(&Version { tenant: TENANT, ..*of }, until_ms, lost).await
    }

    async fn renew(&self, of: &Version<'_>, credential: &Credential, now_ms: i64) -> Result<bool, CredentialsError> {
        self.kept.renew(&Version { tenant: TENANT, ..*of }, credential, now_ms).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(fields: &[(&str, &str)]) -> Credential {
        Credential::new("a", fields.iter().map(|(name, secret)| ((*name).to_owned(), (*secret).into())))
    }

    #[test]
    fn what_is_kept_is_known_by_what_was_given() {
        let given = credential(&[("client_id", "me"), ("refresh_token", "r1")]);
        let kept = with_given(&given);
        assert_eq!(kept.field("refresh_token").map(|secret| secret.expose_secret()), Some("r1"));
        assert!(is_of(&kept, &given));
        for other in [&[("client_id", "me"), ("refresh_token", "r2")][..], &[("client_id", "me")], &[]] {
            assert!(!is_of(&kept, &credential(other)));
        }
        let more = [("client_id", "me"), ("refresh_token", "r1"), ("token", "t")];
        assert!(!is_of(&kept, &credential(&more)));
    }
}
