//! SQL text that only Snowflake has: stages, staging, the guard, DDL, changes of a type. Texts that come from outside are
//! bound, names and the program's own words go through [`literal`].

use crate::config::{Encryption, Names, Place};
use crate::types::dialect;
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{self as shared, COMMITS, KEY, LEDGER, LOCK, Sql, StageColumn, Value, literal};
use tablecast_core::{Counts, Ident, Load, Type, time};

mod setup;

pub(crate) use setup::set_up;

pub(crate) const BEGIN: &str = "BEGIN TRANSACTION";
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";
/// A statement that reads nothing.
pub(crate) const ONE: &str = "SELECT 1";

/// What the names of staging tables begin with.
pub(crate) const STAGE_PREFIX: &str = "_stage_";
/// The column that a type changes into, and what the old one is called before it goes.
pub(crate) const WIDENED: &str = "_widened";
pub(crate) const REPLACED: &str = "_replaced";
/// The column of `_lock` that every commit writes its nonce into.
pub(crate) const TAKEN_BY: &str = "taken_by";
/// The column of `_lock` with the time of the last commit, µs since 1970: no two have the same.
pub(crate) const STAMPED: &str = "stamped";
/// The stages: Snowflake's own, and one that stands for a place of the user's.
const INTERNAL: &str = "_tablecast";
const EXTERNAL: &str = "_tablecast_external";
/// Columns that one statement makes.
const COLUMNS_AT_ONCE: usize = 2_000;
/// Whole numbers up to this are floats exactly.
const EXACT: i64 = 1 << 53;

/// Writes SQL for one schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) sql: Sql<'a>,
    schema: &'a str,
    external: bool,
}

/// A row of the ledger as it will be.
pub(crate) struct Entry {
    pub(crate) table: Ident,
    pub(crate) counts: Counts,
    pub(crate) duration_ms: u64,
}

