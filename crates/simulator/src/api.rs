//! The API that a spec describes, read and checked once: what a running simulator serves from.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::HeaderName;

use crate::bomb::Bomb;
use crate::draw::Draw;
use crate::fault::check_share;
use crate::item::{ITEM_BYTES_DEFAULT, ITEM_BYTES_MAX, Template};
use crate::limit::Rule;
use crate::list::{Gaps, List};
use crate::reply::{Replies, Reply};
use crate::route::Route;
use crate::shape::Envelope;
use crate::spec::ENDPOINTS_MAX;
use crate::{
    Cursors, EndpointSpec, Faults, HeaderNames, Items, Latency, LimitSpec, Method, Paging, Range, Shape, SimulatorSpec,
    SpecError, Style, Whose,
};

/// A third party, ready to be served.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) prefix: Option<String>,
    /// In order of name.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) answers: Replies,
    /// Endpoints in the order in which their routes are tried.
    order: Vec<usize>,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) route: Route,
    /// Query parameters that tell its calls from those for others of the same path.
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) parent_param: Option<String>,
    pub(crate) items: Items,
    pub(crate) template: Template,
    pub(crate) envelope: Envelope,
    pub(crate) headers: ShapeHeaders,
    pub(crate) paging: Paging,
    pub(crate) range: Option<Range>,
    pub(crate) gaps: Gaps,
    pub(crate) latency: Option<Latency>,
    pub(crate) faults: Faults,
    pub(crate) bomb: Option<Bomb>,
    pub(crate) always: Option<Reply>,
    pub(crate) compress: bool,
    /// Depends on the seed and the endpoint's name.
    pub(crate) draw: Draw,
    /// Indexes of the limits that count its calls.
    pub(crate) limits: Vec<usize>,
}

/// Headers that speak of other pages.
#[derive(Debug)]
pub(crate) struct ShapeHeaders {
    pub(crate) total: Option<HeaderName>,
    pub(crate) next: Option<HeaderName>,
    pub(crate) has_more: Option<HeaderName>,
}

/// One limit.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) id: String,
    pub(crate) rule: Rule,
    pub(crate) by: Whose,
    pub(crate) further_pages_only: bool,
    pub(crate) cost: u64,
    pub(crate) headers: HeaderNames,
    pub(crate) retry_after: bool,
    pub(crate) refused_counts: bool,
    pub(crate) answer: Option<Reply>,
}

impl Api {
    /// Reads and checks `spec`, to which nothing is to be added.
    pub(crate) fn of(spec: &SimulatorSpec) -> Result<Self, SpecError> {
        if spec.endpoints.len() > ENDPOINTS_MAX {
            return Err(SpecError::field(
                "endpoints",
                format!("at most {ENDPOINTS_MAX} were expected, not {}", spec.endpoints.len()),
            ));
        }
        let mut api = Self {
            prefix: spec.prefix.as_ref().map(|prefix| prefix.trim_end_matches('/').to_owned()),
            endpoints: Vec::new(),
            limits: Vec::new(),
            answers: Replies::of(&spec.answers)?,
            order: Vec::new(),
        };
        for (name, endpoint) in &spec.endpoints {
            api.add_endpoint(spec, name, endpoint.clone().or(spec.defaults.clone()))?;
        }
        for (number, limit) in spec.limits.iter().flatten().enumerate() {
            api.add_shared_limit(number, limit)?;
        }
        let mut ids = BTreeSet::new();
        if let Some(limit) = api.limits.iter().find(|limit| !ids.insert(&limit.id)) {
            return Err(SpecError::field(
                "limits",
                format!("one limit called `{}` was expected, not several", limit.id),
            ));
        }
        api.order = (0..api.endpoints.len()).collect();
        api.order.sort_by_key(|index| {
            let endpoint = &api.endpoints[*index];
            std::cmp::Reverse((endpoint.route.literals(), endpoint.query.len()))
        });
        Ok(api)
    }

    /// The endpoint that a call is for, and the values of its path's parameters.
    pub(crate) fn find(&self, method: &axum::http::Method, path: &str, query: &str) -> Option<(usize, Vec<String>)> {
        let bare =
            self.prefix.as_deref().and_then(|prefix| path.strip_prefix(prefix)).filter(|rest| rest.starts_with('/'));
        [Some(path), bare].into_iter().flatten().find_map(|path| {
            self.order.iter().find_map(|index| {
                let endpoint = &self.endpoints[*index];
                if !endpoint.is_asked_by(query) {
                    return None;
                }
                let values = (endpoint.method.name() == method.as_str()).then(|| endpoint.route.matches(path))??;
                Some((*index, values))
            })
        })
    }

    /// The endpoint called `name`.
    pub(crate) fn named(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }

    fn add_endpoint(&mut self, spec: &SimulatorSpec, name: &str, given: EndpointSpec) -> Result<(), SpecError> {
        let mut endpoint = Endpoint::of(spec, name, &given)?;
        for (number, limit) in given.limits.iter().flatten().enumerate() {
            let field = format!("endpoints.{name}.limits[{number}]");
            if !limit.endpoints.is_empty() {
                return Err(SpecError::field(field, "endpoints: an endpoint's own limit counts that endpoint's calls"));
            }
            endpoint.limits.push(self.limits.len());
            self.limits.push(Limit::of(limit, format!("{name}.{number}")).map_err(|why| SpecError::field(field, why))?);
        }
        self.endpoints.push(endpoint);
        Ok(())
    }

