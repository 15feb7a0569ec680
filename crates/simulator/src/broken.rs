//! Bodies that do not arrive as they should.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use crate::bomb::Bomb;
use crate::connection::Cut;

/// What was sent is on its way after this. Without it the server would drop what it had not yet written, and the client
/// would see no answer at all instead of one that breaks off.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// Pieces that a slow body comes in.
const DRIPS: usize = 20;

/// The first half of a body.
pub(crate) fn half(body: &Bytes) -> Bytes {
    body.slice(..body.len() / 2)
}

/// `part`, then the end, whatever length was promised.
pub(crate) fn ended(part: Bytes) -> Body {
    Body::from_stream(stream::unfold(Some(part), |part| async move {
        if part.is_none() {
            tokio::time::sleep(ON_ITS_WAY).await;
        }
        Some((Ok::<_, Infallible>(part?), None))
    }))
}

/// `part`, then a reset of the connection.
pub(crate) fn reset(part: Bytes, cut: Cut) -> Body {
    Body::from_stream(stream::unfold((Some(part), cut), |(part, cut)| async move {
        if let Some(part) = part {
            return Some((Ok(part), (None, cut)));
        }
        tokio::time::sleep(ON_ITS_WAY).await;
        cut.reset();
        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), (None, cut)))
    }))
}

/// `part`, then nothing, for as long as the client holds on. `held` is dropped when it no longer does.
pub(crate) fn stalled<T: Send + 'static>(part: Bytes, held: T) -> Body {
    Body::from_stream(stream::unfold((Some(part), held), |(part, held)| async move {
        match part {
            Some(part) => Some((Ok::<_, Infallible>(part), (None, held))),
            None => std::future::pending().await,
        }
    }))
}

/// `body` in pieces, over `takes`. `done` is called when the last one was taken.
pub(crate) fn dripping(body: Bytes, takes: Duration, done: impl FnOnce() + Send + 'static) -> Body {
    let piece = body.len().div_ceil(DRIPS).max(1);
    Body::from_stream(stream::unfold((body, Some(done)), move |(mut rest, mut done)| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(takes / DRIPS as u32).await;
        let next = rest.split_to(piece.min(rest.len()));
        if let Some(done) = done.take_if(|_| rest.is_empty()) {
            done();
        }
        Some((Ok::<_, Infallible>(next), (rest, done)))
    }))
}

/// The parts of `bomb`, one after the other, as fast as the client takes them. `held` is dropped with the last.
pub(crate) fn bomb<T: Send + 'static>(bomb: Bomb, held: T) -> Body {
    let mut parts = bomb.parts();
    Body::from_stream(stream::iter(std::iter::from_fn(move || {
        let _held = &held;
        parts.next().map(Ok::<_, Infallible>)
    })))
}
