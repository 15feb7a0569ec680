//! The client against servers that lie, dawdle and lead astray.

mod bodies;
mod deadlines;
mod guards;
mod headers;
mod hostile;
mod redirects;
mod secrets;
mod tls;
mod via;

use bytes::Bytes;
use http::{HeaderValue, Method};
use tidegate_egress::{AllowPrivate, Answer, Egress, EgressConfig, EgressError, Request};
use url::Url;

/// A client that may call servers on this machine.
fn egress() -> Egress {
    egress_with(EgressConfig { allow_private: AllowPrivate::All, ..EgressConfig::default() })
}

fn egress_with(config: EgressConfig) -> Egress {
    Egress::new(config).expect("a client")
}

fn get(url: &str) -> Request {
    Request::new(Method::GET, Url::parse(url).expect(url))
}

fn with_body(method: Method, url: &str, body: &'static str) -> Request {
    Request { method, body: Some(Bytes::from_static(body.as_bytes())), ..get(url) }
}

fn secret(value: &'static str) -> HeaderValue {
    let mut value = HeaderValue::from_static(value);
    value.set_sensitive(true);
    value
}

async fn answered(request: Request) -> Answer {
    egress().call(request).await.expect("an answer")
}

async fn refused(request: Request) -> EgressError {
    egress().call(request).await.expect_err("no answer")
}
