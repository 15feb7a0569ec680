//! What is simulated: the file that `tidegate simulate` reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_provider::load::{LoadError, load_named, load_recorded};

use crate::{Faults, Items, Latency, LimitSpec, Paging, Quirks, Range, Shape, TokensSpec};

/// The version of the format that this crate reads.
pub const VERSION: u32 = 1;

/// Largest spec, in bytes.
pub const SPEC_BYTES_MAX: usize = 1_048_576;

/// Most endpoints.
pub const ENDPOINTS_MAX: usize = 1_000;

/// A third party to simulate.
///
/// Whatever is not given comes from the provider file, where one is named, else from the defaults that stand at each
/// field.
///
/// ```yaml
/// simulate: 1
/// seed: 7
/// latency: { p50: 20ms, p99: 200ms }
/// endpoints:
///   users:
///     path: /users
///     items: 10000
///     shape: { items: "$.users[*]", total: "$.total" }
///     paging: { style: offset, size_param: limit, max_size: 100 }
///     limits:
///       - { window: { calls: 300, per: 5m, aligned: epoch }, by: token }
///     faults: { error_500: 0.01, reset: 0.01 }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatorSpec {
    /// Version of the format: 1.
    pub simulate: u32,
    /// Provider file that endpoints, shapes, limits and error bodies derive from, relative to the spec's own folder; or a
    /// pack's name. What was recorded of the provider is answered as it was.
    pub provider: Option<PathBuf>,
    /// The same seed serves the same items, faults and latencies.
    pub seed: u64,
    /// Time to an answer; none unless given.
    pub latency: Option<Latency>,
    /// A call with another token, or none, is 401; any will do unless given. A made-up one: this file is no place for
    /// a secret.
    pub token: Option<String>,
    /// Where tokens are fetched (OAuth 2.0); nowhere unless given, or the provider file says so.
    pub tokens: Option<TokensSpec>,
    /// Path that all endpoints may also be called under, such as `/v2`.
    pub prefix: Option<String>,
    /// Limits that several endpoints share; the provider file's unless given.
    pub limits: Option<Vec<LimitSpec>>,
    /// What the provider does wrong.
    pub quirks: Quirks,
    /// Answers to calls that fail.
    pub answers: Answers,
    /// What endpoints have where they do not say otherwise.
    pub defaults: EndpointSpec,
    /// Endpoints by name.
    pub endpoints: BTreeMap<String, EndpointSpec>,
}

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointSpec {
    /// HTTP method; `get` unless given.
    pub method: Option<Method>,
    /// Path, with parameters such as `/users/{id}/posts`. Their values name the parent whose list is served.
    pub path: Option<String>,
    /// Query parameters that tell a call for it from those for others of the same path.
    pub query: Option<BTreeMap<String, String>>,
    /// Query parameter that names the parent, besides those of the path.
    pub parent: Option<String>,
    /// How many items there are; 100 unless given.
    pub items: Option<Items>,
    /// An item: JSON with the places `{{id}}`, `{{n}}` (counted from 1), `{{parent}}` and `{{text}}` (fills it up to
    /// `item_bytes`) in its texts. A text that is nothing but `{{id}}` or `{{n}}` becomes a number.
    pub item: Option<Value>,
    /// Size of an item that has a place for `{{text}}`, in bytes; 300 unless given.
    pub item_bytes: Option<u32>,
    /// Where things stand in an answer.
    pub shape: Option<Shape>,
    /// How it pages.
    pub paging: Option<Paging>,
    /// A range, such as of time, that calls ask for a part of; all is served unless given.
    pub range: Option<Range>,
    /// Share of the pages between the first and the last that come short though more follow, from 0 to 1: the list
    /// counts items that it never serves.
    pub short_pages: Option<f64>,
    /// Share of the pages between the first and the last that come without any item though more follow, from 0 to 1.
    pub blank_pages: Option<f64>,
    /// Limits of its own.
    pub limits: Option<Vec<LimitSpec>>,
    /// Time to an answer; the spec's unless given.
    pub latency: Option<Latency>,
    /// What goes wrong; nothing unless given.
    pub faults: Option<Faults>,
    /// Gzips answers for clients that accept it; not unless given.
    pub compress: Option<bool>,
}

