//! What an answer means that no rule speaks of.

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use tidegate_contracts::Class;

/// Headers that tell how many calls are left.
const REMAINING: [&str; 3] = ["x-ratelimit-remaining", "x-rate-limit-remaining", "ratelimit-remaining"];

/// The class of an answer that is not successful, where no rule matched:
///
/// | status | class |
/// | --- | --- |
/// | 401 | `auth_expired` if `WWW-Authenticate` says `invalid_token`, "expired" (RFC 6750, 3.1), else `auth_revoked` |
/// | 403 | `rate_limited` with a `Retry-After` or nothing remaining (GitHub), else `permission` |
/// | 404 | `not_found` |
/// | 408, 425 | `transient` |
/// | 410 | `gone` |
/// | 413 | `too_much_data` |
/// | 429 | `rate_limited` |
/// | other 4xx | `invalid` |
/// | 5xx (500, 502 to 504, Cloudflare's 520 to 527, Notion's 529, any other) | `transient` |
/// | 1xx, 2xx that is not taken as success, 3xx that was not followed | `suspect` |
pub(crate) fn default_class(status: StatusCode, headers: &HeaderMap) -> Class {
    match status.as_u16() {
        401 if says_expired(headers) => Class::AuthExpired,
        401 => Class::AuthRevoked,
        403 if headers.contains_key(RETRY_AFTER) || says_nothing_remains(headers) => Class::RateLimited,
        403 => Class::Permission,
        404 => Class::NotFound,
        408 | 425 => Class::Transient,
        410 => Class::Gone,
        413 => Class::TooMuchData,
        429 => Class::RateLimited,
        400..=499 => Class::Invalid,
        500.. => Class::Transient,
        _ => Class::Suspect,
    }
}

fn says_expired(headers: &HeaderMap) -> bool {
    headers.get_all(WWW_AUTHENTICATE).iter().any(|value| {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        value.contains("invalid_token") && value.contains("expired")
    })
}

fn says_nothing_remains(headers: &HeaderMap) -> bool {
    let remaining = REMAINING.iter().filter_map(|name| headers.get(*name)?.to_str().ok()?.trim().parse::<f64>().ok());
    remaining.into_iter().any(|calls| calls <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_class() {
        let table: [(&[u16], Class); 10] = [
            (&[401], Class::AuthRevoked),
            (&[403], Class::Permission),
            (&[404], Class::NotFound),
            (&[410], Class::Gone),
            (&[408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529], Class::Transient),
            (&[501, 505, 530, 599], Class::Transient),
            (&[413], Class::TooMuchData),
            (&[429], Class::RateLimited),
            (&[400, 402, 405, 406, 409, 412, 414, 415, 418, 422, 423, 451, 499], Class::Invalid),
            (&[101, 300, 301, 302, 304, 307, 308], Class::Suspect),
        ];
        for (statuses, class) in table {
            for status in statuses {
                let status = StatusCode::from_u16(*status).unwrap();
                assert_eq!(default_class(status, &HeaderMap::new()), class, "{status}");
            }
        }
    }

    #[test]
    fn headers_tell_apart_what_a_status_does_not() {
        let table = [
            (
                401,
                "www-authenticate",
                r#"Bearer error="invalid_token", error_description="The token Expired""#,
                Class::AuthExpired,
            ),
            (401, "www-authenticate", r#"Bearer error="invalid_token""#, Class::AuthRevoked),
            (401, "www-authenticate", r#"Bearer error="expired""#, Class::AuthRevoked),
            (403, "retry-after", "60", Class::RateLimited),
            (403, "x-ratelimit-remaining", "0", Class::RateLimited),
            (403, "x-ratelimit-remaining", "0.0", Class::RateLimited),
            (403, "x-ratelimit-remaining", "59", Class::Permission),
            (403, "x-ratelimit-remaining", "none", Class::Permission),
        ];
        for (status, name, value, class) in table {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(
                default_class(StatusCode::from_u16(status).unwrap(), &headers),
                class,
                "{status} {name}: {value}"
            );
        }
    }
}
