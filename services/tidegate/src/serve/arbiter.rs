//! The arbiter as a process.

use std::sync::Arc;
use std::time::Duration;

use tidegate_arbiter::{Arbiter, RedisConfig, RedisStore, WhileAway, http};
use tidegate_daemon::clock;

use super::secret::optional;
use super::{DRAIN, Start, secret};
use crate::cli::{RedisAway, Serve};

pub(super) async fn serve(start: &Start<'_>) -> anyhow::Result<()> {
    let config = RedisConfig {
        prefix: format!("{}tidegate:", start.args.prefix),
        sharing: start.sharing()?,
        while_away: while_away(start.args),
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

fn while_away(args: &Serve) -> WhileAway {
    match args.redis_away {
        RedisAway::Wait => WhileAway::Wait,
        RedisAway::Share => WhileAway::Share {
            percent: args.redis_away_share,
            at_most: Duration::from_secs(u64::from(args.redis_away_s)),
        },
    }
}
