//! Addresses that an answer gives for the next page.

use url::Url;

use crate::unreadable::Unreadable;

/// The absolute address of `next`, as named by the answer to a call of `from`.
///
/// Accepted only within the origin of `from` (scheme, host, port): whoever can put an address into an answer
/// must not learn the token that the next call carries. One exception: a provider behind a proxy may write `http`
/// where it was called by `https`; on the same host and the default ports that is read as `https`.
///
/// # Errors
///
/// It is no address, or of another origin.
pub(crate) fn resolve(next: &str, from: &Url) -> Result<Url, Unreadable> {
    let mut url = from.join(next).map_err(|error| Unreadable::BadNext { problem: error.to_string() })?;
    if from.scheme() == "https" && url.scheme() == "http" && url.port().is_none() && from.port().is_none() {
        // Cannot fail between two schemes of the web.
        let _ = url.set_scheme("https");
    }
    if url.origin() != from.origin() || !matches!(url.scheme(), "https" | "http") {
        return Err(Unreadable::ForeignNext { origin: origin(next, from) });
    }
    // A name or password in an address would be sent in place of the call's own credential.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    Ok(url)
}

/// Where `next` leads, as it was written; the rest of the address may hold what should not be shown.
fn origin(next: &str, from: &Url) -> String {
    from.join(next).map_or_else(
        |_| String::new(),
        |url| if url.origin().is_tuple() { url.origin().ascii_serialization() } else { format!("{}:", url.scheme()) },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_within_the_origin_are_made_absolute() {
        let from = "https://api.example/v1/items?limit=5&page=1";
        let table = [
            ("https://api.example/v1/items?page=2", "https://api.example/v1/items?page=2"),
            ("https://api.example:443/v2", "https://api.example/v2"),
            ("HTTPS://API.Example/v2", "https://api.example/v2"),
            ("/other?after=x#top", "https://api.example/other?after=x"),
            ("more", "https://api.example/v1/more"),
            ("?page=2", "https://api.example/v1/items?page=2"),
            ("//api.example/x", "https://api.example/x"),
            ("http://api.example/x", "https://api.example/x"),
            ("http://api.example:80/x", "https://api.example/x"),
            ("https://eve:pw@api.example/x", "https://api.example/x"),
            ("../../../x", "https://api.example/x"),
        ];
        for (next, absolute) in table {
            assert_eq!(resolve(next, &Url::parse(from).unwrap()).unwrap().as_str(), absolute, "{next}");
        }
    }

    #[test]
    fn addresses_of_other_origins_are_refused() {
        let table = [
            ("https://api.example/", "https://evil.example/x?token=1", "https://evil.example"),
            ("https://api.example/", "//evil.example/x", "https://evil.example"),
            ("https://api.example/", "\\\\evil.example\\x", "https://evil.example"),
            ("https://api.example/", "https://api.example@evil.example/", "https://evil.example"),
            ("https://api.example/", "https://api.example.evil.example/", "https://api.example.evil.example"),
            ("https://api.example/", "https://api.example:8443/", "https://api.example:8443"),
            ("https://api.example/", "http://api.example:8080/", "http://api.example:8080"),
            ("https://api.example/", "http://evil.example/", "http://evil.example"),
            ("https://api.example:8443/", "http://api.example/", "http://api.example"),
            ("http://api.example/", "https://api.example/", "https://api.example"),
            ("https://api.example/", "data:text/plain,x", "data:"),
            ("https://api.example/", "file:///etc/passwd", "file:"),
            ("https://api.example/", "javascript:alert(1)", "javascript:"),
        ];
        for (from, next, origin) in table {
            let refused = resolve(next, &Url::parse(from).unwrap()).unwrap_err();
            assert_eq!(refused, Unreadable::ForeignNext { origin: origin.to_owned() }, "{next}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let from = Url::parse("https://api.example/").unwrap();
        for next in ["https://", "https://a b/", "//[::1/"] {
            assert!(matches!(resolve(next, &from), Err(Unreadable::BadNext { .. })), "{next}");
        }
    }
}
