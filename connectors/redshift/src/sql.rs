//! SQL text that only Redshift has: the catalog, sized text, staging, widening. The commit's is in [`script`].
//!
//! Redshift has no binds over the simple protocol and none that can be empty through the Data API, so values go
//! through [`literal`]. Scalar subqueries count instead of asking EXISTS where they do not stand behind WHERE, and
//! nothing that is inserted is selected from no table at all: both are forms that Redshift is known to take.

use crate::config::Keys;
use crate::types::{DIALECT, MAX_TEXT};
use std::collections::BTreeMap;
use tablecast_core::discard::{self, Discard};
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{COMMITS, KEY, LOCK, Sql, StageColumn, Value, literal};
use tablecast_core::{Ident, Type, time};

mod script;

pub(crate) use script::{Attempt, STATEMENTS as OWN_STATEMENTS, script};

pub(crate) const BEGIN: &str = "BEGIN";
pub(crate) const COMMIT: &str = "COMMIT";

/// What the names of staging tables begin with.
pub(crate) const STAGE_PREFIX: &str = "_stage_";
/// The column that takes the values of one that is widened.
pub(crate) const WIDENED: &str = "_widened";

/// The shared SQL for a schema.
pub(crate) fn sql(schema: &Ident) -> Sql<'_> {
    Sql { dialect: &DIALECT, schema: Some(schema.as_str()) }
}

/// A text as a literal.
pub(crate) fn text(value: &str) -> String {
    literal(Value::Text(value))
}

/// A point in time as a literal that no session's time zone bends.
pub(crate) fn timestamp(micros: i64) -> String {
    let text = time::format(micros);
    format!("'{}+00'::timestamptz", text.trim_end_matches('Z').replace('T', " "))
}

/// Fails, by dividing by zero, unless the condition holds: the Data API cannot branch.
fn demand(condition: &str) -> String {
    format!("SELECT 1 / CASE WHEN {condition} THEN 1 ELSE 0 END")
}

// settings of a connection

/// How long a statement may take, waiting included.
pub(crate) fn set_timeout(seconds: u32) -> String {
    format!("SET statement_timeout TO {}", u64::from(seconds) * 1_000)
}

/// Which queue takes the statements.
pub(crate) fn set_query_group(group: &str) -> String {
    format!("SET query_group TO {}", plain(group))
}

/// A text between quotes, for statements that take no expression.
fn plain(value: &str) -> String {
    let safe: String = value.chars().filter(|c| !c.is_control() && *c != '\\').collect();
    format!("'{}'", safe.replace('\'', "''"))
}

// the catalog

/// Table, what it is, column, type, length, precision and scale of some tables.
pub(crate) fn columns(schema: &Ident, tables: &[&Ident]) -> String {
    let names: Vec<String> = tables.iter().map(|table| text(table.as_str())).collect();
    format!(
        "SELECT c.table_name, t.table_type, c.column_name, c.data_type, c.character_maximum_length, c.numeric_precision, c.numeric_scale \
         FROM information_schema.columns AS c INNER JOIN information_schema.tables AS t \
         ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE c.table_schema = {} AND c.table_name IN ({})",
        text(schema.as_str()),
        names.join(", ")
    )
}

/// The names of all tables.
pub(crate) fn tables(schema: &Ident) -> String {
    format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_type = 'BASE TABLE'",
        text(schema.as_str())
    )
}

/// How many columns each table has.
pub(crate) fn widths(schema: &Ident) -> String {
    format!(
        "SELECT table_name, COUNT(*) FROM information_schema.columns WHERE table_schema = {} GROUP BY table_name",
        text(schema.as_str())
    )
}

/// Whether the schema is there: its name, or no row.
pub(crate) fn schema_there(schema: &Ident) -> String {
    format!(
        "SELECT schema_name FROM svv_redshift_schemas WHERE database_name = current_database() AND schema_name = {}",
        text(schema.as_str())
    )
}

/// Whether this user may make schemas: `true` or `false`.
pub(crate) const MAY_CREATE_SCHEMA: &str =
    "SELECT CASE WHEN has_database_privilege(current_database(), 'CREATE') THEN 'true' ELSE 'false' END";

