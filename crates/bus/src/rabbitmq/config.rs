//! Bounds and address of the bus.

use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret as _, SecretString};

use crate::BusError;

/// How the bus reaches its broker, and its bounds.
#[derive(Debug, Clone)]
pub struct RabbitConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` for TLS (rustls, with the system's certificates).
    pub url: SecretString,
    /// Before the name of every exchange and queue, so that deployments can share a broker; default none.
    pub prefix: String,
    /// Name of the connections, for people who look at the broker; default `tidegate`.
    pub name: String,
    /// Messages of the broker's that a queue may hold, and a level of the delay ladder; default 1,000,000. An
    /// argument of the queues: another number on existing ones is refused by the broker.
    pub queue_max: u32,
    /// Events that a slow watcher may fall behind before it misses the oldest; default 4,096.
    pub events_max: u32,
    /// How long a publish may take, reconnecting and waiting for room included; default 10 s.
    pub publish_timeout: Duration,
    /// How long connecting, declaring or subscribing may take each; default 10 s.
    pub connect_timeout: Duration,
    /// A silent link is taken for cut after twice this; default 20 s, at least 1 s.
    pub heartbeat: Duration,
    /// How long the broker may be lost before [`super::RabbitMq::given_up`] says so; default 5 min.
    pub give_up_after: Duration,
    /// How long a consumer may go unpolled before its health check fails; default 10 min. Longer than any handler
    /// works with its hands full.
    pub poll_within: Duration,
}

impl RabbitConfig {
    /// The defaults, for a broker.
    #[must_use]
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            prefix: String::new(),
            name: "tidegate".into(),
            queue_max: 1_000_000,
            events_max: 4_096,
            publish_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(20),
            give_up_after: Duration::from_secs(300),
            poll_within: Duration::from_secs(600),
        }
    }

    /// The broker's address. The URL holds a password, so an error never quotes it.
    pub(super) fn uri(&self) -> Result<AMQPUri, BusError> {
        let parsed: Result<AMQPUri, _> = self.url.expose_secret().parse();
        let mut uri = parsed.map_err(|_| BusError::Broker {
            what: "be reached",
            source: "its address must be of the form amqp://user:password@host:port/vhost".into(),
        })?;
        let seconds = u16::try_from(self.heartbeat.as_secs().max(1)).unwrap_or(u16::MAX);
        uri.query.heartbeat = Some(seconds);
        uri.query.connection_timeout = u64::try_from(self.connect_timeout.as_millis()).ok();
        Ok(uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_address_is_refused_without_quoting_it() {
        for url in ["hunter2", "http://user:hunter2@host", "amqp://user:hunter2@host:port", ""] {
            let config = RabbitConfig::new(SecretString::from(url));
            let error = config.uri().expect_err("refused");
            let text = format!("{error} {error:?} {config:?}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
