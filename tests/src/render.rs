//! A plan as text: the changes, then every commit with its loads, columns, rows and counts.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use std::fmt::Write as _;
use tablecast_core::{Load, LoadColumn, Plan, TableKind, Type, time};

/// Rows of a load that are shown.
const ROWS: usize = 30;

/// The plan, as a golden file has it.
pub fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    for change in &plan.changes {
        line(&mut out, 0, &change.to_string());
    }
    for (number, commit) in plan.commits.iter().enumerate() {
        let title = format!(
            "commit {} {} of {} for schema version {}",
            number + 1,
            commit.id,
            commit.source,
            commit.schema_version
        );
        line(&mut out, 0, &title);
        for load in &commit.loads {
            self::load(&mut out, load);
        }
    }
    for notice in &plan.notices {
        line(&mut out, 0, &format!("notice: {notice}"));
    }
    out
}

fn load(out: &mut String, load: &Load) {
    let kind = match load.kind {
        TableKind::Append => "append",
        TableKind::Merge => "merge",
        TableKind::Versions => "versions",
        TableKind::System => "system",
    };
    let counts = load.counts;
    let title = format!(
        "{kind} {} rows {}: received {}, duplicates {}, filtered {}, discarded {}",
        load.table,
        load.rows(),
        counts.received,
        counts.duplicates,
        counts.filtered,
        counts.discarded
    );
    line(out, 1, &title);
    let columns: Vec<String> = load
        .columns
        .iter()
        .map(|column| match load.kind {
            TableKind::Merge => format!("{} {} {:?}", column.name, column.ty, column.fold).to_lowercase(),
            _ => format!("{} {}", column.name, column.ty),
        })
        .collect();
    if !columns.is_empty() {
        line(out, 2, &format!("columns {}", columns.join(", ")));
    }
    for row in 0..load.rows().min(ROWS) {
        let cells: Vec<String> = load.columns.iter().filter_map(|column| cell(&load.batch, column, row)).collect();
        line(out, 2, &cells.join(" | "));
    }
    if load.rows() > ROWS {
        line(out, 2, &format!("… and {} more", load.rows() - ROWS));
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:1$}{text}", "", depth * 2);
}

/// `name=value`, with the version behind it if there is one; nothing if the row does not carry the column.
fn cell(batch: &RecordBatch, column: &LoadColumn, row: usize) -> Option<String> {
    let value = column.values.and_then(|at| value(batch.column(at), column.ty, row));
    let version = column.versions.and_then(|at| self::value(batch.column(at), Type::Version, row));
    match (value, version) {
        (Some(value), None) => Some(format!("{}={value}", column.name)),
        (Some(value), Some(version)) => Some(format!("{}={value} @{version}", column.name)),
        (None, Some(version)) => Some(format!("{}=NULL @{version}", column.name)),
        (None, None) => None,
    }
}

/// A cell as text; strings are quoted, so that blanks and line ends can be seen.
pub fn value(array: &dyn Array, ty: Type, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match ty {
        Type::Boolean => array.as_boolean().value(row).to_string(),
        Type::Int => array.as_primitive::<Int64Type>().value(row).to_string(),
        Type::Decimal | Type::Version => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        Type::Float => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        Type::Timestamp => time::format(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        Type::Text | Type::Json => format!("{:?}", array.as_string::<i32>().value(row)),
    })
}
