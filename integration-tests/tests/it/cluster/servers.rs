//! Servers of a test's own, from the installed packages, which it may kill and start again.
//!
//! A package that is missing fails the test: what it tests would otherwise be tested nowhere.

mod authority;
mod postgres;
mod rabbit;
mod redis_server;
mod rotel;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

pub(super) use authority::Authority;
pub(super) use postgres::{Postgres, user as server_user};
pub(super) use rabbit::{Node, Rabbit};
pub(super) use redis_server::Redis;
pub(super) use rotel::{Rotel, Span};

/// Where the servers of a cluster are.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// Without the name of a database.
    pub(crate) postgres: String,
    pub(crate) redis: String,
    /// With its virtual host; `None`: one is made on the machine's broker.
    pub(crate) rabbitmq: Option<String>,
    /// Of the broker.
    pub(crate) node: Node,
}

impl Addresses {
    /// The machine's own, or those that `TIDEGATE_TEST_…` names.
    pub(crate) fn usual() -> Self {
        let postgres = server("POSTGRES", "postgres://postgres@127.0.0.1:5432");
        Self { postgres, redis: server("REDIS", "redis://127.0.0.1:6379"), rabbitmq: None, node: Node::default() }
    }

    /// Another PostgreSQL.
    pub(crate) fn postgres(self, postgres: &Postgres) -> Self {
        Self { postgres: postgres.url(), ..self }
    }

    /// Another Redis.
    pub(crate) fn redis(self, redis: &Redis) -> Self {
        Self { redis: redis.url(), ..self }
    }

    /// Another RabbitMQ.
    pub(crate) fn rabbitmq(self, rabbit: &Rabbit) -> Self {
        Self { rabbitmq: Some(rabbit.url()), node: rabbit.node(), ..self }
    }
}

/// The broker that tests share, without a virtual host.
pub(super) fn shared_rabbitmq() -> String {
    server("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672")
}

fn server(name: &str, usual: &str) -> String {
    std::env::var(format!("TIDEGATE_TEST_{name}")).unwrap_or_else(|_| usual.to_owned())
}

/// Two free ports, one above the other: below those that outgoing connections take, so that no client of a server that
/// is away sits down on its port.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = (std::process::id() % 5_000) as u16 * 2;
    let ports = std::iter::repeat_with(|| 12_000 + (first + NEXT.fetch_add(2, Relaxed)) % 10_000);
    ports.take(5_000).find(|port| is_free(*port) && is_free(port + 1)).expect("a free port")
}

/// The newest program of this name below a folder of versions, as Debian's packages put them.
fn installed(folder: &str, program: &str, package: &str) -> PathBuf {
    let versions = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join(program)).filter(|path| path.exists()).max();
    found.unwrap_or_else(|| panic!("{program} is not in {folder}; this test needs the package {package}"))
}

/// Makes a folder the property of a user.
pub(super) fn give(folder: &Path, (uid, gid): (u32, u32)) {
    std::os::unix::fs::chown(folder, Some(uid), Some(gid)).expect("a folder of the test's own can be given away");
}
