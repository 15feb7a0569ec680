//! Single values out of a body.

use crate::body;
use crate::finder::{Finder, Items};
use crate::json_path::JsonPath;
use crate::raw::Scalar;

/// Places in a body that are read together.
#[derive(Debug, Clone)]
pub struct Values(Finder);

impl Values {
    /// Compiles the places.
    #[must_use]
    pub fn new(paths: Vec<JsonPath>) -> Self {
        Self(Finder::new(Items::Unwanted, paths))
    }

    /// The first value at each place, in their order: a text as it reads, a number as it was written. None where there is
    /// nothing, null, a list or an object, and everywhere in a body that is not JSON.
    #[must_use]
    pub fn texts(&self, body: &[u8]) -> Vec<Option<String>> {
        let found = body::json_text(body).ok().and_then(|text| self.0.find(text).ok()).unwrap_or_default();
        let text = |place| Some(Scalar::of(found.first(place)?).text()?.into_owned());
        (0..self.0.values().len()).map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_first_value_if_it_is_one() {
        let paths = ["$.cost.actual", "$.at", "$.list", "$.nodes[*].left", "$.none"];
        let values = Values::new(paths.map(|path| path.parse().unwrap()).to_vec());
        let body = br#"{"at":"2026-01-01T00:00:00Z","cost":{"actual":2.50},"list":[1],"nodes":[{"left":7},{"left":6}],"none":null}"#;
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(values.texts(body), [some("2.50"), some("2026-01-01T00:00:00Z"), None, some("7"), None]);
        for body in ["", "<html>", "{", "[]"] {
            assert_eq!(values.texts(body.as_bytes()), [const { None::<String> }; 5], "{body}");
        }
    }
}
