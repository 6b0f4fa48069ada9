//! SQL text that differs between warehouses in names, quotes and types only. Pure: metadata in, strings out.
//!
//! Values never come in here: where the protocol binds, callers pass placeholders (`?1`, `$1`) as
//! expressions; where it does not, they pass what [`literal`] renders. Targets have no alias and are
//! named by their bare name; the staging table is `_s`, which no planned table is called.

use crate::dialect::Dialect;
use crate::discard;
use crate::ident::{Ident, versions_table};
use crate::plan::{Fold, Load};
use crate::types::Type;
use std::fmt::Write;

mod literal;
mod stage;

pub use literal::{Value, literal};
pub use stage::{StageColumn, groups, script_bytes, stage_columns, statements};
pub(crate) use stage::{append_bytes, insert_room};
use stage::{live_version, value, version};

/// The ledger: one row per table of a commit.
pub const COMMITS: &str = "_commits";
/// The guard: one row.
pub const LOCK: &str = "_lock";
/// The column that holds the time of the commit.
pub const STAMP: &str = "uuid_ts";
/// The key column of every table that is loaded.
pub const KEY: &str = "id";
/// The ledger's columns, in the order of [`Sql::ledger_insert`].
pub const LEDGER: [&str; 12] = [
    "commit_id",
    "table_name",
    "committed_at",
    "source",
    "received",
    "loaded",
    "duplicates",
    "filtered",
    "discarded",
    "duration_ms",
    "nonce",
    "version",
];

/// Whether the table has a column for the time of the commit: all but `_discards`.
pub fn is_stamped(load: &Load) -> bool {
    load.table != *discard::TABLE
}

/// Writes SQL for one schema of one kind of warehouse.
#[derive(Clone, Copy, Debug)]
pub struct Sql<'a> {
    /// How it quotes and what it calls the types.
    pub dialect: &'a Dialect,
    /// What stands in front of a table's name, if anything.
    pub schema: Option<&'a str>,
}

