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

/// A column of a staging table: named by ordinal, since a long name plus a suffix would be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageColumn {
    /// `k` for the key, `c0, c1, …` for values, `v0, v1, …` for versions; bare.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// The column of the batch that goes in.
    pub source: usize,
}

/// The columns of a load, key excluded, in groups that fit one staging table each; indices into `load.columns`.
///
/// What is written once only comes first, because the first group also inserts the missing keys.
/// There is always one group, if only an empty one.
pub fn groups(load: &Load, width: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (1..load.columns.len()).collect();
    order.sort_by_key(|&at| load.columns[at].fold != Fold::Once);
    if order.is_empty() {
        return vec![order];
    }
    order.chunks(width.max(1)).map(<[usize]>::to_vec).collect()
}

/// The columns of the staging table for one group: the key, then values and versions.
pub fn stage_columns(load: &Load, group: &[usize]) -> Vec<StageColumn> {
    let key = load.columns.first().and_then(|column| Some((column.ty, column.values?)));
    let key = key.map(|(ty, source)| StageColumn { name: "k".into(), ty, source });
    let others = group.iter().flat_map(|&at| {
        let column = &load.columns[at];
        let values = column.values.map(|source| StageColumn { name: value(at), ty: column.ty, source });
        let versions = column.versions.map(|source| StageColumn { name: version(at), ty: Type::Version, source });
        values.into_iter().chain(versions)
    });
    key.into_iter().chain(others).collect()
}

/// Whether the table has a column for the time of the commit: all but `_discards`.
pub fn is_stamped(load: &Load) -> bool {
    load.table != *discard::TABLE
}

fn value(at: usize) -> String {
    format!("c{}", at.saturating_sub(1))
}

fn version(at: usize) -> String {
    format!("v{}", at.saturating_sub(1))
}

fn live_version(at: usize) -> String {
    format!("w{}", at.saturating_sub(1))
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

    /// Inserts the staged rows of an append table whose keys it does not have. `stamp` is the time of the
    /// commit as an expression; none for a table without [`STAMP`].
    pub fn append(&self, load: &Load, stage: &str, stamp: Option<&str>, within: Option<(&str, &str)>) -> String {
        let every: Vec<usize> = (1..load.columns.len()).collect();
        self.insert_missing(load, &every, stage, stamp, within)
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
        format!(
            "INSERT INTO {lock} ({id}, {number}) SELECT _n.{id}, _n.{number} FROM (SELECT 'schema' AS {id}, {version} AS {number}) AS _n \
             WHERE NOT EXISTS (SELECT 1 FROM {lock})"
        )
    }

    /// Reads the schema's version.
    pub fn schema_version(&self) -> String {
        format!("SELECT {} FROM {}", self.quote("schema_version"), self.table(LOCK))
    }
}

/// A value on its way into SQL text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// NULL
    Null,
    /// TRUE or FALSE
    Boolean(bool),
    /// A whole number, of up to 38 digits.
    Number(i128),
    /// What is not finite becomes NULL.
    Float(f64),
    /// Microseconds since 1970 in UTC, years 1 to 9999.
    Timestamp(i64),
    /// NUL is dropped: no warehouse holds it.
    Text(&'a str),
}

/// Renders a value as SQL that means the same in every warehouse, whatever the text holds.
///
/// Quotes, backslashes and control characters never stand in a string: warehouses differ in how they
/// escape them, so each is a `CHR(n)` between strings.
///
/// ```
/// use tablecast_core::sql::{Value, literal};
/// assert_eq!(literal(Value::Text("it's")), "('it' || CHR(39) || 's')");
/// assert_eq!(literal(Value::Number(-5)), "(-5)");
/// ```
pub fn literal(value: Value<'_>) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Boolean(true) => "TRUE".into(),
        Value::Boolean(false) => "FALSE".into(),
        Value::Number(number) => signed(number.to_string()),
        Value::Float(number) if number.is_finite() => signed(zmij::Buffer::new().format_finite(number).to_owned()),
        Value::Float(_) => "NULL".into(),
        Value::Timestamp(micros) => {
            let text = crate::time::format(micros);
            format!("TIMESTAMP '{}'", text.trim_end_matches('Z').replace('T', " "))
        }
        Value::Text(text) => text_literal(text),
    }
}

/// A bare minus behind another one would start a comment.
fn signed(number: String) -> String {
    if number.starts_with('-') { format!("({number})") } else { number }
}

