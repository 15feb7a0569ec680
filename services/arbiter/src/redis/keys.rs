//! Names of keys. All keys of one provider carry the same hash tag, and so lie on one node of a cluster.

/// The layout of keys and of what they hold. A release that changes it counts anew, beside the old.
const VERSION: u32 = 1;

/// Where a deployment keeps its budgets.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    root: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { root: format!("{prefix}limits:{VERSION}:") }
    }

    /// The set of all families.
    pub(super) fn families(&self) -> String {
        format!("{}families", self.root)
    }

    /// The last permit's id.
    pub(super) fn last_id(&self, family: &str) -> String {
        format!("{}{{{family}}}:last_id", self.root)
    }

    /// The set of the family's budgets, by the key of their state.
    pub(super) fn index(&self, family: &str) -> String {
        format!("{}{{{family}}}:index", self.root)
    }

    /// What people want of the family's budgets.
    pub(super) fn overrides(&self, family: &str) -> String {
        format!("{}{{{family}}}:overrides", self.root)
    }

    /// When the store's life began, as far as the family is concerned.
    pub(super) fn life(&self, family: &str) -> String {
        format!("{}{{{family}}}:life", self.root)
    }

    /// State, calls in flight, and their costs.
    pub(super) fn budget(&self, family: &str, key: &str) -> [String; 3] {
        ["state", "flight", "costs"].map(|part| format!("{}{{{family}}}:{part}:{key}", self.root))
    }

    /// A budget's key by the key of its state.
    pub(super) fn of_state<'a>(&self, family: &str, state: &'a str) -> Option<&'a str> {
        state.strip_prefix(&format!("{}{{{family}}}:state:", self.root))
    }
}

/// Budgets that are decided over together: those of one provider, whose keys begin with its name in braces.
pub(crate) fn family(key: &str) -> &str {
    let tag = key.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    tag.map_or("untagged", |(family, _)| family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_the_provider_in_braces() {
        for (key, expected) in [("{github}/search/egress=a", "github"), ("window", "untagged"), ("{open", "untagged")] {
            assert_eq!(family(key), expected, "{key}");
        }
    }

    #[test]
    fn a_budget_is_found_again_by_the_key_of_its_state() {
        let keys = Keys::new("test:");
        let key = "{github}/search/egress=a";
        let [state, ..] = keys.budget("github", key);
        assert_eq!(state, "test:limits:1:{github}:state:{github}/search/egress=a");
        assert_eq!(keys.of_state("github", &state), Some(key));
    }
}
