//! Limits, ready to use: which apply to a call, and the budget it takes from each.

mod buckets;
mod reach;
mod tells;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tidegate_contracts::{Class, PagePointer, Params, Primitive};
use tidegate_limits::{Breaker, Charge, HeaderNames, Headroom, Health, Rate, Reading, Zone};
use xxhash_rust::xxh3::xxh3_128;

pub use self::buckets::Buckets;
use self::reach::{Reach, glob};
pub(crate) use self::tells::{Listener, Tells, hear};
use crate::compile::Compiler;
use crate::endpoint::Endpoint;
use crate::expression::{Hole, RenderError};
use crate::file::{Cost, Factor, Limit, ProviderFile};
use crate::problem::FieldPath;
use crate::scope::{CallFacts, Root, Scope};

/// What the limit is called that stands for those nobody declared.
const TOLD: &str = "told";
/// What the breaker is called where nobody declared one.
const BREAKER: &str = "breaker";
/// Failures that mean that the provider is ill, where a breaker names none.
const ILL: [Class; 3] = [Class::ProviderDown, Class::Timeout, Class::Transient];
/// What an expression of a limit may see.
const ROOTS: &[Root] = &[Root::Call, Root::Params];
/// Longest value of a factor kept in a key, in bytes; of a longer one the hash is.
const FACTOR_MAX_BYTES: usize = 64;
/// What would make two keys of one, or break a key's pattern.
const RESERVED: &AsciiSet = &CONTROLS.add(b',').add(b'=').add(b'/').add(b'{').add(b'}').add(b'%').add(b'#').add(b' ');

/// A limit's expression failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChargeError {
    /// `when`.
    #[error("`when` of limit {limit} can't be evaluated")]
    When {
        /// The limit's id.
        limit: String,
        /// Why.
        #[source]
        source: RenderError,
    },
    /// `cost`.
    #[error("`cost` of limit {limit} can't be evaluated")]
    Cost {
        /// The limit's id.
        limit: String,
        /// Why.
        #[source]
        source: RenderError,
    },
    /// `cost` is none.
    #[error("`cost` of limit {limit}: expected a whole number from 0, found {found}")]
    CostRange {
        /// The limit's id.
        limit: String,
        /// What it came to.
        found: String,
    },
}

/// A call, as limits see it.
#[derive(Debug, Clone, Copy)]
pub struct CallShape<'a> {
    /// Parameters of its fetch.
    pub params: &'a Params,
    /// Which page.
    pub pointer: &'a PagePointer,
    /// Its place in its chain, from 0.
    pub ordinal: u32,
}

/// On whose behalf and from where a call is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caller<'a> {
    /// Name of the address it leaves from.
    pub egress: &'a str,
    /// Name of the credential.
    pub credential: Option<&'a str>,
    /// Whose job it is.
    pub tenant: Option<&'a str>,
    /// What endpoints share, as far as answers have told.
    pub buckets: Option<&'a Buckets>,
}

/// All limits of a provider.
#[derive(Debug)]
pub(crate) struct Limits {
    all: Vec<Arc<Budgeted>>,
    tells: BTreeMap<String, Tells>,
    /// Failures that mean that the provider is ill.
    ill: Vec<Class>,
}

/// One limit.
#[derive(Debug)]
pub(crate) struct Budgeted {
    id: String,
    /// `{provider}/limit/`: the braces keep all keys of a provider together where keys are spread over servers.
    prefix: String,
    factors: Vec<Factor>,
    endpoints: Vec<String>,
    when: Option<Hole>,
    cost: Price,
    headroom: Option<Headroom>,
    rate: Rate,
}

#[derive(Debug)]
enum Price {
    Fixed(u32),
    Expression(Hole),
}

