//! All limits together: lets a call in if each that counts it has room, and counts it.

use std::collections::HashMap;
use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::api::Limit;
use crate::counter::{Counter, Measure, Take, View};
use crate::draw::Draw;
use crate::stats::LimitStats;
use crate::{By, header};

/// Most callers that one limit keeps apart; those that come after share one counter.
pub(crate) const CALLERS_MAX: usize = 200_000;

/// The counters of all limits.
#[derive(Debug)]
pub(crate) struct Gate {
    /// By limit, then by caller.
    counters: Vec<HashMap<u64, Counter>>,
    stats: Vec<LimitStats>,
}

/// Who calls, as far as limits are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor<'a> {
    pub(crate) endpoint: usize,
    pub(crate) token: &'a str,
    pub(crate) ip: IpAddr,
    pub(crate) parent: &'a str,
    /// The call is for a page beyond the first.
    pub(crate) further_page: bool,
}

/// What the limits said to a call.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It may go on. `holds` are given back when it ends.
    Granted { headers: HeaderMap, holds: Vec<Hold> },
    /// Limit `by` refused it.
    Refused { headers: HeaderMap, by: usize },
}

/// A counter that a call stands in: limit and caller.
pub(crate) type Hold = (usize, u64);

impl Gate {
    pub(crate) fn new(limits: &[Limit]) -> Self {
        let stats = limits.iter().map(|limit| LimitStats {
            allowed: limit.rule.allowed(),
            per_ms: limit.rule.per_us() / 1000,
            ..LimitStats::default()
        });
        Self { counters: vec![HashMap::new(); limits.len()], stats: stats.collect() }
    }

    /// Asks the limits of these indexes, and counts the call with each of them.
    pub(crate) fn admit(&mut self, limits: &[Limit], asked: &[usize], visitor: Visitor<'_>, now_us: u64) -> Admission {
        let holds: Vec<Hold> = asked
            .iter()
            .filter(|index| visitor.further_page || !limits[**index].further_pages_only)
            .map(|index| (*index, self.caller(&limits[*index], *index, visitor, now_us)))
            .collect();
        let mut refused_by: Vec<(usize, View)> = Vec::new();
        for (index, caller) in &holds {
            let view = self.counter(&limits[*index], (*index, *caller), now_us).view(now_us, limits[*index].cost);
            if view.free_us > now_us {
                refused_by.push((*index, view));
            }
        }
        let headers = self.count(limits, &holds, &refused_by, now_us);
        match refused_by.first() {
            None => Admission::Granted { headers, holds },
            Some((by, _)) => Admission::Refused { headers, by: *by },
        }
    }

    /// A call that was let in has ended.
    pub(crate) fn end(&mut self, holds: &[Hold]) {
        for (index, caller) in holds {
            if let Some(counter) = self.counters[*index].get_mut(caller) {
                counter.end();
            }
        }
    }

    pub(crate) fn stats(&self, index: usize) -> LimitStats {
        LimitStats { callers: self.counters[index].len() as u64, ..self.stats[index].clone() }
    }

    /// Counts the call with each limit, and lets the limits speak, the one with the least left first.
    fn count(&mut self, limits: &[Limit], holds: &[Hold], refused_by: &[(usize, View)], now_us: u64) -> HeaderMap {
        let mut views = Vec::with_capacity(holds.len());
        for hold in holds {
            let limit = &limits[hold.0];
            let take = match (refused_by.is_empty(), limit.refused_counts) {
                (true, _) => Take::Granted,
                (false, true) => Take::Charged,
                (false, false) => Take::Refused,
            };
            let counter = self.counter(limit, *hold, now_us);
            let measure = counter.count(now_us, limit.cost, take);
            views.push((hold.0, counter.view(now_us, limit.cost)));
            self.note(hold.0, take, refused_by.iter().any(|(index, _)| *index == hold.0), measure);
        }
        views.sort_by_key(|(_, view)| view.remaining);
        let mut headers = HeaderMap::new();
        for (index, view) in views {
            let limit = &limits[index];
            header::write(&mut headers, (&limit.id, &limit.headers), &limit.rule, view, now_us);
        }
        let told = refused_by.iter().filter(|(index, _)| limits[*index].retry_after);
        if let Some(free_us) = told.map(|(_, view)| view.free_us).max() {
            header::write_retry_after(&mut headers, free_us, now_us);
        }
        headers
    }

    fn note(&mut self, index: usize, take: Take, refused: bool, measure: Measure) {
        let stats = &mut self.stats[index];
        stats.granted += u64::from(take == Take::Granted);
        stats.refused += u64::from(refused);
        stats.most_taken = stats.most_taken.max(measure.taken);
        stats.most_arrived = stats.most_arrived.max(measure.arrived);
    }

    fn counter(&mut self, limit: &Limit, (index, caller): Hold, now_us: u64) -> &mut Counter {
        self.counters[index].entry(caller).or_insert_with(|| Counter::new(limit.rule.clone(), now_us))
    }

