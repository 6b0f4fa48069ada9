//! SQL text that only SQLite has: pragmas, the catalog, insertion with a conflict clause, widening.

use crate::config::{Mode, Options};
use crate::types::DIALECT;
use tablecast_core::sql::{self as shared, KEY, STAMP, Sql};
use tablecast_core::{Ident, Load, Type, discard};

/// The shared SQL, for the one schema that a file is.
pub(crate) const SQL: Sql<'static> = Sql { dialect: &DIALECT, schema: None };

pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(crate) const SNAPSHOT: &str = "BEGIN";
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";
pub(crate) const USE_WAL: &str = "PRAGMA journal_mode = WAL";
pub(crate) const JOURNAL: &str = "PRAGMA journal_mode";
pub(crate) const QUICK_CHECK: &str = "PRAGMA quick_check(1)";
/// What a name is: `table` or `view`, and the statement that made it.
pub(crate) const OBJECT: &str =
    "SELECT type, sql FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')";
/// Name, declared type, and whether it is generated (2, 3) or hidden (1).
pub(crate) const COLUMNS: &str = "SELECT name, type, hidden FROM pragma_table_xinfo(?1)";
/// All tables, SQLite's own excluded.
pub(crate) const TABLES: &str =
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

/// A random number that tells attempts apart, in hex.
pub(crate) const NONCE: &str = "lower(hex(randomblob(16)))";

/// The nearest float of a whole number.
pub(crate) const FLOAT: &str = "tablecast_float";
/// Whether a float holds a whole number exactly.
pub(crate) const EXACT: &str = "tablecast_exact";
/// The canonical text of a float; SQLite's own CAST prints 15 digits.
pub(crate) const FLOAT_TEXT: &str = "tablecast_float_text";

/// What every connection is set to.
pub(crate) fn pragmas(options: &Options) -> String {
    let mut text = format!(
        "PRAGMA synchronous = {}; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;",
        options.synchronous.as_str()
    );
    if let (Some(pages), Mode::Rw) = (options.max_page_count, options.mode) {
        text.push_str(&format!(" PRAGMA max_page_count = {pages};"));
    }
    text
}

/// The key of a table that is loaded. SQLite takes NULL in a key that is not an integer.
pub(crate) fn key(columns: &[&str]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| SQL.quote(column)).collect();
    format!("PRIMARY KEY ({})", columns.join(", "))
}

/// Inserts a row unless its key is there; `?1` is the key, the last parameter the time of the commit.
pub(crate) fn insert(load: &Load) -> String {
    let mut names: Vec<String> = load
        .columns
        .iter()
        .filter(|column| column.values.is_some())
        .map(|column| SQL.quote(column.name.as_str()))
        .collect();
    if shared::is_stamped(load) {
        names.push(SQL.quote(STAMP));
    }
    let (table, names, values, key) =
        (SQL.table(load.table.as_str()), names.join(", "), parameters(names.len()), SQL.quote(KEY));
    format!("INSERT INTO {table} ({names}) VALUES ({values}) ON CONFLICT ({key}) DO NOTHING")
}

/// Fills the empty cells of the row with the key `?1`; the parameters are those of [`insert`], without the time. None if
/// the load has nothing but keys.
pub(crate) fn fill(load: &Load) -> Option<String> {
    let columns = load.columns.iter().filter(|column| column.values.is_some());
    let set = |(at, name): (usize, String)| format!("{name} = coalesce({name}, ?{})", at + 1);
    let names = columns.map(|column| SQL.quote(column.name.as_str()));
    let sets: Vec<String> = names.enumerate().skip(1).map(set).collect();
    let (table, key) = (SQL.table(load.table.as_str()), SQL.quote(KEY));
    (!sets.is_empty()).then(|| format!("UPDATE {table} SET {} WHERE {key} = ?1", sets.join(", ")))
}

/// Whether a row with the key `?1` is there.
pub(crate) fn exists(table: &Ident) -> String {
    format!("SELECT 1 FROM {} WHERE {} = ?1", SQL.table(table.as_str()), SQL.quote(KEY))
}

/// Makes a staging table; it is this connection's own.
pub(crate) fn create_stage(stage: &str, columns: &[shared::StageColumn]) -> String {
    SQL.create_stage("CREATE TEMP TABLE", stage, columns)
}

/// The name of a staging table, rendered. No other connection sees it, so the ordinal is enough.
pub(crate) fn stage_name(group: usize) -> String {
    format!("temp.{}", SQL.quote(&format!("_stage_{group}")))
}

/// Inserts a staged row.
pub(crate) fn insert_stage(stage: &str, columns: usize) -> String {
    format!("INSERT INTO {stage} VALUES ({})", parameters(columns))
}

/// Drops a staging table.
pub(crate) fn drop_stage(stage: &str) -> String {
    format!("DROP TABLE {stage}")
}

/// Turns a column into another type: add, copy, drop, rename.
pub(crate) fn widen(table: &Ident, column: &Ident, from: Type, to: Type) -> [String; 4] {
    let copy = "_widened";
    let (target, old, new) = (SQL.table(table.as_str()), SQL.quote(column.as_str()), SQL.quote(copy));
    let value = match (from, to) {
        (Type::Boolean, Type::Text) => {
            format!("CASE {old} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE CAST({old} AS TEXT) END")
        }
        (Type::Float, Type::Text) => format!("{FLOAT_TEXT}({old})"),
        (Type::Int, Type::Text | Type::Decimal) => format!("CAST({old} AS TEXT)"),
        (Type::Int | Type::Decimal, Type::Float) => format!("{FLOAT}({old})"),
        _ => old.clone(),
    };
    [
        SQL.add_column(table.as_str(), copy, to),
        format!("UPDATE {target} SET {new} = {value} WHERE {old} IS NOT NULL"),
        format!("ALTER TABLE {target} DROP COLUMN {old}"),
        format!("ALTER TABLE {target} RENAME COLUMN {new} TO {old}"),
    ]
}

/// The rows whose number a float cannot hold: key, digits, when it was received.
pub(crate) fn bent(table: &Ident, column: &Ident, has_received_at: bool) -> String {
    let (target, column, id) = (SQL.table(table.as_str()), SQL.quote(column.as_str()), SQL.quote(KEY));
    let received_at = if has_received_at { SQL.quote("received_at") } else { "NULL".into() };
    format!("SELECT {id}, CAST({column} AS TEXT), {received_at} FROM {target} WHERE NOT {EXACT}({column})")
}

/// Inserts a row of `_discards`, without a commit, unless it is there.
pub(crate) fn insert_discard() -> String {
    let names: Vec<String> = discard::COLUMNS.iter().map(|(name, _)| SQL.quote(name)).collect();
    let (table, key) = (SQL.table(discard::TABLE), SQL.quote(KEY));
    format!(
        "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({key}) DO NOTHING",
        names.join(", "),
        parameters(names.len())
    )
}

/// All rows of a table.
#[cfg(feature = "testing")]
pub(crate) fn select(table: &str, columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| SQL.quote(column)).collect();
    format!("SELECT {} FROM {}", columns.join(", "), SQL.table(table))
}

/// The first `?1` rows of a table.
pub(crate) fn select_first(table: &str, columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| SQL.quote(column)).collect();
    format!("SELECT {} FROM {} LIMIT ?1", columns.join(", "), SQL.table(table))
}

/// `?1, ?2, …`
pub(crate) fn parameters(count: usize) -> String {
    let all: Vec<String> = (1..=count).map(|nth| format!("?{nth}")).collect();
    all.join(", ")
}
