//! The model warehouse: the plainest reading of the contract, which every connector is compared with.
//!
//! One mutex, maps of maps, and a copy of everything per commit. It shares no code with the connectors,
//! so that a mistake is made twice only if two people make it.

mod value;

use crate::dialect::{Dialect, double_quoted};
use crate::discard::{self, Discard, Reason};
use crate::error::{Error, ErrorKind, Result};
use crate::ident::{Ident, append_twin, versions_table};
use crate::plan::{Commit, Counts, Fold, Load, Receipt};
use crate::schema::{Catalog, Change, LiveType, Table, TableKind};
use crate::types::Type;
use crate::warehouse::Warehouse;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use value::Value;

/// Facts of the model.
pub static DIALECT: Dialect = Dialect {
    name: "memory",
    quote: double_quoted,
    max_identifier: 127,
    reserved: &["order", "select", "table"],
    type_name: |ty| match ty {
        Type::Boolean => "boolean",
        Type::Int => "int",
        Type::Decimal => "decimal",
        Type::Float => "float",
        Type::Timestamp => "timestamp",
        Type::Text => "text",
        Type::Json => "json",
        Type::Version => "version",
    },
    parse_type: |_| None,
    max_columns: 1_600,
    tables_per_commit: 100,
    merge_group: 400,
    max_text_bytes: 65_535,
    max_row_bytes: 4 << 20,
    max_sql_bytes: 1 << 20,
    max_statements: usize::MAX,
    max_script_bytes: usize::MAX,
    text_sizes: &[],
};

/// One schema, held in memory. Clones are further handles onto the same schema.
///
/// It has no clock: `uuid_ts` and `committed_at` count µs from the time given at its making, one per commit.
#[derive(Clone)]
pub struct Memory {
    dialect: &'static Dialect,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    tables: BTreeMap<String, Stored>,
    /// µs since 1970, for the next commit.
    now: i64,
    /// Attempts made so far.
    attempts: u64,
}

#[derive(Clone, Default)]
struct Stored {
    columns: BTreeMap<String, Type>,
    /// Rows by key; a NULL is absent.
    rows: BTreeMap<String, Cells>,
}

type Cells = BTreeMap<String, Value>;

impl Memory {
    /// An empty schema with the model's own dialect, whose time starts at 1970.
    pub fn new() -> Self {
        Memory::like(&DIALECT, 0)
    }

    /// An empty schema that claims to be a warehouse of another dialect; its time starts at `now`, in µs since 1970.
    pub fn like(dialect: &'static Dialect, now: i64) -> Self {
        Memory { dialect, state: Arc::new(Mutex::new(State { now, ..State::default() })) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // a state is only ever replaced whole, so a panic elsewhere leaves a good one
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({}, {} tables)", self.dialect.name, self.state().tables.len())
    }
}

#[async_trait]
impl Warehouse for Memory {
    fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        let state = self.state();
        let shape = |stored: &Stored| {
            let named = stored.columns.iter().map(|(name, ty)| (Ident::from(&**name), LiveType::Known(*ty)));
            let columns: BTreeMap<Ident, LiveType> = named.collect();
            // A text is as long as it likes, so no column ever has to grow.
            let text_bytes = columns.keys().map(|name| (name.clone(), usize::MAX)).collect();
            Table { columns, text_bytes }
        };
        let there = tables.iter().filter_map(|table| Some((table.clone(), shape(state.tables.get(table.as_str())?))));
        Ok(Catalog { version: state.version().unwrap_or(0), tables: there.collect() })
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        let mut state = self.state();
        for change in changes {
            let mut next = state.clone();
            next.apply(change)?;
            *state = next;
        }
        Ok(())
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        let mut state = self.state();
        state.attempts += 1;
        let mut next = state.clone();
        let receipt = next.commit(commit)?;
        if !receipt.replayed {
            *state = next;
        }
        Ok(receipt)
    }
}

impl State {
    /// What the guard says, if it is there.
    fn version(&self) -> Option<i64> {
        match self.tables.get("_lock")?.rows.get("schema")?.get("schema_version") {
            Some(Value::Int(version)) => Some(*version),
            _ => None,
        }
    }

    fn raise_version(&mut self) {
        let raised = self.version().unwrap_or(0) + 1;
        if let Some(row) = self.tables.get_mut("_lock").and_then(|lock| lock.rows.get_mut("schema")) {
            row.insert("schema_version".into(), Value::Int(raised));
        }
    }

    fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::CreateTable { table, columns, .. } => {
                let name = table.to_string();
                let fresh = !self.tables.contains_key(&name);
                let stored = self.tables.entry(name.clone()).or_default();
                for (column, ty) in columns {
                    stored.columns.entry(column.to_string()).or_insert(*ty);
                }
                if fresh && name == "_lock" {
                    let row = [("id", Value::Text("schema".into())), ("schema_version", Value::Int(0))];
                    stored.rows.insert("schema".into(), cells(row));
                }
                Ok(())
            }
            Change::AddColumn { table, column, ty } => {
                let columns = &mut self.table_mut(table)?.columns;
                if !columns.contains_key(column.as_str()) {
                    columns.insert(column.to_string(), *ty);
                    if self.has_versions(table, column) {
                        self.raise_version();
                    }
                }
                Ok(())
            }
            Change::Widen { table, column, to, .. } => self.widen(table, column, *to),
            // Text has no declared size here.
            Change::Grow { .. } => Ok(()),
        }
    }

    fn has_versions(&self, table: &Ident, column: &Ident) -> bool {
        let versions = self.tables.get(versions_table(table).as_str());
        versions.is_some_and(|versions| versions.columns.contains_key(column.as_str()))
    }

    fn widen(&mut self, table: &Ident, column: &Ident, to: Type) -> Result<()> {
        // The append table that the same value went to has it, exactly or in `_discards`.
        let twin = append_twin(table).and_then(|twin| self.tables.get(twin));
        let twin_has_it = twin.is_some_and(|twin| twin.columns.contains_key(column.as_str()));
        let stored = self.table_mut(table)?;
        let now =
            *stored.columns.get(column.as_str()).ok_or_else(|| stale("a column is missing").with("column", column))?;
        if now.join(to) == now {
            return Ok(());
        }
        if now.join(to) != to {
            return Err(stale("a column has a type that cannot be widened as planned")
                .with("table", table)
                .with("column", column));
        }
        let mut bent = Vec::new();
        for (key, row) in &mut stored.rows {
            let Some(value) = row.get(column.as_str()) else { continue };
            let (converted, exact) = value.convert(to).ok_or_else(|| broken(table, column))?;
            if !exact && !twin_has_it {
                bent.push(precision_discard(table, column, key, value, row.get("received_at")));
            }
            row.insert(column.to_string(), converted);
        }
        stored.columns.insert(column.to_string(), to);
        if !bent.is_empty() {
            self.table_mut(&Ident::from(discard::TABLE))?.rows.extend(bent);
        }
        self.raise_version();
        Ok(())
    }

    fn commit(&mut self, commit: &Commit) -> Result<Receipt> {
        if self.version() != Some(commit.schema_version) {
            return Err(stale("the tables changed since the plan was made").with("planned", commit.schema_version));
        }
        let ledger = self.table_mut(&Ident::from("_commits"))?;
        let ledger_key = |load: &Load| format!("{}/{}", commit.id, load.table);
        if commit.loads.iter().all(|load| ledger.rows.contains_key(&ledger_key(load))) {
            let tables =
                commit.loads.iter().map(|load| (load.table.clone(), stored_counts(&ledger.rows[&ledger_key(load)])));
            return Ok(Receipt { id: commit.id, replayed: true, tables: tables.collect() });
        }
        let mut tables = Vec::new();
        for load in &commit.loads {
            let counts = self.load(load)?;
            if !counts.add_up() {
                return Err(Error::new(ErrorKind::CountMismatch, "the rows of a table do not add up")
                    .with("table", &load.table));
            }
            let row = self.ledger_row(commit, load, counts)?;
            self.table_mut(&Ident::from("_commits"))?.rows.insert(ledger_key(load), row);
            tables.push((load.table.clone(), counts));
        }
        self.now += 1;
        Ok(Receipt { id: commit.id, replayed: false, tables })
    }

    fn ledger_row(&self, commit: &Commit, load: &Load, counts: Counts) -> Result<Cells> {
        let text = |value: String| Value::Text(value);
        let count = |value: u64| {
            i64::try_from(value).map(Value::Int).map_err(|_| Error::new(ErrorKind::Internal, "a count is too large"))
        };
        Ok(cells([
            ("commit_id", text(commit.id.to_string())),
            ("table_name", text(load.table.to_string())),
            ("committed_at", Value::Timestamp(self.now)),
            ("source", text(commit.source.clone())),
            ("received", count(counts.received)?),
            ("loaded", count(counts.loaded)?),
            ("duplicates", count(counts.duplicates)?),
            ("filtered", count(counts.filtered)?),
            ("discarded", count(counts.discarded)?),
            ("duration_ms", Value::Int(0)),
            ("nonce", text(format!("{:032x}", self.attempts))),
            ("version", text(env!("CARGO_PKG_VERSION").into())),
        ]))
    }

    fn load(&mut self, load: &Load) -> Result<Counts> {
        let rows = read_rows(load)?;
        let mut counts = load.counts;
        if rows.is_empty() {
            return Ok(counts);
        }
        match load.kind {
            TableKind::Append => {
                for row in rows {
                    if self.append(load, row)? {
                        counts.loaded += 1;
                    } else {
                        counts.duplicates += 1;
                    }
                }
            }
            TableKind::Merge => {
                // A commit works on a copy of everything, so an error on the way leaves nothing half done.
                let versions_name = versions_table(&load.table).to_string();
                let mut versions = std::mem::take(self.table_mut(&Ident::from(&*versions_name))?);
                for row in rows {
                    self.merge(load, row, &mut versions)?;
                    counts.loaded += 1;
                }
                self.tables.insert(versions_name, versions);
            }
            TableKind::Versions | TableKind::System => {
                return Err(Error::new(ErrorKind::Internal, "a load cannot be for a bookkeeping table")
                    .with("table", &load.table));
            }
        }
        Ok(counts)
    }

    /// Whether the row is new. The model looks everywhere for its id, whatever the window.
    fn append(&mut self, load: &Load, row: StagedRow) -> Result<bool> {
        let now = self.now;
        let stored = self.table_mut(&load.table)?;
        let there = stored.rows.remove(&row.key);
        let is_new = there.is_none();
        let mut stored_row = there.unwrap_or_default();
        for (column, cell) in load.columns.iter().zip(row.cells).filter(|_| is_new || load.fill) {
            stored.must_have(load, column.name.as_str(), column.ty)?;
            if let Some(value) = cell.value {
                stored_row.entry(column.name.to_string()).or_insert(value);
            }
        }
        if is_new && stored.columns.contains_key("uuid_ts") {
            stored_row.insert("uuid_ts".into(), Value::Timestamp(now));
        }
        stored.rows.insert(row.key, stored_row);
        Ok(is_new)
    }

    fn merge(&mut self, load: &Load, staged: StagedRow, versions: &mut Stored) -> Result<()> {
        let now = self.now;
        let stored = self.table_mut(&load.table)?;
        let fresh = !stored.rows.contains_key(&staged.key);
        let row = stored.rows.entry(staged.key.clone()).or_default();
        let marks = versions.rows.entry(staged.key.clone()).or_insert_with(|| cells([("id", Value::Text(staged.key))]));
        for (column, cell) in load.columns.iter().zip(staged.cells) {
            let name = column.name.as_str();
            if column.values.is_some() && stored.columns.get(name) != Some(&column.ty) {
                return Err(stale("a column is missing or has another type")
                    .with("table", &load.table)
                    .with("column", name));
            }
            let takes = match column.fold {
                Fold::Once => fresh,
                Fold::Max => cell.value.is_some() && cell.value > row.get(name).cloned(),
                Fold::Min => {
                    cell.value.is_some() && row.get(name).is_none_or(|there| cell.value.as_ref() < Some(there))
                }
                Fold::Latest => match cell.version {
                    Some(version) if marks.get(name).is_none_or(|there| version > *there) => {
                        if versions.columns.get(name) != Some(&Type::Version) {
                            return Err(stale("a version column is missing")
                                .with("table", versions_table(&load.table))
                                .with("column", name));
                        }
                        marks.insert(name.to_owned(), version);
                        true
                    }
                    _ => false,
                },
            };
            match cell.value {
                _ if !takes => {}
                Some(value) => drop(row.insert(name.to_owned(), value)),
                None => drop(row.remove(name)),
            }
        }
        if stored.columns.contains_key("uuid_ts") {
            row.insert("uuid_ts".into(), Value::Timestamp(now));
        }
        Ok(())
    }

    fn table_mut(&mut self, table: &Ident) -> Result<&mut Stored> {
        self.tables.get_mut(table.as_str()).ok_or_else(|| stale("a table is missing").with("table", table))
    }
}

