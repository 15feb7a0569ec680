//! Links that die silently.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate_ledger::{Ledger, PostgresConfig, PostgresLedger};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::database::{Database, server};
use crate::job::{NOW, begin, new_job, windows};

/// Stands before the server; links that are there when it goes dark stay open and carry nothing any more.
struct Proxy {
    port: u16,
    dark: Arc<std::sync::Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("is bound").port();
        let host = server().rsplit_once('@').map(|(_, host)| host.to_owned()).expect("a host");
        let dark = Arc::new(std::sync::Mutex::new(Vec::new()));
        let links = dark.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&host).await.expect("connects");
                let is_dark = Arc::new(AtomicBool::new(false));
                links.lock().expect("locks").push(is_dark.clone());
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(carry(from_client, to_server, is_dark.clone()));
                tokio::spawn(carry(from_server, to_client, is_dark));
            }
        });
        Self { port, dark }
    }

    fn go_dark(&self) {
        for link in self.dark.lock().expect("locks").iter() {
            link.store(true, Ordering::SeqCst);
        }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, dark: Arc<AtomicBool>) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !dark.load(Ordering::SeqCst) && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    if dark.load(Ordering::SeqCst) {
        // Nor does anybody hear that the other side is gone.
        std::future::pending::<()>().await;
    }
}

async fn ledger_behind(proxy: &Proxy, database: &Database) -> PostgresLedger {
    let user = server().rsplit_once('@').map(|(user, _)| user.to_owned()).expect("a user");
    let url = format!("{user}@127.0.0.1:{}/{}", proxy.port, database.name);
    let config =
        PostgresConfig { connections: 1, statement_timeout: Duration::from_millis(250), ..PostgresConfig::new(url) };
    PostgresLedger::connect(&config).await.expect("connects")
}

/// <https://github.com/transact-rs/sqlx/issues/4349>: the pool's only place must not go with a caller that gave up.
#[tokio::test]
async fn a_caller_that_gives_up_on_a_dead_link_leaves_its_place_to_the_next() {
    let database = Database::migrated().await;
    let proxy = Proxy::start().await;
    let ledger = ledger_behind(&proxy, &database).await;
    let (job, _) = begin(&ledger, 3, 9).await;
    for _ in 0..3 {
        proxy.go_dark();
        let given_up = tokio::time::timeout(Duration::from_millis(100), ledger.commit(&[], &windows(9), NOW)).await;
        assert!(given_up.is_err(), "the link was dark");
        let started = Instant::now();
        assert!(ledger.job(job).await.expect("reads").is_some());
        // At most what a connection may take that was on its way back when the link went dark.
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
    ledger.close().await;
}

#[tokio::test]
async fn work_on_a_dead_link_ends_in_time_and_goes_on_over_another() {
    let database = Database::migrated().await;
    let proxy = Proxy::start().await;
    let ledger = ledger_behind(&proxy, &database).await;
    let new = new_job();
    ledger.submit(&new, NOW).await.expect("submits");
    proxy.go_dark();
    let started = Instant::now();
    // The first try waits for nothing until its time is over; the second has a new link.
    assert!(ledger.job(new.id).await.expect("reads").is_some());
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    ledger.close().await;
}
