//! `show` and `discards`: the rows of a table.

use crate::args::{DiscardsArgs, Read, ShowArgs};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::preview::{Rows, rank};
use serde_json::json;

pub(crate) async fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let mut rows = read(&args.read, &args.table).await?;
    if !args.read.json && !args.table.starts_with('_') {
        rows.arrange(rank);
    }
    tell(&args.read, &args.table, &rows, "the table has no rows")
}

/// Why first, then where, then what.
const DISCARD_COLUMNS: [&str; 5] = ["reason", "table_name", "column_name", "value", "event_id"];

pub(crate) async fn discards(args: &DiscardsArgs) -> Result<Exit, Failure> {
    let mut rows = read(&args.read, "_discards").await?;
    if !args.read.json {
        rows.arrange(|name| {
            Some(DISCARD_COLUMNS.iter().position(|column| *column == name).unwrap_or(DISCARD_COLUMNS.len()))
        });
    }
    tell(&args.read, "_discards", &rows, "nothing was discarded")
}

async fn read(read: &Read, table: &str) -> Result<Rows, Failure> {
    // One more than is shown, to know whether there are more.
    Rows::read(&read.target.to, &read.target.rules()?, table, read.limit.saturating_add(1)).await
}

fn tell(read: &Read, table: &str, rows: &Rows, none: &str) -> Result<Exit, Failure> {
    let more = rows.rows.len() > read.limit;
    let shown = Rows { columns: rows.columns.clone(), rows: rows.rows.iter().take(read.limit).cloned().collect() };
    if read.json {
        output::print_json(&json!({"table": table, "rows": shown.json(), "more": more}))?;
    } else if rows.rows.is_empty() {
        output::print(&format!("{none}\n"))?;
    } else {
        let tail = if more { format!("and more: --limit {}\n", read.limit.saturating_mul(5)) } else { String::new() };
        output::print(&format!("{}{tail}", shown.text(output::width())))?;
    }
    Ok(Exit::Done)
}