impl Limits {
    /// Reads the provider's limits. Without any that could be told by headers, one is added that is; without a breaker,
    /// one is.
    pub(crate) fn compile(provider: &ProviderFile, compiler: &mut Compiler<'_>) -> Self {
        let name = provider.provider.as_str();
        let mut all = Vec::new();
        let mut tells = BTreeMap::new();
        for (index, limit) in provider.limits.iter().enumerate() {
            let at = FieldPath::root().key("limits").index(index);
            if provider.limits[..index].iter().any(|other| other.id == limit.id) {
                compiler.add(&at.key("id"), format!("expected another id, found \"{}\" a second time", limit.id));
            }
            all.extend(Budgeted::compile(limit, provider, &at, compiler).map(Arc::new));
            tells.extend(Some((limit.id.to_string(), Tells::of(limit))).filter(|(_, tells)| !tells.is_silent()));
        }
        if tells.is_empty() {
            let readable = provider.limits.iter().filter(|limit| may_tell(limit));
            tells.extend(readable.map(|limit| (limit.id.to_string(), Tells::standard())));
            if tells.is_empty() {
                if let Some(index) = provider.limits.iter().position(|limit| limit.id.as_str() == TOLD) {
                    let field = FieldPath::root().key("limits").index(index).key("id");
                    compiler.add(&field, "expected another id; told is the limit that headers speak of");
                }
                all.push(Arc::new(Budgeted::added(name, TOLD, Factor::Credential, Rate::Told {})));
                tells.insert(TOLD.to_owned(), Tells::standard());
            }
        }
        let ill = breaker(provider, compiler).unwrap_or_else(|| {
            let rate = Rate::Breaker(Breaker::default());
            all.push(Arc::new(Budgeted::added(name, BREAKER, Factor::Egress, rate)));
            ILL.to_vec()
        });
        // One that never opens would only cost time.
        all.retain(|limit| !matches!(limit.rate, Rate::Breaker(Breaker { failures: 0, .. })));
        Self { all, tells, ill }
    }

    /// What a call says of the provider's health that ended so, without an answer where there is no status. None: nothing.
    pub(crate) fn health(&self, failure: Option<(Class, Option<u16>)>) -> Option<Health> {
        match failure {
            Some((Class::Blocked, _)) => None, // Nobody asked the provider.
            // It answers, and says that this request went wrong; others may not. One endpoint that is broken must not keep
            // all others waiting, nor its own calls from failing.
            Some((Class::Transient, Some(500))) if self.ill == ILL => Some(Health::Well),
            Some((class, status)) if self.ill.contains(&class) => {
                // A connection that broke had been made.
                let is_silent = status.is_none() && class != Class::Transient;
                Some(if is_silent { Health::Silent } else { Health::Ill })
            }
            _ => Some(Health::Well),
        }
    }

    /// Those that apply to calls of an endpoint, `when` left aside.
    pub(crate) fn of_endpoint(&self, endpoint: &str) -> Vec<Arc<Budgeted>> {
        self.all.iter().filter(|limit| limit.applies_to(endpoint)).map(Arc::clone).collect()
    }

    pub(crate) fn header_names(&self, limit: &str) -> Option<&HeaderNames> {
        self.tells.get(limit)?.headers.as_ref()
    }

    /// The bucket that an answer names as the one which the call's endpoint shares; none where it is not asked.
    pub(crate) fn bucket<'h>(&self, limit: &str, headers: &'h HeaderMap) -> Option<&'h str> {
        let name = self.header_names(limit)?.bucket.as_deref()?;
        headers.get(name)?.to_str().ok().map(str::trim).filter(|bucket| !bucket.is_empty())
    }

    /// What an answer says of each of a call's limits that it speaks of.
    pub(crate) fn readings<'c>(
        &self,
        charges: &'c [Charge],
        (headers, body): (&HeaderMap, &[u8]),
        now_ms: i64,
    ) -> Vec<(&'c Charge, Reading)> {
        let heard = charges.iter().filter_map(|charge| Some((charge, self.tells.get(&charge.limit)?)));
        let (of, listeners): (Vec<_>, Vec<_>) = heard
            .map(|(charge, tells)| (charge, Listener { tells, rate: &charge.rate, ids: ids(&charge.key) }))
            .unzip();
        of.into_iter().zip(hear(&listeners, headers, body, now_ms)).collect()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter(|limit| limit.counts()).map(|limit| limit.id.as_str())
    }
}

/// The limit's rate, a quota by the calendar of the zone that the file has found out.
fn in_zone(limit: &Limit, at: &FieldPath, compiler: &mut Compiler<'_>) -> Rate {
    let Some(source) = &limit.zone else { return limit.rate.clone() };
    let field = at.key("zone");
    let Rate::Quota { calls, per, .. } = limit.rate else {
        compiler.add(&field, "expected none: only a quota has one");
        return limit.rate.clone();
    };
    let named = compiler.template(source, &[Root::Config], &field);
    let named = named.and_then(|template| compiler.fixed(&template, &field));
    match named.map(|name| Zone::try_from(name.to_string())) {
        Some(Ok(zone)) => Rate::Quota { calls, per, zone },
        Some(Err(expected)) => {
            compiler.add(&field, expected);
            limit.rate.clone()
        }
        None => limit.rate.clone(),
    }
}

impl Limit {
    /// Whether it applies to calls of an endpoint, `when` left aside.
    pub(crate) fn is_of(&self, endpoint: &str) -> bool {
        is_among(&self.endpoints, endpoint)
    }
}

