//! The arbiter as a process.

use std::sync::Arc;

use tidegate_arbiter::{Arbiter, RedisConfig, RedisStore, http};
use tidegate_daemon::clock;

use super::secret::optional;
use super::{DRAIN, Start, secret};

pub(super) async fn serve(start: &Start<'_>) -> anyhow::Result<()> {
    let config = RedisConfig {
        prefix: format!("{}tidegate:", start.args.prefix),
        sharing: start.sharing()?,
        ..RedisConfig::new(secret("TIDEGATE_REDIS")?)
    };
    let store = RedisStore::new(&config)?;
    let arbiter = Arc::new(Arbiter::new(Arc::new(store), clock::system()));
    let listener = start.listen().await?;
    start.announce("arbiter", listener.local_addr()?);
    let deps = http::Deps { arbiter, health: start.health.clone() };
    let token = optional("TIDEGATE_SERVICE_TOKEN")?;
    let config = http::Config { token, max_choices: start.args.max_choices, ..http::Config::default() };
    let served = http::start(deps, config, listener, &start.shutdown)?.join_within(DRAIN).await;
    tracing::info!("stopped");
    Ok(served?)
}
