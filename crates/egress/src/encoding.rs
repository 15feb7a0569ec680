//! Which content coding an answer's body has.

use http::{HeaderMap, header};

/// The codings asked for when a call brings no Accept-Encoding of its own.
pub(crate) const ACCEPT_ENCODING: &str = "gzip, br, zstd";

/// A content coding (RFC 9110, 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Brotli,
    Zstd,
}

/// A body that is not what its Content-Encoding says, or says more than we follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// More than one coding: nothing honest nests them, and each nesting multiplies a bomb.
    #[error("it has more than one content coding")]
    Nested,
    /// A coding that we did not ask for.
    #[error("its content coding is none of gzip, br and zstd")]
    Unknown,
    /// The bytes do not follow the coding.
    #[error("its bytes do not follow its content coding")]
    Corrupt,
    /// The bytes end before the coding's end mark.
    #[error("it stops before the end of its content coding")]
    Truncated,
}

/// The coding that the headers name.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Coding, EncodingError> {
    let mut found = Coding::Identity;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let text = value.to_str().map_err(|_| EncodingError::Unknown)?;
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let next = parse(name).ok_or(EncodingError::Unknown)?;
            if next == Coding::Identity {
                continue;
            }
            if found != Coding::Identity {
                return Err(EncodingError::Nested);
            }
            found = next;
        }
    }
    Ok(found)
}

fn parse(name: &str) -> Option<Coding> {
    const NAMES: [(&str, Coding); 5] = [
        ("gzip", Coding::Gzip),
        ("x-gzip", Coding::Gzip),
        ("br", Coding::Brotli),
        ("zstd", Coding::Zstd),
        ("identity", Coding::Identity),
    ];
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, coding)| *coding)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn at_most_one_known_coding_is_followed() {
        for (values, expected) in [
            (&[][..], Ok(Coding::Identity)),
            (&[""], Ok(Coding::Identity)),
            (&["identity"], Ok(Coding::Identity)),
            (&["gzip"], Ok(Coding::Gzip)),
            (&["X-GZip"], Ok(Coding::Gzip)),
            (&["br"], Ok(Coding::Brotli)),
            (&["zstd"], Ok(Coding::Zstd)),
            (&["identity, gzip"], Ok(Coding::Gzip)),
            (&["gzip, gzip"], Err(EncodingError::Nested)),
            (&["gzip", "br"], Err(EncodingError::Nested)),
            (&["gzip,gzip,gzip,gzip"], Err(EncodingError::Nested)),
            (&["deflate"], Err(EncodingError::Unknown)),
            (&["gzip, x"], Err(EncodingError::Unknown)),
            (&["aws-chunked"], Err(EncodingError::Unknown)),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(coding(&headers), expected, "{values:?}");
        }
    }
}
