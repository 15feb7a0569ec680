//! Meters of the kinds that a limit had before: a provider file was edited while jobs by the old one go on, or somebody wanted
//! another rate for a while. They count what is granted meanwhile, so that no budget is empty again because its kind has
//! changed, or has changed back.

use serde::{Deserialize, Serialize};

use crate::meter::{Meter, State};
use crate::rate::Rate;

/// A meter that was set aside. A budget has at most one of each kind, and none of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Aside {
    pub(crate) rate: Rate,
    pub(crate) state: State,
}

/// The meter of a budget, and of those that were set aside the ones that count what is granted.
pub(crate) fn counting<'a>(own: &'a mut State, aside: &'a mut [Aside]) -> impl Iterator<Item = &'a mut dyn Meter> {
    let others = aside.iter_mut().map(|aside| &mut aside.state).filter(|state| state.counts());
    std::iter::once(own).chain(others).map(State::meter_mut)
}

/// Takes up the meter of another kind than `own`, which `used` so much and is set aside by its rate: the one that was set aside
/// before, or one that begins with what is in use, lest it grant that once more.
pub(crate) fn turn(own: &mut State, aside: &mut Vec<Aside>, (old, new): (Rate, &Rate), used: u64, now_ms: i64) {
    let place = aside.iter().position(|aside| aside.state.is_of_kind(&State::new(new)));
    let next = match place.map(|place| aside.swap_remove(place)) {
        Some(kept) if kept.rate == *new => kept.state,
        Some(kept) => kept.state.under(new),
        None => State::charged(new, used, now_ms),
    };
    aside.push(Aside { rate: old, state: std::mem::replace(own, next) });
}
