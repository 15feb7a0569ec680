//! `tidegate keys`: API keys and sealing keys.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tidegate_daemon::clock;
use tidegate_ledger::PostgresLedger;
use tidegate_registry::{NewKey, PostgresRegistry, Registry, Scopes, SealingKeys, SqliteRegistry, Tenant};

use crate::cli::CreateKey;
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
    let registry: Arc<dyn Registry> = match &args.state {
        Some(state) => Arc::new(SqliteRegistry::open(state).await?),
        None => {
            let ledger = PostgresLedger::connect(&serve::postgres_config(&args.stores)?).await?;
            Arc::new(PostgresRegistry::new(ledger.pool().clone()))
        }
    };
    let now_ms = clock::now_ms();
    registry.add_tenant(&tenant, now_ms).await?;
    let (key, text) = NewKey::generate(tenant, &args.name, scopes, None);
    registry.add_key(&key, now_ms).await?;
    say::answer(text.expose_secret());
    Ok(Exit::Done)
}
