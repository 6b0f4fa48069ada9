//! SQL text that only BigQuery has: the script of a commit, DDL, changes of a type.

use crate::config::Partition;
use crate::error::stop;
use crate::types::DIALECT;
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{self as shared, COMMITS, KEY, LOCK, STAMP, Sql, StageColumn, Value};
use tablecast_core::{Commit, Counts, Ident, Load, Type};

/// Script variables. No column is called like them: where one was, BigQuery would take the column.
const LOADED: &str = "_tablecast_loaded";
const PRESENT: &str = "_tablecast_present";
const STARTED: &str = "_tablecast_started";
const SOURCE: &str = "_tablecast_source";
/// The column that a type changes into, and what the old one is called before it goes.
pub(crate) const WIDENED: &str = "_widened";
pub(crate) const REPLACED: &str = "_replaced";
/// A query that reads nothing.
pub(crate) const ONE: &str = "SELECT 1";
/// The column of `_lock` that every commit writes its nonce into.
pub(crate) const TAKEN_BY: &str = "taken_by";
/// Columns that one statement makes: names of 300 bytes leave room below 1 MB, and a table may be altered only five times
/// in ten seconds.
pub(crate) const COLUMNS_AT_ONCE: usize = 2_000;
/// Whole numbers up to this are floats exactly.
const EXACT: i128 = 1 << 53;

/// Writes SQL for one dataset.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) sql: Sql<'a>,
}

/// One table of a commit, as its script needs it.
pub(crate) struct Part<'a> {
    pub(crate) load: &'a Load,
    /// The columns in groups, and a staging table for each.
    pub(crate) groups: Vec<Vec<usize>>,
    pub(crate) stages: Vec<String>,
    /// Spans of `received_at` that are inserted one after the other, in µs; none where it is one.
    pub(crate) spans: Vec<(i64, i64)>,
    /// Where to look for rows with the same id, in µs; none is everywhere.
    pub(crate) within: Option<(i64, i64)>,
}

