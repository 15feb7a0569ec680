//! `tidegate keys`: API keys and sealing keys; `tidegate credentials rotate`.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tidegate_daemon::clock;
use tidegate_ledger::PostgresLedger;
use tidegate_registry::{NewKey, PostgresRegistry, Registry, Scopes, SealingKeys, SqliteRegistry, Tenant, Vault};

use crate::cli::{CreateKey, Place};
use crate::exit::Exit;
use crate::files::FilesError;
use crate::{say, serve};

pub(crate) fn new_sealing_key(id: &str) -> Exit {
    say::answer(&SealingKeys::generate(id));
    Exit::Done
}

/// Prints the key alone, so that a script can keep it.
pub(crate) async fn create(args: CreateKey) -> anyhow::Result<Exit> {
    let tenant: Tenant = args.tenant.parse().map_err(|error| FilesError::one(format!("--tenant: {error}")))?;
    let scopes =
        Scopes::try_from(args.scopes.join(" ")).map_err(|error| FilesError::one(format!("--scopes: {error}")))?;
    let registry = registry(&args.place).await?;
    let now_ms = clock::now_ms();
    registry.add_tenant(&tenant, now_ms).await?;
    let (key, text) = NewKey::generate(tenant, &args.name, scopes, None);
    registry.add_key(&key, now_ms).await?;
    say::answer(text.expose_secret());
    Ok(Exit::Done)
}

/// Seals all credentials by the first sealing key. To be repeated at will.
pub(crate) async fn rotate(place: Place) -> anyhow::Result<Exit> {
    let keys = match &place.state {
        Some(state) => serve::sealing_keys(state)?,
        None => SealingKeys::load(|name| std::env::var(name).ok())?,
    };
    let id = keys.sealing_id().to_owned();
    let resealed = Vault::new(registry(&place).await?, Arc::new(keys)).reseal().await?;
    say::answer(&format!("{resealed} credentials were sealed anew; all are sealed by key {id}"));
    Ok(Exit::Done)
}

async fn registry(place: &Place) -> anyhow::Result<Arc<dyn Registry>> {
    Ok(match &place.state {
        Some(state) => Arc::new(SqliteRegistry::open(state).await?),
        None => {
            let ledger = PostgresLedger::connect(&serve::postgres_config(&place.stores)?).await?;
            Arc::new(PostgresRegistry::new(ledger.pool().clone()))
        }
    })
}