impl Stored {
    fn must_have(&self, load: &Load, column: &str, ty: Type) -> Result<()> {
        if self.columns.get(column) == Some(&ty) {
            return Ok(());
        }
        Err(stale("a column is missing or has another type").with("table", &load.table).with("column", column))
    }
}

/// A row of a load, read out of its batch.
struct StagedRow {
    key: String,
    /// One per column of the load.
    cells: Vec<Cell>,
}

struct Cell {
    value: Option<Value>,
    version: Option<Value>,
}

fn read_rows(load: &Load) -> Result<Vec<StagedRow>> {
    let internal = |what: &str| Error::new(ErrorKind::Internal, what).with("table", &load.table);
    let at = |index: Option<usize>, ty: Type, row: usize| match index {
        Some(index) if index < load.batch.num_columns() => Value::read(load.batch.column(index), ty, row),
        Some(_) => Err(internal("a load names a column that its batch does not have")),
        None => Ok(None),
    };
    let mut keys = BTreeSet::new();
    let mut rows = Vec::new();
    for index in 0..load.rows() {
        let Some(Value::Text(key)) = at(Some(0), Type::Text, index)? else {
            return Err(internal("a row of a load has no key"));
        };
        if !keys.insert(key.clone()) {
            return Err(internal("a load has two rows with one key"));
        }
        let mut cells = Vec::new();
        for column in &load.columns {
            let (value, version) = (at(column.values, column.ty, index)?, at(column.versions, Type::Version, index)?);
            cells.push(Cell { value, version });
        }
        rows.push(StagedRow { key, cells });
    }
    Ok(rows)
}