/// Whether an endpoint is one of these; all are of none.
fn is_among(patterns: &[String], endpoint: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| glob(pattern, endpoint))
}

/// Whether answers may speak of such a limit.
pub(crate) fn may_tell(limit: &Limit) -> bool {
    !matches!(limit.rate, Rate::Concurrency { .. } | Rate::Learn(_) | Rate::Breaker(_))
}

/// The values of the factors in a budget's key.
fn ids(key: &str) -> Vec<&str> {
    let factors = key.rsplit('/').next().unwrap_or_default().split(',');
    factors.filter_map(|factor| Some(factor.split_once('=')?.1)).filter(|id| !id.is_empty()).collect()
}

/// By which failures the declared breaker takes the provider for ill; none without one.
fn breaker(provider: &ProviderFile, compiler: &mut Compiler<'_>) -> Option<Vec<Class>> {
    let mut ill = None;
    for (index, limit) in provider.limits.iter().enumerate() {
        let at = FieldPath::root().key("limits").index(index);
        match limit.rate {
            Rate::Breaker(_) if ill.is_some() => {
                compiler.add(&at.key("breaker"), "expected one breaker, found a second")
            }
            Rate::Breaker(_) if limit.classes.is_empty() => ill = Some(ILL.to_vec()),
            Rate::Breaker(_) => ill = Some(limit.classes.clone()),
            _ if limit.classes.is_empty() && limit.id.as_str() != BREAKER => {}
            _ if limit.classes.is_empty() => {
                compiler.add(
                    &at.key("id"),
                    "expected another id; breaker is the limit that keeps calls from an ill provider",
                );
            }
            _ => compiler.add(&at.key("classes"), "expected none: only a breaker has them"),
        }
    }
    ill
}

impl Budgeted {
    /// One that the provider's file does not declare.
    fn added(provider: &str, id: &str, factor: Factor, rate: Rate) -> Self {
        Self {
            id: id.to_owned(),
            prefix: prefix(provider, id),
            factors: vec![factor],
            endpoints: Vec::new(),
            when: None,
            cost: Price::Fixed(1),
            headroom: None,
            rate,
        }
    }

