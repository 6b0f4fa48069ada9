//! Text columns of a declared size: how large the values of a plan make them.

use crate::dialect::Dialect;
use crate::ident::Ident;
use crate::plan::Commit;
use crate::schema::{Catalog, Change};
use arrow_array::cast::AsArray;
use arrow_array::{Array, StringArray};
use arrow_schema::DataType;
use std::collections::BTreeMap;

/// The columns that must hold longer texts than they can, each once, by table and name.
///
/// A column is made at the dialect's first size unless the catalog tells another.
pub(crate) fn changes(dialect: &Dialect, live: &Catalog, commits: &[Commit]) -> Vec<Change> {
    let Some(&first) = dialect.text_sizes.first() else { return Vec::new() };
    let mut longest: BTreeMap<(&Ident, &Ident), usize> = BTreeMap::new();
    for load in commits.iter().flat_map(|commit| &commit.loads) {
        for column in &load.columns {
            let Some(array) = column.values.and_then(|at| load.batch.columns().get(at)) else { continue };
            if *array.data_type() == DataType::Utf8 {
                let known = longest.entry((&load.table, &column.name)).or_default();
                *known = longest_of(array.as_string()).max(*known);
            }
        }
    }
    let size = |table: &Ident, column: &Ident| {
        live.tables.get(table).and_then(|table| table.text_bytes.get(column)).copied().unwrap_or(first)
    };
    let wanted = longest.into_iter().filter(|&((table, column), bytes)| bytes > size(table, column));
    wanted
        .filter_map(|((table, column), bytes)| {
            let bytes = dialect.text_sizes.iter().copied().find(|&size| size >= bytes)?;
            Some(Change::Grow { table: table.clone(), column: column.clone(), bytes })
        })
        .collect()
}

fn longest_of(texts: &StringArray) -> usize {
    let offsets = texts.value_offsets().windows(2);
    offsets.map(|pair| usize::try_from(pair[1] - pair[0]).unwrap_or(0)).max().unwrap_or(0)
}