/// HTTP method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// Answers to calls that fail.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// Over a limit; 429 unless given.
    pub limited: Option<Canned>,
    /// Wrong token; 401 unless given.
    pub unauthorized: Option<Canned>,
    /// No such parent; 404 unless given.
    pub not_found: Option<Canned>,
    /// A parameter that cannot be; 400 unless given.
    pub invalid: Option<Canned>,
    /// More items than `too_much_above`; 413 unless given.
    pub too_much_data: Option<Canned>,
    /// The fault `error_500`.
    pub error_500: Option<Canned>,
    /// The fault `error_503`.
    pub error_503: Option<Canned>,
    /// The fault `error_in_200`.
    pub error_in_200: Option<Canned>,
}

/// An answer that is always the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canned {
    /// Status, from 200 to 599.
    pub status: u16,
    /// Headers by name.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body: a text as it is, anything else as JSON.
    #[serde(default)]
    pub body: Value,
}

/// A spec that cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Longer than [`SPEC_BYTES_MAX`].
    #[error("a spec of at most {SPEC_BYTES_MAX} bytes was expected, not {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not YAML or JSON, or not of the format.
    #[error("not a simulator spec: {0}")]
    Syntax(String),
    /// The provider file cannot be read.
    #[error("provider: the provider file is not usable")]
    Provider(#[source] LoadError),
    /// A field that is well written and yet cannot be.
    #[error("{field}: {problem}")]
    Field {
        /// The field, such as `endpoints.users.path`.
        field: String,
        /// What is wrong and what was expected.
        problem: String,
    },
}

impl SpecError {
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}

impl Default for SimulatorSpec {
    fn default() -> Self {
        Self {
            simulate: VERSION,
            provider: None,
            seed: 0,
            latency: None,
            token: None,
            tokens: None,
            prefix: None,
            limits: None,
            quirks: Quirks::default(),
            answers: Answers::default(),
            defaults: EndpointSpec::default(),
            endpoints: BTreeMap::new(),
        }
    }
}

impl SimulatorSpec {
    /// Reads a spec in YAML or JSON.
    ///
    /// # Errors
    /// [`SpecError::TooLong`], [`SpecError::Syntax`] with the place, or [`SpecError::Field`] for another version.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        if text.len() > SPEC_BYTES_MAX {
            return Err(SpecError::TooLong { bytes: text.len() });
        }
        let spec: Self = serde_saphyr::from_str(text)
            .map_err(|error| SpecError::Syntax(error.to_string().replacen("error: ", "", 1)))?;
        if spec.simulate != VERSION {
            return Err(SpecError::field("simulate", format!("version {VERSION} was expected, not {}", spec.simulate)));
        }
        Ok(spec)
    }

    /// Reads the spec at `path`; a provider file that it names is looked for in the same folder.
    ///
    /// # Errors
    /// [`SpecError::Read`], else as for [`parse`](Self::parse).
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        let text = std::fs::read_to_string(path).map_err(|source| SpecError::Read { path: path.to_owned(), source })?;
        let mut spec = Self::parse(&text)?;
        if let (Some(provider), Some(folder)) = (&mut spec.provider, path.parent()) {
            let beside = folder.join(&*provider);
            if beside.is_file() || provider.to_str().and_then(tidegate_provider::pack).is_none() {
                *provider = beside;
            }
        }
        Ok(spec)
    }

    /// This spec, completed from the provider file that it names, if it does. With it comes what of the file could not
    /// be taken over and why, for people.
    ///
    /// # Errors
    /// [`SpecError::Provider`], else as for [`derived_from`](Self::derived_from).
    pub fn completed(self) -> Result<(Self, Vec<String>), SpecError> {
        match &self.provider {
            None => Ok((self, Vec::new())),
            Some(path) => {
                let file = load_named(path, &[]).map_err(SpecError::Provider)?.file;
                let recorded = load_recorded(path).map_err(SpecError::Provider)?.unwrap_or_default();
                self.derived_from(&file, &recorded)
            }
        }
    }
}

impl EndpointSpec {
    /// This endpoint, with `other`'s where it does not say.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            method: self.method.or(other.method),
            path: self.path.or(other.path),
            query: self.query.or(other.query),
            parent: self.parent.or(other.parent),
            items: self.items.or(other.items),
            item: self.item.or(other.item),
            item_bytes: self.item_bytes.or(other.item_bytes),
            shape: self.shape.or(other.shape),
            paging: self.paging.or(other.paging),
            range: self.range.or(other.range),
            short_pages: self.short_pages.or(other.short_pages),
            blank_pages: self.blank_pages.or(other.blank_pages),
            limits: self.limits.or(other.limits),
            latency: self.latency.or(other.latency),
            faults: self.faults.or(other.faults),
            compress: self.compress.or(other.compress),
        }
    }
}

