//! A spec completed from a provider file: what the file declares of an API is what the simulator does.
//!
//! Only declarations are read. Limits are enforced, pages cut and answers written by this crate's own code.

mod answers;
mod endpoint;
mod limits;
mod sample;

use tidegate_provider::Recorded;
use tidegate_provider::file::{Auth, ProviderFile};

use crate::{SimulatorSpec, SpecError, TokensSpec};

impl SimulatorSpec {
    /// This spec, with what `file` declares where the spec does not say: endpoints, shapes, paging, limits and error
    /// bodies, the latter as they were `recorded` where they were. With it comes what could not be taken over and why, for people.
    ///
    /// # Errors
    /// An endpoint that the spec names declares something too complex to simulate, and the spec does not replace it; or
    /// what was recorded says of a simulation what can't be.
    pub fn derived_from(mut self, file: &ProviderFile, recorded: &Recorded) -> Result<(Self, Vec<String>), SpecError> {
        let mut notes = Vec::new();
        self.provider = None;
        let known = known(recorded)?;
        for (name, endpoint) in known.endpoints {
            let own = self.endpoints.remove(&name).unwrap_or_default();
            self.endpoints.insert(name, own.or(endpoint));
        }
        self.prefix = self.prefix.or_else(|| prefix(file.base_url.as_deref()?));
        for (name, declared) in &file.endpoints {
            let named = self.endpoints.remove(name.as_str());
            let given = named.clone().unwrap_or_default().or(self.defaults.clone());
            match endpoint::derive(declared, &given) {
                Ok(derived) => _ = self.endpoints.insert(name.to_string(), given.or(derived)),
                Err((field, problem)) if named.is_some() => {
                    return Err(SpecError::field(format!("endpoints.{name}.{field}"), problem));
                }
                Err((field, problem)) => notes.push(format!("endpoint {name} is not simulated: {field}: {problem}")),
            }
        }
        if let (None, Some(Auth::Oauth2(oauth2))) = (&self.tokens, &file.auth) {
            self.tokens = Some(TokensSpec { path: oauth2.token_path().to_owned(), ..TokensSpec::default() });
        }
        let recorded = answers::Recordings::of(file, recorded);
        let answers = answers::derive(&recorded, &mut notes);
        self.answers = self.answers.or(known.answers).or(answers);
        if self.limits.is_none() {
            let endpoints: Vec<&str> = self.endpoints.keys().map(String::as_str).collect();
            let known = known.limits.unwrap_or_default();
            self.limits = Some(limits::derive(file, known, &recorded, (&endpoints, &mut notes)));
        }
        Ok((self, notes))
    }
}

/// What was recorded of the provider beyond what its file can say.
fn known(recorded: &Recorded) -> Result<SimulatorSpec, SpecError> {
    if recorded.simulate.is_null() {
        return Ok(SimulatorSpec::default());
    }
    serde_json::from_value(recorded.simulate.clone())
        .map_err(|error| SpecError::Syntax(format!("what was recorded, simulate: {error}")))
}

