//! Where calls leave from: this machine, one of its addresses, or a proxy.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Where calls leave from. Third parties see its address.
#[derive(Debug, Clone, Default)]
pub enum Via {
    /// This machine, as its routes say.
    #[default]
    Direct,
    /// This address of the machine. A call to a host that has none of its kind (IPv4, IPv6) can't be made.
    Address(IpAddr),
    /// A proxy.
    Proxy(Proxy),
}

/// An HTTP proxy (RFC 9110): https goes through a tunnel (CONNECT), plain http is sent to it. `Debug` shows neither user name nor
/// password.
///
/// The proxy looks names up anew, so what was checked here is not for sure what it connects to: whoever runs it decides what can be
/// reached from there.
#[derive(Clone)]
pub struct Proxy {
    /// Without user name and password.
    url: Url,
    user: Option<(String, SecretString)>,
}

/// The text names no way out. It is not shown, since it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an IP address of this machine, or the address of an HTTP proxy such as http://user:password@proxy.example:3128"
)]
pub struct ViaParseError;

impl FromStr for Via {
    type Err = ViaParseError;

    fn from_str(text: &str) -> Result<Self, ViaParseError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let mut url = Url::parse(text).map_err(|_| ViaParseError)?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !is_bare || url.host_str().is_none_or(str::is_empty) {
            return Err(ViaParseError);
        }
        let plain = |text: &str| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| ViaParseError);
        let user = match (plain(url.username())?, plain(url.password().unwrap_or_default())?) {
            (name, password) if name.is_empty() && password.is_empty() => None,
            (name, password) => Some((name, password.into())),
        };
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| ViaParseError)?;
        Ok(Self::Proxy(Proxy { url, user }))
    }
}

impl Proxy {
    /// As the HTTP client wants it.
    pub(crate) fn for_client(&self) -> Result<reqwest::Proxy, reqwest::Error> {
        let proxy = reqwest::Proxy::all(self.url.clone())?;
        Ok(match &self.user {
            Some((name, password)) => proxy.basic_auth(name, password.expose_secret()),
            None => proxy,
        })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_proxy_reads_and_its_password_is_not_shown() {
        for (text, shown) in [
            ("127.0.0.2", "Address(127.0.0.2)"),
            ("2001:db8::1", "Address(2001:db8::1)"),
            ("http://proxy.example:3128", "Proxy(Proxy { url: \"http://proxy.example:3128/\", .. })"),
            ("https://canary:canary%21@10.0.0.1", "Proxy(Proxy { url: \"https://10.0.0.1/\", .. })"),
        ] {
            assert_eq!(format!("{:?}", text.parse::<Via>().unwrap()), shown);
        }
        for text in
            ["", "proxy.example", "proxy.example:3128", "ftp://canary@a/", "http://a/canary", "http://a/?canary"]
        {
            let error = text.parse::<Via>().unwrap_err();
            assert!(!error.to_string().contains("canary"), "{text}");
        }
    }
}
