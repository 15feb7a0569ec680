//! The connection to Redis: quick to say that it can't be asked, and back by itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, FromRedisValue, IntoConnectionInfo, RedisError};

use super::RedisConfig;
use super::library::LIBRARY;
use crate::StoreError;

/// Between attempts to connect; drawn at random up to it, and doubled to the longest.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
const RECONNECT_LONGEST: Duration = Duration::from_millis(500);

/// What a server says that is a replica now: the address may lead to another one.
const DEMOTED: &str = "READONLY";

/// A connection that everybody shares.
pub(super) struct Connection {
    client: Client,
    answer_within: Duration,
    connect_within: Duration,
    current: Mutex<Current>,
}

/// A connection of which no answer came is replaced: a network that swallows packets says nothing for a quarter of an
/// hour.
struct Current {
    generation: u64,
    manager: ConnectionManager,
}

impl Connection {
    /// Connects when it is first used.
    pub(super) fn new(config: &RedisConfig, url: &str) -> Result<Self, RedisError> {
        // Without it a decision waits until the one before it is acknowledged.
        let tcp = TcpSettings::default().set_nodelay(true);
        let client = Client::open(url.into_connection_info()?.set_tcp_settings(tcp))?;
        let (answer_within, connect_within) = (config.answer_within, config.connect_within);
        let manager = manager(&client, connect_within)?;
        Ok(Self { client, answer_within, connect_within, current: Mutex::new(Current { generation: 0, manager }) })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // What is replaced under the lock is replaced whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command, within the time for an answer.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let (generation, mut manager) = {
            let current = self.current();
            (current.generation, current.manager.clone())
        };
        let answer = async {
            match command.query_async(&mut manager).await {
                Err(error) if is_unknown_function(&error) => {
                    load(&mut manager).await?;
                    command.query_async(&mut manager).await
                }
                answer => answer,
            }
        };
        match tokio::time::timeout(self.answer_within, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if error.code() == Some(DEMOTED) {
                    self.replace(generation);
                }
                Err(StoreError(format!("Redis: {error}")))
            }
            Err(_) => {
                self.replace(generation);
                Err(StoreError(format!("Redis gave no answer within {} ms", self.answer_within.as_millis())))
            }
        }
    }

    /// Why it can't be connected to, where that is so: while it tries again and again, no answer comes and no reason.
    pub(super) async fn trouble(&self) -> Option<StoreError> {
        let connecting = self.client.get_multiplexed_async_connection();
        match tokio::time::timeout(self.connect_within, connecting).await {
            Ok(Err(error)) => Some(StoreError(format!("Redis: {error}"))),
            _ => None,
        }
    }

    fn replace(&self, generation: u64) {
        let mut current = self.current();
        if current.generation != generation {
            return;
        }
        match manager(&self.client, self.connect_within) {
            Ok(manager) => *current = Current { generation: generation + 1, manager },
            Err(error) => tracing::error!(%error, "can't make a connection to Redis anew"),
        }
    }
}

/// Our own limit on answers is above this, over all that a command takes.
fn manager(client: &Client, connect_within: Duration) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(Some(connect_within))
        .set_min_delay(RECONNECT_FIRST)
        .set_max_delay(RECONNECT_LONGEST);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// After a restart without data, `FUNCTION FLUSH`, or this release's first call.
fn is_unknown_function(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("Function not found"))
        || error.to_string().contains("Function not found")
}

async fn load(manager: &mut ConnectionManager) -> Result<(), RedisError> {
    tracing::info!("loading the limits' functions into Redis");
    // Of the same name is the same source; somebody else may have been quicker.
    redis::cmd("FUNCTION").arg("LOAD").arg("REPLACE").arg(&LIBRARY.source).query_async::<String>(manager).await?;
    Ok(())
}
