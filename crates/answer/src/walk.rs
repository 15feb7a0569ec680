//! One walk over a body's text that picks up what simple paths lead to, undecoded.
//!
//! The paths are merged into a tree of names; the walk steps into an object only where a path goes on, and takes
//! or skips everything else as raw text, which `serde_json` does without recursion. So a body of any depth is safe.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::finder::{Found, ItemsFound};
use crate::raw::{self, DEPTH_MAX};
use crate::unreadable::{Unreadable, not_json};

/// How the value at a path becomes items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// It is one item, whatever it is.
    Whole,
    /// A list's elements, or an object as one item.
    Elements,
    /// A list's elements or an object's values.
    Each,
}

/// What is wanted, as a tree of names; the first spot is the whole body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    spots: Vec<Spot>,
}

#[derive(Debug, Clone, Default)]
struct Spot {
    fields: Vec<(String, usize)>,
    /// Numbers of the values that are here.
    values: Vec<usize>,
    items: Option<Take>,
}

impl Wanted {
    pub(crate) fn nothing() -> Self {
        Self { spots: vec![Spot::default()] }
    }

    /// Wants the value at `names` as number `value`.
    pub(crate) fn value(&mut self, value: usize, names: &[&str]) {
        let spot = self.spot(names);
        self.spots[spot].values.push(value);
    }

    /// Wants the items at `names`.
    pub(crate) fn items(&mut self, take: Take, names: &[&str]) {
        let spot = self.spot(names);
        self.spots[spot].items = Some(take);
    }

    fn spot(&mut self, names: &[&str]) -> usize {
        names.iter().fold(0, |at, name| {
            if let Some((_, spot)) = self.spots[at].fields.iter().find(|(known, _)| known == name) {
                return *spot;
            }
            let spot = self.spots.len();
            self.spots.push(Spot::default());
            self.spots[at].fields.push(((*name).to_owned(), spot));
            spot
        })
    }

    /// Walks over `text`, which has no white space in front.
    ///
    /// # Errors
    ///
    /// The text is not JSON, breaks off or nests too deeply, or its items are none or too many.
    pub(crate) fn walk<'b>(&self, text: &'b str, found: &mut Found<'b>) -> Result<(), Unreadable> {
        let mut walker = Walker { spots: &self.spots, text, found, refused: None };
        let mut json = serde_json::Deserializer::from_str(text);
        let first = text.as_bytes().first().copied().unwrap_or_default();
        let walked = Step { walker: &mut walker, spot: 0, enclosing: 0, first }.deserialize(&mut json);
        let ended = walked.and_then(|()| json.end());
        match (walker.refused, ended) {
            (Some(refused), _) => Err(refused),
            (None, Err(error)) => Err(not_json(text, &error)),
            (None, Ok(())) => Ok(()),
        }
    }
}

struct Walker<'w, 'b> {
    spots: &'w [Spot],
    text: &'b str,
    found: &'w mut Found<'b>,
    /// Why the walk stopped, if not because of broken JSON.
    refused: Option<Unreadable>,
}

