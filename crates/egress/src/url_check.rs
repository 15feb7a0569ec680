//! Whether a URL may be called, as far as the URL alone tells.
//!
//! The HTTP client never asks its resolver about a host that is an address already, so those are judged here. The `url`
//! crate has by then turned every way to write one (`2130706433`, `0x7f.1`, `127.1`) into the address itself.

use std::net::{IpAddr, Ipv4Addr};

use http::Method;
use url::{Host, Url};

use crate::address::{AddressRules, Reach};
use crate::error::Refusal;

/// Most bytes of a URL; longer ones are refused by many servers as well.
pub(crate) const MAX_URL_BYTES: usize = 32 << 10;

/// The leave to call a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// Where the host lies; `None` for a name that the resolver has yet to judge.
    pub reach: Option<Reach>,
    /// Whether the resolver must refuse public addresses: plain http that nobody allowed to leave the house.
    pub private_only: bool,
}

/// Judges a URL.
///
/// # Errors
/// The [`Refusal`] says which rule it breaks.
pub fn inspect(url: &Url, rules: &AddressRules, insecure_http: bool) -> Result<Passage, Refusal> {
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(Refusal::Url);
    }
    let plain = match url.scheme() {
        "https" => false,
        "http" => true,
        other => return Err(Refusal::Scheme { scheme: other.into() }),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::Userinfo);
    }
    let private_only = plain && !insecure_http;
    let reach = match url.host().ok_or(Refusal::Url)? {
        Host::Ipv4(address) => Some(rules.judge(address.into())?),
        Host::Ipv6(address) => Some(rules.judge(address.into())?),
        // RFC 6761 binds this one name to loopback, and the resolver checks that it is.
        Host::Domain("localhost") => rules.judge(IpAddr::V4(Ipv4Addr::LOCALHOST)).ok(),
        Host::Domain(_) => None,
    };
    match reach {
        Some(Reach::Public) if private_only => Err(Refusal::PlainHttp),
        reach => Ok(Passage { reach, private_only }),
    }
}

/// Refuses the two methods that are no calls.
pub(crate) fn inspect_method(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::CONNECT | Method::TRACE => Err(Refusal::Method { method: method.as_str().into() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{AllowPrivate, Space};

    fn judge(url: &str, allow: AllowPrivate, insecure_http: bool) -> Result<Passage, Refusal> {
        inspect(&Url::parse(url).expect(url), &AddressRules { allow, deny: Vec::new() }, insecure_http)
    }

    #[test]
    fn every_way_to_write_a_loopback_address_is_refused() {
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://017700000001/",
            "https://0x7f.1/",
            "https://0x7f000001/",
            "https://127.0.0.1./",
            "https://%31%32%37.0.0.1/",
            "https://１２７.０.０.１/",
            "https://[::1]/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::127.0.0.1]/",
        ] {
            match judge(url, AllowPrivate::None, true) {
                Err(Refusal::Address(range)) => assert_eq!(range.space, Space::Private, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
            assert_eq!(judge(url, AllowPrivate::All, false).expect(url).reach, Some(Reach::Private), "{url}");
        }
    }

    #[test]
    fn only_http_and_https_are_spoken() {
        for url in
            ["ftp://a.example/", "file:///etc/passwd", "gopher://a.example/", "data:,x", "unix:/run/x", "ws://a/"]
        {
            assert!(matches!(judge(url, AllowPrivate::All, true), Err(Refusal::Scheme { .. })), "{url}");
        }
    }

    #[test]
    fn a_url_with_a_user_name_or_password_is_refused() {
        for url in ["https://me@a.example/", "https://:word@a.example/", "https://me:word@127.0.0.1/"] {
            assert_eq!(judge(url, AllowPrivate::All, true), Err(Refusal::Userinfo), "{url}");
        }
        assert!(judge("https://@a.example/", AllowPrivate::None, false).is_ok(), "an empty user name is none");
    }

    #[test]
    fn plain_http_stays_in_the_house_unless_asked_for() {
        assert_eq!(judge("http://1.1.1.1/", AllowPrivate::All, false), Err(Refusal::PlainHttp));
        assert_eq!(judge("http://1.1.1.1/", AllowPrivate::None, true).map(|p| p.reach), Ok(Some(Reach::Public)));
        assert!(judge("https://1.1.1.1/", AllowPrivate::None, false).is_ok());
        assert!(judge("http://10.0.0.1/", AllowPrivate::All, false).is_ok());
        let named = |insecure| judge("http://a.example/", AllowPrivate::None, insecure).expect("a name passes here");
        assert_eq!(named(false), Passage { reach: None, private_only: true });
        assert_eq!(named(true), Passage { reach: None, private_only: false });
    }

    #[test]
    fn a_name_is_left_to_the_resolver() {
        assert_eq!(judge("https://a.example/", AllowPrivate::None, false).expect("a name").reach, None);
        assert_eq!(judge("https://localhost/", AllowPrivate::None, false).expect("a name").reach, None);
        assert_eq!(judge("https://localhost/", AllowPrivate::All, false).expect("a name").reach, Some(Reach::Private));
    }

    #[test]
    fn an_endless_url_is_refused() {
        let url = format!("https://a.example/{}", "x".repeat(MAX_URL_BYTES));
        assert_eq!(judge(&url, AllowPrivate::None, false), Err(Refusal::Url));
    }

    #[test]
    fn tunnels_and_echoes_are_no_calls() {
        assert!(inspect_method(&Method::CONNECT).is_err() && inspect_method(&Method::TRACE).is_err());
        assert!(inspect_method(&Method::GET).is_ok() && inspect_method(&Method::PATCH).is_ok());
    }
}
