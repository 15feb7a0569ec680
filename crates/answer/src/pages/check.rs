//! What is wrong with a declaration of pages.

use super::{Pages, Way};
use crate::problem::Problem;
use crate::selector::Selector;

pub(super) fn check(pages: &Pages) -> Vec<Problem> {
    let ways = Way::all(pages);
    let &[way] = ways.as_slice() else {
        let found: Vec<_> = ways.iter().map(|way| way.field()).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(" and ") };
        return vec![Problem::new(
            "",
            format!("exactly one of offset, page, cursor, link, next_url and next_query, found {found}"),
        )];
    };
    [names(pages, way), companions(pages, way), ranges(pages), sources(pages)].concat()
}

fn names(pages: &Pages, way: Way<'_>) -> Vec<Problem> {
    let place = match way {
        Way::Offset(name) | Way::Number(name) | Way::Cursor(name) => {
            Some((way.field(), name, "the name of a query parameter"))
        }
        Way::Link(name) => Some((way.field(), name, "a relation such as next")),
        Way::Url(_) | Way::Query(_) => None,
    };
    let size = pages.size.as_ref().map(|size| ("size.param", size.param.as_str(), "the name of a query parameter"));
    let empty = place.into_iter().chain(size).filter(|(_, name, _)| name.trim().is_empty());
    empty.map(|(field, _, expected)| Problem::new(field, expected)).collect()
}

/// Fields that a way needs, and those that it has no use for.
fn companions(pages: &Pages, way: Way<'_>) -> Vec<Problem> {
    let random_access = way.is_random_access();
    let by_address = matches!(way, Way::Link(_) | Way::Url(_) | Way::Query(_));
    let table = [
        ("size", random_access && pages.size.is_none(), "a size: { param, max }, needed with offset and page"),
        (
            "next",
            matches!(way, Way::Cursor(_)) && pages.next.is_none(),
            "where the next cursor stands, needed with cursor",
        ),
        ("numeric", !matches!(way, Way::Cursor(_)) && pages.numeric.is_some(), "it only with cursor"),
        ("next", by_address && pages.next.is_some(), "it only with offset, page or cursor"),
        ("first", !matches!(way, Way::Number(_)) && pages.first.is_some(), "it only with page"),
        ("parallel", !random_access && pages.parallel.is_some(), "it only with offset or page"),
        ("short_page_ends", pages.size.is_none() && pages.short_page_ends.is_some(), "it only with size"),
        ("overlaps", random_access && pages.overlaps.is_some(), "it only with cursor, link, next_url or next_query"),
        ("in_order", !random_access && pages.in_order.is_some(), "it only with offset or page"),
        ("count", !random_access && pages.count.is_some(), "it only with offset or page"),
        (
            "count",
            pages.slices.is_some() && pages.count.is_some(),
            "it only without slices, whose pages tell their total",
        ),
        ("slices", by_address && pages.slices.is_some(), "it only with offset, page or cursor"),
        (
            "size.slow",
            random_access && pages.size.as_ref().is_some_and(|size| size.slow.is_some()),
            "it only with cursor, link, next_url or next_query",
        ),
        (
            "blank_page_ends",
            random_access && pages.blank_page_ends.is_some(),
            "it only with cursor, link, next_url or next_query; a blank page always ends a list by offset or page",
        ),
    ];
    table.into_iter().filter(|(_, wrong, _)| *wrong).map(|(field, _, expected)| Problem::new(field, expected)).collect()
}

fn ranges(pages: &Pages) -> Vec<Problem> {
    let declared = pages.size.as_ref();
    let size = declared.map(|size| size.max);
    let min = declared.and_then(|size| size.min);
    let slow = declared.filter(|size| size.slow.is_some());
    let parallel = pages.parallel;
    let most = Pages::PARALLEL_MAX;
    let table = [
        ("size.max", size == Some(0), "at least 1".to_owned()),
        ("size.min", min.is_some_and(|min| min == 0 || Some(min) > size), "1 to size.max".to_owned()),
        ("size.slow", slow.is_some_and(|size| size.slow_ms().is_none()), "a duration such as 20s".to_owned()),
        ("size.slow", slow.is_some() && min.is_none(), "it only with size.min".to_owned()),
        ("size.max", pages.overlaps == Some(true) && size == Some(1), "at least 2 with overlaps".to_owned()),
        ("slices.cap", pages.slices.as_ref().is_some_and(|slices| slices.cap == 0), "at least 1".to_owned()),
        ("first", pages.first.is_some_and(|first| first > 1), "0 or 1".to_owned()),
        ("max_pages", pages.max_pages == Some(0), "at least 1".to_owned()),
        ("parallel", parallel.is_some_and(|pages| pages == 0 || pages > most), format!("1 to {most}")),
    ];
    table.into_iter().filter(|(_, wrong, _)| *wrong).map(|(field, _, expected)| Problem::new(field, expected)).collect()
}