/// Whether this user may make tables in the schema: `true` or `false`.
pub(crate) fn may_create_table(schema: &Ident) -> String {
    format!("SELECT CASE WHEN has_schema_privilege({}, 'CREATE') THEN 'true' ELSE 'false' END", text(schema.as_str()))
}

/// What its owner has to run so that it can be loaded into.
pub(crate) fn grant_schema(schema: &Ident) -> String {
    format!("GRANT USAGE, CREATE ON SCHEMA {} TO the user", (DIALECT.quote)(schema.as_str()))
}

/// Whom the warehouse takes us for, and where.
pub(crate) const WHO: &str = "SELECT current_user, current_database()";

/// All rows of the guard: there must be one.
pub(crate) fn versions(sql: &Sql<'_>) -> String {
    sql.schema_version()
}

// the schema

pub(crate) fn create_schema(schema: &Ident) -> String {
    format!("CREATE SCHEMA IF NOT EXISTS {}", (DIALECT.quote)(schema.as_str()))
}

/// A column's type; text of so many bytes.
fn declared(ty: Type, bytes: Option<usize>) -> String {
    match (ty, bytes) {
        (Type::Text | Type::Json, Some(bytes)) => format!("VARCHAR({bytes})"),
        _ => (DIALECT.type_name)(ty).to_owned(),
    }
}

/// What the columns of one CREATE TABLE may take, and what a column takes beside its name: the Data API has 100 KB
/// for a statement.
const CREATE_BYTES: usize = 90_000;
const COLUMN_BYTES: usize = 24;

/// Makes a table unless it is there; columns whose names make the statement too long are added behind it. `sizes`
/// are the bytes of text columns that are not of the smallest size.
pub(crate) fn create_table(
    sql: &Sql<'_>,
    table: &Ident,
    kind: TableKind,
    columns: &[(Ident, Type)],
    sizes: &BTreeMap<(Ident, Ident), usize>,
    keys: Keys,
) -> Vec<String> {
    let own = kind == TableKind::System || table == discard::TABLE;
    let bytes = |column: &Ident| {
        let asked = sizes.get(&(table.clone(), column.clone())).copied();
        if own { Some(MAX_TEXT) } else { asked }
    };
    let mut taken = 0;
    let fits = |(name, _): &&(Ident, Type)| {
        taken += name.as_str().len() + COLUMN_BYTES;
        taken <= CREATE_BYTES
    };
    let (first, rest) = columns.split_at(columns.iter().take_while(fits).count());
    let definition =
        |(name, ty): &(Ident, Type)| format!("{} {}", sql.quote(name.as_str()), declared(*ty, bytes(name)));
    let definitions: Vec<String> = first.iter().map(definition).collect();
    let has = |wanted: &str| first.iter().any(|(name, _)| name == wanted);
    let layout = match keys {
        Keys::Segment if has(KEY) && has("received_at") => " DISTKEY(\"id\") SORTKEY(\"received_at\")",
        Keys::Segment if has(KEY) && table != LOCK => " DISTKEY(\"id\")",
        _ => "",
    };
    let create =
        format!("CREATE TABLE IF NOT EXISTS {} ({}){layout}", sql.table(table.as_str()), definitions.join(", "));
    let more = rest.iter().map(|(name, ty)| add_column(sql, table, name.as_str(), *ty, bytes(name)));
    std::iter::once(create).chain(more).collect()
}

/// Appends a column.
pub(crate) fn add_column(sql: &Sql<'_>, table: &Ident, column: &str, ty: Type, bytes: Option<usize>) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {}", sql.table(table.as_str()), sql.quote(column), declared(ty, bytes))
}

/// Makes a text column larger. Redshift does not take it in a transaction.
pub(crate) fn grow(sql: &Sql<'_>, table: &Ident, column: &Ident, bytes: usize) -> String {
    format!(
        "ALTER TABLE {} ALTER COLUMN {} TYPE VARCHAR({bytes})",
        sql.table(table.as_str()),
        sql.quote(column.as_str())
    )
}

/// Takes the guard: before anything that looks at a table, so that what it sees is what the last writer left.
pub(crate) fn lock(sql: &Sql<'_>) -> String {
    format!("LOCK {}", sql.table(LOCK))
}

