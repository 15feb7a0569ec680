//! A third party with bad manners: a TCP server that speaks HTTP by hand, so that nothing keeps it from speaking it
//! badly. What it answers is a closure over what it was asked.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest request read, in bytes.
const REQUEST_MAX_BYTES: usize = 64 << 10;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// How many came before it.
    pub(crate) nth: usize,
    /// Path and query.
    pub(crate) target: String,
    /// Request line and headers as they came.
    pub(crate) head: String,
    pub(crate) at: Instant,
}

impl Seen {
    /// The value of a query parameter, as it came.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The value of a query parameter that is a number; 0 where there is none.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.query(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

/// What is done to a request.
pub(crate) enum Trick {
    /// These bytes, and the end of the connection.
    Say(Vec<u8>),
    /// This head, then the piece again and again, and the end of the connection.
    Repeat { head: String, piece: Vec<u8>, times: u64 },
    /// These bytes one by one, with this pause before each.
    Drip { bytes: Vec<u8>, pause: Duration },
    /// Nothing at all; the connection stays open.
    Silence,
    /// These bytes, and then the connection is reset.
    Reset(Vec<u8>),
}

impl Trick {
    /// A JSON answer with status 200.
    pub(crate) fn json(body: impl AsRef<[u8]>) -> Self {
        Self::answer("200 OK", "content-type: application/json\r\n", body)
    }

    /// An answer: its status line, its header lines, each with its end, and its body.
    pub(crate) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let mut bytes = head(status, headers, Some(body.as_ref().len() as u64)).into_bytes();
        bytes.extend_from_slice(body.as_ref());
        Self::Say(bytes)
    }

    /// Sent on to another address.
    pub(crate) fn redirect(to: &str) -> Self {
        Self::answer("302 Found", &format!("location: {to}\r\n"), "")
    }
}

/// The head of an answer; without a length it ends with its connection.
pub(crate) fn head(status: &str, headers: &str, length: Option<u64>) -> String {
    let length = length.map(|bytes| format!("content-length: {bytes}\r\n")).unwrap_or_default();
    format!("HTTP/1.1 {status}\r\n{headers}{length}connection: close\r\n\r\n")
}

/// The items `from` up to, but not including, `until` as a page, with other fields behind them.
pub(crate) fn page(from: u64, until: u64, others: &str) -> String {
    let items: Vec<String> = (from..until).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    format!(r#"{{"items":[{}]{others}}}"#, items.join(","))
}

/// The running server. Dropping it closes its port and all connections.
pub(crate) struct Hostile {
    origin: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    sent_bytes: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Hostile {
    /// Starts it on a port of its own.
    pub(crate) async fn start(script: impl Fn(&Seen) -> Trick + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let (seen, sent_bytes) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicU64>::default());
        let guest = Guest { seen: Arc::clone(&seen), sent_bytes: Arc::clone(&sent_bytes), script: Arc::new(script) };
        let accepting = tokio::spawn(async move {
            // A set, so that connections end with the server.
            let mut guests = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                guests.spawn(guest.clone().serve(stream));
                while guests.try_join_next().is_some() {}
            }
        });
        Self { origin, seen, sent_bytes, accepting }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Requests so far, in the order they came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that it got rid of so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Relaxed)
    }
}

#[derive(Clone)]
struct Guest {
    seen: Arc<Mutex<Vec<Seen>>>,
    sent_bytes: Arc<AtomicU64>,
    script: Arc<dyn Fn(&Seen) -> Trick + Send + Sync>,
}

impl Guest {
    /// One request, one trick. A guest that leaves early is what most tricks are for, so errors end it quietly.
    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(head) = read_head(&mut stream).await? else { return Ok(()) };
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let seen = {
            let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = Seen { nth: all.len(), target, head, at: Instant::now() };
            all.push(seen.clone());
            seen
        };
        match (self.script)(&seen) {
            Trick::Say(bytes) => self.send(&mut stream, &bytes).await?,
            Trick::Repeat { head, piece, times } => {
                self.send(&mut stream, head.as_bytes()).await?;
                for _ in 0..times {
                    self.send(&mut stream, &piece).await?;
                }
            }
            Trick::Drip { bytes, pause } => {
                for byte in bytes {
                    tokio::time::sleep(pause).await;
                    self.send(&mut stream, &[byte]).await?;
                }
            }
            Trick::Silence => {
                // Until the guest has enough.
                let _ = stream.read_u8().await;
            }
            Trick::Reset(bytes) => {
                self.send(&mut stream, &bytes).await?;
                stream.set_zero_linger()?;
                return Ok(());
            }
        }
        stream.shutdown().await
    }

    async fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        stream.write_all(bytes).await?;
        self.sent_bytes.fetch_add(bytes.len() as u64, Relaxed);
        Ok(())
    }
}

/// Up to the blank line; `None` if the guest left before.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if bytes.len() > REQUEST_MAX_BYTES || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
