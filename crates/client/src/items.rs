//! Items as they come.

use bytes::Bytes;
use reqwest::Response;

use crate::ClientError;

/// Which items.
#[derive(Debug, Clone, Default)]
pub struct ItemQuery {
    /// Of this step only.
    pub step: Option<String>,
    /// A cursor: nothing up to there comes again.
    pub after: Option<String>,
    /// Only so many stored pages; [`Items::next_cursor`] is where they end.
    pub pages: Option<u32>,
    /// Each line with its cursor, step and parameters.
    pub origin: bool,
    /// Until the job is finished.
    pub follow: bool,
}

impl ItemQuery {
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let flag = |set: bool| set.then(|| "true".to_owned());
        let pairs = [
            ("step", self.step.clone()),
            ("after", self.after.clone()),
            ("pages", self.pages.map(|pages| pages.to_string())),
            ("origin", flag(self.origin)),
            ("follow", flag(self.follow)),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Items as they come: JSON, one a line.
#[derive(Debug)]
pub struct Items {
    gateway: String,
    response: Response,
}

impl Items {
    pub(crate) fn new(gateway: String, response: Response) -> Self {
        Self { gateway, response }
    }

    /// `after` of what follows these pages; `None` when there is no more yet, or pages were not counted.
    #[must_use]
    pub fn next_cursor(&self) -> Option<&str> {
        self.response.headers().get("tidegate-next")?.to_str().ok()
    }

    /// The next piece, which may end in the middle of a line; `None` at the end, when all lines are whole.
    ///
    /// # Errors
    /// [`ClientError::Reach`] when the stream broke: go on from the last cursor.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        let piece = self.response.chunk().await;
        piece.map_err(|error| ClientError::Reach(self.gateway.clone(), error.without_url()))
    }
}
