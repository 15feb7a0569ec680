//! Limits, ready to use: which apply to a call, and the budget it takes from each.

mod reach;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tidegate_contracts::{PagePointer, Params, Primitive};
use tidegate_limits::{Charge, HeaderNames, Rate};
use xxhash_rust::xxh3::xxh3_128;

use self::reach::{Reach, glob};
use crate::compile::Compiler;
use crate::endpoint::Endpoint;
use crate::expression::{Hole, RenderError};
use crate::file::{Cost, Factor, Limit, ProviderFile};
use crate::problem::FieldPath;
use crate::scope::{CallFacts, Root, Scope};

/// What the limit is called that stands for those nobody declared.
const TOLD: &str = "told";
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
}

/// All limits of a provider.
#[derive(Debug)]
pub(crate) struct Limits {
    all: Vec<Arc<Budgeted>>,
    headers: BTreeMap<String, HeaderNames>,
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
    rate: Rate,
}

#[derive(Debug)]
enum Price {
    Fixed(u32),
    Expression(Hole),
}

impl Limits {
    /// Reads the provider's limits. Without any that could be told by headers, one is added that is.
    pub(crate) fn compile(provider: &ProviderFile, compiler: &mut Compiler<'_>) -> Self {
        let name = provider.provider.as_str();
        let mut all = Vec::new();
        let mut headers = BTreeMap::new();
        for (index, limit) in provider.limits.iter().enumerate() {
            let at = FieldPath::root().key("limits").index(index);
            if provider.limits[..index].iter().any(|other| other.id == limit.id) {
                compiler.add(&at.key("id"), format!("expected another id, found \"{}\" a second time", limit.id));
            }
            all.extend(Budgeted::compile(limit, provider, &at, compiler).map(Arc::new));
            headers.extend(limit.headers.clone().map(|names| (limit.id.to_string(), names)));
        }
        if headers.is_empty() {
            let readable =
                provider.limits.iter().find(|limit| !matches!(limit.rate, Rate::Concurrency { .. } | Rate::Learn(_)));
            if readable.is_none() {
                if let Some(index) = provider.limits.iter().position(|limit| limit.id.as_str() == TOLD) {
                    let field = FieldPath::root().key("limits").index(index).key("id");
                    compiler.add(&field, "expected another id; told is the limit that headers speak of");
                }
                all.push(Arc::new(Budgeted::told(name)));
            }
            let id = readable.map_or(TOLD.to_owned(), |limit| limit.id.to_string());
            headers.insert(id, HeaderNames::standard());
        }
        Self { all, headers }
    }

    /// Those that apply to calls of an endpoint, `when` left aside.
    pub(crate) fn of_endpoint(&self, endpoint: &str) -> Vec<Arc<Budgeted>> {
        self.all.iter().filter(|limit| limit.applies_to(endpoint)).map(Arc::clone).collect()
    }

    pub(crate) fn header_names(&self, limit: &str) -> Option<&HeaderNames> {
        self.headers.get(limit)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|limit| limit.id.as_str())
    }
}

impl Budgeted {
    fn told(provider: &str) -> Self {
        Self {
            id: TOLD.to_owned(),
            prefix: prefix(provider, TOLD),
            factors: vec![Factor::Credential],
            endpoints: Vec::new(),
            when: None,
            cost: Price::Fixed(1),
            rate: Rate::Told {},
        }
    }

    fn compile(limit: &Limit, provider: &ProviderFile, at: &FieldPath, compiler: &mut Compiler<'_>) -> Option<Self> {
        if let Err(error) = limit.rate.check() {
            let field = error.field.split('.').fold(at.clone(), |path, name| path.key(name));
            compiler.add(&field, format!("expected {}", error.expected));
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
            rate: limit.rate.clone(),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn applies_to(&self, endpoint: &str) -> bool {
        self.endpoints.is_empty() || self.endpoints.iter().any(|pattern| glob(pattern, endpoint))
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
                Factor::Endpoint => endpoint.name().into(),
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
}
