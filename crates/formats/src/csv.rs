//! CSV by RFC 4180: a line of names, then a line for each item.
//!
//! Columns are those that were asked for, or the fields of the first items, in the order in which they were met; then what
//! comes later and has no column stands in one more, `_rest`, as a JSON object, and is counted. Values within values are
//! JSON text. A text that a spreadsheet would take for a formula is left as it is: this is data, not a sheet.

use std::collections::HashMap;

use csv::{Terminator, Writer, WriterBuilder};
use serde_json::value::RawValue;

use crate::columns::{COLUMNS_MAX, Columns};
use crate::encoder::Origin;
use crate::fields::{Fields, text};
use crate::left_out::LeftOut;

/// Most items that are held to find columns in.
pub const LOOK_AHEAD_ITEMS: usize = 1_000;
/// Most bytes of them.
pub const LOOK_AHEAD_BYTES: usize = 4 << 20;

/// The columns of an item's origin, with `with_origin`.
const ORIGIN: [&str; 2] = ["_step", "_params"];
/// The column of all that has none.
const REST: &str = "_rest";

pub(crate) struct Csv {
    out: Writer<Vec<u8>>,
    with_origin: bool,
    state: State,
    left_out: LeftOut,
}

enum State {
    /// Looks for columns.
    Looking { held: Vec<Held>, bytes: usize },
    /// Columns that were asked for; `begun` once their names are written.
    Asked { columns: Columns, begun: bool },
    /// Columns that were found, each name with its place.
    Found { places: HashMap<String, usize>, rest: bool },
}

struct Held {
    step: String,
    params: String,
    item: Vec<u8>,
}

impl Csv {
    pub(crate) fn new(columns: Option<Columns>, with_origin: bool) -> Self {
        let state = match columns {
            Some(columns) => State::Asked { columns, begun: false },
            None => State::Looking { held: Vec::new(), bytes: 0 },
        };
        Self { out: writer(), with_origin, state, left_out: LeftOut::default() }
    }

    pub(crate) fn item(&mut self, origin: &Origin<'_>, item: &[u8]) {
        if let State::Looking { held, bytes } = &mut self.state {
            *bytes += item.len();
            held.push(Held { step: origin.step.to_owned(), params: origin.params.to_owned(), item: item.to_owned() });
            if held.len() >= LOOK_AHEAD_ITEMS || *bytes >= LOOK_AHEAD_BYTES {
                self.found(true);
            }
            return;
        }
        self.begin();
        self.row(origin, item);
    }

    pub(crate) fn finish(&mut self) {
        match &self.state {
            State::Looking { .. } => self.found(false),
            State::Asked { .. } => self.begin(),
            State::Found { .. } => {}
        }
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        // Nothing can go wrong with a vector.
        std::mem::replace(&mut self.out, writer()).into_inner().unwrap_or_default()
    }

    pub(crate) fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The columns are those of the items that are held; `more`: others may come.
    fn found(&mut self, more: bool) {
        let State::Looking { held, .. } = &mut self.state else { return };
        let held = std::mem::take(held);
        let (mut names, mut places, mut many) = (Vec::new(), HashMap::new(), false);
        for item in &held {
            for (name, _) in Fields::of(&item.item).iter() {
                if !places.contains_key(name) {
                    many |= names.len() == COLUMNS_MAX;
                    if names.len() < COLUMNS_MAX {
                        places.insert(name.to_owned(), names.len());
                        names.push(name.to_owned());
                    }
                }
            }
        }
        let rest = more || many;
        let rest_name = rest.then_some(REST);
        write_names(&mut self.out, self.with_origin, names.iter().map(String::as_str).chain(rest_name));
        self.state = State::Found { places, rest };
        for Held { step, params, item } in &held {
            self.row(&Origin { cursor: None, step, params }, item);
        }
    }

    fn begin(&mut self) {
        if let State::Asked { columns, begun } = &mut self.state
            && !std::mem::replace(begun, true)
        {
            write_names(&mut self.out, self.with_origin, columns.names());
        }
    }

    fn row(&mut self, origin: &Origin<'_>, item: &[u8]) {
        let fields = Fields::of(item);
        let mut row = Row { out: &mut self.out, cells: 0 };
        if self.with_origin {
            row.cell(origin.step);
            row.cell(origin.params);
        }
        match &self.state {
            State::Asked { columns, .. } => columns.values(&fields).for_each(|value| row.value(value)),
            State::Found { places, rest } => {
                let (values, without) = places_of(&fields, places, &mut self.left_out);
                values.into_iter().for_each(|value| row.value(value));
                if *rest {
                    row.cell(&without);
                }
            }
            State::Looking { .. } => return,
        }
        row.end();
    }
}

/// The value of each column; and a JSON object of the fields that have none, empty where there are none such.
fn places_of<'a>(
    fields: &Fields<'a>,
    places: &HashMap<String, usize>,
    left_out: &mut LeftOut,
) -> (Vec<Option<&'a RawValue>>, String) {
    let (mut values, mut object) = (vec![None; places.len()], String::new());
    for (name, value) in fields.iter() {
        if let Some(place) = places.get(name).and_then(|place| values.get_mut(*place)) {
            *place = Some(value);
            continue;
        }
        left_out.count(name);
        object.push(if object.is_empty() { '{' } else { ',' });
        object.push_str(&serde_json::Value::from(name).to_string());
        object.push(':');
        object.push_str(value.get());
    }
    if !object.is_empty() {
        object.push('}');
    }
    (values, object)
}

