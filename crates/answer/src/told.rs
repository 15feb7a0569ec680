//! What an answer tells about other pages.

use std::borrow::Cow;

use http::HeaderMap;
use tidegate_contracts::Next;
use url::Url;

use crate::address;
use crate::cursors;
use crate::finder::{Finder, Found, Items};
use crate::json_path::JsonPath;
use crate::link;
use crate::pages::{Pages, Way};
use crate::raw::Scalar;
use crate::selector::{HeaderField, Selector};
use crate::unreadable::Unreadable;

/// Longest cursor or address of a next page, in bytes. It travels in messages and is stored with its call.
pub const CURSOR_MAX_BYTES: usize = 8192;

/// Where an answer tells about other pages, compiled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    chain: Chain,
    next: Option<Source>,
    has_more: Option<Source>,
    total: Option<Source>,
}

/// What the next page is known by.
#[derive(Debug, Clone, Default)]
enum Chain {
    /// Nothing: there is no chain. A `next` only tells that there is more.
    #[default]
    None,
    Cursor,
    Link(String),
    Address,
    Query,
}

#[derive(Debug, Clone)]
enum Source {
    /// The body's value of this number.
    Body(usize, JsonPath),
    Header(HeaderField),
    LastItem(JsonPath, Finder),
}

/// What an answer tells about other pages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) total: Option<u64>,
    pub(crate) next: Option<Next>,
    pub(crate) has_more: Option<bool>,
}

/// Of whose answer it is.
pub(crate) struct Context<'a, 'b> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) found: &'a Found<'b>,
    pub(crate) url: &'a Url,
}

impl Sources {
    /// Compiles, and adds to `values` the paths that are to be found in the body.
    pub(crate) fn of(pages: &Pages, values: &mut Vec<JsonPath>) -> Self {
        let mut source = |selector: Option<&Selector>| selector.map(|selector| Source::of(selector, values));
        let (chain, next) = match Way::of(pages) {
            None => (Chain::None, None),
            Some(Way::Offset(_) | Way::Number(_)) => (Chain::None, source(pages.next.as_ref())),
            Some(Way::Cursor(_)) => (Chain::Cursor, source(pages.next.as_ref())),
            Some(Way::Link(rel)) => (Chain::Link(rel.to_owned()), None),
            Some(Way::Url(selector)) => (Chain::Address, source(Some(selector))),
            Some(Way::Query(selector)) => (Chain::Query, source(Some(selector))),
        };
        Self { chain, next, has_more: source(pages.has_more.as_ref()), total: source(pages.total.as_ref()) }
    }

    /// Reads them.
    ///
    /// # Errors
    ///
    /// What names the next page can't be used. Never because of a total or a truth value: those only save calls.
    pub(crate) fn read(&self, answer: &Context<'_, '_>) -> Result<Told, Unreadable> {
        let has_more = self.has_more.as_ref().and_then(|source| truth(&source.scalar(answer)));
        let total = self.total.as_ref().and_then(|source| source.total(answer));
        if let Chain::None = self.chain {
            let present = self.next.as_ref().map(|source| is_present(&source.scalar(answer)));
            return Ok(Told { total, next: None, has_more: has_more.or(present) });
        }
        // Where the answer says that this is the end, what it names as the next page need not even be readable.
        let next = if has_more == Some(false) { None } else { self.next(answer)? };
        Ok(Told { total, next, has_more })
    }

    fn next(&self, answer: &Context<'_, '_>) -> Result<Option<Next>, Unreadable> {
        let text = match (&self.chain, &self.next) {
            (Chain::Link(rel), _) => {
                link::target(answer.headers, rel).filter(|target| !target.is_empty()).map(Cow::Owned)
            }
            (Chain::Query, Some(source)) => source.next_query(answer)?.map(Cow::Owned),
            (_, Some(source)) => source.next_text(answer)?,
            (_, None) => None,
        };
        let Some(text) = text else { return Ok(None) };
        if text.len() > CURSOR_MAX_BYTES {
            return Err(Unreadable::NextTooLong);
        }
        if let Chain::Cursor | Chain::Query = self.chain {
            return Ok(Some(Next::Cursor(text.into_owned())));
        }
        let url = String::from(address::resolve(&text, answer.url)?);
        if url.len() > CURSOR_MAX_BYTES { Err(Unreadable::NextTooLong) } else { Ok(Some(Next::Url(url))) }
    }
}

