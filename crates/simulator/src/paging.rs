//! How an endpoint pages: its parameters, and where a call points.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::list::List;

/// Largest page.
pub const PAGE_SIZE_MAX: u32 = 100_000;

/// How an endpoint pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Paging {
    /// What pages are pointed at by.
    pub style: Style,
    /// Parameter that carries the offset, page number or cursor; `offset`, `page` or `cursor` unless given. Looked
    /// for in the query, then in a JSON body, where dots lead inwards (`variables.after`).
    pub param: Option<String>,
    /// Parameter that carries the wanted number of items; pages always have `default_size` without it.
    pub size_param: Option<String>,
    /// Items where the call does not say.
    pub default_size: u32,
    /// Most items of a page, from 1.
    pub max_size: u32,
    /// What a call for more than `max_size` gets.
    pub over_max: OverMax,
    /// Number of the first page, for `style: page`.
    pub first_page: u64,
    /// What cursors are, for `style: cursor`, `link` and `next_url`.
    pub cursors: Cursors,
    /// Relation of the `Link` that leads to the next page.
    pub link_rel: String,
}

/// What pages are pointed at by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// One answer holds the whole list.
    #[default]
    Single,
    /// Number of items before the page.
    Offset,
    /// Page number.
    Page,
    /// A cursor that stands in the body of the page before.
    Cursor,
    /// An address in the page before's `Link` header (RFC 8288).
    Link,
    /// An address in the body of the page before.
    NextUrl,
}

/// What a call for more than the largest page gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverMax {
    /// The largest page.
    #[default]
    Clamp,
    /// 400.
    Reject,
}

/// What cursors are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cursors {
    /// Text that means nothing to a client, with characters that an address must escape.
    #[default]
    Opaque,
    /// The id of the last item of the page before.
    LastId,
    /// The same, and the page that it leads to begins with that item again.
    LastIdAgain,
}

impl Default for Paging {
    fn default() -> Self {
        Self {
            style: Style::Single,
            param: None,
            size_param: None,
            default_size: 20,
            max_size: 100,
            over_max: OverMax::Clamp,
            first_page: 1,
            cursors: Cursors::Opaque,
            link_rel: "next".to_owned(),
        }
    }
}

/// Where a call points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Items before the page.
    pub(crate) start: u64,
    /// Items wanted.
    pub(crate) size: u32,
    /// How often a list without end has come by here.
    pub(crate) round: u32,
}

/// A page that was asked for in a way that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPage(pub(crate) String);

impl Paging {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.max_size == 0 || self.max_size > PAGE_SIZE_MAX {
            return Err(format!("a max_size from 1 to {PAGE_SIZE_MAX} was expected, not {}", self.max_size));
        }
        if self.default_size == 0 {
            return Err("a default_size from 1 was expected".to_owned());
        }
        Ok(())
    }

    /// The parameter that carries the offset, page number or cursor.
    pub(crate) fn pointer_param(&self) -> &str {
        self.param.as_deref().unwrap_or(match self.style {
            Style::Single | Style::Offset => "offset",
            Style::Page => "page",
            Style::Cursor | Style::Link | Style::NextUrl => "cursor",
        })
    }

    /// Reads where a call points from its parameters.
    pub(crate) fn position(&self, list: &List, param: impl Fn(&str) -> Option<String>) -> Result<Position, BadPage> {
        let size = self.size(list, &param)?;
        let at = |start, round| Ok(Position { start, size, round });
        let name = self.pointer_param();
        let Some(pointer) = param(name).filter(|text| !text.is_empty() && self.style != Style::Single) else {
            return at(0, 0);
        };
        let number = || pointer.parse::<u64>().map_err(|_| BadPage(format!("{name}: a number was expected")));
        match self.style {
            Style::Single => at(0, 0),
            Style::Offset => at(number()?, 0),
            Style::Page => match number()?.checked_sub(self.first_page) {
                Some(page) => at(page.saturating_mul(u64::from(size)), 0),
                None => Err(BadPage(format!("{name}: pages start at {}", self.first_page))),
            },
            Style::Cursor | Style::Link | Style::NextUrl => {
                let (start, round) = match self.cursors {
                    Cursors::Opaque => read_cursor(list.draw, &pointer),
                    Cursors::LastId => list.after(&pointer).map(|start| (start, 0)),
                    Cursors::LastIdAgain => list.after(&pointer).map(|start| (start - 1, 0)),
                }
                .ok_or_else(|| BadPage(format!("{name}: not a cursor of this list")))?;
                at(start, round)
            }
        }
    }

    fn size(&self, list: &List, param: impl Fn(&str) -> Option<String>) -> Result<u32, BadPage> {
        if self.style == Style::Single {
            return Ok(u32::try_from(list.len.max(1)).unwrap_or(u32::MAX));
        }
        let Some(name) = &self.size_param else { return Ok(self.default_size.min(self.max_size)) };
        let Some(text) = param(name) else { return Ok(self.default_size.min(self.max_size)) };
        match text.parse::<u32>() {
            Ok(0) | Err(_) => Err(BadPage(format!("{name}: a number from 1 was expected"))),
            Ok(size) if size > self.max_size && self.over_max == OverMax::Reject => {
                Err(BadPage(format!("{name}: at most {} items a page", self.max_size)))
            }
            Ok(size) => Ok(size.min(self.max_size)),
        }
    }

    /// How `position` is written for a client, in a parameter or in a body.
    pub(crate) fn pointer(&self, list: &List, position: Position) -> String {
        match self.style {
            Style::Single | Style::Offset => position.start.to_string(),
            Style::Page => (self.first_page + position.start / u64::from(position.size)).to_string(),
            Style::Cursor | Style::Link | Style::NextUrl => match self.cursors {
                Cursors::Opaque => write_cursor(list.draw, position),
                Cursors::LastId | Cursors::LastIdAgain => {
                    list.id(position.start.clamp(1, list.len.max(1)) - 1).to_string()
                }
            },
        }
    }
}

