//! Pages as they are pushed to whoever binds a queue to the results exchange. What travels here is for others: the one
//! message that carries items, and no part of the ring.

use crate::{CallId, FetchId, JobId, Params};

/// Longest word of a routing key, in bytes. Three of them fit into the 255 bytes that AMQP has for a key.
const WORD_MAX_BYTES: usize = 80;

/// A stored page for the results exchange.
///
/// Idempotent by `call`, the message's id: who gets it twice drops the second.
#[derive(Debug, Clone, PartialEq)]
pub struct PushedPage {
    /// Whose job it is.
    pub tenant: String,
    /// The job.
    pub job: JobId,
    /// The job's name.
    pub job_name: String,
    /// The job's step.
    pub step: String,
    /// The call's fetch.
    pub fetch: FetchId,
    /// The call that the page answers.
    pub call: CallId,
    /// Parameters of the fetch.
    pub params: Params,
    /// How many items the page has.
    pub items: u32,
    /// The items, one JSON text a line; `None` where they are more than may be pushed, and stay where [`Self::address`] says.
    pub lines: Option<Vec<u8>>,
}

impl PushedPage {
    /// Type of a message whose body is the items.
    pub const ITEMS: &'static str = "tidegate.page.1";
    /// Type of a message without a body: the items are to be fetched.
    pub const REFERENCE: &'static str = "tidegate.page-reference.1";

    /// What the message is: [`Self::ITEMS`] or [`Self::REFERENCE`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.lines.is_some() { Self::ITEMS } else { Self::REFERENCE }
    }

    /// Path of the gateway's where the items are.
    #[must_use]
    pub fn address(&self) -> String {
        format!("/v1/jobs/{}/pages/{}", self.job, self.call)
    }

    /// `TENANT.JOB-NAME.STEP`, three words whatever the names are.
    #[must_use]
    pub fn routing_key(&self) -> String {
        format!("{}.{}.{}", word(&self.tenant), word(&self.job_name), word(&self.step))
    }
}

/// A name as a word of a routing key: what is neither an ASCII letter or digit nor `-` or `_` becomes `_`.
fn word(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let word: String = name.chars().map(plain).take(WORD_MAX_BYTES).collect();
    if word.is_empty() { "_".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PagePointer;

    fn page(job_name: &str) -> PushedPage {
        let job = JobId::from_slice(&[7; 16]).expect("16 bytes");
        let fetch = FetchId::derive(job, None, "posts", &Params::default());
        PushedPage {
            tenant: "acme".into(),
            job,
            job_name: job_name.into(),
            step: "posts".into(),
            fetch,
            call: CallId::derive(fetch, &PagePointer::First),
            params: Params::default(),
            items: 0,
            lines: None,
        }
    }

    #[test]
    fn a_routing_key_has_three_words_of_plain_characters_whatever_the_names_are() {
        let key = |name: &str| page(name).routing_key();
        assert_eq!(key("nightly-2"), "acme.nightly-2.posts");
        assert_eq!(key("a.b #*/é"), "acme.a_b_____.posts");
        assert_eq!(key(""), "acme._.posts");
        let long = PushedPage { tenant: "t".repeat(300), step: "s".repeat(300), ..page(&"ü.".repeat(300)) };
        let key = long.routing_key();
        assert!(key.len() <= 255 && key.split('.').count() == 3, "{key}");
    }

    #[test]
    fn a_page_without_its_lines_is_a_reference_to_them() {
        let reference = page("x");
        assert_eq!(reference.kind(), PushedPage::REFERENCE);
        let path = "/v1/jobs/job_07070707070707070707070707070707/pages/call_";
        assert!(reference.address().starts_with(path), "{}", reference.address());
        assert_eq!(PushedPage { lines: Some(Vec::new()), ..reference }.kind(), PushedPage::ITEMS);
    }
}
