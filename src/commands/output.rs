//! Output of lists by commands: aligned columns for people, JSON for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
}

impl Output {
    /// A line of columns for each item, or one JSON array of them.
    pub(super) fn print<T: Serialize, const N: usize>(
        self,
        list: &[T],
        columns: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> io::Result<()> {
        match self {
            Self::Table => io::stdout().write_all(table(columns, list.iter().map(row).collect()).as_bytes()),
            Self::Json => json(list),
        }
    }
}

/// Prints one JSON document on stdout.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> io::Result<()> {
    let mut out = io::stdout();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// Tells whether a terminal would obey it, or show what comes after it in another order or place.
pub(super) fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// An empty cell is a dash; a cell is one line, whatever is in it.
fn table<const N: usize>(columns: [&str; N], rows: Vec<[String; N]>) -> String {
    let cell = |text: String| {
        if text.is_empty() { "-".to_owned() } else { text.replace(is_obeyed, "\u{fffd}") }
    };
    let mut lines = vec![columns.map(str::to_owned)];
    lines.extend(rows.into_iter().map(|row| row.map(cell)));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    lines.iter().fold(String::new(), |text, line| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text + cells.collect::<Vec<_>>().join("  ").trim_end() + "\n"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = vec![["a".to_owned(), String::new()], ["größer".to_owned(), "x\n\u{202e}".to_owned()]];
        assert_eq!(table(["NAME", "VALUE"], rows), "NAME    VALUE\na       -\ngrößer  x\u{fffd}\u{fffd}\n");
    }
}
