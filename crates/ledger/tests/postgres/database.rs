//! A database for each test, made from a template that is migrated once, and dropped after it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use sqlx::{Connection, PgConnection};
use tidegate_ledger::{PostgresConfig, PostgresLedger};
use tokio::sync::Mutex;

/// The server, without a database.
pub(crate) fn server() -> String {
    std::env::var("TIDEGATE_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432".to_owned())
}

/// A database on the server, dropped with the last of its users.
pub(crate) struct Database {
    pub(crate) name: String,
    /// Stays as long as there are databases made from it.
    _template: Option<Arc<Database>>,
}

impl Database {
    /// One with the schema in it.
    pub(crate) async fn migrated() -> Self {
        let template = template().await;
        let mut database = Self::create(&format!("TEMPLATE {}", template.name)).await;
        database._template = Some(template);
        database
    }

    /// One with nothing in it.
    pub(crate) async fn blank() -> Self {
        Self::create("").await
    }

    async fn create(options: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidegate_ledger_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        execute(&format!("CREATE DATABASE {name} {options}")).await;
        // Servers that crash are tested elsewhere; here nobody waits for the disk.
        execute(&format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
        Self { name, _template: None }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/{}", server(), self.name)
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        PostgresConfig { connections: 4, ..PostgresConfig::new(self.url()) }
    }

    pub(crate) async fn ledger(&self) -> PostgresLedger {
        PostgresLedger::connect(&self.config()).await.expect("connects")
    }

    /// A connection beside the ledger's.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("connects")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(execute(&sql));
        });
        dropping.join().expect("drops");
    }
}

async fn template() -> Arc<Database> {
    static TEMPLATE: Mutex<Weak<Database>> = Mutex::const_new(Weak::new());
    let mut kept = TEMPLATE.lock().await;
    if let Some(template) = kept.upgrade() {
        return template;
    }
    let template = Arc::new(Database::create("").await);
    PostgresLedger::migrate(&template.config()).await.expect("migrates");
    *kept = Arc::downgrade(&template);
    template
}

async fn execute(sql: &str) {
    let mut admin = PgConnection::connect(&format!("{}/postgres", server())).await.expect("a Postgres server");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.expect("executes");
    admin.close().await.expect("closes");
}
