//! What is in the file of a schema, and what a change and a commit do to it.

use crate::cells::{cell, convert, order};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use tablecast_core::discard::{self, Discard, Reason};
use tablecast_core::ident::versions_table;
use tablecast_core::rules::Timestamps;
use tablecast_core::testing::Row;
use tablecast_core::{
    Catalog, Change, Commit, Counts, Error, ErrorKind, Fold, Ident, LiveType, Load, Receipt, Result, Table, TableKind,
    Type, time,
};

/// One schema.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) tables: BTreeMap<String, Stored>,
}

/// One table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    append: bool,
    columns: BTreeMap<String, Type>,
    /// By key; a NULL is absent.
    pub(crate) rows: BTreeMap<String, Row>,
}

impl State {
    pub(crate) fn catalog(&self, tables: &[Ident]) -> Catalog {
        let mut catalog = Catalog { version: self.version().unwrap_or(0), ..Catalog::default() };
        for name in tables {
            if let Some(stored) = self.tables.get(name.as_str()) {
                let columns =
                    stored.columns.iter().map(|(column, ty)| (Ident::from(column.as_str()), LiveType::Known(*ty)));
                catalog.tables.insert(name.clone(), Table { columns: columns.collect(), ..Table::default() });
            }
        }
        catalog
    }

    fn version(&self) -> Option<i64> {
        self.tables.get("_lock")?.rows.get("schema")?.get("schema_version")?.parse().ok()
    }

    fn table(&mut self, name: &str) -> Result<&mut Stored> {
        self.tables.get_mut(name).ok_or_else(|| stale("a table is missing", name))
    }

    /// Makes a change true; one that holds already does nothing.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::CreateTable { table, kind, columns } => {
                let fresh = !self.tables.contains_key(table.as_str());
                let append = *kind == TableKind::Append;
                let stored = self.tables.entry(table.to_string()).or_insert_with(|| Stored {
                    append,
                    columns: BTreeMap::new(),
                    rows: BTreeMap::new(),
                });
                for (column, ty) in columns {
                    stored.columns.entry(column.to_string()).or_insert(*ty);
                }
                if fresh && *table == *"_lock" {
                    stored.rows.insert("schema".into(), row([("id", "schema".into()), ("schema_version", "0".into())]));
                }
            }
            Change::AddColumn { table, column, ty } => {
                self.table(table.as_str())?.columns.entry(column.to_string()).or_insert(*ty);
            }
            Change::Widen { table, column, to, .. } => self.widen(table, column, *to)?,
            // Text has no declared size here.
            Change::Grow { .. } => {}
        }
        Ok(())
    }

    fn widen(&mut self, table: &Ident, column: &Ident, to: Type) -> Result<()> {
        let stored = self.table(table.as_str())?;
        let from = *stored.columns.get(column.as_str()).ok_or_else(|| stale("a column is missing", column.as_str()))?;
        if from.join(to) == from {
            return Ok(());
        }
        if from.join(to) != to {
            return Err(stale("a column has a type that cannot be widened as planned", column.as_str()));
        }
        let mut inexact = Vec::new();
        for (key, row) in &mut stored.rows {
            let Some(value) = row.get_mut(column.as_str()) else { continue };
            let (converted, exact) = convert(value, from, to).ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, "a stored value does not fit its column")
                    .with("table", table)
                    .with("column", column)
            })?;
            let before = std::mem::replace(value, converted);
            // `users` and `accounts` hold the same values; what they lose is kept once, for the call.
            if !exact && stored.append {
                let at = row
                    .get("received_at")
                    .and_then(|at| time::parse(at, Timestamps::Iso8601))
                    .map_or(0, |at| at.micros);
                inexact.push(Discard::new(
                    key,
                    table.as_str(),
                    column.as_str(),
                    before.as_bytes(),
                    Reason::Precision,
                    at,
                ));
            }
        }
        stored.columns.insert(column.to_string(), to);
        if !inexact.is_empty() {
            let discards = self.table(discard::TABLE)?;
            discards.rows.extend(inexact.into_iter().map(|discard| (discard.id(), discard_row(discard))));
        }
        let version = self.version().unwrap_or(0) + 1;
        if let Some(guard) = self.table("_lock")?.rows.get_mut("schema") {
            guard.insert("schema_version".into(), version.to_string());
        }
        Ok(())
    }

    /// Loads all of a commit, or gives the counts of the one that did.
    pub(crate) fn commit(&mut self, commit: &Commit, now: i64) -> Result<Receipt> {
        if self.version() != Some(commit.schema_version) {
            return Err(stale("the tables changed since the plan was made", "_lock"));
        }
        let key = |load: &Load| format!("{}/{}", commit.id, load.table);
        let ledger = &self.table("_commits")?.rows;
        let stored = |load: &Load| Some((load.table.clone(), stored_counts(ledger.get(&key(load))?)));
        if let Some(tables) = commit.loads.iter().map(stored).collect() {
            return Ok(Receipt { id: commit.id, replayed: true, tables });
        }
        let nonce = format!("{:016x}", RandomState::new().build_hasher().finish());
        let mut tables = Vec::new();
        for load in &commit.loads {
            let counts = self.load(load, now)?;
            if !counts.add_up() {
                return Err(Error::new(ErrorKind::CountMismatch, "the rows of a table do not add up")
                    .with("table", &load.table));
            }
            let entry = row([
                ("commit_id", commit.id.to_string()),
                ("table_name", load.table.to_string()),
                ("committed_at", time::format(now)),
                ("source", commit.source.clone()),
                ("received", counts.received.to_string()),
                ("loaded", counts.loaded.to_string()),
                ("duplicates", counts.duplicates.to_string()),
                ("filtered", counts.filtered.to_string()),
                ("discarded", counts.discarded.to_string()),
                ("duration_ms", "0".into()),
                ("nonce", nonce.clone()),
                ("version", env!("CARGO_PKG_VERSION").into()),
            ]);
            self.table("_commits")?.rows.insert(key(load), entry);
            tables.push((load.table.clone(), counts));
        }
        Ok(Receipt { id: commit.id, replayed: false, tables })
    }

    fn load(&mut self, load: &Load, now: i64) -> Result<Counts> {
        let mut counts = load.counts;
        for at in 0..load.rows() {
            let key = cell(&load.batch, 0, Type::Text, at)
                .ok_or_else(|| Error::new(ErrorKind::Internal, "a row has no key").with("table", &load.table))?;
            let is_new = match load.kind {
                TableKind::Merge => self.merge(load, at, key, now)?,
                _ => self.append(load, at, key, now)?,
            };
            if is_new {
                counts.loaded += 1;
            } else {
                counts.duplicates += 1;
            }
        }
        Ok(counts)
    }

    fn append(&mut self, load: &Load, at: usize, key: String, now: i64) -> Result<bool> {
        let stored = self.table(load.table.as_str())?;
        stored.has_columns_of(load)?;
        let cells = load
            .columns
            .iter()
            .filter_map(|column| Some((column.name.to_string(), cell(&load.batch, column.values?, column.ty, at)?)));
        if let Some(row) = stored.rows.get_mut(&key) {
            for (column, value) in cells.filter(|_| load.fill) {
                row.entry(column).or_insert(value);
            }
            return Ok(false);
        }
        let mut row: Row = cells.collect();
        stored.stamp(&mut row, now);
        stored.rows.insert(key, row);
        Ok(true)
    }

    /// Always counts: a row is there because of this commit, or is newer because of it.
    fn merge(&mut self, load: &Load, at: usize, key: String, now: i64) -> Result<bool> {
        let versions_name = versions_table(&load.table);
        let versions = self.table(versions_name.as_str())?;
        if let Some(column) =
            load.columns.iter().find(|c| c.versions.is_some() && !versions.columns.contains_key(c.name.as_str()))
        {
            return Err(stale("a version column is missing", column.name.as_str()));
        }
        let mut marks = versions.rows.remove(&key).unwrap_or_else(|| row([("id", key.clone())]));
        let stored = self.table(load.table.as_str())?;
        stored.has_columns_of(load)?;
        let before = stored.rows.remove(&key);
        let is_new = before.is_none();
        let mut row = before.unwrap_or_default();
        for column in &load.columns {
            let name = column.name.as_str();
            let value = column.values.and_then(|values| cell(&load.batch, values, column.ty, at));
            let version = column.versions.and_then(|versions| cell(&load.batch, versions, Type::Version, at));
            let there = row.get(name);
            let wins = match (column.fold, &value, &version) {
                (Fold::Once, ..) => is_new,
                (Fold::Max, Some(value), _) => there.is_none_or(|there| order(column.ty, value, there).is_gt()),
                (Fold::Min, Some(value), _) => there.is_none_or(|there| order(column.ty, value, there).is_lt()),
                (Fold::Latest, _, Some(version)) => {
                    marks.get(name).is_none_or(|there| order(Type::Version, version, there).is_gt())
                }
                _ => false,
            };
            if !wins {
                continue;
            }
            match value {
                Some(value) => row.insert(name.to_owned(), value),
                None => row.remove(name),
            };
            if let Some(version) = version {
                marks.insert(name.to_owned(), version);
            }
        }
        stored.stamp(&mut row, now);
        stored.rows.insert(key.clone(), row);
        self.table(versions_name.as_str())?.rows.insert(key, marks);
        Ok(true)
    }
}

