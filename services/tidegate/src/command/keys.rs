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
    let (key, text) = NewKey::generate(tenant.clone(), &args.name, scopes, None);
    let now_ms = clock::now_ms();
    let stored = async |registry: Arc<dyn Registry>| {
        registry.add_tenant(&tenant, now_ms).await?;
        Ok(registry.add_key(&key, now_ms).await?)
    };
    with_registry(&args.place, stored).await?;
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
    let reseal = async |registry| Ok(Vault::new(registry, Arc::new(keys)).reseal().await?);
    let resealed = with_registry(&place, reseal).await?;
    say::answer(&format!("{resealed} credentials were sealed anew; all are sealed by key {id}"));
    Ok(Exit::Done)
}

/// Opens it, works on it, and closes it, whatever came of the work.
async fn with_registry<T>(
    place: &Place,
    work: impl AsyncFnOnce(Arc<dyn Registry>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let Some(state) = &place.state else {
        let ledger = PostgresLedger::connect(&serve::postgres_config(&place.stores)?).await?;
        return work(Arc::new(PostgresRegistry::new(ledger.pool().clone()))).await;
    };
    let registry = Arc::new(SqliteRegistry::open(state).await?);
    let done = work(Arc::<SqliteRegistry>::clone(&registry)).await;
    registry.close().await;
    done
}
