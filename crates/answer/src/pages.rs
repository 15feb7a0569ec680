//! How an endpoint's pages are asked for, and what its answers say about them: the declaration.

mod check;
mod way;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_contracts::PagePointer;
use tidegate_pagination::{Kind, Paging};

use crate::cursors;
use crate::problem::Problem;
use crate::selector::Selector;
pub(crate) use way::Way;

/// How an endpoint's pages are asked for, and what its answers say about other pages. Exactly one of `offset`, `page`,
/// `cursor`, `link`, `next_url` and `next_query` says how a page is pointed at.
///
/// A selected value that is null, an empty text or absent says nothing: no next page, no total.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pages {
    /// By items: the query parameter that says how many items to pass over, such as `offset`. Needs `size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// By number: the query parameter for the page's number, such as `page`. Needs `size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// With `page`: the first page's number, 0 or 1 (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1))]
    pub first: Option<u64>,
    /// By cursor: the query parameter for what the page before named, such as `after`. Needs `next`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// With `cursor`, in a JSON body: whether cursors are numbers there. Default: false, they are texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numeric: Option<bool>,
    /// By the `Link` header (RFC 8288): the relation that leads to the next page, usually `next`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// By address: where the answer names the next page's address, absolute or relative. It is followed only within
    /// the origin that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_url: Option<Selector>,
    /// By several cursors: where the answer holds an object all of whose fields are query parameters of the next page, such
    /// as MediaWiki's `$.continue`. Without one the page is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_query: Option<Selector>,
    /// With `cursor`: where the answer names the next cursor, a text or a number. With `offset` or `page`: what is
    /// there, and not null, if there is another page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Selector>,
    /// Where the answer says whether there is another page: true or false, 1 or 0, or these as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<Selector>,
    /// Where the answer says how many items there are in the whole list. Anything but a whole number from 0 is passed
    /// over; of a header such as `Content-Range: items 0-24/319` what follows the slash counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Selector>,
    /// How many items to ask for on each page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<PageSize>,
    /// Most pages of one fetch, from 1. Default: 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_pages: Option<u32>,
    /// With `offset` or `page`: how many pages to ask for at once while the list's size is not known, from 1 (the
    /// default) to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub parallel: Option<u32>,
    /// With `size`: whether a page with fewer items than asked for is the last one. Default: false, since many providers
    /// filter a page after cutting it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_page_ends: Option<bool>,
    /// With `cursor`, `link`, `next_url` or `next_query`: whether a page without items is the last one even if it names a next one.
    /// Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blank_page_ends: Option<bool>,
    /// With `cursor`, `link`, `next_url` or `next_query`: whether a page begins with the item that ended the page before, as where the
    /// last item's id is the cursor and counts itself. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlaps: Option<bool>,
    /// With `offset` or `page`: whether to ask for one page after the other even if the total is known. Needed where new
    /// items appear at the top of the list and none may be lost: they move items on to pages that were read already.
    /// Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_order: Option<bool>,
    /// With `offset` or `page`: a call of its own that tells how many items there are, where pages do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<CountCall>,
    /// A range, such as of time, of which the provider shows only so many items: it is read in slices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slices: Option<Slices>,
}

/// A call that tells how many items there are. It has the endpoint's parameters and headers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountCall {
    /// Its path, with placeholders as the endpoint's own. It is sent with the endpoint's method.
    pub path: String,
    /// Where its answer says how many.
    pub total: Selector,
}

/// How a range is read in slices: each is asked for like a list of its own, and split while it holds more items than can
/// be reached. Slices have no gap and no overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slices {
    /// The endpoint's parameter with the beginning of the range, which belongs to it. A step has to give it.
    pub from: String,
    /// The endpoint's parameter with the end of the range, which does not belong to it; the time at which the job was
    /// submitted unless a step gives it.
    pub until: String,
    /// Most items that can be reached in one slice, such as 10000.
    #[schemars(range(min = 1))]
    pub cap: u64,
    /// How both are written.
    #[serde(default, rename = "as")]
    pub form: SliceForm,
    /// Whether the provider takes the end as part of the range: it is then told the last unit before. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_included: bool,
}

