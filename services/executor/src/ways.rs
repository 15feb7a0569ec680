//! The ways in which a call may be made: with which credential, and out of which egress.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_contracts::{Call, Class, Failure};
use tidegate_egress::{ConfigError, Egress, EgressConfig, Via};
use tidegate_limits::{By, Charge, Permit, Question};
use tidegate_provider::{Buckets, Step};
use tidegate_specs::JobSpec;
use xxhash_rust::xxh3::xxh3_64;

use crate::credentials::Lent;
use crate::prepare::{By as Caller, Prepared, failure, prepare};

/// A way out of the house.
#[derive(Debug, Clone)]
pub struct WayOut {
    /// The value of the factor `egress` of limits: executors behind one address share it.
    pub name: String,
    /// Makes the calls.
    pub egress: Egress,
}

impl WayOut {
    /// The ways out of these names, which have all else in common.
    ///
    /// # Errors
    /// Those of [`Egress::new`].
    pub fn all(named: &[(String, Via)], config: &EgressConfig) -> Result<Vec<Self>, ConfigError> {
        let way = |(name, via): &(String, Via)| {
            let egress = Egress::new(EgressConfig { via: via.clone(), ..config.clone() })?;
            Ok(Self { name: name.clone(), egress })
        };
        named.iter().map(way).collect()
    }
}

/// One way in which a call may be made.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub(crate) prepared: Prepared,
    pub(crate) egress: &'a Egress,
    /// Which credential of the pool; 0 without one.
    pub(crate) lent: usize,
}

/// What ways there are: all credentials of the pool out of all egresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) pool: &'a [Lent],
    pub(crate) out: &'a [WayOut],
    /// Most ways that are asked about.
    pub(crate) max: usize,
    /// What endpoints share, as far as answers have told.
    pub(crate) buckets: Option<&'a Buckets>,
}

/// The ways that differ by what they take from limits, at least one, or why the call can't be made.
///
/// Each call has an order of its own, so that calls spread where limits make no difference, and over all ways where there are too
/// many to ask about.
pub(crate) fn ways<'a>(
    (spec, step): (&JobSpec, &Step),
    call: &Call,
    choice: Choice<'a>,
) -> Result<Vec<Way<'a>>, Failure> {
    let lent: Vec<usize> = match choice.pool.len() {
        0 => vec![0],
        1.. if spec.stays_with_one(step) => vec![keeper(call, choice.pool)],
        all => (0..all).collect(),
    };
    let all = lent.iter().flat_map(|&lent| choice.out.iter().map(move |out| (lent, out)));
    let mut all: Vec<(usize, &WayOut)> = all.collect();
    let first = xxh3_64(call.call.to_string().as_bytes()) as usize % all.len().max(1);
    all.rotate_left(first);
    let (mut ways, mut seen) = (Vec::with_capacity(1), BTreeSet::new());
    for (lent, out) in all.into_iter().take(choice.max.max(1)) {
        let credential = choice.pool.get(lent).map(|lent| Arc::clone(&lent.credential));
        let by = Caller { tenant: &spec.tenant, egress: &out.name, buckets: choice.buckets };
        let prepared = prepare((spec, step), call, credential, by)?;
        if seen.insert(keys(&prepared.charges)) {
            ways.push(Way { prepared, egress: &out.egress, lent });
        }
    }
    if ways.is_empty() {
        return Err(failure(Class::Invalid, "this executor has no way out"));
    }
    Ok(ways)
}

/// The credential that a fetch keeps as long as it can: of whatever pool, the same for all its calls and executors.
fn keeper(call: &Call, pool: &[Lent]) -> usize {
    let rank = |lent: &Lent| xxh3_64(format!("{}/{}", call.fetch, lent.credential.name()).as_bytes());
    pool.iter().enumerate().max_by_key(|(_, lent)| rank(lent)).map_or(0, |(number, _)| number)
}

fn keys(charges: &[Charge]) -> Vec<String> {
    charges.iter().map(|charge| charge.key.clone()).collect()
}

/// What the arbiter is asked.
pub(crate) fn question(ways: &[Way<'_>], by: By) -> Question {
    let name = |way: &Way<'_>| way.prepared.credential.as_ref().map(|credential| credential.name().to_owned());
    let credential =
        ways.first().and_then(name).filter(|first| ways.iter().all(|way| name(way).as_ref() == Some(first)));
    let by = By { credential, ..by };
    let mut choices = ways.iter().map(|way| way.prepared.charges.clone());
    let charges = choices.next().unwrap_or_default();
    Question { alternatives: choices.collect(), ..Question::new(charges).by(by) }
}

/// The way that was granted; the first by an arbiter that names none of them.
pub(crate) fn granted<'a, 'b>(ways: &'a [Way<'b>], permit: &Permit) -> Option<&'a Way<'b>> {
    let is_it = |way: &&Way<'_>| way.prepared.charges.iter().map(|charge| &charge.key).eq(&permit.keys);
    ways.iter().find(is_it).or(ways.first())
}