/// A line that is being written. Writing into memory does not fail.
struct Row<'a> {
    out: &'a mut Writer<Vec<u8>>,
    cells: usize,
}

impl Row<'_> {
    fn cell(&mut self, text: &str) {
        let _ = self.out.write_field(text);
        self.cells += 1;
    }

    fn value(&mut self, value: Option<&RawValue>) {
        match value {
            Some(value) => self.cell(&text(value)),
            None => self.cell(""),
        }
    }

    fn end(self) {
        if self.cells > 0 {
            let _ = self.out.write_record(None::<&[u8]>);
        }
    }
}

fn write_names<'a>(out: &mut Writer<Vec<u8>>, with_origin: bool, names: impl Iterator<Item = &'a str>) {
    let mut row = Row { out, cells: 0 };
    if with_origin {
        ORIGIN.into_iter().for_each(|name| row.cell(name));
    }
    names.for_each(|name| row.cell(name));
    row.end();
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().terminator(Terminator::CRLF).flexible(true).from_writer(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Origin<'_> = Origin { cursor: None, step: "users", params: "{\"id\":1}" };

    fn csv(columns: Option<&str>, with_origin: bool, items: &[&str]) -> (String, LeftOut) {
        let mut csv = Csv::new(columns.map(|columns| Columns::parse(columns).unwrap()), with_origin);
        let mut text = Vec::new();
        for item in items {
            csv.item(&NOWHERE, item.as_bytes());
            text.extend(csv.take());
        }
        csv.finish();
        text.extend(csv.take());
        (String::from_utf8(text).unwrap(), csv.left_out.clone())
    }

    #[test]
    fn columns_are_the_fields_of_the_items_in_the_order_in_which_they_were_met() {
        let (text, left_out) =
            csv(None, false, &[r#"{"id":1.10,"name":"A, \"B\""}"#, r#"{"tags":["x", "y"],"id":"01"}"#]);
        assert_eq!(text, "id,name,tags\r\n1.10,\"A, \"\"B\"\"\",\r\n01,,\"[\"\"x\"\", \"\"y\"\"]\"\r\n");
        assert!(left_out.is_empty());
    }

    #[test]
    fn texts_with_line_ends_quotes_and_formulas_read_back_as_they_were() {
        let items = ["=1+1", "a\r\nb", "\"", "", " x ", "é\u{1F600}", "a;b\tc", "-2"];
        let json: Vec<String> =
            items.iter().map(|text| serde_json::json!({ "id": 1, "t": text }).to_string()).collect();
        let (text, _) = csv(None, false, &json.iter().map(String::as_str).collect::<Vec<_>>());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let read: Vec<String> = reader.records().map(|record| record.unwrap()[1].to_owned()).collect();
        assert_eq!(read, items);
    }

    #[test]
    fn only_the_columns_that_were_asked_for_are_written_also_where_nothing_is() {
        let item = r#"{"id":1,"author":{"id":7,"n":null},"x":true}"#;
        let (text, left_out) = csv(Some("author.id,x,author,author.n,none"), false, &[item]);
        assert_eq!(text, "author.id,x,author,author.n,none\r\n7,true,\"{\"\"id\"\":7,\"\"n\"\":null}\",,\r\n");
        assert!(left_out.is_empty());
        assert_eq!(csv(Some("id"), false, &[]).0, "id\r\n");
        assert_eq!(csv(None, false, &[]).0, "");
    }

    #[test]
    fn fields_that_come_after_the_look_ahead_are_kept_and_counted() {
        let mut items = vec![r#"{"id":1}"#.to_owned(); LOOK_AHEAD_ITEMS];
        items.push(r#"{"id":2,"late":"x","la\"ter":[1]}"#.to_owned());
        items.push(r#"{"late":null}"#.to_owned());
        let (text, left_out) = csv(None, false, &items.iter().map(String::as_str).collect::<Vec<_>>());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap(), vec!["id", "_rest"]);
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!((&rows[0][1], rows.len()), ("", LOOK_AHEAD_ITEMS + 2));
        let rest: serde_json::Value = serde_json::from_str(&rows[LOOK_AHEAD_ITEMS][1]).unwrap();
        assert_eq!(rest, serde_json::json!({ "late": "x", "la\"ter": [1] }));
        assert_eq!(left_out.to_string(), "la\"ter (1), late (2)");
    }

    #[test]
    fn an_origin_is_two_columns_and_a_bare_value_is_one() {
        let (text, _) = csv(None, true, &["5", "\"x\""]);
        assert_eq!(text, "_step,_params,value\r\nusers,\"{\"\"id\"\":1}\",5\r\nusers,\"{\"\"id\"\":1}\",x\r\n");
    }

    #[test]
    fn what_is_held_to_look_for_columns_is_bounded_in_bytes() {
        let mut csv = Csv::new(None, false);
        let item = format!("{{\"t\":\"{}\"}}", "x".repeat(LOOK_AHEAD_BYTES / 4));
        (0..4).for_each(|_| csv.item(&NOWHERE, item.as_bytes()));
        assert!(csv.take().len() >= LOOK_AHEAD_BYTES);
    }
}
