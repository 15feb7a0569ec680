//! How requests of a provider reach it: address, authentication, and what every request carries.

use std::sync::Arc;

use url::Url;

use crate::compile::Compiler;
use crate::file::{Auth, ProviderFile};
use crate::header::{Headers, NO_CREDENTIAL, PROVIDER_ROOTS, QueryField};
use crate::oauth2::Oauth2;
use crate::problem::FieldPath;
use crate::scope::Root;

/// What all endpoints of a provider have in common.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) base_url: Option<Url>,
    /// Of every request.
    pub(crate) headers: Headers,
    /// What authenticates, where that is a header.
    pub(crate) auth: Headers,
    /// Of every request, what authenticates last.
    pub(crate) query: Vec<Arc<QueryField>>,
    /// How tokens are fetched.
    pub(crate) oauth2: Option<Oauth2>,
}

impl Access {
    pub(crate) fn compile(provider: &ProviderFile, compiler: &mut Compiler<'_>) -> Self {
        let root = FieldPath::root();
        let mut headers = Headers::of_json();
        headers.add(&provider.headers, PROVIDER_ROOTS, &root.key("headers"), compiler);
        let mut auth = Headers::default();
        let mut query = Vec::new();
        for (name, source) in &provider.query {
            let field = root.key("query").key(name);
            query.extend(QueryField::compile((name, source), PROVIDER_ROOTS, &field, compiler).map(Arc::new));
        }
        let mut oauth2 = None;
        if let Some(declared) = &provider.auth {
            let at = root.key("auth");
            let (of_calls, at) = match declared {
                Auth::Oauth2(declared) => {
                    let at = at.key("oauth2");
                    oauth2 = Oauth2::compile(declared, &at, compiler);
                    (&declared.of_calls(), at.key("send"))
                }
                declared => (declared, at),
            };
            auth.add_auth(of_calls, &at, compiler);
            if let Auth::Query { name, value } = of_calls {
                let field = at.key("query").key("value");
                let compiled = QueryField::compile((name, value), PROVIDER_ROOTS, &field, compiler);
                if compiled.as_ref().is_some_and(|compiled| !compiled.secret) {
                    compiler.add(&field, NO_CREDENTIAL);
                }
                query.extend(compiled.map(Arc::new));
            }
        }
        Self { base_url: base_url(provider, compiler), headers, auth, query, oauth2 }
    }
}

fn base_url(provider: &ProviderFile, compiler: &mut Compiler<'_>) -> Option<Url> {
    let field = FieldPath::root().key("base_url");
    let Some(source) = &provider.base_url else {
        if !provider.endpoints.is_empty() && provider.extends.is_none() {
            compiler.add(&FieldPath::root(), "expected a field base_url, found none");
        }
        return None;
    };
    address(source, &field, compiler)
}

/// The address that a template over `config` makes.
pub(crate) fn address(source: &str, field: &FieldPath, compiler: &mut Compiler<'_>) -> Option<Url> {
    let template = compiler.template(source, &[Root::Config], field)?;
    let text = compiler.fixed(&template, field)?.to_string();
    match check_address(&text) {
        Ok(url) => Some(url),
        Err(expected) => {
            // Not what was found where that is a user name, perhaps with a password.
            let found = if text.contains('@') { "another".to_owned() } else { format!("{text:?}") };
            compiler.add(field, format!("expected {expected}, found {found}"));
            None
        }
    }
}

/// Plain http is taken here: whether its host is public, and so needs `insecure_http`, is known when it is called.
fn check_address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "an address such as https://api.example.com/v1")?;
    match url.scheme() {
        "http" | "https" => {}
        _ => return Err("an http or https address"),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("an address with a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address without a user name (authentication stands under auth)");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an address without query and fragment (parameters stand under query)");
    }
    Ok(url)
}
