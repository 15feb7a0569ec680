//! URLs as they may be shown.

use url::Url;

/// The URL without user name, password, query values and fragment: `https://api.example/v1/items?page=***&token=***`.
///
/// All values are masked, not only those known to be secret, since a server may repeat a secret under another name. A
/// query piece without `=` is masked whole, as it may be a value. The path is shown: secrets do not belong there.
pub fn masked(url: &Url) -> String {
    let mut text = origin_text(url);
    text.push_str(url.path());
    for (index, piece) in url.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        if let Some((name, _)) = piece.split_once('=') {
            text.push_str(name);
            text.push('=');
        }
        text.push_str("***");
    }
    text
}

/// Scheme, host and port, as an error may name them: `https://api.example:8443`.
pub(crate) fn origin_text(url: &Url) -> String {
    let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        text.push_str(&format!(":{port}"));
    }
    text
}

/// Whether two URLs have the same scheme, host and port (RFC 6454).
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_path_and_parameter_names_are_shown() {
        for (url, shown) in [
            ("https://api.example/v1?a=1&b=2", "https://api.example/v1?a=***&b=***"),
            ("https://api.example:8443/v1", "https://api.example:8443/v1"),
            ("https://api.example/?SECRET", "https://api.example/?***"),
            ("https://me:SECRET@api.example/#SECRET", "https://api.example/"),
            ("https://api.example/?t=SECRET=SECRET&&", "https://api.example/?t=***&***&***"),
            ("http://[::1]:80/x", "http://[::1]/x"),
        ] {
            assert_eq!(masked(&Url::parse(url).expect(url)), shown);
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |a: &str, b: &str| same_origin(&Url::parse(a).expect(a), &Url::parse(b).expect(b));
        assert!(same("https://a.example/x", "https://A.example:443/y?z"));
        for other in ["http://a.example/", "https://b.example/", "https://a.example:444/", "https://a.example./"] {
            assert!(!same("https://a.example/", other), "{other}");
        }
    }
}
