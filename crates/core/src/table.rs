//! What the events want of one table: columns with their values as they came, and rows.

use crate::cell::Cell;
use crate::column::ColumnDraft;
use crate::event::Span;
use crate::hash::hash64;
use crate::ident::Ident;
use crate::names::Name;
use crate::plan::{Counts, Fold};
use crate::schema::TableKind;
use crate::types::Type;
use hashbrown::HashTable;

/// One call that touched a row of a merge table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    pub(crate) row: u32,
    pub(crate) version: i128,
    pub(crate) event_id: Span,
    pub(crate) received_at: i64,
}

/// A column that Tablecast fills itself: name, type, how it merges.
pub(crate) type CoreColumn = (&'static str, Type, Fold);

/// A table as the events fill it.
#[derive(Debug)]
pub(crate) struct TableDraft {
    pub(crate) name: Ident,
    pub(crate) kind: TableKind,
    /// Switched off: rows are counted and dropped.
    pub(crate) off: bool,
    /// Core columns first; the first of them is the key.
    pub(crate) columns: Vec<ColumnDraft>,
    pub(crate) core_columns: usize,
    by_name: Vec<u32>,
    keys: HashTable<(u64, u32)>,
    pub(crate) rows: u32,
    /// For a merge table, the calls that its entries came with.
    pub(crate) touches: Vec<Touch>,
    /// The ids of the calls in `touches`.
    pub(crate) touch_ids: String,
    pub(crate) counts: Counts,
    /// Values of columns that are switched off.
    pub(crate) filtered_values: u64,
    /// Bytes of the widest call.
    pub(crate) widest: usize,
}

const NONE: u32 = u32::MAX;

impl TableDraft {
    pub(crate) fn new(name: Ident, kind: TableKind, core: &[CoreColumn], off: bool) -> Self {
        let columns: Vec<_> =
            core.iter().map(|&(name, ty, fold)| ColumnDraft::new(name.into(), Some(ty), fold, false)).collect();
        TableDraft {
            name,
            kind,
            off,
            core_columns: columns.len(),
            columns,
            by_name: Vec::new(),
            keys: HashTable::new(),
            rows: 0,
            touches: Vec::new(),
            touch_ids: String::new(),
            counts: Counts::default(),
            filtered_values: 0,
            widest: 0,
        }
    }

    /// Forgets the rows; keeps the columns' names.
    pub(crate) fn clear(&mut self) {
        self.columns.iter_mut().for_each(ColumnDraft::clear);
        self.keys.clear();
        self.rows = 0;
        self.touches.clear();
        self.touch_ids.clear();
        self.counts = Counts::default();
        self.filtered_values = 0;
        self.widest = 0;
    }

    /// The row with this key, if there is one. The hash is [`key_hash`]'s.
    pub(crate) fn find(&self, key: &str, hash: u64) -> Option<u32> {
        let found = self.keys.find(hash, |&(other, row)| other == hash && self.key(row) == key);
        found.map(|&(_, row)| row)
    }

    /// The key of a row.
    pub(crate) fn key(&self, row: u32) -> &str {
        match self.columns[0].values.get(row as usize) {
            Cell::Text(span) => span.of(self.columns[0].values.text()),
            _ => "",
        }
    }

    /// Appends a row with a key that is not there yet.
    pub(crate) fn add(&mut self, key: &str, hash: u64) -> u32 {
        let row = self.rows;
        self.rows += 1;
        // The key column has one entry per row, in row order, in merge tables too.
        self.columns[0].push_text(row, key);
        self.keys.insert_unique(hash, (hash, row), |&(hash, _)| hash);
        row
    }

    /// The column of that name, if the table has met it.
    #[inline]
    pub(crate) fn column(&mut self, name: Name) -> Option<&mut ColumnDraft> {
        let known = *self.by_name.get(name.0 as usize)?;
        self.columns.get_mut(known as usize)
    }

    /// Adds the column of that name.
    pub(crate) fn add_column(&mut self, name: Name, column: ColumnDraft) {
        let at = name.0 as usize;
        if self.by_name.len() <= at {
            self.by_name.resize(at + 1, NONE);
        }
        self.by_name[at] = u32::try_from(self.columns.len()).unwrap_or(NONE);
        self.columns.push(column);
    }

    /// Memory that the table's batch will take, its columns filled up to all rows.
    pub(crate) fn dense_bytes(&self) -> usize {
        let rows = self.rows as usize;
        let merge = self.kind == TableKind::Merge;
        let bits = |column: &ColumnDraft| column.dense_bits() + if merge && column.len() > 0 { 129 } else { 0 };
        let cells = self.columns.iter().map(bits).sum::<usize>() / 8;
        rows * cells + self.by_name.len() * 4
    }
}

/// The hash by which a table finds a key.
pub(crate) fn key_hash(key: &str) -> u64 {
    hash64(key.as_bytes())
}