/// A total or a truth about the whole list can't stand in an item.
fn sources(pages: &Pages) -> Vec<Problem> {
    let count = pages.count.as_ref().map(|count| count.total.clone());
    let table = [
        ("has_more", &pages.has_more),
        ("total", &pages.total),
        ("next_url", &pages.next_url),
        ("count.total", &count),
    ];
    let in_item = table.into_iter().filter(|(_, source)| matches!(source, Some(Selector::LastItem(_))));
    let in_item = in_item.map(|(field, _)| Problem::new(field, "a JSONPath into the body or { header: Name }"));
    let is_elsewhere = matches!(pages.next_query, Some(Selector::Header(_) | Selector::LastItem(_)));
    let elsewhere = is_elsewhere.then(|| Problem::new("next_query", "a JSONPath into the body"));
    in_item.chain(elsewhere).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn good_declarations_have_no_problems() {
        let size = json!({"param": "limit", "max": 100});
        let good = [
            json!({"offset": "offset", "size": size, "total": "$.count"}),
            json!({"offset": "offset", "size": size, "next": "$.next", "parallel": 4, "short_page_ends": true}),
            json!({"page": "page", "first": 0, "size": size, "total": {"header": "X-Total"}, "parallel": 64}),
            json!({"cursor": "cursor", "next": "$.meta.next_token", "has_more": "$.has_more", "size": size}),
            json!({"cursor": "before", "next": {"last_item": "$.id"}, "blank_page_ends": true}),
            json!({"link": "next", "size": size, "max_pages": 10}),
            json!({"next_url": "$.next", "total": "$.count", "blank_page_ends": false}),
            json!({"next_url": {"header": "Next-Page"}}),
            json!({"next_query": "$.continue", "size": size}),
            json!({"cursor": "max_id", "next": {"last_item": "$.id"}, "overlaps": true, "size": size, "short_page_ends": true}),
            json!({"page": "page", "size": size, "in_order": true, "count": {"path": "/count", "total": "$.count"}}),
            json!({"page": "page", "size": {"param": "l", "max": 9, "min": 1}, "total": "$.n",
                "slices": {"from": "since", "until": "until", "cap": 1000, "as": "epoch_s"}}),
            json!({"link": "next", "size": {"param": "limit", "max": 100, "min": 5, "slow": "20s"}}),
        ];
        for json in good {
            let pages: Pages = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(pages.check(), [], "{json}");
        }
    }

    #[test]
    fn each_mistake_is_named_with_its_field() {
        let size = json!({"param": "limit", "max": 100});
        let bad = [
            (
                json!({"size": size}),
                ": expected exactly one of offset, page, cursor, link, next_url and next_query, found none",
            ),
            (
                json!({"page": "p", "link": "next", "size": size}),
                ": expected exactly one of offset, page, cursor, link, next_url and next_query, found page and link",
            ),
            (json!({"offset": "o"}), "size: expected a size: { param, max }, needed with offset and page"),
            (json!({"page": " ", "size": size}), "page: expected the name of a query parameter"),
            (json!({"link": ""}), "link: expected a relation such as next"),
            (
                json!({"page": "p", "size": {"param": "", "max": 1}}),
                "size.param: expected the name of a query parameter",
            ),
            (json!({"page": "p", "size": {"param": "l", "max": 0}}), "size.max: expected at least 1"),
            (json!({"page": "p", "size": size, "first": 2}), "first: expected 0 or 1"),
            (json!({"offset": "o", "size": size, "first": 1}), "first: expected it only with page"),
            (json!({"cursor": "c"}), "next: expected where the next cursor stands, needed with cursor"),
            (json!({"link": "next", "next": "$.n"}), "next: expected it only with offset, page or cursor"),
            (json!({"link": "next", "parallel": 2}), "parallel: expected it only with offset or page"),
            (json!({"offset": "o", "size": size, "parallel": 0}), "parallel: expected 1 to 64"),
            (json!({"offset": "o", "size": size, "parallel": 65}), "parallel: expected 1 to 64"),
            (json!({"link": "next", "max_pages": 0}), "max_pages: expected at least 1"),
            (json!({"link": "next", "short_page_ends": true}), "short_page_ends: expected it only with size"),
            (json!({"link": "next", "in_order": true}), "in_order: expected it only with offset or page"),
            (
                json!({"offset": "o", "size": size, "overlaps": true}),
                "overlaps: expected it only with cursor, link, next_url or next_query",
            ),
            (
                json!({"link": "next", "count": {"path": "/c", "total": "$.n"}}),
                "count: expected it only with offset or page",
            ),
            (
                json!({"link": "next", "slices": {"from": "a", "until": "b", "cap": 5}}),
                "slices: expected it only with offset, page or cursor",
            ),
            (json!({"link": "next", "size": {"param": "l", "max": 5, "min": 6}}), "size.min: expected 1 to size.max"),
            (
                json!({"link": "next", "size": {"param": "l", "max": 5, "min": 1, "slow": "soon"}}),
                "size.slow: expected a duration such as 20s",
            ),
            (
                json!({"link": "next", "size": {"param": "l", "max": 5, "slow": "5s"}}),
                "size.slow: expected it only with size.min",
            ),
            (
                json!({"offset": "o", "size": size, "blank_page_ends": true}),
                "blank_page_ends: expected it only with cursor, link, next_url or next_query; a blank page always ends a list by offset or page",
            ),
            (
                json!({"next_url": {"last_item": "$.u"}}),
                "next_url: expected a JSONPath into the body or { header: Name }",
            ),
            (
                json!({"link": "next", "total": {"last_item": "$.t"}}),
                "total: expected a JSONPath into the body or { header: Name }",
            ),
            (
                json!({"link": "next", "has_more": {"last_item": "$.t"}}),
                "has_more: expected a JSONPath into the body or { header: Name }",
            ),
        ];
        for (json, problem) in bad {
            let pages: Pages = serde_json::from_value(json.clone()).unwrap();
            let problems: Vec<_> = pages.check().iter().map(ToString::to_string).collect();
            assert_eq!(problems, [problem], "{json}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = serde_json::from_value::<Pages>(json!({"cursr": "c"})).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `cursr`, expected one of"), "{error}");
        assert!(
            serde_json::from_value::<Pages>(json!({"page": "p", "size": {"param": "x", "max": 5, "mn": 1}})).is_err()
        );
    }
}