    fn add_shared_limit(&mut self, number: usize, limit: &LimitSpec) -> Result<(), SpecError> {
        let field = format!("limits[{number}]");
        let index = self.limits.len();
        self.limits.push(Limit::of(limit, field.clone()).map_err(|why| SpecError::field(&field, why))?);
        if let Some(unknown) = limit.endpoints.iter().find(|name| self.named(name).is_none()) {
            return Err(SpecError::field(field, format!("endpoints: there is no endpoint `{unknown}`")));
        }
        for endpoint in &mut self.endpoints {
            if limit.endpoints.is_empty() || limit.endpoints.contains(&endpoint.name) {
                endpoint.limits.push(index);
            }
        }
        Ok(())
    }
}

impl Endpoint {
    fn of(spec: &SimulatorSpec, name: &str, given: &EndpointSpec) -> Result<Self, SpecError> {
        let at = |field: &str| format!("endpoints.{name}.{field}");
        let path = given.path.as_deref().ok_or_else(|| {
            SpecError::field(at("path"), "a path was expected, or a provider file that has an endpoint of this name")
        })?;
        let route = Route::read(path).map_err(|why| SpecError::field(at("path"), why))?;
        let items = given.items.clone().unwrap_or_default();
        items.check().map_err(|why| SpecError::field(at("items"), why))?;
        let bytes = given.item_bytes.unwrap_or(ITEM_BYTES_DEFAULT);
        if bytes > ITEM_BYTES_MAX {
            return Err(SpecError::field(
                at("item_bytes"),
                format!("at most {ITEM_BYTES_MAX} were expected, not {bytes}"),
            ));
        }
        let item = given.item.clone().unwrap_or_else(Template::plain);
        let paging = given.paging.clone().unwrap_or_default();
        paging.check().map_err(|why| SpecError::field(at("paging"), why))?;
        let shape = given.shape.clone().unwrap_or_default();
        let faults = given.faults.clone().unwrap_or_default();
        faults.check().map_err(|why| SpecError::field(at("faults"), why))?;
        let latency = given.latency.clone().or_else(|| spec.latency.clone());
        latency.as_ref().map_or(Ok(()), Latency::check).map_err(|why| SpecError::field(at("latency"), why))?;
        let always = faults.always.as_ref().map(Reply::of).transpose();
        let bomb = faults.gzip_bomb_bytes.map(Bomb::of).transpose();
        Ok(Self {
            method: given.method.unwrap_or_default(),
            route,
            query: given.query.clone().unwrap_or_default(),
            parent_param: given.parent.clone(),
            items,
            template: Template::cut(&item, bytes).map_err(|why| SpecError::field(at("item"), why))?,
            envelope: envelope(&shape, &paging).map_err(|why| SpecError::field(at("shape"), why))?,
            headers: ShapeHeaders::of(&shape).map_err(|why| SpecError::field(at("shape"), why))?,
            gaps: gaps(given, &paging).map_err(|(field, why)| SpecError::field(at(field), why))?,
            paging,
            range: given.range.clone(),
            latency,
            always: always.map_err(|why| SpecError::field(at("faults.always"), why))?,
            bomb: bomb.map_err(|why| SpecError::field(at("faults.gzip_bomb_bytes"), why))?,
            faults,
            compress: given.compress.unwrap_or_default(),
            draw: Draw::seeded(spec.seed).with_text(name),
            name: name.to_owned(),
            limits: Vec::new(),
        })
    }

    /// Whether the query holds what tells its calls from those for others of the same path.
    fn is_asked_by(&self, query: &str) -> bool {
        let has = |wanted: (&String, &String)| {
            url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == *wanted.0 && value == *wanted.1)
        };
        self.query.iter().all(has)
    }

    /// The list of `parent`; empty for an endpoint without parents.
    pub(crate) fn list(&self, parent: &str) -> List {
        let draw = self.draw.with_text(parent);
        let len = if self.faults.loses(draw) { 0 } else { self.items.len(draw) };
        let alone = self.envelope.is_single();
        let len = if alone { len.min(1) } else { len };
        List { len, first: 0, parent: parent.to_owned(), alone, gaps: self.gaps, draw }
    }
}

impl ShapeHeaders {
    fn of(shape: &Shape) -> Result<Self, String> {
        let name = |field, name: &Option<String>| header_name(name.as_deref()).map_err(|why| format!("{field}: {why}"));
        Ok(Self {
            total: name("total_header", &shape.total_header)?,
            next: name("next_header", &shape.next_header)?,
            has_more: name("has_more_header", &shape.has_more_header)?,
        })
    }
}

