//! How many of something may be at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// So many at once for each tenant.
pub(crate) struct Quota {
    max: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One of them; given back when dropped.
pub(crate) struct Place {
    tenant: String,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl Quota {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, taken: Arc::default() }
    }

    /// A place, if the tenant has one left.
    pub(crate) fn take(&self, tenant: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = taken.entry(tenant.to_owned()).or_default();
        if *of_tenant >= self.max {
            return None;
        }
        *of_tenant += 1;
        Some(Place { tenant: tenant.to_owned(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_tenant) = taken.get_mut(&self.tenant) {
            *of_tenant -= 1;
            if *of_tenant == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}

/// Names of what only one may work on.
#[derive(Default)]
pub(crate) struct OneAtATime(Arc<Mutex<HashSet<String>>>);

/// The leave to work on it; given back when dropped.
pub(crate) struct Turn {
    name: String,
    names: Arc<Mutex<HashSet<String>>>,
}

impl OneAtATime {
    /// The leave to work on `name`, unless another has it.
    pub(crate) fn take(&self, name: String) -> Option<Turn> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        is_new.then(|| Turn { name, names: Arc::clone(&self.0) })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_its_own_places_and_gets_them_back() {
        let quota = Quota::new(2);
        let places = [quota.take("a"), quota.take("a"), quota.take("b")];
        assert!(places.iter().all(Option::is_some));
        assert!(quota.take("a").is_none());
        drop(places);
        assert!(quota.take("a").is_some());
        assert!(quota.taken.lock().unwrap().is_empty(), "nobody is remembered for nothing");
    }

    #[test]
    fn one_name_has_one_turn() {
        let turns = OneAtATime::default();
        let turn = turns.take("a".into());
        assert!(turn.is_some() && turns.take("a".into()).is_none() && turns.take("b".into()).is_some());
        drop(turn);
        assert!(turns.take("a".into()).is_some());
    }
}