impl Answers {
    /// These answers, with `other`'s where they do not say.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            limited: self.limited.or(other.limited),
            unauthorized: self.unauthorized.or(other.unauthorized),
            not_found: self.not_found.or(other.not_found),
            invalid: self.invalid.or(other.invalid),
            too_much_data: self.too_much_data.or(other.too_much_data),
            error_500: self.error_500.or(other.error_500),
            error_503: self.error_503.or(other.error_503),
            error_in_200: self.error_in_200.or(other.error_in_200),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Aligned, Between, Preset, Style, TotalLie};

    const FULL: &str = r#"
simulate: 1
seed: 7
latency: { p50: 20ms, p99: 200ms }
token: made-up
answers:
  limited: { status: 429, headers: { X-Reason: slow }, body: { error: Too many requests } }
limits:
  - { id: host, sliding: { calls: 190, per: 10s }, by: ip, headers: none, endpoints: [users] }
defaults: { items: 50 }
endpoints:
  users:
    path: /users
    items: 10000
    item: { id: "{{id}}", deep: [1, { n: "{{n}}" }] }
    shape: { items: "$.items[*]", total: "$.total", body: { ok: true } }
    paging: { style: offset, size_param: limit, max_size: 100 }
    short_pages: 0.2
    limits:
      - { window: { calls: 300, per: 5m, aligned: epoch }, by: token, headers: ratelimit }
      - { bucket: { capacity: 40, refill_per_s: 2 }, headers: { used_of_limit: X-Shop-Limit } }
      - { concurrency: 5, refused_counts: true }
    faults: { error_500: 0.01, reset: 0.01, max_faults_per_page: 3, lies: { total: +100, cursor_loop_after: 5 } }
  posts:
    method: post
    path: /users/{id}/posts
    items: { min: 0, max: 50 }
    latency: 5ms
    compress: true
"#;

    #[test]
    fn a_full_spec_is_read_whole() {
        let spec = SimulatorSpec::parse(FULL).unwrap();
        let users = &spec.endpoints["users"];
        let limits = users.limits.as_ref().unwrap();
        assert_eq!(users.paging.as_ref().unwrap().style, Style::Offset);
        assert_eq!(limits[0].window.as_ref().unwrap().aligned, Aligned::Epoch);
        assert_eq!(limits[0].headers, crate::LimitHeaders::Preset(Preset::Ratelimit));
        assert!(matches!(&limits[1].headers, crate::LimitHeaders::Names(names) if names.used_of_limit.is_some()));
        assert_eq!(users.faults.as_ref().unwrap().lies.total, Some(TotalLie::By(100)));
        assert_eq!(spec.endpoints["posts"].items, Some(Items::Between(Between { min: 0, max: 50 })));
        assert_eq!(spec.endpoints["posts"].method, Some(Method::Post));
    }

    #[test]
    fn a_spec_is_the_same_after_it_was_written_as_json() {
        let spec = SimulatorSpec::parse(FULL).unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(SimulatorSpec::parse(&json).unwrap(), spec);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("simulate: 2", "version 1"),
            ("simulate: 1\nendpoint: {}", "endpoint"),
            ("endpoints: { users: { latency: fast } }", "{ p50: 20ms, p99: 200ms }"),
            ("endpoints: { users: { latency: { p50: 20ms } } }", "{ p50: 20ms, p99: 200ms }"),
            ("endpoints: { users: { items: { min: 3 } } }", "{ min: 0, max: 50 }"),
            ("endpoints: { users: { limits: [{ by: nobody }] } }", "token, ip, endpoint"),
            ("endpoints: { users: { limits: [{ headers: all }] } }", "x_ratelimit, ratelimit"),
            ("endpoints: { users: { limits: [{ window: { calls: 3, per: soon } }] } }", "`20ms` or `5m`"),
            ("endpoints: { users: { faults: { lies: { total: twice } } } }", "`x2`"),
            ("endpoints: { users: { paging: { style: spiral } } }", "spiral"),
            ("endpoints: [", "not a simulator spec"),
        ] {
            let error = SimulatorSpec::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn every_field_is_in_the_schema() {
        let schema = serde_json::to_string(&schemars::schema_for!(SimulatorSpec)).unwrap();
        for name in ["short_pages", "gzip_bomb_bytes", "refill_per_s", "cursor_loop_after", "p99", "further_pages_only"]
        {
            assert!(schema.contains(name), "{name}");
        }
    }
}
