//! Items: a template with places to fill, cut up once, so that a page is written without going through JSON values.

use serde_json::{Value, json};

use crate::draw::Draw;
use crate::list::{Id, List};

/// Most bytes of an item.
pub const ITEM_BYTES_MAX: u32 = 1_048_576;

/// Bytes of an item where nothing is declared.
pub const ITEM_BYTES_DEFAULT: u32 = 300;

/// Where in the filling an item's text starts differs by up to this.
const FILLING_SHIFT: usize = 251;

/// An item's JSON, cut up at its places.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    /// Bytes an item is filled up to, where it has a place for that.
    bytes: usize,
    /// Text to fill with; plain letters and spaces.
    filling: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// `"{{id}}"` as a whole value: a number where the id is one, else text.
    Id,
    /// `{{id}}` within text.
    IdText,
    /// `"{{n}}"` as a whole value, or `{{n}}` within text: counted from 1.
    Number,
    /// `{{parent}}` within text.
    Parent,
    /// `{{text}}` within text: fills the item up.
    Filling,
}

impl Template {
    /// The item that is served where a spec gives none.
    pub(crate) fn plain() -> Value {
        json!({ "id": "{{id}}", "name": "item {{n}}", "text": "{{text}}" })
    }

    /// Cuts `item` up; items are about `bytes` bytes where `item` has a place for `{{text}}`.
    pub(crate) fn cut(item: &Value, bytes: u32) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let text = item.to_string();
        let mut rest = text.as_str();
        while let Some(open) = rest.find("{{") {
            let close = open + rest[open..].find("}}").ok_or("a `}}` is missing")?;
            let name = rest[open + 2..close].trim();
            let whole = rest[..open].ends_with('"') && rest[close + 2..].starts_with('"');
            let (piece, quoted) = match name {
                "id" if whole => (Piece::Id, true),
                "id" => (Piece::IdText, false),
                "n" => (Piece::Number, whole),
                "parent" => (Piece::Parent, false),
                "text" => (Piece::Filling, false),
                _ => return Err(format!("`{{{{{name}}}}}` is unknown; id, n, parent or text was expected")),
            };
            pieces.push(Piece::Literal(rest[..open - usize::from(quoted)].to_owned()));
            pieces.push(piece);
            rest = &rest[close + 2 + usize::from(quoted)..];
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        let bytes = bytes as usize;
        Ok(Self { pieces, bytes, filling: filling(bytes + FILLING_SHIFT) })
    }

    /// Bytes an item is filled up to.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes the item at `position` of `list`. `parent` is the parent's id as it stands within JSON text.
    pub(crate) fn write(&self, out: &mut Vec<u8>, list: &List, parent: &str, position: u64) {
        let id = list.id(position);
        let begun = out.len();
        let mut filling_at = None;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Id => write_id(out, &id, true),
                Piece::IdText => write_id(out, &id, false),
                Piece::Number => out.extend_from_slice((position + 1).to_string().as_bytes()),
                Piece::Parent => out.extend_from_slice(parent.as_bytes()),
                Piece::Filling if filling_at.is_none() => filling_at = Some(out.len()),
                Piece::Filling => {}
            }
        }
        let wanted = self.bytes.saturating_sub(out.len() - begun);
        if let Some(at) = filling_at.filter(|_| wanted > 0) {
            let shift = (position % FILLING_SHIFT as u64) as usize;
            let filling = &self.filling.as_bytes()[shift..shift + wanted];
            let tail = out.split_off(at);
            out.extend_from_slice(filling);
            out.extend_from_slice(&tail);
        }
    }
}

fn write_id(out: &mut Vec<u8>, id: &Id, whole: bool) {
    match id {
        Id::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Id::Text(text) if whole => {
            out.push(b'"');
            out.extend_from_slice(escaped(text).as_bytes());
            out.push(b'"');
        }
        Id::Text(text) => out.extend_from_slice(escaped(text).as_bytes()),
    }
}

/// `text` as it stands within a JSON text, without the quotes.
pub(crate) fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Words of made-up letters, always the same.
fn filling(bytes: usize) -> String {
    const LETTERS: &[u8] = b"etaoinshrdlucmwf";
    let mut text = String::with_capacity(bytes + 8);
    for word in 0_u64.. {
        if text.len() >= bytes {
            break;
        }
        let draw = Draw::seeded(0).with(word).bits();
        for letter in 0..2 + draw % 7 {
            text.push(char::from(LETTERS[(draw >> (8 + 4 * letter)) as usize % LETTERS.len()]));
        }
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Gaps;

    fn list(parent: &str) -> List {
        let gaps = Gaps { short: 0.0, blank: 0.0, block: 10 };
        List { len: 1000, first: 0, parent: parent.to_owned(), alone: false, gaps, draw: Draw::seeded(7) }
    }

    fn written(item: &Value, parent: &str, position: u64) -> (usize, Value) {
        let mut out = Vec::new();
        Template::cut(item, 300).unwrap().write(&mut out, &list(parent), &escaped(parent), position);
        (out.len(), serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn a_plain_item_has_its_size_and_a_number_for_an_id() {
        let (bytes, item) = written(&Template::plain(), "", 41);
        assert_eq!((bytes, &item["id"], &item["name"]), (300, &json!(42), &json!("item 42")));
        assert_ne!(item["text"], written(&Template::plain(), "", 42).1["text"]);
    }

    #[test]
    fn an_id_below_a_parent_is_text_and_any_parent_is_escaped() {
        let shape = json!({ "pk": "{{id}}", "of": "p:{{parent}}", "rank": "{{ n }}", "url": "/x/{{id}}" });
        let (_, item) = written(&shape, "a\"b", 2);
        assert_eq!(item, json!({ "pk": "a\"b.3", "of": "p:a\"b", "rank": 3, "url": "/x/a\"b.3" }));
    }

    #[test]
    fn an_unknown_place_is_an_error_that_names_it() {
        assert!(Template::cut(&json!({ "id": "{{key}}" }), 300).unwrap_err().contains("{{key}}"));
        assert!(Template::cut(&json!({ "id": "{{id" }), 300).unwrap_err().contains("}}"));
    }

    #[test]
    fn an_item_larger_than_its_size_is_left_whole() {
        let (bytes, item) = written(&json!({ "id": "{{id}}", "blob": "x".repeat(400), "text": "{{text}}" }), "", 0);
        assert!(bytes > 400);
        assert_eq!(item["text"], json!(""));
    }
}