/// What all rows of a commit have in common.
pub(crate) struct Attempt<'a> {
    pub(crate) id: &'a str,
    pub(crate) source: &'a str,
    pub(crate) nonce: &'a str,
    /// The time of the commit, µs since 1970.
    pub(crate) stamp: i64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(schema: &'a str, names: Names, external: bool) -> Writer<'a> {
        Writer { sql: Sql { dialect: dialect(names), schema: Some(schema) }, schema, external }
    }

    /// A name as the catalog has it.
    pub(crate) fn folded(&self, name: &str) -> String {
        let quoted = self.sql.quote(name);
        quoted.trim_matches('"').to_owned()
    }

    /// The name that the planner knows a name of the catalog by, if it can be one of ours.
    pub(crate) fn unfolded(&self, name: &str) -> Option<Ident> {
        let lower = name.to_ascii_lowercase();
        (self.folded(&lower) == name).then(|| Ident::new(lower))
    }

    fn quoted_schema(&self) -> String {
        self.sql.quote(self.schema)
    }

    fn folded_text(&self, name: &str) -> String {
        literal(Value::Text(&self.folded(name)))
    }

    // the catalog

    /// Table, what it is, column, type, precision, scale and length of some tables.
    pub(crate) fn columns(&self, tables: &[Ident]) -> String {
        let names: Vec<String> = tables.iter().map(|table| self.folded_text(table.as_str())).collect();
        let schema = self.folded_text(self.schema);
        format!(
            "SELECT c.table_name, t.table_type, c.column_name, c.data_type, c.numeric_precision, c.numeric_scale, \
             c.character_maximum_length FROM information_schema.columns AS c INNER JOIN information_schema.tables AS t \
             ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
             WHERE c.table_schema = {schema} AND t.table_schema = {schema} AND c.table_name IN ({})",
            names.join(", ")
        )
    }

    /// The names of all tables.
    pub(crate) fn tables(&self) -> String {
        format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_type = 'BASE TABLE'",
            self.folded_text(self.schema)
        )
    }

    /// Whether the schema is there: its name, or no row.
    pub(crate) fn schema_there(&self) -> String {
        format!(
            "SELECT schema_name FROM information_schema.schemata WHERE schema_name = {}",
            self.folded_text(self.schema)
        )
    }

    // the stage

    fn stage(&self) -> String {
        self.sql.table(if self.external { EXTERNAL } else { INTERNAL })
    }

    /// Makes the internal stage, unless it is there.
    pub(crate) fn create_stage(&self, encryption: Encryption) -> String {
        let kind = match encryption {
            Encryption::Full => "SNOWFLAKE_FULL",
            Encryption::Sse => "SNOWFLAKE_SSE",
        };
        format!("CREATE STAGE IF NOT EXISTS {} ENCRYPTION = (TYPE = '{kind}')", self.stage())
    }

    /// Makes the stage that stands for a place of the user's, or leads it there.
    pub(crate) fn create_external_stage(&self, place: &Place) -> String {
        // Checked for signs that SQL could take for something else.
        let Place { url, integration, .. } = place;
        format!("CREATE OR REPLACE STAGE {} URL = '{url}' STORAGE_INTEGRATION = {integration}", self.stage())
    }

    /// Asks where a file of the stage can be uploaded to. No file of this name is read, here or there.
    pub(crate) fn put(&self, folder: &str, file: &str) -> String {
        format!("PUT 'file:///{file}' @{}/{folder} AUTO_COMPRESS = FALSE OVERWRITE = TRUE", self.stage())
    }

    /// Removes the files of a folder.
    pub(crate) fn remove(&self, folder: &str) -> String {
        format!("REMOVE @{}/{folder}/", self.stage())
    }

    /// Lists all files.
    pub(crate) fn list(&self) -> String {
        format!("LIST @{}", self.stage())
    }

    /// Makes a staging table. JSON is text in it: a value that cannot be read must not stop the others.
    pub(crate) fn create_staging(&self, table: &str, columns: &[StageColumn]) -> String {
        let ty = |column: &StageColumn| if column.ty == Type::Json { Type::Text } else { column.ty };
        let columns: Vec<StageColumn> =
            columns.iter().map(|column| StageColumn { ty: ty(column), ..column.clone() }).collect();
        let create = self.sql.create_stage("CREATE TRANSIENT TABLE", table, &columns);
        format!("{create} DATA_RETENTION_TIME_IN_DAYS = 0")
    }

    /// Fills a staging table from the files of a folder.
    pub(crate) fn copy(&self, table: &str, columns: &[StageColumn], folder: &str) -> String {
        let names: Vec<String> = columns.iter().map(|column| self.sql.quote(&column.name)).collect();
        let cell = |column: &StageColumn| {
            let ty = if column.ty == Type::Json { Type::Text } else { column.ty };
            format!("$1:{}::{}", file_column(&column.name), (self.sql.dialect.type_name)(ty))
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        // Without an empty NULL_IF the text \N would be none.
        format!(
            "COPY INTO {table} ({}) FROM (SELECT {} FROM @{}/{folder}/) \
             FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE NULL_IF = ()) ON_ERROR = ABORT_STATEMENT",
            names.join(", "),
            cells.join(", "),
            self.stage()
        )
    }

    /// A staging table as the shared SQL reads it: JSON is read here; what is none stays a text.
    pub(crate) fn source(&self, table: &str, columns: &[StageColumn]) -> String {
        if columns.iter().all(|column| column.ty != Type::Json) {
            return table.to_owned();
        }
        let cell = |column: &StageColumn| {
            let name = self.sql.quote(&column.name);
            if column.ty == Type::Json {
                format!("COALESCE(TRY_PARSE_JSON({name}), TO_VARIANT({name})) AS {name}")
            } else {
                name
            }
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        format!("(SELECT {} FROM {table})", cells.join(", "))
    }

    /// Drops a staging table.
    pub(crate) fn drop_table(&self, table: &str) -> String {
        format!("DROP TABLE IF EXISTS {table}")
    }

    // the commit

    /// Takes the guard, if the schema has the version that was planned for and no change is under way, and gives the
    /// commit a time that no other has. Binds the nonce.
    pub(crate) fn guard(&self, planned: i64, now: i64) -> String {
        let (taken_by, stamped) = (self.sql.quote(TAKEN_BY), self.sql.quote(STAMPED));
        format!(
            "UPDATE {} SET {taken_by} = ?, {stamped} = CASE WHEN {stamped} >= {now} THEN {stamped} + 1 ELSE {now} END \
             WHERE {} = {} AND {} IS NULL",
            self.sql.table(LOCK),
            self.sql.quote("schema_version"),
            literal(Value::Number(planned.into())),
            self.sql.quote("changing")
        )
    }

    /// Takes the guard whatever the schema's version is. Binds the nonce.
    pub(crate) fn take(&self) -> String {
        format!(
            "UPDATE {} SET {} = ? WHERE {} IS NOT NULL",
            self.sql.table(LOCK),
            self.sql.quote(TAKEN_BY),
            self.sql.quote(KEY)
        )
    }

    /// Reads the guard: version, entry of the journal, who has taken it, time of the last commit.
    pub(crate) fn lock(&self) -> String {
        let columns = ["schema_version", "changing", TAKEN_BY, STAMPED].map(|name| self.sql.quote(name));
        format!("SELECT {} FROM {}", columns.join(", "), self.sql.table(LOCK))
    }

    /// What the ledger has of a commit: table, counts, nonce. Binds the commit's id.
    pub(crate) fn ledger(&self) -> String {
        let columns = ["table_name", "received", "loaded", "duplicates", "filtered", "discarded", "nonce"];
        let columns: Vec<String> = columns.iter().map(|name| self.sql.quote(name)).collect();
        format!(
            "SELECT {} FROM {} WHERE {} = ?",
            columns.join(", "),
            self.sql.table(COMMITS),
            self.sql.quote("commit_id")
        )
    }

    /// Writes the ledger's rows of a commit. Binds, for each row, what [`ledger_binds`](Writer::ledger_binds) has.
    pub(crate) fn ledger_rows(&self, attempt: &Attempt<'_>, entries: &[Entry]) -> String {
        let columns: Vec<String> = LEDGER.map(|name| self.sql.quote(name)).into();
        let number = |number: u64| literal(Value::Number(number.into()));
        let row = |entry: &Entry| {
            let Counts { received, loaded, duplicates, filtered, discarded } = entry.counts;
            let values = [
                "?".to_owned(),
                "?".to_owned(),
                timestamp(attempt.stamp),
                "?".to_owned(),
                number(received),
                number(loaded),
                number(duplicates),
                number(filtered),
                number(discarded),
                number(entry.duration_ms),
                "?".to_owned(),
                literal(Value::Text(env!("CARGO_PKG_VERSION"))),
            ];
            format!("SELECT {}", values.join(", "))
        };
        let rows: Vec<String> = entries.iter().map(row).collect();
        format!("INSERT INTO {} ({}) {}", self.sql.table(COMMITS), columns.join(", "), rows.join(" UNION ALL "))
    }

    /// The texts that [`ledger_rows`](Writer::ledger_rows) binds.
    pub(crate) fn ledger_binds<'b>(attempt: &Attempt<'b>, entries: &'b [Entry]) -> Vec<&'b str> {
        entries.iter().flat_map(|entry| [attempt.id, entry.table.as_str(), attempt.source, attempt.nonce]).collect()
    }

    /// Counts staging tables, in one statement: ordinal, rows, distinct keys.
    pub(crate) fn count_stages(&self, tables: &[&str]) -> String {
        let key = self.sql.quote("k");
        let count = |(nth, table): (usize, &&str)| {
            format!("SELECT {nth} AS nth, COUNT(*) AS rows_there, COUNT(DISTINCT {key}) AS keys_there FROM {table}")
        };
        tables.iter().enumerate().map(count).collect::<Vec<_>>().join(" UNION ALL ")
    }

    /// The statements that load one table's staged rows.
    pub(crate) fn load(
        &self,
        load: &Load,
        groups: &[Vec<usize>],
        stages: &[String],
        stamp: i64,
        within: Option<(i64, i64)>,
    ) -> Vec<String> {
        let stamp = shared::is_stamped(load).then(|| timestamp(stamp));
        match load.kind {
            TableKind::Append => {
                let within = within.map(|(from, to)| (timestamp(from), timestamp(to)));
                let within = within.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
                self.sql.append(load, groups, stages, stamp.as_deref(), within)
            }
            TableKind::Merge | TableKind::Versions | TableKind::System => {
                self.sql.merge(load, groups, stages, stamp.as_deref())
            }
        }
    }

    /// Counts the staged keys that a table has.
    pub(crate) fn count_present(&self, load: &Load, stage: &str, within: Option<(i64, i64)>) -> String {
        let within = within.map(|(from, to)| (timestamp(from), timestamp(to)));
        let within = within.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
        self.sql.count_present(load, stage, within)
    }

    // the schema

    /// Makes the schema the session's own: fakesnow copies into no other.
    pub(crate) fn use_schema(&self) -> String {
        format!("USE SCHEMA {}", self.quoted_schema())
    }

    pub(crate) fn create_schema(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {}", self.quoted_schema())
    }

    /// What its owner has to run so that the schema can be loaded into.
    pub(crate) fn grant_schema(&self, database: &str, role: &str) -> String {
        let schema = format!("{}.{}", tablecast_core::dialect::double_quoted(database), self.quoted_schema());
        format!(
            "GRANT USAGE, CREATE TABLE, CREATE STAGE ON SCHEMA {schema} TO ROLE {role}; for tables that another role owns: \
             GRANT OWNERSHIP ON ALL TABLES IN SCHEMA {schema} TO ROLE {role} COPY CURRENT GRANTS"
        )
    }

    /// Drops the schema that a check has made.
    pub(crate) fn drop_schema(&self) -> String {
        format!("DROP SCHEMA IF EXISTS {}", self.quoted_schema())
    }

    /// Makes a table, and adds what one statement has no room for.
    pub(crate) fn create_table(&self, table: &Ident, columns: &[(Ident, Type)]) -> Vec<String> {
        let (first, others) = columns.split_at(columns.len().min(COLUMNS_AT_ONCE));
        let create = self.sql.create_table(table.as_str(), first, None);
        let others = others.iter().map(|(column, ty)| self.add_column(table, column.as_str(), *ty));
        std::iter::once(create).chain(others).collect()
    }

    /// Makes the guard with its row, both or neither.
    pub(crate) fn create_lock(&self, columns: &[(Ident, Type)]) -> String {
        let mut columns = columns.to_vec();
        columns.extend([(TAKEN_BY.into(), Type::Text), (STAMPED.into(), Type::Int)]);
        let value = |(name, ty): &(Ident, Type)| {
            let value = match name.as_str() {
                KEY => "'schema'",
                "schema_version" => "0",
                _ => "NULL",
            };
            format!("CAST({value} AS {}) AS {}", (self.sql.dialect.type_name)(*ty), self.sql.quote(name.as_str()))
        };
        let row: Vec<String> = columns.iter().map(value).collect();
        format!("CREATE TABLE IF NOT EXISTS {} AS SELECT {}", self.sql.table(LOCK), row.join(", "))
    }

    /// Puts the guard's row back, if there is none, under a version that nobody planned for.
    pub(crate) fn restore_lock(&self, version: i64) -> String {
        self.sql.lock_row(&literal(Value::Number(version.into())))
    }

    /// Adds a column, unless it is there.
    pub(crate) fn add_column(&self, table: &Ident, column: &str, ty: Type) -> String {
        format!(
            "ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}",
            self.sql.table(table.as_str()),
            self.sql.quote(column),
            (self.sql.dialect.type_name)(ty)
        )
    }

    /// Gives a column another name.
    pub(crate) fn rename_column(&self, table: &Ident, from: &str, to: &str) -> String {
        format!(
            "ALTER TABLE {} RENAME COLUMN {} TO {}",
            self.sql.table(table.as_str()),
            self.sql.quote(from),
            self.sql.quote(to)
        )
    }

    /// Drops a column, unless it is gone.
    pub(crate) fn drop_column(&self, table: &Ident, column: &str) -> String {
        format!("ALTER TABLE {} DROP COLUMN IF EXISTS {}", self.sql.table(table.as_str()), self.sql.quote(column))
    }

    /// Copies a column into one of another type that stands beside it.
    pub(crate) fn copy_column(&self, table: &Ident, column: &Ident, from: Type, to: Type) -> String {
        let (new, old) = (self.sql.quote(WIDENED), self.sql.quote(column.as_str()));
        let value = if to == Type::Text { as_text(&old, from) } else { cast(&old, to, self.sql.dialect.type_name) };
        format!("UPDATE {} SET {new} = {value} WHERE {old} IS NOT NULL", self.sql.table(table.as_str()))
    }

    /// The whole numbers of a column that a float may not hold: id, digits, µs of receipt.
    pub(crate) fn large_numbers(&self, table: &Ident, column: &Ident, has_received_at: bool) -> String {
        let (number, id) = (self.sql.quote(column.as_str()), self.sql.quote(KEY));
        let at = if has_received_at { micros(&self.sql.quote("received_at")) } else { "NULL".into() };
        format!(
            "SELECT {id}, CAST({number} AS VARCHAR), {at} FROM {} WHERE {number} > {EXACT} OR {number} < -{EXACT}",
            self.sql.table(table.as_str())
        )
    }

    // the journal

    /// Writes an entry into the journal, if it has none. Binds the entry.
    pub(crate) fn begin_change(&self) -> String {
        let changing = self.sql.quote("changing");
        format!("UPDATE {} SET {changing} = ? WHERE {changing} IS NULL", self.sql.table(LOCK))
    }

    /// Removes an entry from the journal and raises the schema's version. Binds the entry.
    pub(crate) fn end_change(&self, raises: usize) -> String {
        let (changing, version) = (self.sql.quote("changing"), self.sql.quote("schema_version"));
        format!(
            "UPDATE {} SET {changing} = NULL, {version} = {version} + {raises} WHERE {changing} = ?",
            self.sql.table(LOCK)
        )
    }

    /// All rows of a table, each cell as text in the canonical form where SQL can give it.
    #[cfg(feature = "testing")]
    pub(crate) fn select(&self, table: &Ident, columns: &[(&Ident, &tablecast_core::LiveType)]) -> String {
        let cells: Vec<String> = columns
            .iter()
            .map(|(name, ty)| as_text(&self.sql.quote(name.as_str()), ty.known().unwrap_or(Type::Text)))
            .collect();
        format!("SELECT {} FROM {}", cells.join(", "), self.sql.table(table.as_str()))
    }
}

/// The name of a staged column in a file: names with other signs would have to be quoted.
pub(crate) fn file_column(name: &str) -> String {
    name.to_ascii_uppercase()
}

/// A point in time as an expression.
pub(crate) fn timestamp(micros: i64) -> String {
    format!("'{}'::TIMESTAMP_TZ", time::format(micros))
}

fn cast(column: &str, to: Type, type_name: fn(Type) -> &'static str) -> String {
    format!("CAST({column} AS {})", type_name(to))
}

/// µs since 1970.
fn micros(column: &str) -> String {
    format!("DATE_PART(EPOCH_MICROSECOND, {column})")
}

/// A value as text in the one form that the core writes.
fn as_text(column: &str, from: Type) -> String {
    match from {
        Type::Boolean => format!("CASE WHEN {column} THEN 'true' WHEN NOT {column} THEN 'false' END"),
        Type::Timestamp => {
            format!("TO_CHAR(CONVERT_TIMEZONE('UTC', {column}), 'YYYY-MM-DD\"T\"HH24:MI:SS.FF6\"Z\"')")
        }
        Type::Float => float_text(column),
        Type::Json => format!("TO_JSON({column})"),
        Type::Int | Type::Decimal | Type::Version | Type::Text => format!("CAST({column} AS VARCHAR)"),
    }
}

/// A float as the core writes it: Snowflake leaves out `.0` and pads exponents.
fn float_text(column: &str) -> String {
    let text = format!("REPLACE(REPLACE(REPLACE(CAST({column} AS VARCHAR), 'e+0', 'e'), 'e-0', 'e-'), 'e+', 'e')");
    format!("CASE WHEN CONTAINS({text}, '.') OR CONTAINS({text}, 'e') THEN {text} ELSE {text} || '.0' END")
}

/// `SELECT` of what Snowflake takes us for.
pub(crate) const WHO: &str = "SELECT CURRENT_USER(), CURRENT_ROLE()";
/// The virtual warehouse that runs the statements.
pub(crate) const WHICH_WAREHOUSE: &str = "SELECT CURRENT_WAREHOUSE()";

#[cfg(test)]
mod tests;
