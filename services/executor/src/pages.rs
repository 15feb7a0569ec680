//! Storing pages: many calls bring them, one transaction takes what is there.

use std::sync::Arc;

use tidegate_contracts::PageFacts;
use tidegate_daemon::Clock;
use tidegate_ledger::{Ledger, LedgerError, NewPage};
use tokio::sync::{mpsc, oneshot};

/// Pages in one transaction.
const BATCH: usize = 64;
/// Pages waiting to be stored; each holds its call's slot, so this is never the bound that is met first.
const QUEUE: usize = 1_024;

/// Where pages are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pages: mpsc::Sender<(NewPage, oneshot::Sender<PageFacts>)>,
}

/// The page was not stored, and the writer is gone; its task says why.
#[derive(Debug, thiserror::Error)]
#[error("the page store is closed")]
pub(crate) struct Closed;

impl Pages {
    /// Where to hand pages in, and the work that stores them; it ends when nobody can hand in any more.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, clock: Clock) -> (Self, impl Future<Output = Result<(), LedgerError>>) {
        let (pages, queue) = mpsc::channel(QUEUE);
        (Self { pages }, write(queue, ledger, clock))
    }

    /// Stores a page, in a span of its call. Returns when it is durable, with its facts as stored.
    #[tracing::instrument(name = "store", skip_all)]
    pub(crate) async fn store(&self, page: NewPage) -> Result<PageFacts, Closed> {
        let (reply, stored) = oneshot::channel();
        self.pages.send((page, reply)).await.map_err(|_| Closed)?;
        stored.await.map_err(|_| Closed)
    }
}

async fn write(
    mut queue: mpsc::Receiver<(NewPage, oneshot::Sender<PageFacts>)>,
    ledger: Arc<dyn Ledger>,
    clock: Clock,
) -> Result<(), LedgerError> {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let (pages, replies): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        for (facts, reply) in ledger.put_pages(&pages, clock()).await?.into_iter().zip(replies) {
            // A call that no longer listens was cancelled; its page is stored all the same.
            let _ = reply.send(facts);
        }
    }
    Ok(())
}
