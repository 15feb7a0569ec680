//! Fetching and refreshing tokens (OAuth 2.0, RFC 6749): the request, what its answer means, and when it is time. Pure.

mod answer;
mod life;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};
use tidegate_contracts::Primitive;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::access::address;
use crate::compile::Compiler;
use crate::file::{self, ClientAuth, Grant, Period};
use crate::header::{FieldError, PROVIDER_ROOTS};
use crate::problem::FieldPath;
use crate::scope::Scope;
use crate::template::Template;
use crate::{Credential, RequestParts};

pub use answer::{TokenAnswer, Tokens};
pub use life::{Due, FRESH_MS};

/// How long before its end a token is refreshed, unless the provider file says otherwise.
const REFRESH_BEFORE: Duration = Duration::from_mins(5);

/// How a provider's tokens are fetched, ready to use.
#[derive(Debug)]
pub struct Oauth2 {
    /// `None` until a job sets what it needs.
    token_url: Option<Url>,
    grants: Vec<Grant>,
    client: ClientAuth,
    scopes: Vec<String>,
    params: Vec<(String, Template)>,
    refresh_before: Duration,
}

impl Oauth2 {
    pub(crate) fn compile(declared: &file::Oauth2, at: &FieldPath, compiler: &mut Compiler<'_>) -> Option<Self> {
        let token_url = address(&declared.token_url, &at.key("token_url"), compiler);
        let params = declared.params.iter().filter_map(|(name, source)| {
            let template = compiler.template(source, PROVIDER_ROOTS, &at.key("params").key(name))?;
            Some((name.clone(), template))
        });
        Some(Self {
            params: params.collect(),
            token_url,
            grants: declared.grants.clone(),
            client: declared.client,
            scopes: declared.scopes.clone(),
            refresh_before: declared.refresh_before.map_or(REFRESH_BEFORE, Period::get),
        })
    }

    /// What a token is fetched by for this credential; `None` where it does not have what it takes.
    pub(crate) fn grant(&self, credential: &Credential) -> Option<Grant> {
        let has = |field| credential.field(field).is_some();
        // Who says under `params` who the client is may say it in other words.
        let is_client = self.client == ClientAuth::Params || has("client_id");
        self.grants.iter().copied().find(|grant| match grant {
            Grant::RefreshToken => is_client && has("refresh_token"),
            Grant::ClientCredentials => is_client && (self.client == ClientAuth::Params || has("client_secret")),
        })
    }

    /// Whether a new token can be fetched for this credential. If not, it is used as it is.
    #[must_use]
    pub fn renews(&self, credential: &Credential) -> bool {
        self.token_url.is_some() && self.grant(credential).is_some()
    }

    /// RFC 6749, sections 4.4.2 and 6, with the client's authentication of section 2.3.1.
    pub(crate) fn request(
        &self,
        grant: Grant,
        credential: &Credential,
        scope: &Scope<'_>,
    ) -> Option<Result<RequestParts, FieldError>> {
        let url = self.token_url.clone()?;
        let secret = |field| credential.field(field).map(SecretString::expose_secret);
        let mut headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json")),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
        ]);
        let mut form = Serializer::new(String::new());
        match grant {
            Grant::RefreshToken => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", secret("refresh_token")?);
            }
            Grant::ClientCredentials => _ = form.append_pair("grant_type", "client_credentials"),
        }
        if !self.scopes.is_empty() {
            form.append_pair("scope", &self.scopes.join(" "));
        }
        match (self.client, secret("client_secret")) {
            (ClientAuth::Params, _) => {}
            (ClientAuth::Basic, Some(password)) => {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(secret("client_id")?), encoded(password));
                // Base64 has no character that a header can't have.
                let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            (_, password) => {
                form.append_pair("client_id", secret("client_id")?);
                form.extend_pairs(password.map(|password| ("client_secret", password)));
            }
        }
        for (name, template) in &self.params {
            let value = match template.render(scope) {
                Ok(Primitive::Text(text)) => text,
                Ok(other) => other.to_string(),
                Err(source) => {
                    return Some(Err(FieldError::Render { field: format!("auth.oauth2.params.{name}"), source }));
                }
            };
            form.append_pair(name, &value);
        }
        let body = Some(form.finish().into_bytes());
        Some(Ok(RequestParts { method: Method::POST, url, headers, body, secret_query: Vec::new() }))
    }
}

#[cfg(test)]
mod tests;
