//! Budgets that several endpoints share, which ones answers alone tell.

use std::collections::BTreeMap;

/// The bucket of an endpoint in a limit, by both: told by answers (`headers.bucket`). Until it is told, the endpoint is its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Buckets(BTreeMap<(String, String), String>);

impl Buckets {
    /// What was told last.
    #[must_use]
    pub fn of(&self, limit: &str, endpoint: &str) -> Option<&str> {
        // Few limits have any, and these few.
        let mut told = self.0.iter().filter(|((of, by), _)| of == limit && by == endpoint);
        told.next().map(|(_, bucket)| bucket.as_str())
    }

    /// Notes what an answer told.
    pub fn learn(&mut self, limit: &str, endpoint: &str, bucket: &str) {
        self.0.insert((limit.to_owned(), endpoint.to_owned()), bucket.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_s_bucket_is_the_one_that_was_told_last() {
        let mut buckets = Buckets::default();
        buckets.learn("channel", "messages", "one");
        buckets.learn("channel", "get", "one");
        buckets.learn("channel", "get", "two");
        assert_eq!((buckets.of("channel", "messages"), buckets.of("channel", "get")), (Some("one"), Some("two")));
        assert_eq!((buckets.of("guild", "get"), buckets.of("channel", "pins")), (None, None));
    }
}
