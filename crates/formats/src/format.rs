//! Which format, by its name, a file's ending, or an `Accept` header.

use std::path::Path;

/// How items are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON text a line, as the provider wrote it.
    #[default]
    Ndjson,
    /// RFC 4180, with a line of names.
    Csv,
    /// One JSON array.
    Json,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ndjson, Self::Csv, Self::Json];

    /// The name by which it is asked for, and the ending of its files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What the ending of a file's name says; NDJSON where it says nothing.
    #[must_use]
    pub fn of_path(path: &Path) -> Self {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        ending.and_then(|ending| Self::from_name(&ending)).unwrap_or_default()
    }

    /// What an `Accept` header prefers (RFC 9110, section 12.5.1); NDJSON where it names none of ours.
    #[must_use]
    pub fn of_accept(accept: &str) -> Self {
        let mut best = (0.0, Self::Ndjson);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "*/*" => Self::Ndjson,
                "text/csv" => Self::Csv,
                "application/json" => Self::Json,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if weight > best.0 {
                best = (weight, format);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ending_names_the_format_and_anything_else_is_ndjson() {
        for (path, format) in [
            ("a.csv", Format::Csv),
            ("a.CSV", Format::Csv),
            ("dir.csv/a.json", Format::Json),
            ("a.ndjson", Format::Ndjson),
            ("a.jsonl", Format::Ndjson),
            ("csv", Format::Ndjson),
            ("-", Format::Ndjson),
        ] {
            assert_eq!(Format::of_path(Path::new(path)), format, "{path}");
        }
    }

    #[test]
    fn the_accept_header_chooses_by_weight_and_then_by_order() {
        for (accept, format) in [
            ("text/csv", Format::Csv),
            ("application/json, text/csv", Format::Json),
            ("application/json;q=0.5, text/csv", Format::Csv),
            ("text/html, text/csv;q=0.1, */*;q=0", Format::Csv),
            ("text/csv;q=0", Format::Ndjson),
            ("text/html,application/xml;q=0.9,*/*;q=0.8", Format::Ndjson),
            ("TEXT/CSV; charset=utf-8; q=0.9, */*;q=0.1", Format::Csv),
            ("image/png", Format::Ndjson),
            ("", Format::Ndjson),
        ] {
            assert_eq!(Format::of_accept(accept), format, "{accept}");
        }
    }
}
