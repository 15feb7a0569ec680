//! What is new on a page: by a value in each item that only grows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_contracts::{Mark, MarkError, MarkKind};

use crate::finder::{Finder, Items};
use crate::json_path::JsonPath;
use crate::reader::PageRead;
use crate::unreadable::Unreadable;

/// How a run is told what is new since earlier ones: the highest value that they have seen is kept, and only items above
/// it are taken. Only for jobs that are run with `extend`; but each run keeps the value for the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// `JSONPath` of the value within an item, such as `$.id` or `$.created_at`. New items must have higher ones.
    pub from: JsonPath,
    /// How values compare. Told by the first one unless said: a number or a text of digits as a number, a time of RFC 3339
    /// as a time, anything else as a text.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub kind: Option<MarkKind>,
    /// The parameter that asks for items above the value. It takes the place of what the step gives for it, which then is
    /// for the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub param: Option<String>,
    /// The newest items come first: a page whose last item is not new is the last one that is asked for. Where pages can
    /// be asked for at random, they are asked for one after the other then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stop_at_seen: bool,
}

/// Tells what is new on a page; compiled.
#[derive(Debug, Clone)]
pub struct Newness {
    from: Finder,
    path: String,
    kind: Option<MarkKind>,
}

impl Newness {
    /// Compiles an endpoint's `since`.
    #[must_use]
    pub fn new(since: &Since) -> Self {
        let from = Finder::new(Items::Unwanted, vec![since.from.clone()]);
        Self { from, path: since.from.to_string(), kind: since.kind }
    }

    /// Notes the page's highest value, and leaves out items that are not above `since`.
    ///
    /// # Errors
    /// An item has no value, or one that does not compare with the others.
    pub fn apply(&self, page: &mut PageRead, since: Option<&Mark>) -> Result<(), Unreadable> {
        let mut new = Vec::new();
        let mut facts = page.facts.clone();
        for (place, line) in page.lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let mark = self.mark(place, line)?;
            let compared = |is_above: Result<bool, MarkError>| is_above.map_err(|source| self.wrong(place, source));
            let is_new = since.map_or(Ok(true), |since| compared(mark.is_above(since)))?;
            let is_top = page.top.as_ref().map_or(Ok(true), |top| compared(mark.is_above(top)))?;
            if is_top {
                page.top = Some(mark);
            }
            facts.ends_seen = !is_new;
            if is_new {
                new.extend_from_slice(line);
            } else {
                facts.seen += 1;
            }
        }
        if facts.seen > 0 {
            facts.items = facts.items.saturating_sub(facts.seen);
            page.lines = new;
        }
        page.facts = facts;
        Ok(())
    }

    fn mark(&self, place: usize, line: &[u8]) -> Result<Mark, Unreadable> {
        let missing = || Unreadable::NoMark { path: self.path.clone(), item: place + 1 };
        let line = std::str::from_utf8(line.trim_ascii()).map_err(|_| missing())?;
        let found = self.from.find(line)?;
        let json = found.first(0).filter(|json| *json != "null").ok_or_else(missing)?;
        Mark::read(json, self.kind).map_err(|source| self.wrong(place, source))
    }

    fn wrong(&self, place: usize, source: MarkError) -> Unreadable {
        Unreadable::BadMark { path: self.path.clone(), item: place + 1, source }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;
    use url::Url;

    use super::*;
    use crate::Reader;

    fn read(items: serde_json::Value, since: Option<&str>) -> Result<PageRead, Unreadable> {
        let newness = Newness::new(&serde_json::from_value(json!({ "from": "$.id" })).unwrap());
        let path = JsonPath::parse("$.data[*]").unwrap();
        let url = Url::parse("https://api.example.org/").unwrap();
        let body = json!({ "data": items }).to_string();
        let mut page = Reader::new(Some(&path), None, None).read(&HeaderMap::new(), body.as_bytes(), &url).unwrap();
        let since = since.map(|json| Mark::read(json, None).unwrap());
        newness.apply(&mut page, since.as_ref()).map(|()| page)
    }

    #[test]
    fn a_page_keeps_what_is_above_the_mark_and_tells_its_highest_value() {
        let items = json!([{"id": 9}, {"id": 12}, {"id": 10}, {"id": 7}]);
        let all = read(items.clone(), None).unwrap();
        assert_eq!((all.facts.items, all.facts.seen, all.facts.ends_seen), (4, 0, false));
        assert_eq!(all.top.unwrap().shown(), "12");
        let new = read(items, Some("9")).unwrap();
        assert_eq!(String::from_utf8(new.lines).unwrap(), "{\"id\":12}\n{\"id\":10}\n");
        assert_eq!((new.facts.items, new.facts.seen, new.facts.ends_seen), (2, 2, true));
        assert_eq!(new.facts.as_answered().items, 4);
    }

    #[test]
    fn an_old_item_at_the_top_of_a_page_does_not_end_it() {
        let page = read(json!([{"id": 1}, {"id": 12}]), Some("9")).unwrap();
        assert_eq!((page.facts.items, page.facts.seen, page.facts.ends_seen), (1, 1, false));
    }

    #[test]
    fn a_blank_page_has_no_highest_value() {
        let page = read(json!([]), Some("9")).unwrap();
        assert_eq!((page.top, page.facts.ends_seen), (None, false));
    }

    #[test]
    fn values_that_are_missing_or_do_not_compare_are_refused_and_named() {
        for (items, since, expected) in [
            (json!([{"id": 1}, {}]), None, "item 2 has no `$.id`, which tells what is new"),
            (json!([{"id": null}]), None, "item 1 has no `$.id`, which tells what is new"),
            (
                json!([{"id": 1}, {"id": "b"}]),
                None,
                "`$.id` of item 2, which tells what is new: expected a decimal number, or a text that is one, found the text b",
            ),
            (
                json!([{"id": "b"}]),
                Some("9"),
                "`$.id` of item 1, which tells what is new: expected a decimal number, or a text that is one, found the text b",
            ),
            (
                json!([{"id": [1]}]),
                None,
                "`$.id` of item 1, which tells what is new: expected a number, a time or a text, found [1]",
            ),
        ] {
            let error = read(items, since).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.class(), tidegate_contracts::Class::Invalid);
        }
    }
}