impl Sql<'_> {
    /// A quoted name.
    pub fn quote(&self, name: &str) -> String {
        (self.dialect.quote)(name)
    }

    /// A table with its schema.
    pub fn table(&self, name: &str) -> String {
        match self.schema {
            Some(schema) => format!("{}.{}", self.quote(schema), self.quote(name)),
            None => self.quote(name),
        }
    }

    /// Makes a table unless it is there. `constraint` goes behind the columns.
    pub fn create_table(&self, table: &str, columns: &[(Ident, Type)], constraint: Option<&str>) -> String {
        let mut parts: Vec<String> = columns.iter().map(|(name, ty)| self.definition(name.as_str(), *ty)).collect();
        parts.extend(constraint.map(str::to_owned));
        format!("CREATE TABLE IF NOT EXISTS {} ({})", self.table(table), parts.join(", "))
    }

    /// Appends a column.
    pub fn add_column(&self, table: &str, column: &str, ty: Type) -> String {
        format!("ALTER TABLE {} ADD COLUMN {}", self.table(table), self.definition(column, ty))
    }

    /// Makes a staging table. `create` is the verb (`CREATE TEMP TABLE` …), `stage` the rendered name.
    pub fn create_stage(&self, create: &str, stage: &str, columns: &[StageColumn]) -> String {
        let columns: Vec<String> = columns.iter().map(|column| self.definition(&column.name, column.ty)).collect();
        format!("{create} {stage} ({})", columns.join(", "))
    }

    /// Counts a staging table: rows, distinct keys.
    pub fn count_stage(&self, stage: &str) -> String {
        let key = self.quote("k");
        format!("SELECT COUNT(*), COUNT(DISTINCT {key}) FROM {stage}")
    }

    /// Counts the staged keys that the table has. With `within` (two expressions) only rows are seen
    /// whose `received_at` lies between them.
    pub fn count_present(&self, load: &Load, stage: &str, within: Option<(&str, &str)>) -> String {
        let table = self.table(load.table.as_str());
        let on = self.on_key(load.table.as_str(), within);
        format!("SELECT COUNT(DISTINCT {}) FROM {stage} AS _s INNER JOIN {table} ON {on}", self.staged("k"))
    }

    /// Inserts the staged rows of an append table whose keys it does not have. One staging table per group of
    /// [`groups`], in that order. `stamp` is the time of the commit as an expression; none for a table
    /// without [`STAMP`].
    ///
    /// A table whose names do not fit one statement gets its later columns by updates of the rows that bear the
    /// stamp, so no two commits to a schema may have the same one. A load that fills updates the rows that are
    /// there first.
    pub fn append(
        &self,
        load: &Load,
        groups: &[Vec<usize>],
        stages: &[String],
        stamp: Option<&str>,
        within: Option<(&str, &str)>,
    ) -> Vec<String> {
        let filled = groups.iter().zip(stages).filter(|_| load.fill);
        let filled = filled.filter_map(|(group, stage)| self.update_empty(load, group, stage, within));
        let mut parts = groups.iter().zip(stages);
        let first = parts.next().map(|(group, stage)| self.insert_missing(load, group, stage, stamp, within));
        let others = parts.filter_map(|(group, stage)| self.update_inserted(load, group, stage, stamp?, within));
        filled.chain(first).chain(others).collect()
    }

    fn update_empty(&self, load: &Load, group: &[usize], stage: &str, within: Option<(&str, &str)>) -> Option<String> {
        let table = load.table.as_str();
        let columns = group.iter().filter(|&&at| load.columns[at].values.is_some());
        let fill = |&at: &usize| {
            let name = self.quote(load.columns[at].name.as_str());
            format!("{name} = COALESCE({}.{name}, {})", self.quote(table), self.staged(&value(at)))
        };
        let sets: Vec<String> = columns.map(fill).collect();
        let (target, on) = (self.table(table), self.on_key(table, within));
        (!sets.is_empty()).then(|| format!("UPDATE {target} SET {} FROM {stage} AS _s WHERE {on}", sets.join(", ")))
    }

    fn update_inserted(
        &self,
        load: &Load,
        group: &[usize],
        stage: &str,
        stamp: &str,
        within: Option<(&str, &str)>,
    ) -> Option<String> {
        let table = load.table.as_str();
        let columns = group.iter().filter(|&&at| load.columns[at].values.is_some());
        let sets: Vec<String> = columns
            .map(|&at| format!("{} = {}", self.quote(load.columns[at].name.as_str()), self.staged(&value(at))))
            .collect();
        let (target, on) = (self.table(table), self.on_key(table, within));
        let stamped = format!("{}.{} = {stamp}", self.quote(table), self.quote(STAMP));
        (!sets.is_empty())
            .then(|| format!("UPDATE {target} SET {} FROM {stage} AS _s WHERE {on} AND {stamped}", sets.join(", ")))
    }

    /// Merges staged rows. One staging table per group of [`groups`], in that order.
    ///
    /// Newer versions win, strictly; greater or lesser values win; the rest is written with a new row only.
    /// Missing keys are inserted before the later groups are written, versions come last, and only the
    /// columns of this load are named. Every key gets a row of versions, so that the cut of the events
    /// does not show in it.
    pub fn merge(&self, load: &Load, groups: &[Vec<usize>], stages: &[String], stamp: Option<&str>) -> Vec<String> {
        let mut statements = Vec::new();
        for (nth, (group, stage)) in groups.iter().zip(stages).enumerate() {
            statements.extend(self.update_values(load, group, stage, stamp.filter(|_| nth == 0)));
            if nth == 0 {
                statements.push(self.insert_missing(load, group, stage, stamp, None));
            }
        }
        for (nth, (group, stage)) in groups.iter().zip(stages).enumerate() {
            statements.extend(self.update_versions(load, group, stage));
            if nth == 0 {
                statements.push(self.insert_versions(load, group, stage));
            }
        }
        statements
    }

    fn update_values(&self, load: &Load, group: &[usize], stage: &str, stamp: Option<&str>) -> Option<String> {
        let table = load.table.as_str();
        let versions = versions_table(&load.table);
        let mut sets = Vec::new();
        let mut live = String::new();
        for &at in group {
            let column = &load.columns[at];
            let (Some(_), name) = (column.values, self.quote(column.name.as_str())) else { continue };
            let (new, old) = (self.staged(&value(at)), format!("{}.{name}", self.quote(table)));
            let wins = match (column.fold, column.versions) {
                (Fold::Latest, Some(_)) => {
                    let (v, w) = (self.staged(&version(at)), self.staged(&live_version(at)));
                    let _ =
                        write!(live, ", {}.{name} AS {}", self.quote(versions.as_str()), self.quote(&live_version(at)));
                    // Most rows carry few of the columns: the first test is the cheap one.
                    sets.push(format!(
                        "{name} = CASE WHEN {v} IS NULL THEN {old} WHEN {w} IS NULL OR {v} > {w} THEN {new} ELSE {old} END"
                    ));
                    continue;
                }
                (Fold::Max, _) => format!("{new} > {old} OR {old} IS NULL"),
                (Fold::Min, _) => format!("{new} < {old} OR {old} IS NULL"),
                (Fold::Once | Fold::Latest, _) => continue,
            };
            sets.push(format!("{name} = CASE WHEN {wins} THEN {new} ELSE {old} END"));
        }
        sets.extend(stamp.map(|stamp| format!("{} = {stamp}", self.quote(STAMP))));
        if sets.is_empty() {
            return None;
        }
        let from = if live.is_empty() {
            format!("{stage} AS _s")
        } else {
            let (versions, all) = (versions.as_str(), format!("{stage} AS _t"));
            let on = format!("{}.{} = _t.{}", self.quote(versions), self.quote(KEY), self.quote("k"));
            format!("(SELECT _t.*{live} FROM {all} LEFT JOIN {} ON {on}) AS _s", self.table(versions))
        };
        Some(format!(
            "UPDATE {} SET {} FROM {from} WHERE {}",
            self.table(table),
            sets.join(", "),
            self.on_key(table, None)
        ))
    }

    fn insert_missing(
        &self,
        load: &Load,
        group: &[usize],
        stage: &str,
        stamp: Option<&str>,
        within: Option<(&str, &str)>,
    ) -> String {
        let table = load.table.as_str();
        let (mut names, mut values) = (vec![self.quote(KEY)], vec![self.staged("k")]);
        for &at in group.iter().filter(|&&at| load.columns[at].values.is_some()) {
            names.push(self.quote(load.columns[at].name.as_str()));
            values.push(self.staged(&value(at)));
        }
        if let Some(stamp) = stamp {
            names.push(self.quote(STAMP));
            values.push(stamp.to_owned());
        }
        self.insert_others(table, &names, &values, stage, within)
    }

    fn update_versions(&self, load: &Load, group: &[usize], stage: &str) -> Option<String> {
        let versions = versions_table(&load.table);
        let versions = versions.as_str();
        let sets: Vec<String> = group
            .iter()
            .filter(|&&at| load.columns[at].versions.is_some())
            .map(|&at| {
                let name = self.quote(load.columns[at].name.as_str());
                let (new, old) = (self.staged(&version(at)), format!("{}.{name}", self.quote(versions)));
                format!(
                    "{name} = CASE WHEN {new} IS NULL THEN {old} WHEN {old} IS NULL OR {new} > {old} THEN {new} ELSE {old} END"
                )
            })
            .collect();
        let (target, key) = (self.table(versions), self.on_key(versions, None));
        (!sets.is_empty()).then(|| format!("UPDATE {target} SET {} FROM {stage} AS _s WHERE {key}", sets.join(", ")))
    }

    fn insert_versions(&self, load: &Load, group: &[usize], stage: &str) -> String {
        let versions = versions_table(&load.table);
        let (mut names, mut values) = (vec![self.quote(KEY)], vec![self.staged("k")]);
        for &at in group.iter().filter(|&&at| load.columns[at].versions.is_some()) {
            names.push(self.quote(load.columns[at].name.as_str()));
            values.push(self.staged(&version(at)));
        }
        self.insert_others(versions.as_str(), &names, &values, stage, None)
    }

    fn insert_others(
        &self,
        table: &str,
        names: &[String],
        values: &[String],
        stage: &str,
        within: Option<(&str, &str)>,
    ) -> String {
        let (target, on) = (self.table(table), self.on_key(table, within));
        format!(
            "INSERT INTO {target} ({}) SELECT {} FROM {stage} AS _s LEFT JOIN {target} ON {on} WHERE {}.{} IS NULL",
            names.join(", "),
            values.join(", "),
            self.quote(table),
            self.quote(KEY),
        )
    }

    fn on_key(&self, table: &str, within: Option<(&str, &str)>) -> String {
        let mut on = format!("{}.{} = {}", self.quote(table), self.quote(KEY), self.staged("k"));
        if let Some((from, to)) = within {
            let at = format!("{}.{}", self.quote(table), self.quote("received_at"));
            let _ = write!(on, " AND {at} >= {from} AND {at} <= {to}");
        }
        on
    }

    fn staged(&self, column: &str) -> String {
        format!("_s.{}", self.quote(column))
    }

    fn definition(&self, name: &str, ty: Type) -> String {
        format!("{} {}", self.quote(name), (self.dialect.type_name)(ty))
    }

    /// Reads what the ledger has of a commit: table, received, loaded, duplicates, filtered, discarded.
    pub fn ledger_select(&self, commit_id: &str) -> String {
        let columns: Vec<String> = ["table_name", "received", "loaded", "duplicates", "filtered", "discarded"]
            .map(|name| self.quote(name))
            .into();
        format!(
            "SELECT {} FROM {} WHERE {} = {commit_id}",
            columns.join(", "),
            self.table(COMMITS),
            self.quote("commit_id")
        )
    }

    /// Writes one row of the ledger; expressions in the order of [`LEDGER`].
    pub fn ledger_insert(&self, values: &[String; 12]) -> String {
        let columns: Vec<String> = LEDGER.map(|name| self.quote(name)).into();
        format!("INSERT INTO {} ({}) VALUES ({})", self.table(COMMITS), columns.join(", "), values.join(", "))
    }

    /// Takes the guard, if the schema still has the version that was planned for; otherwise no row is updated.
    pub fn guard(&self, planned: &str) -> String {
        let version = self.quote("schema_version");
        format!("UPDATE {} SET {version} = {version} WHERE {version} = {planned}", self.table(LOCK))
    }

    /// Raises the schema's version, taking the guard.
    pub fn raise(&self) -> String {
        let version = self.quote("schema_version");
        format!("UPDATE {} SET {version} = {version} + 1 WHERE {} IS NOT NULL", self.table(LOCK), self.quote(KEY))
    }

    /// Puts the guard's row in, unless there is one.
    pub fn lock_row(&self, version: &str) -> String {
        let (lock, id, number) = (self.table(LOCK), self.quote(KEY), self.quote("schema_version"));
        // Redshift gives a bare string in a subquery no type, and then cannot put it into a column.
        let (text, int) = ((self.dialect.type_name)(Type::Text), (self.dialect.type_name)(Type::Int));
        format!(
            "INSERT INTO {lock} ({id}, {number}) SELECT _n.{id}, _n.{number} \
             FROM (SELECT CAST('schema' AS {text}) AS {id}, CAST({version} AS {int}) AS {number}) AS _n \
             WHERE NOT EXISTS (SELECT 1 FROM {lock})"
        )
    }

    /// Reads the schema's version.
    pub fn schema_version(&self) -> String {
        format!("SELECT {} FROM {}", self.quote("schema_version"), self.table(LOCK))
    }
}

#[cfg(test)]
mod tests;
