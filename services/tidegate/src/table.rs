//! Rows in columns, for people.

/// Which way a column leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lean {
    Left,
    Right,
}

/// Rows, the first of them the heads, each column as wide as its widest text. Rows that are too short end early.
pub(crate) fn table(leans: &[Lean], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..leans.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(leans).map(|((text, width), lean)| match lean {
            Lean::Left => format!("{text:<width$}"),
            Lean::Right => format!("{text:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A time to the second, UTC.
pub(crate) fn time(ms: i64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(ms / 1_000).unwrap_or(0));
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let rows = [["STEP", "CALLS"], ["a", "~1,000"], ["länger", "2"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&[Lean::Left, Lean::Right], &rows), "STEP     CALLS\na       ~1,000\nlänger       2");
    }
}
