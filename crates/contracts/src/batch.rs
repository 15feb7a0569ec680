//! Many messages in one of the broker's: three confirmed hops for each call cost too much when each goes alone.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::MessageError;
use crate::message::refuse_newer;

/// AMQP content type of one [`crate::Envelope`].
pub const ENVELOPE_TYPE: &str = "application/json";
/// AMQP content type of a [`Batch`].
pub const BATCH_TYPE: &str = "application/vnd.tidegate.batch+json";
/// Version of the batches this build writes; the messages in one have versions of their own.
pub const BATCH_VERSION: u32 = 1;

/// Envelopes that travel together, each still encoded: one that can't be read does not spoil the others.
#[derive(Debug, Deserialize)]
pub struct Batch<'a> {
    /// In the order they were sent.
    #[serde(borrow)]
    pub messages: Vec<&'a RawValue>,
}

impl<'a> Batch<'a> {
    /// Puts messages together, each as [`crate::Envelope::encode`] wrote it.
    #[must_use]
    pub fn encode<'m>(messages: impl IntoIterator<Item = &'m [u8]>) -> Vec<u8> {
        let mut bytes = format!(r#"{{"version":{BATCH_VERSION},"messages":["#).into_bytes();
        for (place, message) in messages.into_iter().enumerate() {
            if place > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(message);
        }
        bytes.extend_from_slice(b"]}");
        bytes
    }

    /// Takes apart what [`Batch::encode`] of this or an older build wrote.
    ///
    /// # Errors
    /// [`MessageError::Newer`] before anything else is looked at, else [`MessageError::Malformed`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MessageError> {
        refuse_newer(bytes, BATCH_VERSION)?;
        Ok(serde_json::from_slice(bytes)?)
    }
}
