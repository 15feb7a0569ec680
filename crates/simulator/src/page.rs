//! What stands on a page, and what the page says of the others: the truth, or what the spec has it say instead.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::list::List;
use crate::paging::Position;

/// What pages say that is not so. Everything here lasts: it is the same on each attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lies {
    /// What a stated total is off by: `+100`, `-50` or `x2`.
    pub total: Option<TotalLie>,
    /// After so many pages, two pages name each other as the next one (A, B, A, B, …); from 1.
    pub cursor_loop_after: Option<u64>,
    /// After so many pages, a page names itself as the next one.
    pub same_cursor_after: Option<u64>,
    /// The last page comes again and again, each time with a new cursor; by offset or number, it stands for
    /// whatever lies beyond it.
    pub endless_cursor: bool,
    /// Beyond the last page there are blank ones, each naming a next one.
    pub blank_forever: bool,
    /// Beyond the last page there are pages of one item, the list's last, each naming a next one.
    pub endless_one_item_pages: bool,
    /// The last page names a next one, which is blank and the end.
    pub last_names_next: bool,
    /// Addresses of next pages lack the page's size.
    pub next_drops_size: bool,
    /// Next addresses lead to this origin, such as `http://169.254.169.254`.
    pub next_to_other_host: Option<String>,
}

/// What a stated total is off by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TotalLieText", into = "String")]
pub enum TotalLie {
    /// So many items more, or fewer if below 0.
    By(i64),
    /// So many times the truth.
    Times(f64),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "`+100`, `-50` or `x2` was expected")]
enum TotalLieText {
    Number(i64),
    Text(String),
}

impl TryFrom<TotalLieText> for TotalLie {
    type Error = String;

    fn try_from(text: TotalLieText) -> Result<Self, String> {
        match text {
            TotalLieText::Number(by) => Ok(Self::By(by)),
            TotalLieText::Text(text) => Self::read(&text),
        }
    }
}

impl From<TotalLie> for String {
    fn from(lie: TotalLie) -> Self {
        match lie {
            TotalLie::By(by) => format!("{by:+}"),
            TotalLie::Times(times) => format!("x{times}"),
        }
    }
}

impl JsonSchema for TotalLie {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TotalLie".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        TotalLieText::json_schema(generator)
    }
}

impl TotalLie {
    /// Reads `+100`, `-50` or `x2`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        match text.strip_prefix('x') {
            Some(times) => times.parse().ok().filter(|times: &f64| *times >= 0.0).map(Self::Times),
            None => text.parse().ok().map(Self::By),
        }
        .ok_or_else(|| format!("`+100`, `-50` or `x2` was expected, not `{text}`"))
    }

    fn told(self, total: u64) -> u64 {
        match self {
            Self::By(by) => total.saturating_add_signed(by),
            Self::Times(times) => (total as f64 * times) as u64,
        }
    }
}

/// A page as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Positions of its items in the list.
    pub(crate) positions: Vec<u64>,
    /// Where it says the next page is.
    pub(crate) next: Option<Position>,
    /// Whether it says that there are more.
    pub(crate) has_more: bool,
    /// How many items it says there are in all.
    pub(crate) total: u64,
}

