//! The smallest client that sees what a body, a length and a connection really did.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde_json::Value;
use tidegate_simulator::Running;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing here takes longer, unless it hangs on purpose.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// An answer, as far as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The body is as long as it was said to be, or ended as it should.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or_else(|| panic!("no {name} among {:?}", self.headers), String::as_str)
    }

    /// Ids of the items at `$.items[*].id`.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.ids_at("/items")
    }

    pub(crate) fn ids_at(&self, pointer: &str) -> Vec<String> {
        let json = self.json();
        let items = json.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no items in {json}"));
        items.iter().map(|item| item["id"].as_str().map_or_else(|| item["id"].to_string(), str::to_owned)).collect()
    }
}

/// GET `path` without more ado; panics unless there is an answer.
pub(crate) async fn get(running: &Running, path: &str) -> Answer {
    call(running, &format!("GET {path}"), "", "").await.unwrap()
}

/// GET `path` with more headers, each line ended by `\r\n`.
pub(crate) async fn get_with(running: &Running, path: &str, headers: &str) -> Answer {
    call(running, &format!("GET {path}"), headers, "").await.unwrap()
}

/// One call, such as `GET /users`, on a connection of its own. An error where no head of an answer came.
pub(crate) async fn call(running: &Running, target: &str, headers: &str, body: &str) -> io::Result<Answer> {
    tokio::time::timeout(DEADLINE, call_unhurried(running, target, headers, body)).await?
}

async fn call_unhurried(running: &Running, target: &str, headers: &str, body: &str) -> io::Result<Answer> {
    let mut stream = send(running, target, headers, body).await?;
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes).await;
    match answer(&bytes) {
        Some(answer) => Ok(Answer { whole: answer.whole && read.is_ok(), ..answer }),
        None => Err(read.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Sends a call, and leaves the answer to be read.
pub(crate) async fn send(running: &Running, target: &str, headers: &str, body: &str) -> io::Result<TcpStream> {
    let host = running.base_url().replace("http://", "");
    let mut stream = TcpStream::connect(&host).await?;
    let length = body.len();
    let head = format!(
        "{target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

fn answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let (body, whole) = if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        unchunked(body)
    } else {
        let promised: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        (body.to_vec(), body.len() == promised)
    };
    Some(Answer { status, headers, body, whole })
}

fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size else { break };
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    (body, false)
}

/// `text` as part of a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Follows a list from `first` to its end: `next` makes the next path of an answer. Calls that fail are repeated.
pub(crate) async fn follow(running: &Running, first: &str, next: impl Fn(&Answer) -> Option<String>) -> Vec<String> {
    let mut ids = Vec::new();
    let mut path = Some(first.to_owned());
    while let Some(at) = path {
        let answer = persist(running, &at).await;
        ids.extend(answer.ids());
        path = next(&answer).map(|url| url.strip_prefix(&running.base_url()).unwrap_or(&url).to_owned());
    }
    ids
}

/// Calls again until there is a page.
pub(crate) async fn persist(running: &Running, path: &str) -> Answer {
    for _ in 0..5 {
        match call(running, &format!("GET {path}"), "", "").await {
            Ok(answer)
                if answer.status == 200
                    && answer.whole
                    && answer.text().contains("\"items\":[")
                    && answer.text().ends_with('}') =>
            {
                return answer;
            }
            _ => {}
        }
    }
    panic!("no page at {path} after 5 attempts");
}
