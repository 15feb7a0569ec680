//! Events as they come (server-sent events, <https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use reqwest::Response;

use crate::ClientError;
use crate::answer::JobEvent;

/// Longest event that is read, in bytes.
const EVENT_MAX_BYTES: usize = 1 << 20;

/// A job's states as they come.
#[derive(Debug)]
pub struct Events {
    gateway: String,
    response: Response,
    text: Vec<u8>,
    last_id: Option<String>,
}

impl Events {
    pub(crate) fn new(gateway: String, response: Response) -> Self {
        Self { gateway, response, text: Vec::new(), last_id: None }
    }

    /// Id of the last event: what to come back with when the stream breaks.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next state; `None` at the end of the stream, which is the job's end if the last state was final.
    ///
    /// # Errors
    /// [`ClientError::Reach`] when the stream broke, [`ClientError::Strange`].
    pub async fn next(&mut self) -> Result<Option<JobEvent>, ClientError> {
        loop {
            while let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                if let Some(event) = self.event(&String::from_utf8_lossy(&block))? {
                    return Ok(Some(event));
                }
            }
            if self.text.len() > EVENT_MAX_BYTES {
                return Err(ClientError::Strange(format!("an event of more than {EVENT_MAX_BYTES} bytes")));
            }
            let piece = self.response.chunk().await;
            match piece.map_err(|error| ClientError::Reach(self.gateway.clone(), error.without_url()))? {
                Some(piece) => self.text.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }

    /// The event of a block of lines; a comment is none.
    fn event(&mut self, block: &str) -> Result<Option<JobEvent>, ClientError> {
        let mut data = Vec::new();
        for (field, value) in block.lines().filter_map(|line| line.split_once(':')) {
            match field {
                "id" => self.last_id = Some(value.trim_start().to_owned()),
                "data" => data.push(value.trim_start()),
                _ => {}
            }
        }
        if data.is_empty() {
            return Ok(None);
        }
        let event = serde_json::from_str(&data.join("\n"));
        event.map(Some).map_err(|error| ClientError::Strange(error.to_string()))
    }
}