/// How the bounds of a range are written. Its unit is the width of the thinnest slice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SliceForm {
    /// `2024-01-31T12:00:00Z`, in UTC; whole seconds.
    #[default]
    Iso8601,
    /// `2024-01-31`, in UTC; whole days.
    Date,
    /// Unix time in seconds.
    EpochS,
    /// Unix time in milliseconds.
    EpochMs,
    /// Any whole numbers, such as ids.
    Number,
}

/// How many items to ask for on each page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PageSize {
    /// The query parameter, such as `limit`.
    pub param: String,
    /// What to ask for, from 1: the most that the provider grants.
    #[schemars(range(min = 1))]
    pub max: u32,
    /// Fewest items to ask for, from 1. With it, a page that is too large for the provider (an error of class
    /// `too_much_data` or `too_large`, or a second timeout) is asked for again in smaller ones; without, it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min: Option<u32>,
    /// With `min`, and `cursor`, `link`, `next_url` or `next_query`: a page that took longer makes the next one smaller, such as `20s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<String>,
}

impl PageSize {
    /// `slow` in ms; `None` where it is not said, or is no duration.
    fn slow_ms(&self) -> Option<u32> {
        let slow = humantime::parse_duration(self.slow.as_deref()?).ok()?;
        u32::try_from(slow.as_millis()).ok().filter(|ms| *ms > 0)
    }
}

impl Pages {
    /// Most pages in flight at once where a list's size is not known.
    pub const PARALLEL_MAX: u32 = 64;