fn has_version(sql: &Sql<'_>, version: i64) -> String {
    let (lock, number) = (sql.table(LOCK), sql.quote("schema_version"));
    format!(
        "(SELECT COUNT(*) FROM {lock}) = 1 AND (SELECT COUNT(*) FROM {lock} WHERE {number} = {}) = 1",
        literal(Value::Number(version.into()))
    )
}

// widening

/// A column that gets another type.
pub(crate) struct Widening<'a> {
    pub(crate) table: &'a Ident,
    pub(crate) column: &'a Ident,
    pub(crate) from: Type,
    pub(crate) to: Type,
    /// For text.
    pub(crate) bytes: Option<usize>,
}

/// Turns a column into another type, in one transaction: add, copy, drop, rename. `version` is the schema's, `large`
/// how many of its numbers were looked at because a float may not hold them; `leftover` says that an older
/// copy is in the way.
pub(crate) fn widen(
    sql: &Sql<'_>,
    widening: &Widening<'_>,
    version: i64,
    large: Option<usize>,
    leftover: bool,
) -> Vec<String> {
    let Widening { table, column, from, to, bytes } = widening;
    let (target, old, new) = (sql.table(table.as_str()), sql.quote(column.as_str()), sql.quote(WIDENED));
    let mut condition = has_version(sql, version);
    if let Some(large) = large {
        condition.push_str(&format!(" AND (SELECT COUNT(*) FROM {target} WHERE {}) = {large}", is_large(&old, *from)));
    }
    let mut statements = vec![lock(sql), demand(&condition)];
    if leftover {
        statements.push(format!("ALTER TABLE {target} DROP COLUMN {new}"));
    }
    statements.push(add_column(sql, table, WIDENED, *to, *bytes));
    let update = format!("UPDATE {target} SET {new} = {} WHERE {old} IS NOT NULL", converted(&old, *from, *to));
    if (*from, *to) == (Type::Float, Type::Text) {
        // With 15 digits, then 16, then 17: the first that reads back as the same number has the fewest. (Numbers
        // below 1e-307 have fewer than 15; those that they get are right too.)
        let reads_back = format!("CAST(CAST({old} AS VARCHAR(64)) AS DOUBLE PRECISION) = {old}");
        for (more, condition) in [(0, &*reads_back), (1, &*reads_back), (2, "1 = 1")] {
            statements.push(format!("SET extra_float_digits TO {more}"));
            statements.push(format!("{update} AND {new} IS NULL AND {condition}"));
        }
    } else {
        statements.push(update);
    }
    statements.extend([
        format!("ALTER TABLE {target} DROP COLUMN {old}"),
        format!("ALTER TABLE {target} RENAME COLUMN {new} TO {old}"),
        sql.raise(),
    ]);
    statements
}

/// The value of a column as another type; text in the one form that the core writes.
fn converted(column: &str, from: Type, to: Type) -> String {
    match (from, to) {
        (Type::Int | Type::Decimal, Type::Float) => format!("CAST({column} AS DOUBLE PRECISION)"),
        (Type::Int, Type::Decimal) => format!("CAST({column} AS NUMERIC(38,0))"),
        (Type::Boolean, Type::Text) => format!("CASE WHEN {column} THEN 'true' ELSE 'false' END"),
        (Type::Timestamp, Type::Text) => time_text(column),
        (Type::Float, Type::Text) => float_text(column),
        (Type::Int | Type::Decimal | Type::Version, Type::Text) => format!("CAST({column} AS VARCHAR(64))"),
        _ => column.to_owned(),
    }
}