impl Stored {
    /// The planner's columns must still be what they were.
    fn has_columns_of(&self, load: &Load) -> Result<()> {
        let missing =
            load.columns.iter().find(|c| c.values.is_some() && self.columns.get(c.name.as_str()) != Some(&c.ty));
        match missing {
            None => Ok(()),
            Some(column) => Err(stale("a column is missing or has another type", column.name.as_str())),
        }
    }

    fn stamp(&self, row: &mut Row, now: i64) {
        if self.columns.contains_key("uuid_ts") {
            row.insert("uuid_ts".into(), time::format(now));
        }
    }
}

fn row<const N: usize>(cells: [(&str, String); N]) -> Row {
    cells.into_iter().map(|(column, value)| (column.to_owned(), value)).collect()
}

fn stored_counts(row: &Row) -> Counts {
    let count = |column: &str| row.get(column).and_then(|count| count.parse().ok()).unwrap_or(0);
    Counts {
        received: count("received"),
        loaded: count("loaded"),
        duplicates: count("duplicates"),
        filtered: count("filtered"),
        discarded: count("discarded"),
    }
}

fn discard_row(discard: Discard) -> Row {
    row([
        ("id", discard.id()),
        ("table_name", discard.table),
        ("event_id", discard.event_id),
        ("column_name", discard.column),
        ("value", discard.value),
        ("bytes", discard.bytes.to_string()),
        ("sha256", discard.sha256),
        ("reason", discard.reason.to_string()),
        ("received_at", time::format(discard.received_at)),
    ])
}

fn stale(what: &str, name: &str) -> Error {
    Error::new(ErrorKind::SchemaMismatch, what).with("name", name)
}
