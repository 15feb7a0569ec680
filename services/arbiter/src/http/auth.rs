//! Who may ask: other services of the deployment, by a token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::Shared;
use super::problem::Problem;

pub(super) async fn require(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match &shared.config.token {
        Some(token) if !carries(request.headers(), token) => Problem::unauthorized().into_response(),
        _ => next.run(request).await,
    }
}

/// Compared in a time that tells nothing but the length.
fn carries(headers: &HeaderMap, token: &SecretString) -> bool {
    let Some(value) = headers.get(AUTHORIZATION) else { return false };
    let Some((scheme, sent)) = value.as_bytes().split_first_chunk::<7>() else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(sent.ct_eq(token.expose_secret().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let token = SecretString::from("s3cret");
        for (sent, opens) in [
            ("Bearer s3cret", true),
            ("bearer s3cret", true),
            ("Bearer s3cre", false),
            ("Bearer s3cret ", false),
            ("Bearer ", false),
            ("Basic s3cret", false),
            ("s3cret", false),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, sent.parse().unwrap())]);
            assert_eq!(carries(&headers, &token), opens, "{sent:?}");
        }
        assert!(!carries(&HeaderMap::new(), &token));
    }
}
