//! Loads that no commit can hold, because the names of their columns make too much SQL: cut into several.

use crate::columns::batch_of;
use crate::dialect::Dialect;
use crate::plan::{Counts, Load, LoadColumn};
use crate::schema::TableKind;
use crate::sql;
use arrow_array::{Array, ArrayRef};
use std::collections::BTreeSet;

/// Whether a commit can hold the load and `_discards` beside it.
pub(crate) fn fits(load: &Load, dialect: &Dialect) -> bool {
    sql::statements(load, dialect) < dialect.max_statements
        && sql::script_bytes(load, dialect) < dialect.max_script_bytes
}

/// The load as it is, or in parts that a commit can hold each: a merge by its columns, an append by its rows, which
/// name fewer columns then. The first part has the counts of what is not loaded.
pub(crate) fn split(load: Load, dialect: &Dialect) -> Vec<Load> {
    if fits(&load, dialect) {
        return vec![load];
    }
    let mut parts = match load.kind {
        TableKind::Merge => by_columns(&load, dialect),
        _ => by_rows(&load, dialect),
    };
    for part in &mut parts {
        let rows = part.rows() as u64;
        part.counts = Counts { received: rows, ..Counts::default() };
    }
    if let Some(first) = parts.first_mut() {
        let Counts { duplicates, filtered, discarded, .. } = load.counts;
        first.counts.received += duplicates + filtered + discarded;
        first.counts = Counts { duplicates, filtered, discarded, ..first.counts };
    }
    parts
}

fn by_columns(load: &Load, dialect: &Dialect) -> Vec<Load> {
    let mut parts = Vec::new();
    let mut rest: Vec<usize> = (1..load.columns.len()).collect();
    while !rest.is_empty() {
        // At least one, or it would go on for ever.
        let mut take = rest.len();
        while take > 1 && !fits(&columns_of(load, &rest[..take], 0..load.rows()), dialect) {
            take = (take * 3 / 4).max(1);
        }
        let part: Vec<usize> = rest.drain(..take).collect();
        parts.push(columns_of(load, &part, 0..load.rows()));
    }
    parts
}

fn by_rows(load: &Load, dialect: &Dialect) -> Vec<Load> {
    let mut of_row: Vec<Vec<usize>> = vec![Vec::new(); load.rows()];
    for (at, column) in load.columns.iter().enumerate().skip(1) {
        let Some(array) = column.values.map(|source| load.batch.column(source)) else { continue };
        (0..load.rows()).filter(|&row| array.is_valid(row)).for_each(|row| of_row[row].push(at));
    }
    let part = |used: &BTreeSet<usize>, rows| columns_of(load, &used.iter().copied().collect::<Vec<_>>(), rows);
    let (mut parts, mut used, mut start) = (Vec::new(), BTreeSet::new(), 0);
    for (row, columns) in of_row.iter().enumerate() {
        let more: BTreeSet<usize> = used.iter().chain(columns).copied().collect();
        if more.len() > used.len() && row > start && !fits(&part(&more, start..row + 1), dialect) {
            parts.push(part(&used, start..row));
            (used, start) = (columns.iter().copied().collect(), row);
        } else {
            used = more;
        }
    }
    parts.push(part(&used, start..load.rows()));
    parts
}

/// The key and some of the columns, for some of the rows.
fn columns_of(load: &Load, columns: &[usize], rows: std::ops::Range<usize>) -> Load {
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let mut place = |source: usize| {
        arrays.push(load.batch.column(source).slice(rows.start, rows.len()));
        arrays.len() - 1
    };
    let columns: Vec<LoadColumn> = std::iter::once(&0)
        .chain(columns)
        .map(|&at| {
            let column = &load.columns[at];
            let (values, versions) = (column.values.map(&mut place), column.versions.map(&mut place));
            LoadColumn { values, versions, ..column.clone() }
        })
        .collect();
    Load { columns, batch: batch_of(arrays), ..load.clone() }
}
