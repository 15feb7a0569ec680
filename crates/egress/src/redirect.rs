//! Where an answer sends a call next, and what the call may take along.
//!
//! Methods change as the Fetch standard has it. Beyond it: https never falls back to http, a redirect may not pick a
//! port to knock at, and what is unsafe or has a body is never sent to another origin.

use http::{HeaderMap, Method, StatusCode, header};
use url::Url;

use crate::address::Reach;
use crate::mask::{origin_text, same_origin};
use crate::request::Request;
use crate::request_headers::{drop_content_headers, drop_secret_headers};

/// Why a redirect was not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// The call was sent on more often than allowed: most often in a circle.
    #[error("it is one more than the {max} allowed")]
    TooMany {
        /// Redirects allowed.
        max: u8,
    },
    /// The Location is missing its meaning: several, not text, or not a URL.
    #[error("its Location is not one URL")]
    Location,
    /// It leads from https to http.
    #[error("it leads from https to plain http at {to}")]
    Downgrade {
        /// The origin it leads to.
        to: Box<str>,
    },
    /// It leads to a port that is neither the call's own, nor 80, nor 443.
    #[error("it leads to another port, {to}")]
    Port {
        /// The origin it leads to.
        to: Box<str>,
    },
    /// It would send a body or an unsafe method to another origin.
    #[error("it would send the {method} to another origin, {to}; call that one instead")]
    Unsafe {
        /// The method that would be sent.
        method: Box<str>,
        /// The origin it leads to.
        to: Box<str>,
    },
}

/// The next request of a call that was sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) url: Url,
    pub(crate) method: Method,
    pub(crate) keeps_body: bool,
    pub(crate) same_origin: bool,
}

/// Reads an answer's redirect; `None` if it is none.
pub(crate) fn turn(request: &Request, status: StatusCode, headers: &HeaderMap) -> Result<Option<Turn>, RedirectError> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let mut locations = headers.get_all(header::LOCATION).iter();
    let Some(location) = locations.next() else { return Ok(None) };
    if locations.any(|other| other != location) {
        return Err(RedirectError::Location);
    }
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| RedirectError::Location)?;
    let mut url = request.url.join(location).map_err(|_| RedirectError::Location)?;
    url.set_fragment(None);

    let method = next_method(&request.method, status);
    let keeps_body = method == request.method && request.body.is_some();
    let same_origin = same_origin(&request.url, &url);
    if request.url.scheme() == "https" && url.scheme() == "http" {
        return Err(RedirectError::Downgrade { to: origin_text(&url).into() });
    }
    if !same_origin && (keeps_body || !method.is_safe()) {
        return Err(RedirectError::Unsafe { method: method.as_str().into(), to: origin_text(&url).into() });
    }
    Ok(Some(Turn { url, method, keeps_body, same_origin }))
}

/// Refuses a port that the third party picked: a redirect is no way to knock at other services of a host.
pub(crate) fn check_port(from: &Url, to: &Url, reach: Option<Reach>) -> Result<(), RedirectError> {
    let port = to.port_or_known_default();
    let usual = port == from.port_or_known_default() || matches!(port, Some(80 | 443));
    if usual || reach == Some(Reach::Private) {
        Ok(())
    } else {
        Err(RedirectError::Port { to: origin_text(to).into() })
    }
}

impl Turn {
    /// Makes the request the next one, without what may not come along.
    pub(crate) fn take(self, request: &mut Request) {
        request.url = self.url;
        if self.method != request.method {
            request.method = self.method;
            drop_content_headers(&mut request.headers);
        }
        if !self.keeps_body {
            request.body = None;
        }
        if !self.same_origin {
            drop_secret_headers(&mut request.headers);
            drop_secret_query(&mut request.url, &request.secret_query);
        }
    }
}

/// The Fetch standard's table: 303 makes all but GET and HEAD a GET, 301 and 302 only a POST, 307 and 308 nothing.
fn next_method(method: &Method, status: StatusCode) -> Method {
    let becomes_get = match status {
        StatusCode::SEE_OTHER => !matches!(*method, Method::GET | Method::HEAD),
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::POST,
        _ => false,
    };
    if becomes_get { Method::GET } else { method.clone() }
}