/// `2026-01-31T23:59:59.000000Z`
fn time_text(column: &str) -> String {
    format!("TO_CHAR({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
}

/// A float as the core writes it. Redshift leaves out `.0`, pads exponents, and turns to them a digit sooner at both
/// ends (from 1e15, and below 1e-4).
fn float_text(column: &str) -> String {
    let cast = format!("CAST({column} AS VARCHAR(64))");
    let mantissa = format!("SPLIT_PART({cast}, 'e', 1)");
    let power = format!("CASE WHEN STRPOS({cast}, 'e') = 0 THEN '0' ELSE SPLIT_PART({cast}, 'e', 2) END");
    let power = format!("CAST({power} AS INTEGER)");
    let digits = format!("REPLACE(REPLACE({mantissa}, '.', ''), '-', '')");
    let sign = format!("CASE WHEN {column} < 0 THEN '-' ELSE '' END");
    format!(
        "CASE WHEN STRPOS({cast}, 'e') = 0 AND STRPOS({cast}, '.') > 0 THEN {cast} \
         WHEN STRPOS({cast}, 'e') = 0 THEN {cast} || '.0' \
         WHEN {power} = 15 THEN {sign} || SUBSTRING(RPAD({digits}, 16, '0'), 1, 16) || '.' || \
         CASE WHEN LENGTH({digits}) > 16 THEN SUBSTRING({digits}, 17) ELSE '0' END \
         WHEN {power} = -5 THEN {sign} || '0.0000' || {digits} \
         ELSE {mantissa} || CASE WHEN {power} > 0 THEN 'e+' ELSE 'e' END || CAST({power} AS VARCHAR(8)) END"
    )
}

/// Whether a whole number may not be one of a float's: sure for 64 bits, which are odd multiples of less than what a
/// float of that size steps by; for more digits whoever is large is looked at.
fn is_large(column: &str, from: Type) -> String {
    let beyond = |power: u32| format!("({column} > {0} OR {column} < -{0})", 1_i64 << power);
    if from != Type::Int {
        return beyond(53);
    }
    let steps: Vec<String> =
        (53..=62).rev().map(|power| format!("WHEN {} THEN {}", beyond(power), 1_i64 << (power - 52))).collect();
    format!("MOD({column}, CASE {} ELSE 1 END) <> 0", steps.join(" "))
}

/// The rows whose number a float may not hold: key, digits, when it was received.
pub(crate) fn large(sql: &Sql<'_>, table: &Ident, column: &Ident, from: Type, has_received_at: bool) -> String {
    let (old, id) = (sql.quote(column.as_str()), sql.quote(KEY));
    let received_at = if has_received_at { time_text(&sql.quote("received_at")) } else { "NULL".into() };
    format!(
        "SELECT {id}, CAST({old} AS VARCHAR(64)), {received_at} FROM {} WHERE {}",
        sql.table(table.as_str()),
        is_large(&old, from)
    )
}

/// Inserts rows of `_discards`, without a commit, unless they are there.
pub(crate) fn insert_discards(sql: &Sql<'_>, discards: &[Discard]) -> String {
    let names: Vec<String> = discard::COLUMNS.iter().map(|(name, _)| sql.quote(name)).collect();
    let rows: Vec<String> = discards
        .iter()
        .map(|discard| {
            let bytes = literal(Value::Number(discard.bytes.into()));
            let text = |value: &str| format!("CAST({} AS VARCHAR({MAX_TEXT}))", text(value));
            let values = [
                text(&discard.id()),
                format!("CAST(NULL AS VARCHAR({MAX_TEXT}))"),
                text(&discard.table),
                text(&discard.event_id),
                text(&discard.column),
                text(&discard.value),
                format!("CAST({bytes} AS BIGINT)"),
                text(&discard.sha256),
                text(discard.reason.code()),
                timestamp(discard.received_at),
            ];
            let columns: Vec<String> =
                values.iter().zip(&names).map(|(value, name)| format!("{value} AS {name}")).collect();
            format!("SELECT {} FROM {}", columns.join(", "), sql.table(LOCK))
        })
        .collect();
    let (target, key) = (sql.table(discard::TABLE), sql.quote(KEY));
    let values: Vec<String> = names.iter().map(|name| format!("_n.{name}")).collect();
    format!(
        "INSERT INTO {target} ({}) SELECT {} FROM ({}) AS _n LEFT JOIN {target} ON {}.{key} = _n.{key} WHERE {}.{key} IS NULL",
        names.join(", "),
        values.join(", "),
        rows.join(" UNION ALL "),
        sql.quote(discard::TABLE),
        sql.quote(discard::TABLE),
    )
}

// staging

/// Makes a staging table; `bytes` are the sizes of its text columns.
pub(crate) fn create_stage(stage: &str, columns: &[(StageColumn, Option<usize>)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|(column, bytes)| format!("{} {}", (DIALECT.quote)(&column.name), declared(column.ty, *bytes)))
        .collect();
    format!("CREATE TABLE {stage} ({})", columns.join(", "))
}

/// Loads the files that a manifest names.
pub(crate) fn copy(stage: &str, columns: &[&str], manifest: &str, role: &str, region: Option<&str>) -> String {
    let columns: Vec<String> = columns.iter().map(|column| (DIALECT.quote)(column)).collect();
    let role = if role == "default" { "default".to_owned() } else { plain(role) };
    let region = region.map(|region| format!(" REGION {}", plain(region))).unwrap_or_default();
    format!(
        "COPY {stage} ({}) FROM {} IAM_ROLE {role} FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto' MANIFEST{region} \
         COMPUPDATE OFF STATUPDATE OFF",
        columns.join(", "),
        plain(manifest)
    )
}

/// Drops tables that may be there.
pub(crate) fn drop_tables(tables: &[String]) -> String {
    format!("DROP TABLE IF EXISTS {}", tables.join(", "))
}

/// Why COPY refused files below a prefix: file, line, column, code, reason.
pub(crate) fn load_errors(prefix: &str) -> String {
    format!(
        "SELECT TRIM(file_name), line_number, TRIM(column_name), error_code, TRIM(error_message) \
         FROM sys_load_error_detail WHERE file_name LIKE {} LIMIT 1",
        plain(&format!("{prefix}%"))
    )
}

// the ledger

/// What the ledger has of a commit: as [`Sql::ledger_select`], and whose attempt it was.
pub(crate) fn ledger(sql: &Sql<'_>, commit: &str) -> String {
    let columns: Vec<String> = ["table_name", "received", "loaded", "duplicates", "filtered", "discarded", "nonce"]
        .map(|name| sql.quote(name))
        .into();
    format!(
        "SELECT {} FROM {} WHERE {} = {}",
        columns.join(", "),
        sql.table(COMMITS),
        sql.quote("commit_id"),
        text(commit)
    )
}

// for tests

/// A float as two whose sum it is: Redshift writes 15 digits, and what they leave out has few.
#[cfg(feature = "testing")]
fn float_parts(column: &str) -> String {
    let cast = |value: &str| format!("CAST({value} AS VARCHAR(64))");
    let (whole, rest) = (cast(column), format!("{column} - CAST({} AS DOUBLE PRECISION)", cast(column)));
    // Rounding may go beyond the greatest of all floats.
    format!("CASE WHEN ABS({column}) < 1e300 THEN {whole} || ' ' || {} ELSE {whole} END", cast(&rest))
}

/// All rows of a table: text as it is, times in the core's form, the rest as Redshift writes it.
#[cfg(feature = "testing")]
pub(crate) fn select(sql: &Sql<'_>, table: &Ident, columns: &[(&Ident, &tablecast_core::LiveType)]) -> String {
    use tablecast_core::LiveType::Known;
    let columns: Vec<String> = columns
        .iter()
        .map(|(name, ty)| {
            let column = sql.quote(name.as_str());
            match ty {
                Known(Type::Boolean) => {
                    format!("CASE WHEN {column} THEN 'true' WHEN NOT {column} THEN 'false' ELSE NULL END")
                }
                Known(Type::Timestamp) => time_text(&column),
                Known(Type::Decimal | Type::Version | Type::Int) => format!("CAST({column} AS VARCHAR(64))"),
                Known(Type::Float) => float_parts(&column),
                _ => column,
            }
        })
        .collect();
    format!("SELECT {} FROM {}", columns.join(", "), sql.table(table.as_str()))
}

/// A table that is gone with the connection, and a file for it.
pub(crate) fn try_copy(manifest: &str, role: &str, region: Option<&str>) -> [String; 2] {
    let stage = "\"_stage_check\"";
    [format!("CREATE TEMP TABLE {stage} (\"k\" VARCHAR(64))"), copy(stage, &["k"], manifest, role, region)]
}

#[cfg(test)]
mod tests;
