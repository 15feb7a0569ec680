//! A collector of traces and metrics: OTLP over HTTP, read with as much of protobuf as that takes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One POST.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    path: String,
    body: Vec<u8>,
}

impl Post {
    /// Whether this text stands anywhere in it.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// Id of a span; written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SpanId([u8; 8]);

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) id: SpanId,
    /// Its trace's id, in hexadecimal.
    pub(crate) trace: String,
    /// Spans that it links to, of whatever trace.
    pub(crate) links: Vec<SpanId>,
}

/// The collector. Dropped, it ends.
pub(crate) struct Collector {
    url: String,
    posts: Arc<Mutex<Vec<Post>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await.expect("a free port")
    }

    /// `None`: somebody else is there.
    pub(crate) async fn start_at(address: &str) -> Option<Self> {
        let listener = TcpListener::bind(address).await.ok()?;
        let url = format!("http://{}", listener.local_addr().ok()?);
        let posts = Arc::<Mutex<Vec<Post>>>::default();
        let received = Arc::clone(&posts);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, Arc::clone(&received)));
            }
        });
        Some(Self { url, posts, accepting })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Everything that came.
    pub(crate) fn all(&self) -> Vec<Post> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came for this path.
    pub(crate) fn posts(&self, path: &str) -> Vec<Post> {
        self.all().into_iter().filter(|post| post.path == path).collect()
    }

    /// All spans, by the field numbers of `opentelemetry/proto/trace/v1/trace.proto`.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let posts = self.posts("/v1/traces");
        let resources = posts.iter().flat_map(|post| bytes(&post.body, 1));
        let spans = resources.flat_map(|resource| below(resource, &[2, 2]));
        spans
            .map(|span| Span {
                name: String::from_utf8_lossy(bytes(span, 5).next().expect("a span has a name")).into_owned(),
                id: span_id(bytes(span, 2).next().expect("a span has an id")),
                trace: bytes(span, 1)
                    .next()
                    .expect("a span has a trace")
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
                links: bytes(span, 13).map(|link| span_id(bytes(link, 2).next().expect("a link has a span"))).collect(),
            })
            .collect()
    }

    /// How much each metric counted: a counter's sum, or how often a histogram was recorded to, over all labels. By
    /// the field numbers of `opentelemetry/proto/metrics/v1/metrics.proto`; sums grow, so the last word counts.
    pub(crate) fn metrics(&self) -> HashMap<String, u64> {
        let posts = self.posts("/v1/metrics");
        let metrics = posts.iter().flat_map(|post| below(&post.body, &[1, 2, 2]));
        metrics
            .map(|metric| {
                let name = String::from_utf8_lossy(bytes(metric, 1).next().expect("a metric has a name")).into_owned();
                let of_counter = below(metric, &[7, 1]).into_iter().flat_map(|point| fixed(point, 6));
                let of_histogram = below(metric, &[9, 1]).into_iter().flat_map(|point| fixed(point, 4));
                (name, of_counter.chain(of_histogram).sum())
            })
            .collect()
    }

    /// The unit of each of our metrics, and the labels that its points had.
    pub(crate) fn described(&self) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let posts = self.posts("/v1/metrics");
        let mut described = BTreeMap::<String, (String, BTreeSet<String>)>::new();
        for metric in posts.iter().flat_map(|post| below(&post.body, &[1, 2, 2])) {
            let name = text(bytes(metric, 1).next().expect("a metric has a name"));
            let unit = bytes(metric, 3).next().map(text).unwrap_or_default();
            // Points of gauges and sums have their labels in field 7, those of histograms in field 9.
            let points = [[5, 1, 7], [7, 1, 7], [9, 1, 9]].into_iter().flat_map(|path| below(metric, &path));
            let labels = points.flat_map(|label| bytes(label, 1)).map(text);
            let (_, known) = described.entry(name).or_insert_with(|| (unit, BTreeSet::new()));
            known.extend(labels);
        }
        described
    }
}

async fn receive(stream: TcpStream, posts: Arc<Mutex<Vec<Post>>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        stream.read_exact(&mut body).await?;
        let path = head.split(' ').nth(1).expect("a path").to_owned();
        posts.lock().unwrap_or_else(PoisonError::into_inner).push(Post { path, body });
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    }
}

fn span_id(bytes: &[u8]) -> SpanId {
    SpanId(bytes.try_into().expect("a span's id has eight bytes"))
}

/// A field of a message (<https://protobuf.dev/programming-guides/encoding/>).
enum Field<'b> {
    Bytes(&'b [u8]),
    Fixed(u64),
    Other,
}

/// The messages at the end of this path of field numbers.
fn below<'b>(message: &'b [u8], path: &[u64]) -> Vec<&'b [u8]> {
    match path {
        [] => vec![message],
        [first, rest @ ..] => bytes(message, *first).flat_map(|inner| below(inner, rest)).collect(),
    }
}

/// Texts, bytes and messages of this field number.
fn bytes(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    let of_number = fields(message).into_iter().filter(move |(found, _)| *found == number);
    of_number.filter_map(|(_, field)| if let Field::Bytes(bytes) = field { Some(bytes) } else { None })
}

/// Numbers of eight bytes of this field number.
fn fixed(message: &[u8], number: u64) -> impl Iterator<Item = u64> {
    let of_number = fields(message).into_iter().filter(move |(found, _)| *found == number);
    of_number.filter_map(|(_, field)| if let Field::Fixed(number) = field { Some(number) } else { None })
}

fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let field = match tag & 7 {
            0 => {
                varint(&mut message);
                Field::Other
            }
            1 => Field::Fixed(u64::from_le_bytes(take(&mut message, 8).try_into().expect("eight bytes"))),
            2 => {
                let length = usize::try_from(varint(&mut message)).expect("a length");
                Field::Bytes(take(&mut message, length))
            }
            5 => {
                take(&mut message, 4);
                Field::Other
            }
            kind => panic!("protobuf has no wire type {kind}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn take<'b>(message: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (taken, rest) = message.split_at_checked(length).expect("the message breaks off");
    *message = rest;
    taken
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes")
}