/// Strips secret parameters that the server repeated in its Location; the rest of the query stays byte for byte.
fn drop_secret_query(url: &mut Url, secret: &[String]) {
    let is_secret = |piece: &str| {
        url::form_urlencoded::parse(piece.as_bytes()).next().is_some_and(|(name, _)| secret.iter().any(|s| *s == name))
    };
    let Some(query) = url.query() else { return };
    if !query.split('&').any(is_secret) {
        return;
    }
    let kept = query.split('&').filter(|piece| !is_secret(piece)).collect::<Vec<_>>().join("&");
    url.set_query((!kept.is_empty()).then_some(kept.as_str()));
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;

    fn request(method: Method, body: bool) -> Request {
        let mut request = Request::new(method, Url::parse("https://a.example/old?token=s").expect("a URL"));
        request.body = body.then(|| Bytes::from_static(b"body"));
        request
    }

    fn located(request: &Request, status: u16, location: &'static str) -> Result<Option<Turn>, RedirectError> {
        let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static(location))]);
        turn(request, StatusCode::from_u16(status).expect("a status"), &headers)
    }

    #[test]
    fn methods_and_bodies_change_as_the_fetch_standard_has_it() {
        for (status, method, next, keeps_body) in [
            (301, Method::GET, Method::GET, false),
            (301, Method::POST, Method::GET, false),
            (301, Method::PUT, Method::PUT, true),
            (302, Method::HEAD, Method::HEAD, false),
            (302, Method::POST, Method::GET, false),
            (302, Method::DELETE, Method::DELETE, false),
            (303, Method::GET, Method::GET, false),
            (303, Method::HEAD, Method::HEAD, false),
            (303, Method::POST, Method::GET, false),
            (303, Method::PUT, Method::GET, false),
            (303, Method::DELETE, Method::GET, false),
            (307, Method::GET, Method::GET, false),
            (307, Method::POST, Method::POST, true),
            (308, Method::POST, Method::POST, true),
            (308, Method::PATCH, Method::PATCH, true),
        ] {
            let body = matches!(method, Method::POST | Method::PUT | Method::PATCH);
            let turn = located(&request(method.clone(), body), status, "/new").expect("followed").expect("a redirect");
            assert_eq!((turn.method, turn.keeps_body), (next, keeps_body), "{status} {method}");
            assert_eq!(turn.url.as_str(), "https://a.example/new");
        }
    }

    #[test]
    fn an_answer_that_is_no_redirect_is_left_alone() {
        for status in [200, 201, 300, 304, 305, 306, 404] {
            assert_eq!(located(&request(Method::GET, false), status, "/new"), Ok(None), "{status}");
        }
        let nowhere = turn(&request(Method::GET, false), StatusCode::FOUND, &HeaderMap::new());
        assert_eq!(nowhere, Ok(None), "a 302 without Location is an answer");
    }

    #[test]
    fn an_unsafe_call_goes_to_no_other_origin() {
        let refused = |method, body, status, location| located(&request(method, body), status, location).is_err();
        for other in ["https://b.example/", "https://a.example:8443/", "//b.example/"] {
            assert!(refused(Method::POST, true, 307, other), "{other}");
            assert!(refused(Method::POST, false, 308, other), "{other}");
            assert!(refused(Method::DELETE, false, 302, other), "{other}");
            assert!(refused(Method::GET, true, 302, other), "{other}");
            assert!(!refused(Method::POST, true, 303, other), "{other}");
            assert!(!refused(Method::GET, false, 307, other), "{other}");
        }
        assert!(!refused(Method::POST, true, 307, "https://a.example:443/new"));
    }

    #[test]
    fn https_never_falls_back_to_http() {
        let downgrade = located(&request(Method::GET, false), 301, "http://a.example/");
        assert_eq!(downgrade, Err(RedirectError::Downgrade { to: "http://a.example".into() }));
    }

    #[test]
    fn a_location_must_be_one_url() {
        for location in ["https://", "https://a b/", "https://[::1/"] {
            assert_eq!(
                located(&request(Method::GET, false), 302, location),
                Err(RedirectError::Location),
                "{location}"
            );
        }
        let mut headers = HeaderMap::new();
        headers.append(header::LOCATION, HeaderValue::from_static("/one"));
        headers.append(header::LOCATION, HeaderValue::from_static("/one"));
        assert!(turn(&request(Method::GET, false), StatusCode::FOUND, &headers).is_ok(), "twice the same is one");
        headers.append(header::LOCATION, HeaderValue::from_static("/two"));
        let error = turn(&request(Method::GET, false), StatusCode::FOUND, &headers);
        assert_eq!(error, Err(RedirectError::Location));
    }

    #[test]
    fn a_redirect_may_only_lead_to_usual_ports() {
        let check = |from: &str, to: &str, reach| {
            check_port(&Url::parse(from).expect(from), &Url::parse(to).expect(to), reach).is_ok()
        };
        assert!(check("https://a.example:8443/", "https://b.example:8443/", None));
        assert!(check("https://a.example:8443/", "https://b.example/", None));
        assert!(check("http://a.example:8080/", "http://b.example/", None));
        assert!(!check("https://a.example/", "https://b.example:6379/", None));
        assert!(!check("https://a.example/", "https://1.1.1.1:22/", Some(Reach::Public)));
        assert!(check("https://a.example/", "https://127.0.0.1:8443/", Some(Reach::Private)));
    }

    #[test]
    fn secrets_leave_with_the_origin_and_stay_away() {
        let mut request = request(Method::GET, false);
        request.secret_query = ["token".to_owned(), "api key".to_owned()].into();
        request.headers.insert("x-trace", HeaderValue::from_static("1"));
        let mut key = HeaderValue::from_static("secret");
        key.set_sensitive(true);
        request.headers.insert("x-shop-key", key);
        request.headers.insert(header::COOKIE, HeaderValue::from_static("secret"));

        let near = located(&request, 302, "/b?token=s&page=2").expect("followed").expect("a redirect");
        near.take(&mut request);
        assert_eq!(request.url.as_str(), "https://a.example/b?token=s&page=2");
        assert!(request.headers.contains_key("x-shop-key") && request.headers.contains_key(header::COOKIE));

        let far = located(&request, 302, "https://b.example/?%74oken=s&page=%32&api+key=s&token").expect("followed");
        far.expect("a redirect").take(&mut request);
        assert_eq!(request.url.as_str(), "https://b.example/?page=%32");
        assert_eq!(request.headers.keys().collect::<Vec<_>>(), ["x-trace"]);

        let back = located(&request, 302, "https://a.example/?token=s").expect("followed").expect("a redirect");
        back.take(&mut request);
        assert_eq!(request.url.as_str(), "https://a.example/");
        assert_eq!(request.headers.keys().collect::<Vec<_>>(), ["x-trace"]);
    }

    #[test]
    fn a_body_that_stays_behind_takes_its_headers_along() {
        let mut request = request(Method::POST, true);
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        located(&request, 303, "/done").expect("followed").expect("a redirect").take(&mut request);
        assert_eq!((request.method, request.body, request.headers.len()), (Method::GET, None, 0));
    }
}