fn envelope(shape: &Shape, paging: &Paging) -> Result<Envelope, String> {
    let mut shape = shape.clone();
    if matches!(paging.style, Style::Cursor | Style::NextUrl)
        && paging.cursors == Cursors::Opaque
        && shape.next_header.is_none()
    {
        shape.next.get_or_insert_with(|| "$.next".to_owned());
    }
    if let Some(items) = shape.items.as_mut().filter(|items| paging.style != Style::Single && !items.contains("[*]")) {
        items.push_str("[*]");
    }
    Envelope::read(&shape)
}

fn gaps(given: &EndpointSpec, paging: &Paging) -> Result<Gaps, (&'static str, String)> {
    let (short, blank) = (given.short_pages.unwrap_or(0.0), given.blank_pages.unwrap_or(0.0));
    check_share(short).map_err(|why| ("short_pages", why))?;
    check_share(blank).map_err(|why| ("blank_pages", why))?;
    check_share(short + blank).map_err(|why| ("short_pages", format!("with blank_pages: {why}")))?;
    let block = if paging.style == Style::Single { u64::MAX } else { u64::from(paging.max_size) };
    Ok(Gaps { short, blank, block })
}

fn header_name(name: Option<&str>) -> Result<Option<HeaderName>, String> {
    name.map(|name| name.parse().map_err(|_| format!("`{name}` is no header's name"))).transpose()
}

impl Limit {
    fn of(spec: &LimitSpec, id: String) -> Result<Self, String> {
        let names = spec.headers.names();
        let HeaderNames { limit, remaining, used, used_of_limit, reset, policy, usage, id: named, reset_as: _ } =
            &names;
        for name in [limit, remaining, used, used_of_limit, reset, policy, usage, named] {
            header_name(name.as_deref()).map_err(|why| format!("headers: {why}"))?;
        }
        Ok(Self {
            id: spec.id.clone().unwrap_or(id),
            rule: spec.rule()?,
            by: spec.by.clone(),
            further_pages_only: spec.further_pages_only,
            cost: if spec.concurrency.is_some() { 1 } else { spec.cost },
            headers: names,
            retry_after: spec.retry_after,
            refused_counts: spec.refused_counts,
            answer: spec.answer.as_ref().map(Reply::of).transpose().map_err(|why| format!("answer: {why}"))?,
        })
    }
}

impl Method {
    /// As in a request line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Lies;

    fn error(spec: &SimulatorSpec) -> String {
        Api::of(spec).unwrap_err().to_string()
    }

    fn with(endpoint: EndpointSpec) -> SimulatorSpec {
        SimulatorSpec::seeded(1).with("users", endpoint)
    }

    #[test]
    fn a_spec_that_cannot_be_is_refused_by_field() {
        let lies = Lies { cursor_loop_after: Some(0), ..Lies::default() };
        let cases = [
            (with(EndpointSpec::default()), "endpoints.users.path: "),
            (with(EndpointSpec::at("users")), "endpoints.users.path: "),
            (with(EndpointSpec::at("/users").items_between(5, 3)), "endpoints.users.items: "),
            (with(EndpointSpec::at("/users").items_at("$..x[*]")), "endpoints.users.shape: items: "),
            (with(EndpointSpec::at("/users").item(json!("{{x}}"))), "endpoints.users.item: "),
            (with(EndpointSpec::at("/users").size("n", 0)), "endpoints.users.paging: a max_size"),
            (with(EndpointSpec::at("/users").total_in_header("a b")), "endpoints.users.shape: total_header: "),
            (with(EndpointSpec::at("/users").limit(LimitSpec::default())), "endpoints.users.limits[0]: exactly one"),
            (
                with(EndpointSpec::at("/users").faults(Faults { html: 2.0, ..Faults::default() })),
                "endpoints.users.faults: html: ",
            ),
            (
                with(EndpointSpec::at("/users").faults(Faults { lies, ..Faults::default() })),
                "endpoints.users.faults: lies.",
            ),
            (
                with(EndpointSpec { short_pages: Some(1.5), ..EndpointSpec::at("/users") }),
                "endpoints.users.short_pages: ",
            ),
            (
                SimulatorSpec::seeded(1).limit(LimitSpec { endpoints: vec!["x".into()], ..LimitSpec::window(1, 1) }),
                "limits[0]: endpoints: ",
            ),
        ];
        for (spec, named) in cases {
            let error = error(&spec);
            assert!(error.starts_with(named), "{error}");
        }
    }

    #[test]
    fn a_fixed_path_goes_before_one_with_parameters_and_a_prefix_may_be_left_out() {
        let spec = with(EndpointSpec::at("/users/{id}")).with("me", EndpointSpec::at("/users/me"));
        let api = Api::of(&SimulatorSpec { prefix: Some("/v2/".into()), ..spec }).unwrap();
        let name =
            |path| api.find(&axum::http::Method::GET, path, "").map(|(index, _)| api.endpoints[index].name.clone());
        assert_eq!(name("/users/me").as_deref(), Some("me"));
        assert_eq!(name("/v2/users/me").as_deref(), Some("me"));
        assert_eq!(name("/users/7").as_deref(), Some("users"));
        assert_eq!(name("/v2users/me"), None);
        assert!(api.find(&axum::http::Method::POST, "/users/me", "").is_none());
    }
}
