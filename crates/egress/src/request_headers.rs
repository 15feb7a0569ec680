//! Which headers a request may carry, and which answers' headers are too many.

use http::HeaderMap;
use http::header::{self, HeaderName};

use crate::error::TooLarge;

/// Headers that the connection sets for itself; a caller's would contradict it or smuggle a second request.
const CONNECTION_HEADERS: [HeaderName; 11] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::CONNECTION,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Headers that speak of a body (Fetch standard, "request-body-header name").
const CONTENT_HEADERS: [HeaderName; 4] =
    [header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION, header::CONTENT_TYPE];

/// Headers that carry credentials even where a caller forgot to mark them as sensitive.
const CREDENTIAL_HEADERS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-auth-token"),
];

/// Drops what the connection sets for itself.
pub(crate) fn drop_connection_headers(headers: &mut HeaderMap) {
    drop_all(headers, &CONNECTION_HEADERS);
}

/// Drops what speaks of a body that is no longer there.
pub(crate) fn drop_content_headers(headers: &mut HeaderMap) {
    drop_all(headers, &CONTENT_HEADERS);
}

/// Drops what another origin must not see.
pub(crate) fn drop_secret_headers(headers: &mut HeaderMap) {
    drop_all(headers, &CREDENTIAL_HEADERS);
    let sensitive: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| value.is_sensitive()).map(|(name, _)| name.clone()).collect();
    drop_all(headers, &sensitive);
}

/// Holds an answer's headers against their limits.
pub(crate) fn check_size(headers: &HeaderMap, max_headers: usize, max_bytes: usize) -> Result<(), TooLarge> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > max_headers || bytes > max_bytes {
        return Err(TooLarge::Headers { max_headers, max_bytes });
    }
    Ok(())
}

fn drop_all(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_caller_cannot_speak_for_the_connection() {
        let mut headers = map(&[("host", "internal"), ("content-length", "1"), ("transfer-encoding", "chunked")]);
        headers.extend(map(&[("connection", "upgrade"), ("accept", "*/*"), ("proxy-connection", "close")]));
        drop_connection_headers(&mut headers);
        assert_eq!(headers, map(&[("accept", "*/*")]));
    }

    #[test]
    fn all_values_of_a_header_leave_if_one_is_secret() {
        let mut headers = map(&[("x-key", "open"), ("accept", "*/*"), ("x-api-key", "unmarked")]);
        let mut secret = HeaderValue::from_static("secret");
        secret.set_sensitive(true);
        headers.append("x-key", secret);
        drop_secret_headers(&mut headers);
        assert_eq!(headers, map(&[("accept", "*/*")]));
    }

    #[test]
    fn headers_are_limited_in_number_and_bytes() {
        let headers = map(&[("a", "1234"), ("b", "1234")]);
        assert_eq!(check_size(&headers, 2, 10), Ok(()));
        assert!(check_size(&headers, 1, 10).is_err());
        assert!(check_size(&headers, 2, 9).is_err());
    }
}
