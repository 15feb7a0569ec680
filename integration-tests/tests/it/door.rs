//! A door before a third party, which can be shut in all the ways in which third parties are away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::impostor::Certificates;

/// What happens to who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Everything is passed on.
    Open,
    /// Nobody listens.
    Refused,
    /// Connections are taken, and nothing is said.
    Silent,
    /// Connections are cut.
    Cut,
    /// Each request is answered by a gateway that has nobody behind it.
    Unavailable,
    /// What is said is no TLS and no HTTP.
    Babble,
    /// Everything is passed on after this time.
    Slow(Duration),
    /// TLS is spoken with a certificate that nobody trusts.
    Impostor,
}

/// What is behind the door.
struct House {
    /// Host and port.
    upstream: String,
    /// What TLS is spoken with, if it is.
    certificates: Option<Certificates>,
}

/// A door before a third party. Dropped, it ends.
pub(crate) struct Doorway {
    address: SocketAddr,
    door: watch::Sender<Door>,
    came: Arc<AtomicU64>,
    keeping: JoinHandle<()>,
}

impl Doorway {
    /// An open one before the third party at `base_url`.
    pub(crate) async fn before(base_url: &str) -> Self {
        Self::kept(base_url, None).await
    }

    /// An open one, at which TLS is spoken.
    pub(crate) async fn before_over_tls(base_url: &str, certificates: &Certificates) -> Self {
        Self::kept(base_url, Some(certificates.clone())).await
    }

    async fn kept(base_url: &str, certificates: Option<Certificates>) -> Self {
        let house = Arc::new(House { upstream: base_url.trim_start_matches("http://").to_owned(), certificates });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (door, seen) = watch::channel(Door::Open);
        let came = Arc::<AtomicU64>::default();
        let keeping = tokio::spawn(keep(listener, address, house, seen, Arc::clone(&came)));
        Self { address, door, came, keeping }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections that are there end with the change, or if it is none, too.
    pub(crate) fn set(&self, door: Door) {
        self.door.send_replace(door);
    }

    /// Connections that were taken.
    pub(crate) fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }
}

impl Drop for Doorway {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

async fn keep(
    listener: TcpListener,
    address: SocketAddr,
    house: Arc<House>,
    mut door: watch::Receiver<Door>,
    came: Arc<AtomicU64>,
) {
    let mut listener = Some(listener);
    let mut guests = JoinSet::new();
    loop {
        let now = *door.borrow_and_update();
        if now == Door::Refused {
            listener = None;
            guests.abort_all();
            if door.changed().await.is_err() {
                return;
            }
            continue;
        }
        if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        let Some(open) = &listener else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        tokio::select! {
            changed = door.changed() => {
                if changed.is_err() {
                    return;
                }
                guests.abort_all();
            }
            accepted = open.accept() => if let Ok((guest, _)) = accepted {
                came.fetch_add(1, Ordering::Relaxed);
                guests.spawn(receive(guest, Arc::clone(&house), now));
            },
            Some(_) = guests.join_next() => {}
        }
    }
}

async fn receive(mut guest: TcpStream, house: Arc<House>, door: Door) {
    _ = guest.set_nodelay(true);
    let mut request = [0; 16_384];
    match door {
        Door::Open => house.admit(guest, false).await,
        Door::Impostor => house.admit(guest, true).await,
        Door::Slow(by) => {
            tokio::time::sleep(by).await;
            house.admit(guest, false).await;
        }
        Door::Silent => while matches!(guest.read(&mut request).await, Ok(1..)) {},
        Door::Refused | Door::Cut => _ = guest.set_zero_linger(),
        Door::Unavailable => {
            while matches!(guest.read(&mut request).await, Ok(1..)) {
                let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\naway";
                if guest.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
        Door::Babble => {
            _ = guest.read(&mut request).await;
            _ = guest.write_all(b"\x15\x03\x01 what?\n").await;
        }
    }
}

impl House {
    async fn admit(&self, mut guest: TcpStream, is_impostor: bool) {
        let Some(certificates) = &self.certificates else { return self.pass(&mut guest).await };
        if let Ok(mut guest) = certificates.accept(guest, is_impostor).await {
            self.pass(&mut guest).await;
        }
    }

    async fn pass(&self, guest: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
        let Ok(mut server) = TcpStream::connect(&self.upstream).await else { return };
        _ = server.set_nodelay(true);
        _ = copy_bidirectional(guest, &mut server).await;
    }
}