/// The path of a base address, if it has one that is not a template.
fn prefix(base_url: &str) -> Option<String> {
    let (_, rest) = base_url.split_once("://")?;
    let path = rest[rest.find('/')?..].trim_end_matches('/');
    (!path.is_empty() && !path.contains("{{")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use tidegate_provider::parse_provider;

    use super::*;
    use crate::{Aligned, By, Cursors, EndpointSpec, LimitHeaders, NoNext, Shape, Style, Whose};

    const FILE: &str = r#"
tidegate: 1
provider: social
base_url: "https://{{ config.host }}/api/"
config: { host: { required: true } }
limits:
  - id: token
    key: [credential]
    window: { calls: 300, per: 5m, aligned: epoch }
    headers: { limit: X-L, remaining: X-R, reset: X-Z, reset_as: iso8601 }
  - { id: paging, key: [credential, "param:id"], when: "call.page > 1", window: { calls: 30, per: 15m } }
  - { id: host, key: [egress], endpoints: ["accounts.*"], concurrency: { calls: 4 } }
  - { id: shop, key: [app], bucket: { calls: 40, restore_per_s: 2 }, headers: { used: X-Shop-Limit }, cost: 2 }
  - { id: dear, bucket: { calls: 40, restore_per_s: 2 }, cost: "call.size" }
  - { id: odd, when: "params.q", concurrency: { calls: 1 } }
  - { id: learnt, told: {} }
errors:
  - { status: 403, json: { "$.error.code": [4, 17] }, class: rate_limited, scope: shop }
  - { status: [420, 429], message: "(?i)too many (calls|requests)", class: rate_limited }
  - { json: { "$.error.code": 190 }, class: auth_revoked }
  - { status: 500, message: "^Please reduce the amount of data.*$", class: too_much_data }
  - { status: 200, json: { "$.errors[*].extensions.code": THROTTLED }, class: transient }
endpoints:
  accounts.followers:
    get: /v1/accounts/{id}/followers
    items: "$[*]"
    key: "$.pk"
    pages: { link: next, size: { param: limit, max: 80 } }
  search:
    get: /v2/search
    params: [q]
    items: "$.accounts"
    pages: { page: page, first: 0, size: { param: limit, max: 40 }, total: { header: X-Total }, has_more: "$.more" }
  charges:
    get: /v1/charges
    items: "$.data[*]"
    key: "$.id"
    pages: { cursor: starting_after, next: { last_item: "$.node.id" }, has_more: "$.has_more", size: { param: limit, max: 100 } }
  rows:
    post: /v1/rows
    send: json
    items: "$.data.rows.edges[*].node"
    pages: { cursor: after, next: "$.data.rows.page.end", size: { param: first, max: 50 } }
  files:
    get: /v1/files
    items: "$.files[*]"
    pages: { next_url: { header: Next-Page }, total: "$.count" }
  one:
    get: /v1/accounts/{id}
  complex:
    get: /v1/complex
    items: "$.groups[*].members[*]"
    pages: { link: next }
"#;

    fn derived(spec: SimulatorSpec) -> (SimulatorSpec, Vec<String>) {
        spec.derived_from(&parse_provider(FILE, "social.yaml").unwrap().file, &Recorded::default()).unwrap()
    }

    #[test]
    fn endpoints_page_as_the_file_declares() {
        let (spec, _) = derived(SimulatorSpec::seeded(1));
        let paging = |name: &str| spec.endpoints[name].paging.clone().unwrap();
        let shape = |name: &str| spec.endpoints[name].shape.clone().unwrap();
        assert_eq!((paging("accounts.followers").style, paging("accounts.followers").max_size), (Style::Link, 80));
        assert_eq!((paging("search").style, paging("search").first_page), (Style::Page, 0));
        assert_eq!(
            (shape("search").items.as_deref(), shape("search").total_header.as_deref()),
            (Some("$.accounts[*]"), Some("x-total"))
        );
        assert_eq!((paging("charges").style, paging("charges").cursors), (Style::Cursor, Cursors::LastId));
        assert_eq!(spec.endpoints["charges"].item.as_ref().unwrap()["node"]["id"], "{{id}}");
        assert_eq!(shape("rows").next.as_deref(), Some("$.data.rows.page.end"));
        assert_eq!((paging("files").style, shape("files").next_header.as_deref()), (Style::NextUrl, Some("next-page")));
        assert_eq!((paging("one").style, shape("one").items.as_deref()), (Style::Single, Some("$")));
        assert_eq!(spec.endpoints["accounts.followers"].item.as_ref().unwrap()["pk"], "{{id}}");
        assert_eq!(shape("rows").no_next, NoNext::Absent);
        assert_eq!(spec.prefix.as_deref(), Some("/api"));
    }

    #[test]
    fn limits_are_taken_over_with_their_keys_and_headers() {
        let (spec, notes) = derived(SimulatorSpec::seeded(1));
        let limits = spec.limits.unwrap();
        let ids: Vec<_> = limits.iter().map(|limit| limit.id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["token", "paging", "host", "shop"]);
        assert_eq!(limits[0].window.as_ref().unwrap().aligned, Aligned::Epoch);
        assert!(matches!(&limits[0].headers, LimitHeaders::Names(names) if names.reset.as_deref() == Some("X-Z")));
        assert!(limits[1].further_pages_only && limits[1].by == Whose::Each(vec![By::Token, By::Parent]));
        assert_eq!((&limits[2].endpoints, limits[2].concurrency), (&vec!["accounts.followers".to_owned()], Some(4)));
        assert!(
            matches!(&limits[3].headers, LimitHeaders::Names(names) if names.used_of_limit.as_deref() == Some("X-Shop-Limit"))
        );
        assert_eq!((limits[3].cost, limits[3].answer.as_ref().unwrap().status), (2, 403));
        for id in ["dear", "odd", "learnt"] {
            assert!(notes.iter().any(|note| note.starts_with(&format!("limit {id} is not simulated: "))), "{notes:?}");
        }
    }

    #[test]
    fn error_bodies_are_such_as_the_files_rules_tell_apart() {
        let answers = derived(SimulatorSpec::seeded(1)).0.answers;
        let limited = answers.limited.unwrap();
        assert_eq!((limited.status, limited.body["error"]["message"].as_str()), (429, Some("too many calls")));
        let unauthorized = answers.unauthorized.unwrap();
        assert_eq!((unauthorized.status, &unauthorized.body["error"]["code"]), (401, &190.into()));
        assert_eq!(answers.too_much_data.unwrap().status, 500);
        let in_200 = answers.error_in_200.unwrap();
        assert_eq!((in_200.status, &in_200.body["errors"][0]["extensions"]["code"]), (200, &"THROTTLED".into()));
        assert_eq!(answers.not_found, None);
    }

    #[test]
    fn what_was_recorded_is_answered_without_what_had_its_time() {
        let recorded = Recorded::parse(
            r#"
answers:
  - { status: 403, headers: { X-R: "0", Retry-After: "9", X-Kept: "k" }, body: { error: { code: 4, message: m } }, means: rate_limited, scope: shop }
  - { status: 401, body: { error: { code: 190, message: recorded } }, means: auth_revoked }
simulate:
  limits: [ { id: learnt, sliding: { calls: 5, per: 1s } } ]
  endpoints: { one: { items: 3 } }
"#,
        );
        let file = parse_provider(FILE, "social.yaml").unwrap().file;
        let (spec, notes) = SimulatorSpec::seeded(1).derived_from(&file, &recorded.unwrap()).unwrap();
        let limits = spec.limits.unwrap();
        let refusal = limits.iter().find(|limit| limit.id.as_deref() == Some("shop")).unwrap().answer.clone().unwrap();
        assert_eq!((refusal.status, &refusal.body["error"]["message"]), (403, &"m".into()));
        assert_eq!(refusal.headers.keys().collect::<Vec<_>>(), ["X-Kept"], "headers of limits are the simulator's own");
        assert_eq!(spec.answers.unauthorized.unwrap().body["error"]["message"], "recorded");
        assert!(limits.iter().any(|limit| limit.id.as_deref() == Some("learnt")));
        assert!(!notes.iter().any(|note| note.starts_with("limit learnt ")), "{notes:?}");
        assert_eq!(spec.endpoints["one"].items, Some(crate::Items::Count(3)));
    }

    #[test]
    fn what_the_spec_says_goes_before_the_file() {
        let given = EndpointSpec { path: Some("/other".into()), ..EndpointSpec::default() }.items(7);
        let spec = SimulatorSpec { limits: Some(Vec::new()), ..SimulatorSpec::seeded(1) }.with("search", given);
        let spec = SimulatorSpec { defaults: EndpointSpec::default().items(5), ..spec };
        let (spec, _) = derived(spec);
        assert_eq!((spec.endpoints["search"].path.as_deref(), &spec.limits), (Some("/other"), &Some(Vec::new())));
        assert_eq!(spec.endpoints["search"].items, Some(crate::Items::Count(7)));
        assert_eq!(spec.endpoints["rows"].items, Some(crate::Items::Count(5)));
        assert_eq!(spec.endpoints["search"].paging.as_ref().unwrap().style, Style::Page);
    }

    #[test]
    fn a_selector_that_is_too_complex_is_an_error_only_where_the_endpoint_is_wanted() {
        let (spec, notes) = derived(SimulatorSpec::seeded(1));
        assert!(!spec.endpoints.contains_key("complex"));
        assert!(
            notes.iter().any(|note| note.starts_with("endpoint complex is not simulated: shape: items: ")),
            "{notes:?}"
        );
        let file = parse_provider(FILE, "social.yaml").unwrap().file;
        let wanted = SimulatorSpec::seeded(1).with("complex", EndpointSpec::default());
        let error = wanted.derived_from(&file, &Recorded::default()).unwrap_err().to_string();
        assert!(error.starts_with("endpoints.complex.shape: items: ") && error.contains("too complex"), "{error}");
        let shape = Shape { items: Some("$.members[*]".into()), ..Shape::default() };
        let replaced =
            SimulatorSpec::seeded(1).with("complex", EndpointSpec { shape: Some(shape), ..EndpointSpec::default() });
        assert_eq!(
            replaced.derived_from(&file, &Recorded::default()).unwrap().0.endpoints["complex"]
                .paging
                .as_ref()
                .unwrap()
                .style,
            Style::Link
        );
    }

    #[test]
    fn a_base_address_may_have_a_path() {
        for (url, path) in
            [("https://a/v2/", Some("/v2")), ("https://a", None), ("https://a/", None), ("https://a/{{ x }}", None)]
        {
            assert_eq!(prefix(url).as_deref(), path, "{url}");
        }
    }
}