impl Source {
    fn of(selector: &Selector, values: &mut Vec<JsonPath>) -> Self {
        match selector {
            Selector::Body(path) => {
                values.push(path.clone());
                Self::Body(values.len() - 1, path.clone())
            }
            Selector::Header(name) => Self::Header(name.clone()),
            Selector::LastItem(path) => Self::LastItem(path.clone(), Finder::new(Items::Unwanted, vec![path.clone()])),
        }
    }

    /// The value; `Null` where there is none.
    fn scalar<'a>(&self, answer: &Context<'a, 'a>) -> Scalar<'a> {
        match self {
            Self::Body(number, _) => answer.found.first(*number).map_or(Scalar::Null, Scalar::of),
            Self::Header(name) => {
                let value = answer.headers.get(name.name());
                value.map_or(Scalar::Null, |value| Scalar::Text(String::from_utf8_lossy(value.as_bytes())))
            }
            Self::LastItem(_, finder) => {
                let found = answer.found.lines.last.and_then(|item| finder.find(item).ok());
                found.and_then(|found| found.first(0)).map_or(Scalar::Null, Scalar::of)
            }
        }
    }

    /// The next page's cursor or address.
    fn next_text<'a>(&self, answer: &Context<'a, 'a>) -> Result<Option<Cow<'a, str>>, Unreadable> {
        let scalar = self.scalar(answer);
        match (scalar, self) {
            // A last item that lacks what names the next page would end the list early, unnoticed.
            (scalar, Self::LastItem(path, _)) if !is_present(&scalar) && answer.found.lines.count > 0 => {
                Err(Unreadable::NoNextInItem { path: path.to_string() })
            }
            (scalar, _) if !is_present(&scalar) => Ok(None),
            (scalar @ (Scalar::Bool(_) | Scalar::Compound), _) => {
                let found = if scalar == Scalar::Compound { "a list or an object" } else { "a truth value" };
                Err(Unreadable::NextNotText { source_text: self.to_string(), found })
            }
            (scalar, _) => Ok(scalar.text()),
        }
    }

    /// The next page's query parameters, as they are kept.
    fn next_query(&self, answer: &Context<'_, '_>) -> Result<Option<String>, Unreadable> {
        let Self::Body(number, _) = self else { return Ok(None) };
        let Some(json) = answer.found.first(*number) else { return Ok(None) };
        let refused = || Unreadable::NextNotText { source_text: self.to_string(), found: "no object of texts" };
        cursors::keep(json).ok_or_else(refused)
    }

    /// A whole number from 0; of a header such as `Content-Range: items 0-24/319` (RFC 9110, 14.4) what follows the
    /// slash.
    fn total(&self, answer: &Context<'_, '_>) -> Option<u64> {
        let text = self.scalar(answer).text()?;
        let text = match self {
            Self::Header(_) => text.rsplit('/').next().unwrap_or_default(),
            _ => &text,
        };
        whole(text.trim())
    }
}

/// A whole number from 0, written as one or as a floating point number such as `12.0`.
fn whole(text: &str) -> Option<u64> {
    /// Largest number that a floating point number counts exactly.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    text.parse().ok().or_else(|| {
        let float: f64 = text.parse().ok()?;
        // No loss: it is whole and in range.
        ((0.0..=EXACT_MAX).contains(&float) && float.fract() == 0.0).then_some(float as u64)
    })
}

/// Something that stands for a next page: not null, false or an empty text.
fn is_present(scalar: &Scalar<'_>) -> bool {
    match scalar {
        Scalar::Null | Scalar::Bool(false) => false,
        Scalar::Text(text) => !text.trim().is_empty(),
        _ => true,
    }
}

fn truth(scalar: &Scalar<'_>) -> Option<bool> {
    let text: &str = match scalar {
        Scalar::Bool(yes) => return Some(*yes),
        Scalar::Number(number) => number,
        Scalar::Text(text) => text.trim(),
        Scalar::Null | Scalar::Compound => return None,
    };
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Body(_, path) => write!(f, "{path}"),
            Self::Header(name) => write!(f, "header {}", name.as_str()),
            Self::LastItem(path, _) => write!(f, "last item's {path}"),
        }
    }
}

#[cfg(test)]
mod tests;
