//! Text for people: tables that fit the terminal, and standard output that may be closed.

use crate::failure::Failure;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use std::io::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Writes to standard output; a reader that has gone, as `head` does, is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            format!("cannot write to standard output: {error}"),
            "see to where the output goes, then run again",
        )),
        _ => Ok(()),
    }
}

/// A document as JSON, one line end behind it.
pub(crate) fn print_json(document: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{document:#}\n"))
}

/// Columns of the terminal; of a pipe, `COLUMNS` or 100.
pub(crate) fn width() -> usize {
    if let Some((terminal_size::Width(columns), _)) = terminal_size::terminal_size() {
        return usize::from(columns).max(20);
    }
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100).max(20)
}

/// An empty table with a head; no line is broken, so cells must be short enough.
pub(crate) fn table<'a>(head: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head.into_iter().map(plain));
    table
}

/// Aligns the columns from `first` on to the right, as numbers want it.
pub(crate) fn align_numbers(table: &mut Table, first: usize) {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// The widest cell of data.
const CELL: usize = 40;

/// Rows of data as a table within a width: columns that do not fit are left out and counted below. Empty cells are NULL.
pub(crate) fn data(columns: &[&str], rows: &[Vec<Option<&str>>], width: usize) -> String {
    let mut used = 1;
    let mut fitting = 0;
    for (at, column) in columns.iter().enumerate() {
        let widest = rows
            .iter()
            .filter_map(|row| row[at])
            .map(|value| plain(value).width())
            .fold(plain(column).width(), usize::max);
        used += widest.min(CELL) + 3;
        if used > width && fitting > 0 {
            break;
        }
        fitting += 1;
    }
    let mut table = table(columns[..fitting].iter().copied());
    for row in rows {
        table.add_row(row[..fitting].iter().map(|value| value.map_or_else(String::new, plain)));
    }
    let mut text = format!("{table}\n");
    if fitting < columns.len() {
        let left = &columns[fitting..];
        let few: Vec<&str> = left.iter().take(4).copied().collect();
        let more = if left.len() > few.len() { ", …" } else { "" };
        text.push_str(&format!("and {}: {}{more}\n", count(left.len() as u64, "column"), few.join(", ")));
    }
    text
}

/// A value on one line, cut, without control characters (which could drive the terminal).
fn plain(value: &str) -> String {
    let (mut cell, mut width) = (String::new(), 0);
    for c in value.chars() {
        let c = if c.is_control() { '�' } else { c };
        width += c.width().unwrap_or(0);
        if width > CELL {
            while cell.width() >= CELL {
                cell.pop();
            }
            cell.push('…');
            break;
        }
        cell.push(c);
    }
    cell
}

/// `1 row`, `2 rows`.
pub(crate) fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_fits_the_width_and_says_what_is_left_out() {
        let columns = ["user_id", "first_time_shopper", "total_revenue_180_days"];
        let rows = vec![vec![Some("u123"), Some("true"), Some("450.0")], vec![Some("\x1b[2J"), None, Some("1")]];
        let all = data(&columns, &rows, 100);
        assert!(all.contains("450.0") && !all.contains('\x1b') && !all.contains("and 1"), "{all}");
        let narrow = data(&columns, &rows, 34);
        assert!(
            narrow.contains("first_time_shopper") && narrow.contains("and 1 column: total_revenue_180_days"),
            "{narrow}"
        );
        assert!(narrow.lines().all(|line| line.chars().count() <= 50), "{narrow}");
        assert!(data(&columns, &rows, 5).contains("u123"), "one column is always there");
    }

    #[test]
    fn long_cells_are_cut() {
        assert_eq!(plain(&"x".repeat(40)), "x".repeat(40));
        assert_eq!(plain(&"x".repeat(41)), format!("{}…", "x".repeat(39)));
        assert_eq!(plain(&"日".repeat(21)), format!("{}…", "日".repeat(19)), "as wide as the terminal shows it");
    }
}
