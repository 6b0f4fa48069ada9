//! All tables of a schema in one comparable form, and the rules that hold for any of them.

use crate::harness::{Checked, Failed, Opened};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use tablecast_core::testing::Row;
use tablecast_core::{Dialect, Ident, LiveType, Type};

/// Everything in a schema that does not depend on when and in which pieces it was loaded.
///
/// Left out: `_lock`, `_commits`, staging tables, `uuid_ts`, and the commit's id in `_discards`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// The tables by name.
    pub tables: BTreeMap<String, TableDump>,
}

/// One table's shape and rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableDump {
    /// The columns and the names of their types.
    pub columns: BTreeMap<String, String>,
    /// The rows, sorted.
    pub rows: Vec<Row>,
}

impl Dump {
    /// Reads a schema.
    pub async fn of(opened: &Opened) -> Checked<Dump> {
        let names = opened.probe.tables().await?;
        let names =
            names.into_iter().filter(|name| name != "_lock" && name != "_commits" && !name.starts_with("_stage_"));
        let idents: Vec<Ident> = names.map(Ident::new).collect();
        let (catalog, dialect) = (opened.warehouse.describe(&idents).await?, opened.warehouse.dialect());
        let mut tables = BTreeMap::new();
        for ident in idents {
            let name = ident.to_string();
            let exempt = |column: &str| column == "uuid_ts" || (name == "_discards" && column == "commit_id");
            let shape = catalog
                .table(&name)
                .ok_or_else(|| Failed(format!("the probe shows a table {name} that `describe` does not know")))?;
            let columns = shape.columns.iter().filter(|(column, _)| !exempt(column.as_str()));
            let mut rows = opened.probe.rows(&name).await?;
            rows.iter_mut().for_each(|row| row.retain(|column, _| !exempt(column)));
            rows.sort_unstable();
            let columns = columns.map(|(column, ty)| (column.to_string(), type_name(ty, dialect))).collect();
            tables.insert(name, TableDump { columns, rows });
        }
        Ok(Dump { tables })
    }

    /// Fails with the first differences to what it should be.
    pub fn must_equal(&self, expected: &Dump, what: &str) -> Checked {
        let mut out = String::new();
        for name in self.tables.keys().chain(expected.tables.keys()).collect::<BTreeSet<_>>() {
            match (self.tables.get(name), expected.tables.get(name)) {
                (Some(is), Some(should)) if is == should => {}
                (Some(is), Some(should)) => table_difference(&mut out, name, is, should),
                (Some(_), None) => push(&mut out, &format!("table {name}: should not be there")),
                (None, _) => push(&mut out, &format!("table {name}: is missing")),
            }
        }
        if out.is_empty() { Ok(()) } else { Err(Failed(format!("{what}:\n{out}"))) }
    }
}

fn table_difference(out: &mut String, name: &str, is: &TableDump, should: &TableDump) {
    if is.columns != should.columns {
        let only = |one: &TableDump, other: &TableDump| {
            let columns = one.columns.iter().filter(|(column, ty)| other.columns.get(*column) != Some(ty));
            columns.map(|(column, ty)| format!("{column} {ty}")).collect::<Vec<_>>().join(", ")
        };
        push(out, &format!("table {name}: columns [{}] should be [{}]", only(is, should), only(should, is)));
    }
    let counted = |rows: &[Row]| {
        let mut counts = BTreeMap::<Row, i64>::new();
        rows.iter().for_each(|row| *counts.entry(row.clone()).or_default() += 1);
        counts
    };
    let (is, should) = (counted(&is.rows), counted(&should.rows));
    let only = |one: &BTreeMap<Row, i64>, other: &BTreeMap<Row, i64>| -> Vec<String> {
        one.iter()
            .filter(|(row, count)| other.get(*row).unwrap_or(&0) < *count)
            .map(|(row, _)| format!("{row:?}"))
            .collect()
    };
    for (label, rows) in [("has", only(&is, &should)), ("lacks", only(&should, &is))] {
        for row in rows.iter().take(3) {
            push(out, &format!("table {name} {label} {row}"));
        }
        if rows.len() > 3 {
            push(out, &format!("table {name} {label} {} more", rows.len() - 3));
        }
    }
}

fn push(out: &mut String, line: &str) {
    // writing to a String cannot fail
    let _ = writeln!(out, "  {line}");
}

/// The name of a type, the same for warehouses that cannot tell it apart: one without a JSON type has text.
fn type_name(ty: &LiveType, dialect: &Dialect) -> String {
    match ty {
        LiveType::Known(Type::Json) => Type::Text.to_string(),
        LiveType::Known(ty) => dialect.told(*ty).to_string(),
        LiveType::Other(other) => format!("other: {other}"),
    }
}

/// What holds for any schema whatever was loaded: each key once, counts that add up, discards with a reason,
/// no more rows than the ledger says.
pub async fn audit(opened: &Opened) -> Checked {
    let mut loaded = BTreeMap::<String, i64>::new();
    for row in opened.probe.rows("_commits").await? {
        let number = |column: &str| -> Checked<i64> {
            let text = row.get(column).ok_or_else(|| Failed(format!("the ledger has a row without {column}")))?;
            text.parse().map_err(|_| Failed(format!("the ledger's {column} is no number: {text}")))
        };
        let table = row.get("table_name").cloned().unwrap_or_default();
        let sum = number("loaded")? + number("duplicates")? + number("filtered")? + number("discarded")?;
        if number("received")? != sum {
            return Err(Failed(format!("the counts of {table} do not add up: {row:?}")));
        }
        *loaded.entry(table).or_default() += number("loaded")?;
    }
    let dump = Dump::of(opened).await?;
    for (name, table) in &dump.tables {
        let mut keys = BTreeSet::new();
        for row in &table.rows {
            let key = row.get("id").ok_or_else(|| Failed(format!("{name} has a row without an id: {row:?}")))?;
            if !keys.insert(key) {
                return Err(Failed(format!("{name} has the id {key} twice")));
            }
            if name == "_discards" && row.get("reason").is_none_or(String::is_empty) {
                return Err(Failed(format!("a discard has no reason: {row:?}")));
            }
        }
        let merged = dump.tables.contains_key(&format!("_{name}_versions"));
        let ledger = loaded.get(name).copied().unwrap_or(0);
        let rows = i64::try_from(table.rows.len()).unwrap_or(i64::MAX);
        // the rows that a change of a type put into `_discards` are in no commit, and a merge row is loaded many times
        if !merged && name != "_discards" && !name.ends_with("_versions") && rows != ledger {
            return Err(Failed(format!("{name} has {rows} rows, the ledger says {ledger}")));
        }
    }
    Ok(())
}
