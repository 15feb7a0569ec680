//! A message in somebody's hands.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_contracts::Envelope;

use crate::BusError;

/// Which delivery of its [`Settle`] one is.
pub type Tag = u64;

/// Where deliveries go back to: a bus's side of one consumer. It stays alive while any delivery does.
#[async_trait]
pub trait Settle: Send + Sync {
    /// These are done.
    ///
    /// # Errors
    /// [`BusError::Broker`]; they will be delivered again.
    async fn ack(&self, tags: &[Tag]) -> Result<(), BusError>;

    /// This one can't be handled, for this reason; it goes to the dead letters.
    ///
    /// # Errors
    /// [`BusError::Broker`]; it will be delivered again.
    async fn reject(&self, parcel: Parcel, reason: &str) -> Result<(), BusError>;

    /// This one was dropped; it goes back to where it was, and counts as delivered once more. Must not block.
    fn put_back(&self, parcel: Parcel);
}

/// What is delivered.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The message.
    pub envelope: Arc<Envelope>,
    /// How often it came back before: 0 the first time.
    pub redelivered: u32,
    /// Which delivery this is.
    pub tag: Tag,
}

/// A message in somebody's hands until it is acknowledged or rejected. Dropped without either, it goes back
/// to the front of its queue (when its consumer is gone and the queue is a broker's, to the end) with `redelivered` one
/// higher: so a handler that fails or panics needs no code
/// for it, and a handler that fails always needs a bound, by `redelivered` or its own count.
#[must_use = "dropping it puts the message back"]
pub struct Delivery {
    parcel: Parcel,
    settle: Option<Arc<dyn Settle>>,
}

impl Delivery {
    /// A delivery that must be settled.
    pub fn new(parcel: Parcel, settle: Arc<dyn Settle>) -> Self {
        if parcel.redelivered > 0 {
            crate::metrics::redelivered(parcel.envelope.message.kind());
        }
        Self { parcel, settle: Some(settle) }
    }

    /// A delivery of what is not kept: acknowledging, rejecting and dropping it are the same.
    pub fn fleeting(envelope: Arc<Envelope>) -> Self {
        Self { parcel: Parcel { envelope, redelivered: 0, tag: 0 }, settle: None }
    }

    /// Done: the message is gone. To be awaited to its end.
    ///
    /// # Errors
    /// [`BusError::Broker`]; the message will be delivered again.
    pub async fn ack(mut self) -> Result<(), BusError> {
        match self.settle.take() {
            Some(settle) => settle.ack(&[self.parcel.tag]).await,
            None => Ok(()),
        }
    }

    /// Can't be handled, now or ever: the message goes to the dead letters, with the reason. To be awaited to
    /// its end.
    ///
    /// # Errors
    /// [`BusError::Broker`]; the message will be delivered again.
    pub async fn reject(mut self, reason: &str) -> Result<(), BusError> {
        match self.settle.take() {
            Some(settle) => settle.reject(self.parcel.clone(), reason).await,
            None => Ok(()),
        }
    }
}

/// To the parcel, so that `delivery.envelope` and `delivery.redelivered` can be read.
impl Deref for Delivery {
    type Target = Parcel;

    fn deref(&self) -> &Parcel {
        &self.parcel
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.parcel, f)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle.put_back(self.parcel.clone());
        }
    }
}

/// Acknowledges many at once, which a broker does in one message. To be awaited to its end.
///
/// # Errors
/// The first [`BusError::Broker`]; what was not acknowledged will be delivered again.
pub async fn ack_all(deliveries: Vec<Delivery>) -> Result<(), BusError> {
    let mut deliveries = deliveries.into_iter().peekable();
    while let Some(mut delivery) = deliveries.next() {
        let Some(settle) = delivery.settle.take() else { continue };
        let mut tags = vec![delivery.parcel.tag];
        let same = |other: &Delivery| other.settle.as_ref().is_some_and(|other| Arc::ptr_eq(other, &settle));
        while let Some(mut other) = deliveries.next_if(same) {
            other.settle = None;
            tags.push(other.parcel.tag);
        }
        settle.ack(&tags).await?;
    }
    Ok(())
}

/// What came of settling, for a handler that has done all else: a broker that could not be told delivers the message
/// again, which handlers are made for, so it is no failure of theirs.
///
/// # Errors
/// Every error but [`BusError::Broker`].
pub fn or_redelivered(settled: Result<(), BusError>) -> Result<(), BusError> {
    match settled {
        Err(error @ BusError::Broker { .. }) => {
            tracing::warn!(%error, "could not acknowledge; it comes again");
            Ok(())
        }
        other => other,
    }
}