/// What a script says about the attempt that runs it.
pub(crate) struct Attempt<'a> {
    pub(crate) nonce: &'a str,
    /// The time of the commit, µs since 1970.
    pub(crate) stamp: i64,
    /// How long staging took, in ms.
    pub(crate) staging_ms: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(dataset: &'a str) -> Writer<'a> {
        Writer { sql: Sql { dialect: &DIALECT, schema: Some(dataset) } }
    }

    /// The whole commit: one transaction, and then what the ledger has of it.
    ///
    /// The guard is a statement that changes a row: two transactions that only insert would both commit. It gives the row
    /// another value than it has, because an update to the same value is none to every engine.
    pub(crate) fn commit(&self, commit: &Commit, parts: &[Part<'_>], attempt: &Attempt<'_>) -> String {
        let id = literal(Value::Text(&commit.id.to_string()));
        let mut script = vec![
            format!("DECLARE {LOADED}, {PRESENT} INT64"),
            format!("DECLARE {STARTED} TIMESTAMP DEFAULT CURRENT_TIMESTAMP()"),
            format!("DECLARE {SOURCE} STRING DEFAULT {}", literal(Value::Text(&commit.source))),
            "BEGIN TRANSACTION".to_owned(),
            self.guard(commit.schema_version, attempt.nonce),
            format!("ASSERT @@row_count > 0 AS '{}'", stop::STALE),
        ];
        for part in parts {
            script.extend(self.part(&id, part, attempt));
        }
        script.push("COMMIT TRANSACTION".to_owned());
        script.push(self.ledger(&commit.id.to_string()));
        script.join(";\n")
    }

    /// What the ledger has of a commit: table, counts, nonce.
    pub(crate) fn ledger(&self, commit_id: &str) -> String {
        let columns = ["table_name", "received", "loaded", "duplicates", "filtered", "discarded", "nonce"];
        let columns: Vec<String> = columns.iter().map(|name| self.sql.quote(name)).collect();
        let id = literal(Value::Text(commit_id));
        format!(
            "SELECT {} FROM {} WHERE {} = {id}",
            columns.join(", "),
            self.sql.table(COMMITS),
            self.sql.quote("commit_id")
        )
    }

    /// One table, unless the ledger has it.
    fn part(&self, id: &str, part: &Part<'_>, attempt: &Attempt<'_>) -> Vec<String> {
        let load = part.load;
        let (table, counts) = (literal(Value::Text(load.table.as_str())), load.counts);
        let done = format!(
            "SELECT 1 FROM {} WHERE {} = {id} AND {} = {table}",
            self.sql.table(COMMITS),
            self.sql.quote("commit_id"),
            self.sql.quote("table_name")
        );
        let mut out = vec![format!("IF NOT EXISTS ({done}) THEN\nSET {LOADED} = 0"), format!("SET {PRESENT} = 0")];
        if load.rows() > 0 {
            match load.kind {
                TableKind::Append => self.append(part, attempt, &mut out),
                TableKind::Merge | TableKind::Versions | TableKind::System => self.merge(part, attempt, &mut out),
            }
        }
        let Counts { received, duplicates, filtered, discarded, .. } = counts;
        out.push(format!(
            "ASSERT {received} = {LOADED} + {PRESENT} + {duplicates} + {filtered} + {discarded} AS '{}'",
            stop::COUNTS
        ));
        let text = |text: &str| literal(Value::Text(text));
        let number = |number: u64| literal(Value::Number(number.into()));
        let values = [
            id.to_owned(),
            table,
            literal(Value::Timestamp(attempt.stamp)),
            SOURCE.to_owned(),
            number(received),
            LOADED.to_owned(),
            format!("{PRESENT} + {duplicates}"),
            number(filtered),
            number(discarded),
            format!("{} + TIMESTAMP_DIFF(CURRENT_TIMESTAMP(), {STARTED}, MILLISECOND)", attempt.staging_ms),
            text(attempt.nonce),
            text(env!("CARGO_PKG_VERSION")),
        ];
        out.push(self.sql.ledger_insert(&values));
        out.push("END IF".to_owned());
        out
    }

    fn append(&self, part: &Part<'_>, attempt: &Attempt<'_>, out: &mut Vec<String>) {
        let load = part.load;
        let stamp = shared::is_stamped(load).then(|| literal(Value::Timestamp(attempt.stamp)));
        let within = part.within.map(|(from, to)| (literal(Value::Timestamp(from)), literal(Value::Timestamp(to))));
        let within = within.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
        let stages = self.sources(part, None);
        out.push(self.counted(part, &self.sql.count_present(load, &stages[0], within)));
        let spans: Vec<Option<(i64, i64)>> = match part.spans.len() {
            0 | 1 => vec![None],
            _ => part.spans.iter().copied().map(Some).collect(),
        };
        for span in spans {
            let stages = self.sources(part, span);
            for text in self.sql.append(load, &part.groups, &stages, stamp.as_deref(), within) {
                // What fills and what follows the insert changes rows that are counted already.
                let inserts = text.starts_with("INSERT");
                out.push(text);
                out.extend(inserts.then(|| format!("SET {LOADED} = {LOADED} + @@row_count")));
            }
        }
    }

    fn merge(&self, part: &Part<'_>, attempt: &Attempt<'_>, out: &mut Vec<String>) {
        let stamp = shared::is_stamped(part.load).then(|| literal(Value::Timestamp(attempt.stamp)));
        let stages = self.sources(part, None);
        out.extend(self.sql.merge(part.load, &part.groups, &stages, stamp.as_deref()));
        out.push(self.counted(part, &self.sql.count_present(part.load, &stages[0], None)));
        out.push(format!("SET {LOADED} = {PRESENT}"));
        out.push(format!("SET {PRESENT} = 0"));
    }

    /// Counts something, if every staging table holds just the rows of the load; otherwise the count is NULL and the
    /// next check fails.
    fn counted(&self, part: &Part<'_>, count: &str) -> String {
        let rows = part.load.rows();
        let whole: Vec<String> = part
            .stages
            .iter()
            .map(|stage| {
                let key = self.sql.quote("k");
                format!("(SELECT COUNT(*) = {rows} AND COUNT(DISTINCT {key}) = {rows} FROM {})", self.sql.table(stage))
            })
            .collect();
        format!("SET {PRESENT} = (SELECT IF({}, ({count}), NULL))", whole.join(" AND "))
    }

    /// The staging tables as the shared SQL reads them: JSON is parsed here, and only rows of a span are seen.
    fn sources(&self, part: &Part<'_>, span: Option<(i64, i64)>) -> Vec<String> {
        let columns = |group: &[usize]| shared::stage_columns(part.load, group);
        let received = part.load.columns.iter().position(|column| column.name == *"received_at");
        let groups = part.groups.iter().zip(&part.stages);
        groups
            .map(|(group, stage)| {
                let columns: Vec<StageColumn> = columns(group);
                let json: Vec<String> = columns
                    .iter()
                    .filter(|column| column.ty == Type::Json)
                    .map(|column| self.sql.quote(&column.name))
                    .map(|name| format!("{} AS {name}", parsed(&name)))
                    .collect();
                let all = match json.is_empty() {
                    true => "*".to_owned(),
                    false => format!("* REPLACE ({})", json.join(", ")),
                };
                let holder = received.and_then(|at| part.groups.iter().position(|group| group.contains(&at)));
                let spanned = match (span, received, holder.and_then(|nth| part.stages.get(nth))) {
                    (Some((from, to)), Some(at), Some(holder)) => {
                        // The time of receipt stands in one of the groups; the others follow it by their key.
                        let name = self.sql.quote(&format!("c{}", at.saturating_sub(1)));
                        let (from, to) = (literal(Value::Timestamp(from)), literal(Value::Timestamp(to)));
                        let key = self.sql.quote("k");
                        let keys = format!(
                            "SELECT {key} FROM {} WHERE {name} >= {from} AND {name} <= {to}",
                            self.sql.table(holder)
                        );
                        format!(" WHERE {key} IN ({keys})")
                    }
                    _ => String::new(),
                };
                match (all.as_str(), spanned.as_str()) {
                    ("*", "") => self.sql.table(stage),
                    _ => format!("(SELECT {all} FROM {}{spanned})", self.sql.table(stage)),
                }
            })
            .collect()
    }

    /// The statements of a load that read its table, with a stage of one row: to ask what they would cost. Nothing in the
    /// row is constant, so that nothing can be told without reading the table.
    pub(crate) fn reads(&self, load: &Load, groups: &[Vec<usize>], within: Option<(i64, i64)>) -> Vec<String> {
        let stamp = shared::is_stamped(load).then(|| literal(Value::Timestamp(0)));
        let empty = |group: &Vec<usize>| {
            let cell = |column: StageColumn| format!("{} AS {}", unknown(column.ty), self.sql.quote(&column.name));
            let cells: Vec<String> = shared::stage_columns(load, group).into_iter().map(cell).collect();
            format!("(SELECT {})", cells.join(", "))
        };
        let stages: Vec<String> = groups.iter().map(empty).collect();
        let within = within.map(|(from, to)| (literal(Value::Timestamp(from)), literal(Value::Timestamp(to))));
        let within = within.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
        let mut out = match load.kind {
            TableKind::Append => self.sql.append(load, groups, &stages, stamp.as_deref(), within),
            TableKind::Merge | TableKind::Versions | TableKind::System => {
                self.sql.merge(load, groups, &stages, stamp.as_deref())
            }
        };
        out.push(self.sql.count_present(load, &stages[0], within));
        out
    }

    /// A transaction that changes a table without changing anything in it: to see whether one may.
    pub(crate) fn rehearse(&self, table: &str) -> String {
        format!("BEGIN TRANSACTION;\nDELETE FROM {} WHERE FALSE;\nCOMMIT TRANSACTION", self.sql.table(table))
    }

    /// Takes the guard, if the schema has the version that was planned for and no change is under way.
    fn guard(&self, planned: i64, nonce: &str) -> String {
        format!(
            "UPDATE {} SET {} = {} WHERE {} = {} AND {} IS NULL",
            self.sql.table(LOCK),
            self.sql.quote(TAKEN_BY),
            literal(Value::Text(nonce)),
            self.sql.quote("schema_version"),
            literal(Value::Number(planned.into())),
            self.sql.quote("changing")
        )
    }

    /// Makes a table, partitioned and clustered as its kind asks for. Its core columns come first, and those that one
    /// statement has no room for are added.
    pub(crate) fn create_table(
        &self,
        table: &Ident,
        kind: TableKind,
        columns: &[(Ident, Type)],
        partition: Partition,
    ) -> Vec<String> {
        let (first, others) = columns.split_at(columns.len().min(COLUMNS_AT_ONCE));
        let others = others.chunks(COLUMNS_AT_ONCE).map(|columns| self.add_columns(table, columns));
        std::iter::once(self.create_first(table, kind, first, partition)).chain(others).collect()
    }

    fn create_first(&self, table: &Ident, kind: TableKind, columns: &[(Ident, Type)], partition: Partition) -> String {
        let at = match (kind, table.as_str()) {
            (TableKind::Append, _) => Some("received_at"),
            (TableKind::System, COMMITS) => Some("committed_at"),
            _ => None,
        };
        let at = at.filter(|at| columns.iter().any(|(name, ty)| *name == **at && *ty == Type::Timestamp));
        let mut text = self.sql.create_table(table.as_str(), columns, None);
        if let Some(at) = at.map(|at| self.sql.quote(at)) {
            match partition {
                Partition::Day => text.push_str(&format!(" PARTITION BY DATE({at})")),
                Partition::Month => text.push_str(&format!(" PARTITION BY TIMESTAMP_TRUNC({at}, MONTH)")),
                Partition::None => {}
            }
        }
        let key = if *table == *COMMITS { "commit_id" } else { KEY };
        text.push_str(&format!(" CLUSTER BY {}", self.sql.quote(key)));
        text
    }

    /// Makes the guard with its row, both or neither.
    pub(crate) fn create_lock(&self, columns: &[(Ident, Type)]) -> String {
        let mut columns = columns.to_vec();
        columns.push((TAKEN_BY.into(), Type::Text));
        let value = |(name, ty): &(Ident, Type)| match name.as_str() {
            KEY => "'schema'".to_owned(),
            "schema_version" => "0".to_owned(),
            _ => format!("CAST(NULL AS {})", (DIALECT.type_name)(*ty)),
        };
        let row: Vec<String> = columns.iter().map(value).collect();
        format!("{} AS SELECT {}", self.sql.create_table(LOCK, &columns, None), row.join(", "))
    }

    /// Adds columns in one step: BigQuery allows few steps a minute for one table.
    pub(crate) fn add_columns(&self, table: &Ident, columns: &[(Ident, Type)]) -> String {
        let add = |(name, ty): &(Ident, Type)| {
            format!("ADD COLUMN IF NOT EXISTS {} {}", self.sql.quote(name.as_str()), (DIALECT.type_name)(*ty))
        };
        let columns: Vec<String> = columns.iter().map(add).collect();
        format!("ALTER TABLE {} {}", self.sql.table(table.as_str()), columns.join(", "))
    }

    /// Makes the view that Segment's datasets have beside a table: one row per id, and `loaded_at`.
    pub(crate) fn create_view(&self, table: &Ident, kind: TableKind) -> String {
        let (view, target, stamp) =
            (self.sql.table(&format!("{table}_view")), self.sql.table(table.as_str()), self.sql.quote(STAMP));
        let once = match kind {
            TableKind::Append => format!(
                " WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {}) = 1",
                self.sql.quote(KEY),
                self.sql.quote("received_at")
            ),
            _ => String::new(),
        };
        format!(
            "CREATE VIEW IF NOT EXISTS {view} AS SELECT *, {stamp} AS {} FROM {target}{once}",
            self.sql.quote("loaded_at")
        )
    }

    /// Puts the guard's row back, if there is none, under a version that nobody planned for.
    pub(crate) fn restore_lock(&self, version: i64) -> String {
        self.sql.lock_row(&literal(Value::Number(version.into())))
    }

    /// Writes an entry into the journal, if it has none.
    pub(crate) fn begin_change(&self, entry: &str) -> String {
        let (lock, changing, entry) = (self.sql.table(LOCK), self.sql.quote("changing"), literal(Value::Text(entry)));
        format!(
            "UPDATE {lock} SET {changing} = {entry} WHERE {changing} IS NULL;\n\
             ASSERT EXISTS (SELECT 1 FROM {lock} WHERE {changing} = {entry}) AS '{}'",
            stop::CHANGING
        )
    }

    /// Removes an entry from the journal and raises the schema's version, by the one who removes it.
    pub(crate) fn end_change(&self, entry: &str, raises: i64) -> String {
        let (changing, version) = (self.sql.quote("changing"), self.sql.quote("schema_version"));
        format!(
            "UPDATE {} SET {changing} = NULL, {version} = {version} + {raises} WHERE {changing} = {}",
            self.sql.table(LOCK),
            literal(Value::Text(entry))
        )
    }

    /// Changes a type where BigQuery can do it in place.
    pub(crate) fn set_type(&self, table: &Ident, column: &Ident, to: Type) -> String {
        format!(
            "ALTER TABLE {} ALTER COLUMN {} SET DATA TYPE {}",
            self.sql.table(table.as_str()),
            self.sql.quote(column.as_str()),
            (DIALECT.type_name)(to)
        )
    }

    /// Copies a column into one of another type that stands beside it; for rows of a span of `received_at`, or for all.
    pub(crate) fn copy_column(&self, table: &Ident, column: &Ident, from: Type, span: Option<(i64, i64)>) -> String {
        let (target, new, old) =
            (self.sql.table(table.as_str()), self.sql.quote(WIDENED), self.sql.quote(column.as_str()));
        let within = span.map_or_else(String::new, |(first, last)| {
            let (at, first, last) =
                (self.sql.quote("received_at"), literal(Value::Timestamp(first)), literal(Value::Timestamp(last)));
            format!(" AND {at} >= {first} AND {at} <= {last}")
        });
        format!("UPDATE {target} SET {new} = {} WHERE {old} IS NOT NULL{within}", as_text(&old, from))
    }

    /// The days, counted from 1970, that a column of a table has values on.
    pub(crate) fn days(&self, table: &Ident, column: &Ident) -> String {
        let (target, column, at) =
            (self.sql.table(table.as_str()), self.sql.quote(column.as_str()), self.sql.quote("received_at"));
        format!(
            "SELECT DISTINCT UNIX_DATE(DATE({at}, 'UTC')) FROM {target} WHERE {column} IS NOT NULL AND {at} IS NOT NULL"
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

    /// The whole numbers of a column that a float may not hold: id, digits, µs of receipt.
    pub(crate) fn large_numbers(&self, table: &Ident, column: &Ident, from: Type, has_received_at: bool) -> String {
        let (target, number, id) =
            (self.sql.table(table.as_str()), self.sql.quote(column.as_str()), self.sql.quote(KEY));
        let at =
            if has_received_at { format!("UNIX_MICROS({})", self.sql.quote("received_at")) } else { "NULL".into() };
        let ty = (DIALECT.type_name)(from);
        format!(
            "SELECT {id}, CAST({number} AS STRING), {at} FROM {target} \
             WHERE {number} > CAST('{EXACT}' AS {ty}) OR {number} < CAST('-{EXACT}' AS {ty})"
        )
    }

    /// Inserts staged rows of `_discards` that are not there, while an entry stands in the journal: two who finish the
    /// same change come one after the other.
    pub(crate) fn keep(&self, entry: &str, load: &Load, groups: &[Vec<usize>], stage: &str) -> String {
        let (taken, nonce) = (self.sql.quote(TAKEN_BY), literal(Value::Text(stage)));
        let (changing, entry) = (self.sql.quote("changing"), literal(Value::Text(entry)));
        let mut script = vec![
            "BEGIN TRANSACTION".to_owned(),
            format!("UPDATE {} SET {taken} = {nonce} WHERE {changing} = {entry}", self.sql.table(LOCK)),
            format!("ASSERT @@row_count > 0 AS '{}'", stop::CHANGING),
        ];
        script.extend(self.sql.append(load, groups, &[self.sql.table(stage)], None, None));
        script.push("COMMIT TRANSACTION".to_owned());
        script.join(";\n")
    }

    /// All rows of a table as text in the canonical rendering; floats are left to the reader.
    #[cfg(feature = "testing")]
    pub(crate) fn select(&self, table: &str, columns: &[(String, Option<Type>)]) -> String {
        let rendered = |(name, ty): &(String, Option<Type>)| {
            let name = self.sql.quote(name);
            match ty {
                Some(Type::Timestamp | Type::Json) => as_text(&name, ty.unwrap_or(Type::Text)),
                _ => format!("CAST({name} AS STRING)"),
            }
        };
        let columns: Vec<String> = columns.iter().map(rendered).collect();
        format!("SELECT {} FROM {}", columns.join(", "), self.sql.table(table))
    }
}

/// A value as SQL. Times say that they are UTC: a project may have another default.
fn literal(value: Value<'_>) -> String {
    let text = shared::literal(value);
    match value {
        Value::Timestamp(_) => format!("{}+00'", text.trim_end_matches('\'')),
        _ => text,
    }
}

/// Staged text as JSON. What BigQuery cannot read, a number beyond all floats for example, is kept as a string.
fn parsed(name: &str) -> String {
    format!("IF({name} IS NULL, NULL, COALESCE(SAFE.PARSE_JSON({name}, wide_number_mode => 'round'), TO_JSON({name})))")
}

/// A value that nobody knows before the query runs.
fn unknown(ty: Type) -> &'static str {
    match ty {
        Type::Boolean => "RAND() < 0.5",
        Type::Int => "CAST(RAND() AS INT64)",
        Type::Decimal => "CAST(RAND() AS BIGNUMERIC)",
        Type::Float => "RAND()",
        Type::Timestamp => "TIMESTAMP_MICROS(CAST(RAND() AS INT64))",
        Type::Text => "CAST(RAND() AS STRING)",
        Type::Json => "TO_JSON(RAND())",
        Type::Version => "CAST(RAND() AS NUMERIC)",
    }
}

/// A value as text in the canonical form.
fn as_text(name: &str, from: Type) -> String {
    match from {
        Type::Timestamp => format!("FORMAT_TIMESTAMP('%E4Y-%m-%dT%H:%M:%E6SZ', {name}, 'UTC')"),
        Type::Json => format!("TO_JSON_STRING({name})"),
        Type::Float => {
            let text = format!("REGEXP_REPLACE(REPLACE(CAST({name} AS STRING), 'e+', 'e'), 'e(-?)0+', r'e\\1')");
            format!("IF(REGEXP_CONTAINS({text}, '[.e]'), {text}, CONCAT({text}, '.0'))")
        }
        _ => format!("CAST({name} AS STRING)"),
    }
}

#[cfg(test)]
mod tests;