    fn compile(limit: &Limit, provider: &ProviderFile, at: &FieldPath, compiler: &mut Compiler<'_>) -> Option<Self> {
        if let Err(error) = limit.rate.check() {
            let field = error.field.split('.').fold(at.clone(), |path, name| path.key(name));
            compiler.add(&field, format!("expected {}", error.expected));
        }
        if limit.headers.as_ref().is_some_and(|names| names.bucket.is_some()) && !limit.key.contains(&Factor::Endpoint)
        {
            compiler
                .add(&at.key("headers").key("bucket"), "expected `endpoint` in the limit's key, whose place it takes");
        }
        let reach = Reach::of(limit, provider, at, compiler);
        for (index, factor) in limit.key.iter().enumerate() {
            if let Factor::Param(name) = factor {
                reach.check_param(name, &at.key("key").index(index), compiler);
            }
        }
        let mut expression = |source: &str, field: &FieldPath| {
            let hole = compiler.take(field, Hole::of_limit(source, ROOTS))?;
            reach.check_expression(&hole, field, compiler);
            Some(hole)
        };
        let when = match &limit.when {
            Some(source) => Some(expression(source, &at.key("when"))?),
            None => None,
        };
        let cost = match &limit.cost {
            None => Price::Fixed(1),
            Some(Cost::Fixed(cost)) => Price::Fixed(*cost),
            Some(Cost::Expression(source)) => Price::Expression(expression(source, &at.key("cost"))?),
        };
        Some(Self {
            id: limit.id.to_string(),
            prefix: prefix(provider.provider.as_str(), limit.id.as_str()),
            factors: limit.key.clone(),
            endpoints: limit.endpoints.clone(),
            when,
            cost,
            headroom: limit.headroom,
            rate: in_zone(limit, at, compiler),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether it limits how many calls there are, and not only when.
    pub(crate) fn counts(&self) -> bool {
        !matches!(self.rate, Rate::Breaker(_))
    }

    fn applies_to(&self, endpoint: &str) -> bool {
        is_among(&self.endpoints, endpoint)
    }

    /// What a call takes from it; `None` when it does not apply.
    pub(crate) fn charge(
        &self,
        endpoint: &Endpoint,
        call: &CallShape<'_>,
        caller: &Caller<'_>,
        app: &str,
    ) -> Result<Option<Charge>, ChargeError> {
        let limit = || self.id.clone();
        let facts = CallFacts {
            page: call.ordinal.saturating_add(1),
            endpoint: endpoint.name(),
            size: size_of(call.pointer, endpoint),
        };
        let scope = Scope { call: Some(facts), params: Some(call.params), ..Scope::default() };
        if let Some(when) = &self.when
            && !when.holds(&scope).map_err(|source| ChargeError::When { limit: limit(), source })?
        {
            return Ok(None);
        }
        let cost = match &self.cost {
            Price::Fixed(cost) => *cost,
            Price::Expression(cost) => {
                let found = cost.eval(&scope).map_err(|source| ChargeError::Cost { limit: limit(), source })?;
                whole(&found).ok_or_else(|| ChargeError::CostRange { limit: limit(), found: found.to_string() })?
            }
        };
        if cost == 0 {
            return Ok(None);
        }
        Ok(Some(Charge {
            limit: limit(),
            key: self.key(endpoint, call.params, caller, app),
            rate: self.rate.clone(),
            cost,
            headroom: self.headroom,
        }))
    }

    fn key(&self, endpoint: &Endpoint, params: &Params, caller: &Caller<'_>, app: &str) -> String {
        let mut key = String::with_capacity(self.prefix.len() + 48);
        key.push_str(&self.prefix);
        for (place, factor) in self.factors.iter().enumerate() {
            if place > 0 {
                key.push(',');
            }
            key.push_str(factor.name());
            key.push('=');
            let value: Cow<'_, str> = match factor {
                Factor::App => app.into(),
                Factor::Credential => caller.credential.unwrap_or_default().into(),
                Factor::Tenant => caller.tenant.unwrap_or_default().into(),
                Factor::Egress => caller.egress.into(),
                Factor::Endpoint => match caller.buckets.and_then(|told| told.of(&self.id, endpoint.name())) {
                    Some(bucket) => format!("bucket:{bucket}").into(),
                    None => endpoint.name().into(),
                },
                Factor::Method => endpoint.method().as_str().into(),
                Factor::Provider => "".into(),
                Factor::Param(name) => match params.get(name) {
                    Some(Primitive::Text(text)) => text.into(),
                    Some(other) => other.to_string().into(),
                    None => "".into(),
                },
            };
            push_factor(&value, &mut key);
            // Tenants give their credentials names for themselves: two of one name are two.
            if let (Factor::Credential, Some(_), Some(tenant)) = (factor, caller.credential, caller.tenant)
                && !self.factors.contains(&Factor::Tenant)
            {
                key.push_str(",of=");
                push_factor(tenant, &mut key);
            }
        }
        key
    }
}

/// Items that a call asks for; 0 where the provider decides.
fn size_of(pointer: &PagePointer, endpoint: &Endpoint) -> u32 {
    match pointer.place() {
        PagePointer::Count => 0,
        _ => pointer.size().unwrap_or_else(|| endpoint.page_size()),
    }
}

fn whole(value: &Primitive) -> Option<u32> {
    match value {
        Primitive::Integer(value) => u32::try_from(*value).ok(),
        Primitive::Float(value) if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(value) => {
            Some(*value as u32)
        }
        _ => None,
    }
}

fn prefix(provider: &str, limit: &str) -> String {
    format!("{{{provider}}}/{limit}/")
}

fn push_factor(value: &str, key: &mut String) {
    if value.len() > FACTOR_MAX_BYTES {
        key.push_str(&format!("#{:032x}", xxh3_128(value.as_bytes())));
    } else {
        key.extend(utf8_percent_encode(value, RESERVED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_never_run_into_each_other() {
        let text = |value: &str| {
            let mut key = String::new();
            push_factor(value, &mut key);
            key
        };
        assert_eq!(text("alice"), "alice");
        assert_eq!(text("a,b=c/d{e}"), "a%2Cb%3Dc%2Fd%7Be%7D");
        assert_eq!(text(&"x".repeat(65)).len(), 33);
        assert_ne!(text(&"x".repeat(65)), text(&"x".repeat(66)));
    }

    #[test]
    fn a_cost_is_a_whole_number() {
        for (value, cost) in [
            (Primitive::Integer(3), Some(3)),
            (Primitive::Integer(0), Some(0)),
            (Primitive::Integer(-1), None),
            (Primitive::Integer(1 << 40), None),
            (Primitive::Float(2.0), Some(2)),
            (Primitive::Float(2.5), None),
            (Primitive::Text("3".to_owned()), None),
        ] {
            assert_eq!(whole(&value), cost, "{value:?}");
        }
    }

    fn compiled(limits: &str) -> Result<Limits, String> {
        let text = format!("tidegate: 1\nprovider: a\nbase_url: https://a.example\nlimits: {limits}\n");
        let problems = |problems: Vec<crate::FileError>| problems[0].to_string();
        let file = crate::parse_provider(&text, "a.yaml").map_err(problems)?.file;
        let (declared, config) = (BTreeMap::new(), BTreeMap::new());
        let mut compiler = Compiler::new(crate::problem::Part::Provider, &declared, &config);
        let limits = Limits::compile(&file, &mut compiler);
        match compiler.into_problems().first() {
            Some(problem) => Err(problem.message.clone()),
            None => Ok(limits),
        }
    }

    #[test]
    fn a_bucket_takes_the_place_of_an_endpoint_in_a_key() {
        let error = compiled("[ { id: a, key: [credential], told: {}, headers: { bucket: X-Bucket } } ]").unwrap_err();
        assert!(error.contains("expected `endpoint` in the limit's key"), "{error}");
        let limits = compiled("[ { id: a, key: [endpoint], told: {}, headers: { bucket: X-Bucket } } ]").unwrap();
        let told = |bucket: &str| HeaderMap::from_iter([("x-bucket".parse().unwrap(), bucket.parse().unwrap())]);
        assert_eq!(limits.bucket("a", &told(" abcd1234 ")), Some("abcd1234"));
        assert_eq!((limits.bucket("a", &told("")), limits.bucket("b", &told("abcd1234"))), (None, None));
    }

    #[test]
    fn a_quota_s_zone_may_be_what_a_job_says() {
        let limits = |rest: &str| compiled(&format!("[ {{ id: a, {rest} }} ]"));
        let found = limits(r#"quota: { calls: 5, per: day }, zone: "{{ 'Europe/' ~ 'Berlin' }}""#).unwrap();
        assert!(matches!(&found.all[0].rate, Rate::Quota { zone, .. } if zone.to_string() == "Europe/Berlin"));
        let error = limits("quota: { calls: 5, per: day }, zone: Berlin").unwrap_err();
        assert!(error.contains("zone: expected the name of a time zone"), "{error}");
        let error = limits("window: { calls: 5, per: 1d }, zone: UTC").unwrap_err();
        assert!(error.contains("zone: expected none: only a quota has one"), "{error}");
    }

    #[test]
    fn every_provider_has_one_breaker_unless_it_never_opens() {
        let breakers = |limits: &str| {
            let limits = compiled(limits).unwrap();
            let keys = limits.all.iter().filter(|limit| !limit.counts()).map(|limit| limit.prefix.clone());
            keys.collect::<Vec<_>>()
        };
        assert_eq!(breakers("[]"), ["{a}/breaker/"]);
        assert_eq!(breakers("[ { id: health, breaker: { failures: 3 } } ]"), ["{a}/health/"]);
        assert_eq!(breakers("[ { id: health, breaker: { failures: 0 } } ]"), Vec::<String>::new());
        for (limits, message) in [
            ("[ { id: a, breaker: {} }, { id: b, breaker: {} } ]", "expected one breaker, found a second"),
            ("[ { id: a, told: {}, classes: [timeout] } ]", "expected none: only a breaker has them"),
            ("[ { id: breaker, told: {} } ]", "expected another id; breaker is the limit that keeps"),
        ] {
            let error = compiled(limits).unwrap_err();
            assert!(error.contains(message), "{limits}: {error}");
        }
    }

    #[test]
    fn a_call_says_of_the_provider_s_health_what_its_class_and_status_mean() {
        let usual = compiled("[]").unwrap();
        let own = compiled("[ { id: a, breaker: {}, classes: [suspect] } ]").unwrap();
        for (failure, is_usual, is_own) in [
            (None, Some(Health::Well), Some(Health::Well)),
            (Some((Class::ProviderDown, None)), Some(Health::Silent), Some(Health::Well)),
            (Some((Class::Transient, Some(503))), Some(Health::Ill), Some(Health::Well)),
            (Some((Class::Transient, Some(500))), Some(Health::Well), Some(Health::Well)),
            (Some((Class::Transient, None)), Some(Health::Ill), Some(Health::Well)),
            (Some((Class::Suspect, Some(200))), Some(Health::Well), Some(Health::Ill)),
            (Some((Class::RateLimited, Some(429))), Some(Health::Well), Some(Health::Well)),
            (Some((Class::Blocked, None)), None, None),
        ] {
            assert_eq!((usual.health(failure), own.health(failure)), (is_usual, is_own), "{failure:?}");
        }
    }
}