fn text_literal(text: &str) -> String {
    let special = |c: char| c.is_ascii_control() || c == '\'' || c == '\\';
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if special(first) {
            if first != '\0' {
                parts.push(format!("CHR({})", u32::from(first)));
            }
            rest = &rest[first.len_utf8()..];
        } else {
            let end = rest.find(special).unwrap_or(rest.len());
            parts.push(format!("'{}'", &rest[..end]));
            rest = &rest[end..];
        }
    }
    match parts.len() {
        0 => "''".into(),
        1 => parts.remove(0),
        _ => format!("({})", parts.join(" || ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::DIALECT;
    use crate::plan::{Counts, LoadColumn};
    use crate::schema::TableKind;
    use arrow_array::RecordBatch;
    use arrow_schema::Schema;
    use std::sync::Arc;

    const SQL: Sql<'static> = Sql { dialect: &DIALECT, schema: Some("p") };

    fn column(name: &str, fold: Fold, values: Option<usize>, versions: Option<usize>) -> LoadColumn {
        LoadColumn { name: name.into(), ty: Type::Text, fold, values, versions }
    }

    fn load(table: &str, kind: TableKind, columns: Vec<LoadColumn>) -> Load {
        let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
        Load { table: table.into(), kind, columns, batch, counts: Counts::default(), window: None }
    }

    fn users() -> Load {
        load(
            "users",
            TableKind::Merge,
            vec![
                column("id", Fold::Once, Some(0), None),
                column("a", Fold::Latest, Some(1), Some(2)),
                column("gone", Fold::Latest, None, Some(3)),
                column("seen", Fold::Max, Some(4), None),
                column("user_id", Fold::Once, Some(5), None),
            ],
        )
    }

    #[test]
    fn merge_is_four_statements_that_name_only_what_is_loaded() {
        let load = users();
        let groups = groups(&load, 400);
        assert_eq!(groups, [vec![4, 1, 2, 3]], "what is written once comes first");
        let columns: Vec<(String, usize)> =
            stage_columns(&load, &groups[0]).into_iter().map(|column| (column.name, column.source)).collect();
        let expected = [("k", 0), ("c3", 5), ("c0", 1), ("v0", 2), ("v1", 3), ("c2", 4)];
        assert_eq!(columns, expected.map(|(name, source)| (name.to_owned(), source)));
        let statements = SQL.merge(&load, &groups, &["stage".into()], Some("?1"));
        assert_eq!(
            statements,
            [
                r#"UPDATE "p"."users" SET "a" = CASE WHEN _s."v0" IS NULL THEN "users"."a" WHEN _s."w0" IS NULL OR _s."v0" > _s."w0" THEN _s."c0" ELSE "users"."a" END, "seen" = CASE WHEN _s."c2" > "users"."seen" OR "users"."seen" IS NULL THEN _s."c2" ELSE "users"."seen" END, "uuid_ts" = ?1 FROM (SELECT _t.*, "_users_versions"."a" AS "w0" FROM stage AS _t LEFT JOIN "p"."_users_versions" ON "_users_versions"."id" = _t."k") AS _s WHERE "users"."id" = _s."k""#,
                r#"INSERT INTO "p"."users" ("id", "user_id", "a", "seen", "uuid_ts") SELECT _s."k", _s."c3", _s."c0", _s."c2", ?1 FROM stage AS _s LEFT JOIN "p"."users" ON "users"."id" = _s."k" WHERE "users"."id" IS NULL"#,
                r#"UPDATE "p"."_users_versions" SET "a" = CASE WHEN _s."v0" IS NULL THEN "_users_versions"."a" WHEN "_users_versions"."a" IS NULL OR _s."v0" > "_users_versions"."a" THEN _s."v0" ELSE "_users_versions"."a" END, "gone" = CASE WHEN _s."v1" IS NULL THEN "_users_versions"."gone" WHEN "_users_versions"."gone" IS NULL OR _s."v1" > "_users_versions"."gone" THEN _s."v1" ELSE "_users_versions"."gone" END FROM stage AS _s WHERE "_users_versions"."id" = _s."k""#,
                r#"INSERT INTO "p"."_users_versions" ("id", "a", "gone") SELECT _s."k", _s."v0", _s."v1" FROM stage AS _s LEFT JOIN "p"."_users_versions" ON "_users_versions"."id" = _s."k" WHERE "_users_versions"."id" IS NULL"#,
            ]
        );
    }

    #[test]
    fn groups_insert_missing_keys_once_and_write_versions_last() {
        let load = users();
        let groups = groups(&load, 2);
        assert_eq!(groups, [vec![4, 1], vec![2, 3]]);
        let statements = SQL.merge(&load, &groups, &["s0".into(), "s1".into()], Some("?1"));
        let heads: Vec<String> =
            statements.iter().map(|text| text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            heads,
            [
                r#"UPDATE "p"."users" SET"#,
                r#"INSERT INTO "p"."users""#,
                r#"UPDATE "p"."users" SET"#,
                r#"UPDATE "p"."_users_versions" SET"#,
                r#"INSERT INTO "p"."_users_versions""#,
                r#"UPDATE "p"."_users_versions" SET"#,
            ]
        );
        assert!(!statements[2].contains("uuid_ts") && statements[2].contains("FROM s1 AS _s WHERE"));
        let only_key = load_of_key();
        assert_eq!(super::groups(&only_key, 2), [Vec::<usize>::new()]);
        assert_eq!(SQL.merge(&only_key, &[vec![]], &["s0".into()], None).len(), 2, "two inserts");
    }

    fn load_of_key() -> Load {
        load("users", TableKind::Merge, vec![column("id", Fold::Once, Some(0), None)])
    }

    #[test]
    fn append_counts_and_inserts_by_the_same_rule() {
        let load = load(
            "e",
            TableKind::Append,
            vec![column("id", Fold::Once, Some(0), None), column("n", Fold::Once, Some(1), None)],
        );
        let within = Some(("$1", "$2"));
        let on = r#""p"."e" ON "e"."id" = _s."k" AND "e"."received_at" >= $1 AND "e"."received_at" <= $2"#;
        assert_eq!(
            SQL.count_present(&load, "stage", within),
            format!(r#"SELECT COUNT(DISTINCT _s."k") FROM stage AS _s INNER JOIN {on}"#)
        );
        assert_eq!(
            SQL.append(&load, "stage", Some("$3"), within),
            format!(
                r#"INSERT INTO "p"."e" ("id", "n", "uuid_ts") SELECT _s."k", _s."c0", $3 FROM stage AS _s LEFT JOIN {on} WHERE "e"."id" IS NULL"#
            )
        );
        assert!(is_stamped(&load) && !is_stamped(&super::tests::load("_discards", TableKind::Append, Vec::new())));
    }

    #[test]
    fn tables_and_columns_are_quoted() {
        let columns = [("id".into(), Type::Text), ("a\"b".into(), Type::Int)];
        assert_eq!(
            SQL.create_table("t", &columns, Some("PRIMARY KEY (\"id\")")),
            r#"CREATE TABLE IF NOT EXISTS "p"."t" ("id" text, "a""b" int, PRIMARY KEY ("id"))"#
        );
        assert_eq!(SQL.add_column("t", "c", Type::Float), r#"ALTER TABLE "p"."t" ADD COLUMN "c" float"#);
        assert_eq!(
            SQL.guard("?1"),
            r#"UPDATE "p"."_lock" SET "schema_version" = "schema_version" WHERE "schema_version" = ?1"#
        );
        assert_eq!(SQL.ledger_insert(&std::array::from_fn(|nth| format!("${nth}"))).matches('$').count(), 12);
    }

    #[test]
    fn literals_hold_no_quote_and_no_escape() {
        for (value, text) in [
            (Value::Null, "NULL"),
            (Value::Boolean(true), "TRUE"),
            (Value::Number(i128::from(i64::MIN)), "(-9223372036854775808)"),
            (Value::Float(450.75), "450.75"),
            (Value::Float(f64::NAN), "NULL"),
            (Value::Timestamp(0), "TIMESTAMP '1970-01-01 00:00:00.000000'"),
            (Value::Text(""), "''"),
            (Value::Text("plain é"), "'plain é'"),
            (Value::Text("\0"), "''"),
            (Value::Text("'"), "CHR(39)"),
            (Value::Text("a\\'b"), "('a' || CHR(92) || CHR(39) || 'b')"),
            (Value::Text("a\n"), "('a' || CHR(10))"),
        ] {
            assert_eq!(literal(value), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn text_cannot_leave_its_literal(text in ".*") {
            let rendered = literal(Value::Text(&text));
            // Between the quotes there is nothing that any warehouse reads as the end or as an escape.
            for (nth, part) in rendered.split('\'').enumerate() {
                if nth % 2 == 0 {
                    proptest::prop_assert!(part.chars().all(|c| "() |CHR0123456789".contains(c)), "{rendered}");
                } else {
                    proptest::prop_assert!(!part.contains(|c: char| c == '\\' || c.is_ascii_control()), "{rendered}");
                }
            }
            proptest::prop_assert_eq!(rendered.matches('\'').count() % 2, 0);
        }
    }
}