impl<'b> Walker<'_, 'b> {
    /// Remembers why the walk stops.
    fn refuse<E: serde::de::Error>(&mut self, why: Unreadable) -> E {
        self.refused = Some(why);
        E::custom("refused")
    }

    /// The first byte of the value whose name is `key`, a piece of the text.
    fn first_of_value(&self, key: &str) -> u8 {
        let end = key.as_ptr().addr() + key.len() - self.text.as_ptr().addr();
        let rest = self.text.as_bytes().get(end..).unwrap_or_default();
        rest.iter().copied().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b':')).unwrap_or_default()
    }

    /// The spot of the field `key` (with its quotes) of the object at `spot`.
    fn field(&self, spot: usize, key: &str) -> Option<usize> {
        let name = raw::decoded(key);
        self.spots[spot].fields.iter().find(|(known, _)| *known == name).map(|(_, spot)| *spot)
    }

    /// Of a name that is there twice the last value counts, so what was found below the first is forgotten.
    fn forget(&mut self, spot: usize) {
        let Spot { values, items, fields } = &self.spots[spot];
        self.found.values.retain(|(value, _)| !values.contains(value));
        if items.is_some() {
            self.found.items = ItemsFound::Absent;
            self.found.lines.clear();
        }
        for (_, below) in fields {
            self.forget(*below);
        }
    }

    /// What the raw value at `spot` brings.
    fn take<E: serde::de::Error>(&mut self, spot: usize, json: &'b str, enclosing: usize) -> Result<(), E> {
        self.check_depth(json, enclosing)?;
        let Spot { values, items, fields } = &self.spots[spot];
        self.found.values.extend(values.iter().map(|value| (*value, json)));
        if let Some(take) = items {
            self.take_items(*take, json, enclosing)?;
        }
        if !fields.is_empty() && json.starts_with('{') {
            again(json, Fields { walker: self, spot, enclosing: enclosing + 1 })?;
        }
        Ok(())
    }

    fn take_items<E: serde::de::Error>(&mut self, take: Take, json: &'b str, enclosing: usize) -> Result<(), E> {
        self.found.items = ItemsFound::Here;
        let object = json.starts_with('{');
        match (take, json.as_bytes().first()) {
            (Take::Whole, _) | (Take::Elements, Some(b'{')) => self.push(json),
            (_, Some(b'[' | b'{')) => again(json, Entries { walker: self, object, enclosing: enclosing + 1 }),
            (_, Some(b'n')) => Ok(()),
            _ => {
                self.found.items = ItemsFound::Other(raw::kind(json));
                Ok(())
            }
        }
    }

    fn push<E: serde::de::Error>(&mut self, item: &'b str) -> Result<(), E> {
        self.found.lines.push(item).map_err(|why| self.refuse(why))
    }

    /// An item, or a value that nobody wants, with so many lists and objects around it.
    fn check_depth<E: serde::de::Error>(&mut self, json: &str, enclosing: usize) -> Result<(), E> {
        match raw::is_deeper(json, DEPTH_MAX.saturating_sub(enclosing)) {
            true => Err(self.refuse(Unreadable::TooDeep)),
            false => Ok(()),
        }
    }
}

/// Walks over a piece of the text once more, now looking into it.
fn again<'b, E: serde::de::Error>(json: &'b str, seed: impl DeserializeSeed<'b, Value = ()>) -> Result<(), E> {
    seed.deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(E::custom)
}

/// The value at a spot.
struct Step<'s, 'w, 'b> {
    walker: &'s mut Walker<'w, 'b>,
    spot: usize,
    /// Lists and objects around it.
    enclosing: usize,
    first: u8,
}

impl<'b> DeserializeSeed<'b> for Step<'_, '_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<(), D::Error> {
        let Self { walker, spot, enclosing, first } = self;
        let Spot { fields, values, items } = &walker.spots[spot];
        let list_of_items = first == b'[' && matches!(items, Some(Take::Elements | Take::Each));
        if list_of_items && values.is_empty() {
            walker.found.items = ItemsFound::Here;
            Entries { walker, object: false, enclosing: enclosing + 1 }.deserialize(json)
        } else if first == b'{' && !fields.is_empty() && values.is_empty() && items.is_none() {
            Fields { walker, spot, enclosing: enclosing + 1 }.deserialize(json)
        } else {
            let value = <&RawValue>::deserialize(json)?;
            walker.take(spot, value.get(), enclosing)
        }
    }
}

/// The fields of the object at a spot.
struct Fields<'s, 'w, 'b> {
    walker: &'s mut Walker<'w, 'b>,
    spot: usize,
    enclosing: usize,
}

impl<'b> DeserializeSeed<'b> for Fields<'_, '_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'b> Visitor<'b> for Fields<'_, '_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { walker, spot, enclosing } = self;
        while let Some(key) = map.next_key::<&RawValue>()? {
            let Some(field) = walker.field(spot, key.get()) else {
                walker.check_depth(map.next_value::<&RawValue>()?.get(), enclosing)?;
                continue;
            };
            walker.forget(field);
            let first = walker.first_of_value(key.get());
            map.next_value_seed(Step { walker, spot: field, enclosing, first })?;
        }
        Ok(())
    }
}

/// The elements of a list or the values of an object, each an item.
struct Entries<'s, 'w, 'b> {
    walker: &'s mut Walker<'w, 'b>,
    object: bool,
    enclosing: usize,
}

impl<'b> DeserializeSeed<'b> for Entries<'_, '_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<(), D::Error> {
        match self.object {
            true => json.deserialize_map(self),
            false => json.deserialize_seq(self),
        }
    }
}

impl<'b> Visitor<'b> for Entries<'_, '_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<&RawValue>()? {
            self.walker.check_depth(item.get(), self.enclosing)?;
            self.walker.push(item.get())?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((_, item)) = map.next_entry::<IgnoredAny, &RawValue>()? {
            self.walker.check_depth(item.get(), self.enclosing)?;
            self.walker.push(item.get())?;
        }
        Ok(())
    }
}