    fn caller(&mut self, limit: &Limit, index: usize, visitor: Visitor<'_>, now_us: u64) -> u64 {
        let caller = limit.by.factors().iter().fold(Draw::seeded(0), |draw, by| match by {
            By::All => draw,
            By::Token => draw.with_text(visitor.token),
            By::Ip => draw.with_text(&visitor.ip.to_string()),
            By::Endpoint => draw.with(visitor.endpoint as u64),
            By::Parent => draw.with_text(visitor.parent),
        });
        let caller = caller.bits();
        let counters = &mut self.counters[index];
        if counters.len() >= CALLERS_MAX && !counters.contains_key(&caller) {
            counters.retain(|_, counter| !counter.is_idle(now_us));
        }
        if counters.len() >= CALLERS_MAX && !counters.contains_key(&caller) { 0 } else { caller }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Api;
    use crate::{EndpointSpec, LimitHeaders, LimitSpec, Preset, SimulatorSpec};

    fn limits(specs: &[LimitSpec]) -> Vec<Limit> {
        let endpoint = specs.iter().fold(EndpointSpec::at("/x"), |endpoint, limit| endpoint.limit(limit.clone()));
        Api::of(&SimulatorSpec::seeded(1).with("x", endpoint)).unwrap().limits
    }

    fn visitor(token: &str) -> Visitor<'_> {
        Visitor { endpoint: 0, token, ip: IpAddr::from([10, 0, 0, 1]), parent: "p", further_page: false }
    }

    fn admitted(gate: &mut Gate, limits: &[Limit], visitor: Visitor<'_>) -> Result<HeaderMap, (usize, HeaderMap)> {
        let all: Vec<usize> = (0..limits.len()).collect();
        match gate.admit(limits, &all, visitor, 1_000_000_000) {
            Admission::Granted { headers, .. } => Ok(headers),
            Admission::Refused { headers, by } => Err((by, headers)),
        }
    }

    #[test]
    fn a_call_that_one_limit_refuses_takes_of_the_others_only_where_refused_calls_count() {
        let charging = LimitSpec { refused_counts: true, ..LimitSpec::window(10, 60_000) };
        let limits = limits(&[LimitSpec::window(1, 60_000), charging, LimitSpec::window(10, 60_000)]);
        let mut gate = Gate::new(&limits);
        assert!(admitted(&mut gate, &limits, visitor("a")).is_ok());
        assert!(matches!(admitted(&mut gate, &limits, visitor("a")), Err((0, _))));
        assert_eq!([0, 1, 2].map(|index| gate.stats(index).most_taken), [1, 2, 1]);
        assert_eq!([0, 1, 2].map(|index| gate.stats(index).most_arrived), [2, 2, 2]);
        assert_eq!([0, 1, 2].map(|index| gate.stats(index).refused), [1, 0, 0]);
    }

    #[test]
    fn callers_are_kept_apart_as_the_limit_says() {
        for (by, second_token) in
            [(By::Token, true), (By::Ip, false), (By::Endpoint, false), (By::Parent, false), (By::All, false)]
        {
            let limits = limits(&[LimitSpec::window(1, 60_000).by(&[by])]);
            let mut gate = Gate::new(&limits);
            assert!(admitted(&mut gate, &limits, visitor("a")).is_ok());
            assert_eq!(admitted(&mut gate, &limits, visitor("b")).is_ok(), second_token, "{by:?}");
        }
    }

    #[test]
    fn the_limit_with_the_least_left_speaks_and_the_longest_wait_is_told() {
        let headers = LimitHeaders::Preset(Preset::Ratelimit);
        let limits = limits(&[
            LimitSpec::window(9, 60_000).headers(headers.clone()),
            LimitSpec::window(2, 90_000).headers(headers.clone()),
            LimitSpec::window(2, 30_000).headers(headers),
            LimitSpec::window(2, 120_000).hidden(),
        ]);
        let mut gate = Gate::new(&limits);
        let told = admitted(&mut gate, &limits, visitor("a")).unwrap();
        assert_eq!(
            (&told["ratelimit-limit"], &told["ratelimit-remaining"]),
            (&"2".parse().unwrap(), &"1".parse().unwrap())
        );
        admitted(&mut gate, &limits, visitor("a")).unwrap();
        let (by, told) = admitted(&mut gate, &limits, visitor("a")).unwrap_err();
        assert_eq!((by, told["retry-after"].to_str().unwrap()), (1, "90"));
    }

    #[test]
    fn a_limit_of_further_pages_lets_first_pages_be() {
        let limits = limits(&[LimitSpec { further_pages_only: true, ..LimitSpec::window(1, 60_000) }]);
        let mut gate = Gate::new(&limits);
        let further = Visitor { further_page: true, ..visitor("a") };
        assert!(admitted(&mut gate, &limits, visitor("a")).is_ok());
        assert!(admitted(&mut gate, &limits, further).is_ok());
        assert!(admitted(&mut gate, &limits, visitor("a")).is_ok());
        assert!(admitted(&mut gate, &limits, further).is_err());
    }
}
