//! Items in, text out.

use crate::columns::Columns;
use crate::csv::Csv;
use crate::fields::{Fields, text};
use crate::format::Format;
use crate::left_out::LeftOut;

/// Where an item is from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Where to go on after it: written in JSON formats only.
    pub cursor: Option<(i64, usize)>,
    /// Its step.
    pub step: &'a str,
    /// Parameters of its fetch, JSON.
    pub params: &'a str,
}

/// Writes items in a format. What it has written is taken with [`Encoder::take`]; what it has not been able to write yet
/// comes with [`Encoder::finish`], without which the text is not whole.
pub struct Encoder {
    kind: Kind,
    with_origin: bool,
}

enum Kind {
    Ndjson(Vec<u8>),
    Json { out: Vec<u8>, begun: bool },
    Csv(Box<Csv>),
}

impl Encoder {
    /// `columns`: of CSV; without them they are found in the first items. `with_origin`: items are told with where they
    /// are from.
    #[must_use]
    pub fn new(format: Format, columns: Option<Columns>, with_origin: bool) -> Self {
        let kind = match format {
            Format::Ndjson => Kind::Ndjson(Vec::new()),
            Format::Json => Kind::Json { out: Vec::new(), begun: false },
            Format::Csv => Kind::Csv(Box::new(Csv::new(columns, with_origin))),
        };
        Self { kind, with_origin }
    }

    /// What it writes.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.kind {
            Kind::Ndjson(_) => Format::Ndjson,
            Kind::Json { .. } => Format::Json,
            Kind::Csv(_) => Format::Csv,
        }
    }

    /// Items are copied, line by line, as they are: [`Encoder::lines`] may be given whole pages.
    #[must_use]
    pub fn copies_lines(&self) -> bool {
        matches!(self.kind, Kind::Ndjson(_)) && !self.with_origin
    }

    /// Writes lines of items that need no looking at.
    pub fn lines(&mut self, origin: &Origin<'_>, lines: &[u8]) {
        match &mut self.kind {
            Kind::Ndjson(out) if !self.with_origin => out.extend_from_slice(lines),
            _ => lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .for_each(|line| self.item(origin, line)),
        }
    }

    /// Writes an item, one JSON text without a line's end.
    pub fn item(&mut self, origin: &Origin<'_>, item: &[u8]) {
        match &mut self.kind {
            Kind::Ndjson(out) => {
                write_json(out, self.with_origin.then_some(origin), item);
                out.push(b'\n');
            }
            Kind::Json { out, begun } => {
                out.extend_from_slice(if *begun { b",\n" } else { b"[\n" });
                *begun = true;
                write_json(out, self.with_origin.then_some(origin), item);
            }
            Kind::Csv(csv) => csv.item(origin, item),
        }
    }

    /// Writes an item that comes as a line with its origin: `{"step":…,"params":{…},"item":…}`.
    pub fn item_with_origin(&mut self, line: &[u8]) {
        let Kind::Csv(csv) = &mut self.kind else {
            self.with_origin = false;
            return self.item(&Origin { cursor: None, step: "", params: "" }, line);
        };
        let fields = Fields::of(line);
        let get = |name| fields.get(name);
        let (step, params) = (get("step").map(text).unwrap_or_default(), get("params").map_or("", |raw| raw.get()));
        let item = get("item").map_or("", |raw| raw.get());
        csv.item(&Origin { cursor: None, step: &step, params }, item.as_bytes());
    }

    /// What was written since this was asked last.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        match &mut self.kind {
            Kind::Ndjson(out) | Kind::Json { out, .. } => std::mem::take(out),
            Kind::Csv(csv) => csv.take(),
        }
    }

    /// Writes the end.
    pub fn finish(&mut self) {
        match &mut self.kind {
            Kind::Ndjson(_) => {}
            Kind::Json { out, begun } => out.extend_from_slice(if *begun { b"\n]\n" } else { b"[]\n" }),
            Kind::Csv(csv) => csv.finish(),
        }
    }

    /// Fields that have no column of their own, where columns were found and not asked for.
    #[must_use]
    pub fn left_out(&self) -> Option<&LeftOut> {
        match &self.kind {
            Kind::Csv(csv) => Some(csv.left_out()),
            Kind::Ndjson(_) | Kind::Json { .. } => None,
        }
    }
}

fn write_json(out: &mut Vec<u8>, origin: Option<&Origin<'_>>, item: &[u8]) {
    let Some(Origin { cursor, step, params }) = origin else { return out.extend_from_slice(item) };
    out.push(b'{');
    if let Some((seq, lines)) = cursor {
        out.extend_from_slice(format!("\"cursor\":\"{seq}.{lines}\",").as_bytes());
    }
    let of_page = format!("\"step\":{},\"params\":{params},\"item\":", serde_json::Value::from(*step));
    out.extend_from_slice(of_page.as_bytes());
    out.extend_from_slice(item);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"{\"id\":1.10}\n\"two\"\n";

    fn written(format: Format, with_origin: bool, lines: &[u8]) -> String {
        let mut encoder = Encoder::new(format, None, with_origin);
        encoder.lines(&Origin { cursor: Some((7, 2)), step: "s", params: "{\"p\":1}" }, lines);
        encoder.finish();
        String::from_utf8(encoder.take()).unwrap()
    }

    #[test]
    fn json_formats_copy_items_as_they_are() {
        assert_eq!(written(Format::Ndjson, false, LINES).as_bytes(), LINES);
        assert_eq!(written(Format::Json, false, LINES), "[\n{\"id\":1.10},\n\"two\"\n]\n");
        assert_eq!(written(Format::Json, false, b""), "[]\n");
        let line = written(Format::Ndjson, true, b"1\n");
        assert_eq!(line, "{\"cursor\":\"7.2\",\"step\":\"s\",\"params\":{\"p\":1},\"item\":1}\n");
        let array: serde_json::Value = serde_json::from_str(&written(Format::Json, true, LINES)).unwrap();
        assert_eq!((&array[1]["item"], &array[0]["params"]["p"]), (&"two".into(), &1.into()));
    }

    #[test]
    fn lines_that_come_with_their_origin_are_written_the_same() {
        let line = written(Format::Ndjson, true, b"{\"id\":1}\n");
        for format in Format::ALL {
            let mut encoder = Encoder::new(format, None, true);
            encoder.item_with_origin(line.trim_end().as_bytes());
            encoder.finish();
            assert_eq!(String::from_utf8(encoder.take()).unwrap(), written(format, true, b"{\"id\":1}\n"));
        }
    }
}
