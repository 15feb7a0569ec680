//! A tap on the wire between the program and a third party: what was asked for and when, and, where a test wants it,
//! an answer in the third party's stead.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A request that passed.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Path and query.
    pub(crate) target: String,
    pub(crate) at: Instant,
}

/// Whether a request, by its path and query, is answered here with a 500.
type Broken = dyn Fn(&str) -> bool + Send + Sync;

/// Listens where the program calls, and passes everything on. Dropped, it ends.
pub(crate) struct Tap {
    address: SocketAddr,
    wire: Arc<Wire>,
    listening: JoinHandle<()>,
}

struct Wire {
    upstream: String,
    asked: Mutex<Vec<Asked>>,
    broken: Mutex<Option<Arc<Broken>>>,
}

impl Tap {
    /// Before the third party at `base_url`.
    pub(crate) async fn before(base_url: &str) -> Self {
        let upstream = base_url.trim_start_matches("http://").to_owned();
        let wire = Arc::new(Wire { upstream, asked: Mutex::default(), broken: Mutex::default() });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let listening = tokio::spawn(listen(listener, Arc::clone(&wire)));
        Self { address, wire, listening }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, in the order of their coming.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.wire.asked().clone()
    }

    /// How many requests came for each path and query.
    pub(crate) fn times(&self) -> HashMap<String, usize> {
        let mut times = HashMap::new();
        for asked in self.wire.asked().iter() {
            *times.entry(asked.target.clone()).or_default() += 1;
        }
        times
    }

    /// From now on, requests of which this is true are answered with a 500 and not passed on.
    pub(crate) fn break_where(&self, broken: impl Fn(&str) -> bool + Send + Sync + 'static) {
        *self.wire.broken() = Some(Arc::new(broken));
    }

    /// From now on, everything is passed on.
    pub(crate) fn mend(&self) {
        *self.wire.broken() = None;
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Wire {
    fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().expect("nobody panics with it")
    }

    fn broken(&self) -> MutexGuard<'_, Option<Arc<Broken>>> {
        self.broken.lock().expect("nobody panics with it")
    }
}

async fn listen(listener: TcpListener, wire: Arc<Wire>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(connect(client, Arc::clone(&wire)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes on what comes by one connection, until either side ends it.
async fn connect(client: TcpStream, wire: Arc<Wire>) {
    let Ok(server) = TcpStream::connect(&wire.upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let to_client = tokio::sync::Mutex::new(to_client);
    let ended = tokio::select! {
        ended = pass_requests(from_client, to_server, &to_client, &wire) => ended,
        ended = pass_answers(from_server, &to_client) => ended,
    };
    if ended.is_err() {
        // A reset is passed on as a reset.
        let _ = to_client.lock().await.as_ref().set_zero_linger();
    }
}

async fn pass_answers(mut from: OwnedReadHalf, to: &tokio::sync::Mutex<OwnedWriteHalf>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        to.lock().await.write_all(&buffer[..read]).await?;
    }
}

async fn pass_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    back: &tokio::sync::Mutex<OwnedWriteHalf>,
    wire: &Wire,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = request(&buffer) else {
            if from.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let bytes: Vec<u8> = buffer.drain(..request.bytes).collect();
        wire.asked().push(Asked { target: request.target.clone(), at: Instant::now() });
        let broken = wire.broken().clone();
        if broken.is_some_and(|broken| broken(&request.target)) {
            // The server has nothing to say meanwhile: requests come one after the other.
            back.lock().await.write_all(BROKEN.as_bytes()).await?;
        } else {
            to.write_all(&bytes).await?;
        }
    }
}

const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 43\r\n\r\n\
                      {\"error\":{\"message\":\"The disk is on fire\"}}";

/// A whole request at the beginning of a buffer.
struct Request {
    target: String,
    bytes: usize,
}

fn request(buffer: &[u8]) -> Option<Request> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&buffer[..head]);
    let mut lines = text.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let length =
        lines.filter_map(|line| line.split_once(": ")).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let bytes = head + 4 + length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
    (buffer.len() >= bytes).then_some(Request { target, bytes })
}