    /// What is wrong with the declaration beyond its shape; empty if nothing is.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        check::check(self)
    }

    /// What pagination needs to know. Of a declaration that [`Pages::check`] passes; of another, the best guess.
    #[must_use]
    pub fn paging(&self) -> Paging {
        let size = self.size.as_ref().map_or(1, |size| size.max.max(1));
        let kind = match Way::of(self) {
            None => Kind::Single,
            Some(Way::Offset(_)) => Kind::Offset { size },
            Some(Way::Number(_)) => Kind::Number { size, first: self.first.unwrap_or(1) },
            Some(Way::Cursor(_) | Way::Link(_) | Way::Url(_) | Way::Query(_)) => Kind::Chain,
        };
        let defaults = Paging::new(kind);
        Paging {
            max_pages: self.max_pages.unwrap_or(defaults.max_pages).max(1),
            parallel: self.parallel.unwrap_or(defaults.parallel).clamp(1, Self::PARALLEL_MAX),
            short_page_ends: self.short_page_ends.unwrap_or(defaults.short_page_ends),
            blank_page_ends: self.blank_page_ends.unwrap_or(defaults.blank_page_ends),
            size: self.size.as_ref().map(|size| size.max.max(1)),
            min_size: self.size.as_ref().and_then(|size| size.min),
            slow_ms: self.size.as_ref().and_then(PageSize::slow_ms),
            overlaps: self.overlaps.unwrap_or(defaults.overlaps),
            in_order: self.in_order.unwrap_or(defaults.in_order),
            counted: self.count.is_some(),
            slice_cap: self.slices.as_ref().map(|slices| slices.cap.max(1)),
            ..defaults
        }
    }

    /// The query parameters that ask for the page at `pointer`: names and values, neither encoded.
    ///
    /// None for an address, which is whole, but for a size that differs from the declared one, and none for a count.
    /// Offset and number bring their own size, which may be smaller than the declared one. A pointer of a kind that is not
    /// declared here names no parameter but the size's.
    #[must_use]
    pub fn query(&self, pointer: &PagePointer) -> Vec<(String, String)> {
        let declared = self.size.as_ref().map(|size| size.max);
        let size = pointer.size().or(declared);
        let one = |param: &str, value: String| vec![(param.to_owned(), value)];
        let (mut query, size) = match (pointer.place(), Way::of(self)) {
            (PagePointer::Count, _) => return Vec::new(),
            (PagePointer::Url { .. }, _) => (Vec::new(), pointer.size()),
            (PagePointer::Offset { offset, .. }, Some(Way::Offset(param))) => (one(param, offset.to_string()), size),
            (PagePointer::Number { page, .. }, Some(Way::Number(param))) => (one(param, page.to_string()), size),
            (PagePointer::Cursor { cursor }, Some(Way::Cursor(param))) => (one(param, cursor.clone()), size),
            (PagePointer::Cursor { cursor }, Some(Way::Query(_))) => (cursors::read(cursor), size),
            (PagePointer::Offset { .. } | PagePointer::Number { .. }, _) => (Vec::new(), declared),
            _ => (Vec::new(), size),
        };
        query.extend(self.size.as_ref().zip(size).map(|(param, size)| (param.param.clone(), size.to_string())));
        query
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_contracts::PagePointer as At;

    use super::*;

    fn pages(json: serde_json::Value) -> Pages {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn each_way_of_paging_becomes_its_kind() {
        let size = json!({"param": "limit", "max": 50});
        let table = [
            (json!({}), Kind::Single),
            (json!({"offset": "o", "size": size}), Kind::Offset { size: 50 }),
            (json!({"page": "p", "size": size}), Kind::Number { size: 50, first: 1 }),
            (json!({"page": "p", "first": 0, "size": size}), Kind::Number { size: 50, first: 0 }),
            (json!({"cursor": "c", "next": "$.next"}), Kind::Chain),
            (json!({"link": "next"}), Kind::Chain),
            (json!({"next_query": "$.continue"}), Kind::Chain),
            (json!({"next_url": {"header": "Next-Page"}}), Kind::Chain),
        ];
        for (json, kind) in table {
            let size = json.get("size").map(|_| 50);
            assert_eq!(pages(json.clone()).paging(), Paging { size, ..Paging::new(kind) }, "{json}");
        }
    }

    #[test]
    fn what_is_declared_replaces_the_defaults() {
        let declared = pages(json!({
            "offset": "o", "size": {"param": "limit", "max": 5}, "max_pages": 7, "parallel": 4, "short_page_ends": true,
            "blank_page_ends": false
        }));
        let paging = declared.paging();
        assert_eq!((paging.max_pages, paging.parallel), (7, 4));
        assert_eq!((paging.short_page_ends, paging.blank_page_ends), (true, false));
    }

    #[test]
    fn a_pointer_becomes_query_parameters() {
        let size = json!({"param": "limit", "max": 50});
        let offset = pages(json!({"offset": "skip", "size": size}));
        let number = pages(json!({"page": "page", "size": {"param": "per_page", "max": 100}}));
        let cursor = pages(json!({"cursor": "after", "next": "$.n", "size": size}));
        let bare = pages(json!({"cursor": "after", "next": "$.n"}));
        let link = pages(json!({"link": "next", "size": size}));
        let several = pages(json!({"next_query": "$.continue", "size": size}));
        let cursors = At::Cursor { cursor: r#"{"continue":"gap||","gapcontinue":"a&b"}"#.to_owned() };
        let resized = |at: At| at.along(tidegate_contracts::Trail { size: Some(7), ..Default::default() });
        let cursor_at = || At::Cursor { cursor: "a b&c".to_owned() };
        let table = [
            (&offset, At::Offset { offset: 100, size: 25 }, vec![("skip", "100"), ("limit", "25")]),
            (&number, At::Number { page: 3, size: 100 }, vec![("page", "3"), ("per_page", "100")]),
            (&cursor, At::First, vec![("limit", "50")]),
            (&cursor, cursor_at(), vec![("after", "a b&c"), ("limit", "50")]),
            (&bare, At::First, vec![]),
            (&bare, cursor_at(), vec![("after", "a b&c")]),
            (&link, At::First, vec![("limit", "50")]),
            (&link, At::Url { url: "https://api.example/?page=2".to_owned() }, vec![]),
            (&link, resized(At::Url { url: "https://api.example/?page=2".to_owned() }), vec![("limit", "7")]),
            (&cursor, resized(cursor_at()), vec![("after", "a b&c"), ("limit", "7")]),
            (&cursor, resized(At::First).within(1, 5, 9), vec![("limit", "7")]),
            (&number, At::Number { page: 3, size: 9 }.within(1, 5, 9), vec![("page", "3"), ("per_page", "9")]),
            (&several, At::First, vec![("limit", "50")]),
            (&several, cursors, vec![("continue", "gap||"), ("gapcontinue", "a&b"), ("limit", "50")]),
            (&number, At::Count, vec![]),
            (&Pages::default(), At::First, vec![]),
        ];
        for (pages, pointer, query) in table {
            let query: Vec<_> = query.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(pages.query(&pointer), query, "{pointer:?}");
        }
    }
}
