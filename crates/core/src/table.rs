//! What the events want of one table: columns with their values as they came, and rows.

use crate::cell::Cell;
use crate::event::Span;
use crate::ident::Ident;
use crate::names::Name;
use crate::plan::{Counts, Fold};
use crate::schema::TableKind;
use crate::types::Type;
use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Bytes that an entry takes, for the estimate of memory.
pub(crate) const ENTRY_BYTES: usize = size_of::<Entry>();

/// Bytes that a column takes before it has entries.
pub(crate) const COLUMN_BYTES: usize = size_of::<ColumnDraft>() + 64;

/// A value and where it goes: the row of an append table, the [`Touch`] of a merge table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) at: u32,
    pub(crate) cell: Cell,
}

/// One call that touched a row of a merge table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    pub(crate) row: u32,
    pub(crate) version: i128,
    pub(crate) event_id: Span,
    pub(crate) received_at: i64,
}

const USER_TYPES: [Type; 7] =
    [Type::Boolean, Type::Int, Type::Decimal, Type::Float, Type::Timestamp, Type::Text, Type::Json];

/// A column as the events fill it: what every value touches, in one line of the processor's cache.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct ColumnDraft {
    pub(crate) entries: Vec<Entry>,
    /// The text of the entries, in their order.
    pub(crate) text: String,
    pub(crate) about: Box<About>,
    /// The types that values asked for, one bit each.
    offered: u8,
    /// Whether a value was taken back since, so that `offered` may say too much.
    recount: bool,
    /// Switched off: values are counted and dropped.
    pub(crate) off: bool,
}

/// What a column is.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) name: Ident,
    /// The type of a column that Tablecast fills itself.
    pub(crate) core: Option<Type>,
    pub(crate) fold: Fold,
}

impl ColumnDraft {
    pub(crate) fn new(name: Ident, core: Option<Type>, fold: Fold, off: bool) -> Self {
        let about = Box::new(About { name, core, fold });
        ColumnDraft { entries: Vec::new(), text: String::new(), about, offered: 0, recount: false, off }
    }

    #[inline]
    pub(crate) fn push(&mut self, at: u32, cell: Cell) {
        if self.off {
            return;
        }
        self.offered |= bit(cell);
        self.entries.push(Entry { at, cell });
    }

    /// Appends a value whose text is in `from`.
    #[inline]
    pub(crate) fn push_from(&mut self, at: u32, cell: Cell, from: &str) {
        if !self.off {
            let cell = cell.moved(from, &mut self.text);
            self.push(at, cell);
        }
    }

    /// Appends text.
    #[inline]
    pub(crate) fn push_text(&mut self, at: u32, text: &str) {
        if !self.off {
            let start = self.text.len();
            self.text.push_str(text);
            let span = Span::since(start, &self.text);
            self.push(at, Cell::Text(span));
        }
    }

    /// Takes the last value back.
    pub(crate) fn pop(&mut self) -> Option<Cell> {
        self.recount = true;
        self.entries.pop().map(|entry| entry.cell)
    }

    /// The types that values ask for.
    pub(crate) fn offered(&self) -> impl Iterator<Item = Type> {
        let offered = self.mask();
        USER_TYPES.into_iter().filter(move |ty| offered & (1 << *ty as u8) != 0)
    }

    /// Whether there is any value.
    pub(crate) fn has_values(&self) -> bool {
        self.mask() != 0
    }

    fn mask(&self) -> u8 {
        if self.recount { self.entries.iter().fold(0, |mask, entry| mask | bit(entry.cell)) } else { self.offered }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.text.clear();
        (self.offered, self.recount) = (0, false);
    }
}

#[inline]
fn bit(cell: Cell) -> u8 {
    cell.natural_type().map_or(0, |ty| 1 << ty as u8)
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

    /// The row with this key, if there is one.
    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        let hash = hash_of(key);
        let found = self.keys.find(hash, |&(other, row)| other == hash && self.key(row) == key);
        found.map(|&(_, row)| row)
    }

    /// The key of a row.
    pub(crate) fn key(&self, row: u32) -> &str {
        match self.columns[0].entries[row as usize].cell {
            Cell::Text(span) => span.of(&self.columns[0].text),
            _ => "",
        }
    }

    /// Appends a row with a key that is not there yet.
    pub(crate) fn add(&mut self, key: &str) -> u32 {
        let row = self.rows;
        self.rows += 1;
        // The key column has one entry per row, in row order, in merge tables too.
        self.columns[0].push_text(row, key);
        let hash = hash_of(key);
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
        let bits = |column: &ColumnDraft| {
            // A decimal takes twice as much, but those are rare.
            let value = match USER_TYPES.into_iter().rev().find(|ty| column.offered & (1 << *ty as u8) != 0) {
                None => 0,
                Some(Type::Boolean) => 2,
                Some(Type::Text | Type::Json) => 33,
                Some(_) => 65,
            };
            value + if merge && !column.entries.is_empty() { 129 } else { 0 }
        };
        let cells = self.columns.iter().map(bits).sum::<usize>() / 8;
        rows * cells + self.by_name.len() * 4
    }
}

fn hash_of(key: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key.as_bytes());
    hasher.finish()
}
