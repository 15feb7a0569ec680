//! How long a gateway that does not answer is waited for.

use std::time::Duration;

use tidegate_client::ClientError;

/// Before it is asked again, unless it says when.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Longest time that it may ask for.
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// Times in a row that it is asked again.
const TRIES_MAX: u32 = 30;

/// Whether and when to ask again. What goes wrong before anything went well does so for good: an address or a key is
/// wrong. After that the gateway may be starting anew.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    reached: bool,
    tries: u32,
}

impl Patience {
    /// With a gateway that has answered.
    pub(crate) fn reached() -> Self {
        Self { reached: true, tries: 0 }
    }

    /// Something went well.
    pub(crate) fn restore(&mut self) {
        *self = Self::reached();
    }

    /// How long to wait before asking again.
    ///
    /// # Errors
    /// The error itself, when asking again is of no use.
    pub(super) fn after(&mut self, error: ClientError) -> Result<Duration, ClientError> {
        if !self.reached || !error.may_pass() || self.tries >= TRIES_MAX {
            return Err(error);
        }
        self.tries += 1;
        Ok(error.retry_after_s().map_or(AGAIN_AFTER, Duration::from_secs).min(AGAIN_MAX))
    }

    /// Waits before asking again.
    ///
    /// # Errors
    /// As [`Patience::after`].
    pub(crate) async fn wait(&mut self, error: ClientError) -> Result<(), ClientError> {
        tokio::time::sleep(self.after(error)?).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strange() -> ClientError {
        ClientError::Strange("502 Bad Gateway".to_owned())
    }

    #[test]
    fn only_who_answered_before_is_waited_for_and_not_forever() {
        assert!(Patience::default().after(strange()).is_err());
        let mut patience = Patience::reached();
        assert!(patience.after(ClientError::Key).is_err(), "it stays so");
        for _ in 0..TRIES_MAX {
            assert_eq!(patience.after(strange()).expect("some patience"), AGAIN_AFTER);
        }
        assert!(patience.after(strange()).is_err());
        patience.restore();
        assert!(patience.after(strange()).is_ok());
    }
}