fn cells<const N: usize>(row: [(&str, Value); N]) -> Cells {
    row.into_iter().map(|(column, value)| (column.to_owned(), value)).collect()
}

fn stored_counts(row: &Cells) -> Counts {
    let count = |column: &str| match row.get(column) {
        Some(Value::Int(count)) => u64::try_from(*count).unwrap_or(0),
        _ => 0,
    };
    Counts {
        received: count("received"),
        loaded: count("loaded"),
        duplicates: count("duplicates"),
        filtered: count("filtered"),
        discarded: count("discarded"),
    }
}

/// What is kept of a stored number that a float cannot hold: a row of `_discards`.
fn precision_discard(
    table: &Ident,
    column: &Ident,
    event: &str,
    value: &Value,
    received_at: Option<&Value>,
) -> (String, Cells) {
    let at = if let Some(Value::Timestamp(at)) = received_at { *at } else { 0 };
    let discard =
        Discard::new(event, table.as_str(), column.as_str(), value.render().as_bytes(), Reason::Precision, at);
    let id = discard.id();
    let row = cells([
        ("id", Value::Text(id.clone())),
        ("table_name", Value::Text(discard.table)),
        ("event_id", Value::Text(discard.event_id)),
        ("column_name", Value::Text(discard.column)),
        ("value", Value::Text(discard.value)),
        ("bytes", Value::Int(i64::try_from(discard.bytes).unwrap_or(i64::MAX))),
        ("sha256", Value::Text(discard.sha256)),
        ("reason", Value::Text(discard.reason.code().into())),
        ("received_at", Value::Timestamp(discard.received_at)),
    ]);
    (id, row)
}

fn stale(what: &str) -> Error {
    Error::new(ErrorKind::SchemaMismatch, what)
}

fn broken(table: &Ident, column: &Ident) -> Error {
    Error::new(ErrorKind::SchemaBroken, "a stored value does not fit its column")
        .with("table", table)
        .with("column", column)
}

#[cfg(feature = "testing")]
#[async_trait]
impl crate::testing::Probe for Memory {
    async fn tables(&self) -> Result<Vec<String>> {
        Ok(self.state().tables.keys().cloned().collect())
    }

    async fn rows(&self, table: &str) -> Result<Vec<crate::testing::Row>> {
        let state = self.state();
        let rows = state.tables.get(table).into_iter().flat_map(|stored| stored.rows.values());
        Ok(rows.map(|row| row.iter().map(|(column, value)| (column.clone(), value.render())).collect()).collect())
    }
}

#[cfg(test)]
mod tests;
