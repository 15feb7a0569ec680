//! A TCP relay between a bus and the broker, which can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) struct Relay {
    pub port: u16,
    cuts: watch::Sender<u32>,
    /// Counts up when packets are to be dropped and links left open.
    stalls: watch::Sender<u32>,
    open: Arc<AtomicBool>,
}

impl Relay {
    /// Listens, and passes on what comes to the broker at `target`.
    pub(super) async fn start(target: String) -> Self {
        let (listener, port) = listen().await;
        Self::on(listener, port, target)
    }

    pub(super) fn on(listener: TcpListener, port: u16, target: String) -> Self {
        let (cuts, stalls, open) = (watch::Sender::new(0), watch::Sender::new(0), Arc::new(AtomicBool::new(true)));
        let (cut, stall, is_open) = (cuts.clone(), stalls.clone(), open.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut cut, mut stall, target) = (cut.subscribe(), stall.subscribe(), target.clone());
                let is_open = is_open.clone();
                tokio::spawn(async move {
                    if !is_open.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(mut broker) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut broker) => {}
                        _ = cut.changed() => {}
                        _ = stall.changed() => drop(cut.changed().await),
                    }
                });
            }
        });
        Self { port, cuts, stalls, open }
    }

    /// Cuts every link; new ones are taken.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    /// Drops every packet of the links there are, and leaves them open; new ones are taken.
    pub(super) fn stall(&self) {
        self.stalls.send_modify(|count| *count += 1);
    }

    /// Whether new links are taken.
    pub(super) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

/// A listener below the ports that the system gives to those who dial: one that dials a free port of those again and
/// again ends up connected to itself.
pub(super) async fn listen() -> (TcpListener, u16) {
    loop {
        let port = rand::random_range(20_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return (listener, port);
        }
    }
}
