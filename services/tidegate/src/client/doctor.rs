//! `tidegate doctor`: what is reachable from here, in which version, and what is wrong.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use tidegate_arbiter::{LimitStore, RedisConfig, RedisStore};
use tidegate_bus::{RabbitConfig, RabbitMq};
use tidegate_client::{Check, Client, JobQuery};
use tidegate_daemon::clock;
use tidegate_ledger::{PostgresConfig, PostgresLedger};
use url::Url;

use crate::cli::{Doctor, Gateway};
use crate::exit::Exit;
use crate::say;
use crate::serve::optional_secret;

/// Longest time for each look.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// What a look found.
type Found = Result<String, String>;

pub(crate) async fn doctor(args: Doctor) -> anyhow::Result<Exit> {
    say::answer(&format!("tidegate {}", env!("CARGO_PKG_VERSION")));
    let mut well = show("gateway", &hidden(args.gateway.url.as_str()), gateway(&args.gateway)).await;
    if let Some(url) = optional_secret("TIDEGATE_POSTGRES")? {
        well &= show("postgres", &hidden(url.expose_secret()), postgres(url.clone())).await;
    }
    if let Some(url) = optional_secret("TIDEGATE_RABBITMQ")? {
        well &= show("rabbitmq", &hidden(url.expose_secret()), rabbitmq(url.clone())).await;
    }
    if let Some(url) = optional_secret("TIDEGATE_REDIS")? {
        well &= show("redis", &hidden(url.expose_secret()), redis(url.clone())).await;
    }
    Ok(if well { Exit::Done } else { Exit::JobFailed })
}

async fn show(name: &str, address: &str, look: impl Future<Output = Found>) -> bool {
    let started = Instant::now();
    let found = tokio::time::timeout(LOOK_WITHIN, look).await;
    let found = found.unwrap_or_else(|_| Err(format!("no answer within {} s", LOOK_WITHIN.as_secs())));
    let took_ms = started.elapsed().as_millis();
    match &found {
        Ok(text) => say::answer(&format!("  ok     {name:<9} {address}  {text} ({took_ms} ms)")),
        Err(text) => say::answer(&format!("  WRONG  {name:<9} {address}  {text} ({took_ms} ms)")),
    }
    found.is_ok()
}

/// An address without what is secret in it.
fn hidden(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "(not an address)".to_owned() };
    if url.password().is_some() {
        // A URL with a password can have another.
        let _ = url.set_password(Some("***"));
    }
    url.set_query(None);
    url.to_string()
}

async fn gateway(gateway: &Gateway) -> Found {
    let key = optional_secret("TIDEGATE_API_KEY").map_err(chain)?;
    let keyless = key.is_none();
    let client = Client::new(gateway.url.clone(), key).map_err(chain)?;
    let ready = client.ready().await.map_err(chain)?;
    let reason = |check: &Check| format!("{}: {}", check.name, check.reason.as_deref().unwrap_or("down"));
    let down: Vec<String> = ready.checks.iter().filter(|check| !check.up).map(reason).collect();
    if !ready.ready {
        return Err(format!("not ready: {}", down.join("; ")));
    }
    if keyless {
        return Err("ready, but TIDEGATE_API_KEY is not set".to_owned());
    }
    match client.jobs(&JobQuery { limit: Some(1), ..JobQuery::default() }).await {
        Ok(_) => Ok("ready, and takes the API key".to_owned()),
        Err(error) => Err(format!("ready, but {}", chain(error))),
    }
}

/// An error with its causes.
fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

async fn postgres(url: SecretString) -> Found {
    let ledger = PostgresLedger::connect(&PostgresConfig { connections: 2, ..PostgresConfig::new(url) }).await;
    let ledger = ledger.map_err(chain)?;
    let version = ledger.version().await.map_err(chain)?;
    ledger.close().await;
    Ok(format!("PostgreSQL {version}, schema as it should be"))
}

async fn rabbitmq(url: SecretString) -> Found {
    let config = RabbitConfig { name: "tidegate-doctor".to_owned(), ..RabbitConfig::new(url) };
    let bus = RabbitMq::connect(config, clock::system()).await.map_err(chain)?;
    while bus.lost_for().is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok("connected".to_owned())
}

async fn redis(url: SecretString) -> Found {
    let store = RedisStore::new(&RedisConfig::new(url)).map_err(chain)?;
    let budgets = store.usage(clock::now_ms()).await.map_err(chain)?;
    Ok(format!("answers; {} budgets in use", budgets.len()))
}