/// The page at `at`.
pub(crate) fn page(list: &List, at: Position, lies: &Lies) -> Page {
    let size = u64::from(at.size);
    let end = at.start.saturating_add(size);
    let beyond = Position { start: end, round: 0, ..at };
    let truth = Page {
        positions: list.served(at.start, end).collect(),
        next: (end < list.len).then_some(beyond),
        has_more: end < list.len,
        total: lies.total.map_or(list.len, |lie| lie.told(list.len)),
    };
    let index = at.start / size;
    let lie = |next| Page { next: Some(next), has_more: true, ..truth.clone() };
    if lies.same_cursor_after.is_some_and(|pages| index >= pages) {
        return lie(at);
    }
    if lies.cursor_loop_after.is_some_and(|pages| index >= pages) {
        return lie(Position { start: at.start.saturating_sub(size), round: 0, ..at });
    }
    if truth.has_more {
        return truth;
    }
    if lies.endless_cursor {
        let last = list.len.saturating_sub(1) / size * size;
        let positions = list.served(at.start.min(last), list.len).collect();
        return Page { positions, ..lie(Position { start: end, round: at.round + 1, ..at }) };
    }
    if lies.endless_one_item_pages {
        let last = list.served(0, list.len).last().filter(|_| at.start >= list.len);
        let positions = last.map_or(truth.positions.clone(), |last| vec![last]);
        return Page { positions, ..lie(beyond) };
    }
    if lies.last_names_next && at.start < list.len {
        return lie(beyond);
    }
    if lies.blank_forever {
        return lie(beyond);
    }
    truth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;
    use crate::list::Gaps;

    fn list() -> List {
        let gaps = Gaps { short: 0.0, blank: 0.0, block: 10 };
        List { len: 25, first: 0, parent: String::new(), alone: false, gaps, draw: Draw::seeded(7) }
    }

    /// First positions of the pages that a client sees who follows `next`, for at most `pages` of them.
    fn followed(lies: &Lies, pages: usize) -> Vec<Option<u64>> {
        let mut at = Some(Position { start: 0, size: 10, round: 0 });
        let mut seen = Vec::new();
        while let Some(position) = at.filter(|_| seen.len() < pages) {
            let page = page(&list(), position, lies);
            seen.push(page.positions.first().copied());
            at = page.next;
        }
        seen
    }

    #[test]
    fn an_honest_list_ends() {
        assert_eq!(followed(&Lies::default(), 9), [Some(0), Some(10), Some(20)]);
    }

    #[test]
    fn two_pages_name_each_other_for_ever() {
        let lies = Lies { cursor_loop_after: Some(2), ..Lies::default() };
        assert_eq!(followed(&lies, 6), [Some(0), Some(10), Some(20), Some(10), Some(20), Some(10)]);
    }

    #[test]
    fn a_page_names_itself_for_ever() {
        let lies = Lies { same_cursor_after: Some(1), ..Lies::default() };
        assert_eq!(followed(&lies, 4), [Some(0), Some(10), Some(10), Some(10)]);
    }

    #[test]
    fn the_last_page_comes_again_with_new_cursors() {
        let lies = Lies { endless_cursor: true, ..Lies::default() };
        assert_eq!(followed(&lies, 6), [Some(0), Some(10), Some(20), Some(20), Some(20), Some(20)]);
    }

    #[test]
    fn blank_pages_follow_for_ever() {
        let lies = Lies { blank_forever: true, ..Lies::default() };
        assert_eq!(followed(&lies, 6), [Some(0), Some(10), Some(20), None, None, None]);
    }

    #[test]
    fn pages_of_one_item_follow_for_ever() {
        let lies = Lies { endless_one_item_pages: true, ..Lies::default() };
        assert_eq!(followed(&lies, 6), [Some(0), Some(10), Some(20), Some(24), Some(24), Some(24)]);
    }

    #[test]
    fn a_blank_page_follows_the_last_and_ends_the_list() {
        let lies = Lies { last_names_next: true, ..Lies::default() };
        assert_eq!(followed(&lies, 6), [Some(0), Some(10), Some(20), None]);
    }

    #[test]
    fn a_total_is_off_as_told() {
        for (text, total) in [("\"+100\"", 125), ("\"-50\"", 0), ("\"x2\"", 50), ("-5", 20)] {
            let lies = Lies { total: Some(serde_json::from_str(text).unwrap()), ..Lies::default() };
            assert_eq!(page(&list(), Position { start: 0, size: 10, round: 0 }, &lies).total, total);
        }
        assert!(serde_json::from_str::<TotalLie>("\"twice\"").is_err());
    }
}