/// `+`, `/` and `=` are as common in real cursors as they are easily lost on the way.
fn write_cursor(draw: Draw, at: Position) -> String {
    format!("{:x}+{:x}/{:05x}==", at.start, at.round, cursor_check(draw, at.start, at.round))
}

fn read_cursor(draw: Draw, text: &str) -> Option<(u64, u32)> {
    let (start, rest) = text.strip_suffix("==")?.split_once('+')?;
    let (round, check) = rest.split_once('/')?;
    let (start, round) = (u64::from_str_radix(start, 16).ok()?, u32::from_str_radix(round, 16).ok()?);
    let check = u64::from_str_radix(check, 16).ok()?;
    (check == cursor_check(draw, start, round)).then_some((start, round))
}

fn cursor_check(draw: Draw, start: u64, round: u32) -> u64 {
    draw.with_text("cursor").with(start).with(u64::from(round)).below(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Gaps;

    fn list() -> List {
        let gaps = Gaps { short: 0.0, blank: 0.0, block: 10 };
        List { len: 95, first: 0, parent: String::new(), alone: false, gaps, draw: Draw::seeded(7) }
    }

    #[test]
    fn a_pointer_leads_back_to_its_position() {
        use Style::{Cursor, Link, NextUrl, Offset, Page};
        let position = Position { start: 40, size: 20, round: 0 };
        for style in [Offset, Page, Cursor, Link, NextUrl] {
            for cursors in [Cursors::Opaque, Cursors::LastId] {
                let paging = Paging { style, cursors, size_param: Some("n".into()), ..Paging::default() };
                let pointer = paging.pointer(&list(), position);
                let read = paging
                    .position(&list(), |name| if name == "n" { Some("20".into()) } else { Some(pointer.clone()) });
                assert_eq!(read, Ok(position), "{style:?} {cursors:?} {pointer}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        let paging =
            |style| Paging { style, size_param: Some("n".into()), over_max: OverMax::Reject, ..Paging::default() };
        for (style, n, pointer, named) in [
            (Style::Offset, "20", "x", "offset"),
            (Style::Page, "20", "0", "page"),
            (Style::Cursor, "20", "28+0/00000==", "cursor"),
            (Style::Cursor, "0", "", "n"),
            (Style::Cursor, "101", "", "n"),
        ] {
            let read = paging(style).position(&list(), |name| Some(if name == "n" { n } else { pointer }.to_owned()));
            assert!(matches!(&read, Err(BadPage(why)) if why.starts_with(named)), "{read:?}");
        }
    }

    #[test]
    fn a_cursor_that_lost_its_plus_sign_is_not_understood() {
        let at = Position { start: 40, size: 20, round: 3 };
        let cursor = write_cursor(Draw::seeded(7), at);
        assert_eq!(read_cursor(Draw::seeded(7), &cursor), Some((40, 3)));
        assert_eq!(read_cursor(Draw::seeded(7), &cursor.replace('+', " ")), None);
        assert_eq!(read_cursor(Draw::seeded(8), &cursor), None);
    }
}
