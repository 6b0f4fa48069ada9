//! The shape of tables: the catalog that is there, and the additive changes that bring it forward.

use crate::ident::{Ident, versions_table};
use crate::types::Type;
use std::collections::BTreeMap;
use std::fmt;

/// What a table is for; it decides how rows get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// One row per event, never touched again; `id` is the key.
    Append,
    /// One row per key; the newest value of each column.
    Merge,
    /// The version of each cell of a merge table.
    Versions,
    /// Tablecast's own: `_commits`, `_lock`.
    System,
}

/// The type of a column that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveType {
    /// One of ours.
    Known(Type),
    /// Something that a person made of it; values for it are discarded, in the open.
    Other(String),
}

impl LiveType {
    /// The type, if it is one of ours.
    pub fn known(&self) -> Option<Type> {
        match self {
            LiveType::Known(ty) => Some(*ty),
            LiveType::Other(_) => None,
        }
    }
}

/// The shape of one table that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its columns by name.
    pub columns: BTreeMap<Ident, LiveType>,
    /// How many bytes a text column holds, where text has a declared size.
    pub text_bytes: BTreeMap<Ident, usize>,
}

/// The shape of the tables that are there, and the version that the guard checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Raised whenever a plan made before would load wrongly: when the type of a column changes, and when a
    /// merge table gets a column whose versions it has already.
    pub version: i64,
    /// The tables that were asked for and exist.
    pub tables: BTreeMap<Ident, Table>,
}

impl Catalog {
    /// A table that is there.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// What a column is, if it is there.
    pub fn column(&self, table: &str, column: &str) -> Option<&LiveType> {
        self.tables.get(table)?.columns.get(column)
    }

    /// Whether a change raises the version: see [`Change`].
    pub fn is_raised_by(&self, change: &Change) -> bool {
        match change {
            Change::CreateTable { .. } | Change::Grow { .. } => false,
            Change::AddColumn { table, column, .. } => {
                self.column(versions_table(table).as_str(), column.as_str()).is_some()
                    && self.column(table.as_str(), column.as_str()).is_none()
            }
            Change::Widen { .. } => true,
        }
    }

    /// The catalog as it is after `changes`.
    pub fn advance(&mut self, changes: &[Change]) {
        for change in changes {
            self.version += i64::from(self.is_raised_by(change));
            match change {
                Change::CreateTable { table, columns, .. } => {
                    let entry = self.tables.entry(table.clone()).or_default();
                    for (column, ty) in columns {
                        entry.columns.entry(column.clone()).or_insert(LiveType::Known(*ty));
                    }
                }
                Change::AddColumn { table, column, ty } => {
                    let entry = self.tables.entry(table.clone()).or_default();
                    entry.columns.entry(column.clone()).or_insert(LiveType::Known(*ty));
                }
                Change::Widen { table, column, to, .. } => {
                    let entry = self.tables.entry(table.clone()).or_default();
                    entry.columns.insert(column.clone(), LiveType::Known(*to));
                }
                Change::Grow { table, column, bytes } => {
                    let entry = self.tables.entry(table.clone()).or_default();
                    let room = entry.text_bytes.entry(column.clone()).or_default();
                    *room = (*room).max(*bytes);
                }
            }
        }
    }
}

/// One additive step of a schema. Applying one that holds already does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a table.
    CreateTable {
        /// Its name.
        table: Ident,
        /// What it is for.
        kind: TableKind,
        /// Its first columns, in order; the first is the key.
        columns: Vec<(Ident, Type)>,
    },
    /// Appends a column; rows that are there have no value in it. Raises the schema's version if it is a column of a
    /// merge table whose versions are there already: a plan that knew only those would not clear the value.
    AddColumn {
        /// The table.
        table: Ident,
        /// The column.
        column: Ident,
        /// Its type.
        ty: Type,
    },
    /// Makes a column hold more, keeping all its values. Raises the schema's version.
    Widen {
        /// The table.
        table: Ident,
        /// The column.
        column: Ident,
        /// What it is.
        from: Type,
        /// What it becomes.
        to: Type,
    },
    /// Makes a text column hold longer values, where text has a declared size. For a column that is not there yet
    /// it follows the change that makes it.
    Grow {
        /// The table.
        table: Ident,
        /// The column.
        column: Ident,
        /// One of [`text_sizes`](crate::Dialect::text_sizes), in bytes.
        bytes: usize,
    },
}

impl Change {
    /// The table that it changes.
    pub fn table(&self) -> &Ident {
        match self {
            Change::CreateTable { table, .. }
            | Change::AddColumn { table, .. }
            | Change::Widen { table, .. }
            | Change::Grow { table, .. } => table,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::CreateTable { table, columns, .. } => {
                write!(f, "create table {table} (")?;
                for (i, (column, ty)) in columns.iter().enumerate() {
                    write!(f, "{}{column} {ty}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Change::AddColumn { table, column, ty } => write!(f, "add column {table}.{column} {ty}"),
            Change::Widen { table, column, from, to } => write!(f, "widen column {table}.{column} from {from} to {to}"),
            Change::Grow { table, column, bytes } => write!(f, "grow column {table}.{column} to {bytes} bytes"),
        }
    }
}
