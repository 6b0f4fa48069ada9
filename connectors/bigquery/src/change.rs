//! Changes that raise the schema's version. BigQuery has no DDL in transactions, so they are written down in
//! `_lock.changing` before their first step and taken out after the last; as long as there is an entry nobody commits,
//! and whoever finds one finishes it: by one script under an id that all who do so find, so that no two of them are in each
//! other's way.

use crate::BigQuery;
use crate::attempts::Attempts;
use crate::client::{State, Waits};
use crate::schema::{Lock, live, lock};
use crate::spans;
use crate::sql::{REPLACED, WIDENED, Writer};
use crate::stage::{self, Names};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tablecast_core::discard::{self, Discard, Reason};
use tablecast_core::ident::append_twin;
use tablecast_core::schema::{Table, TableKind};
use tablecast_core::sql::{self as shared};
use tablecast_core::{
    Counts, Error, ErrorKind, Fold, Ident, Kind, LiveType, Load, LoadColumn, Result, Type, nearest_float,
};

/// Steps that one entry of the journal holds.
const AT_ONCE: usize = 100;

/// One column that is to be there with a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) to: Type,
}

/// What stands in the journal.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// Tells this entry from a later one of the same words.
    nonce: String,
    steps: Vec<Step>,
}

/// Makes some columns be there with their types.
pub(crate) async fn change(warehouse: &BigQuery, location: &str, steps: &[Step]) -> Result<()> {
    let writer = Writer::new(&warehouse.dataset);
    for steps in steps.chunks(AT_ONCE) {
        let entry = Entry { nonce: Names::new(crate::now()).nonce, steps: steps.to_vec() };
        let entry = serde_json::to_string(&entry)
            .map_err(|error| Error::new(ErrorKind::Internal, "a change cannot be written down").because(error))?;
        if lock(warehouse).await?.is_none() {
            warehouse.restore_lock(location).await?;
        }
        warehouse.client.run(location, &writer.begin_change(&entry)).await?;
        finish(warehouse, location, &entry).await?;
    }
    Ok(())
}

/// Does what an entry says, as far as it is not done, and takes it out. Others may do the same meanwhile.
pub(crate) async fn finish(warehouse: &BigQuery, location: &str, entry: &str) -> Result<()> {
    let read: Entry = serde_json::from_str(entry).map_err(|_| {
        Error::new(ErrorKind::SchemaBroken, "the journal of changes cannot be read")
            .with("table", shared::LOCK)
            .fix("set changing to NULL in _lock if no other Tablecast is running, then run again")
    })?;
    let key = format!("tablecast_{}_change_{}", warehouse.dataset, read.nonce);
    let attempts = Attempts::new(&warehouse.client, location, key);
    let (mut waits, mut least) = (Waits::default(), usize::MAX);
    loop {
        let attempt = attempts.free().await?;
        if !stands(warehouse, entry).await? {
            return Ok(());
        }
        let script = match script(warehouse, location, entry, &read.steps).await {
            Ok(script) => script,
            // Somebody else may have been a step ahead.
            Err(error) => return if stands(warehouse, entry).await? { Err(error) } else { Ok(()) },
        };
        if script.len() < least {
            // BigQuery allows few changes of a table in some seconds; as long as it goes on, so do we.
            (waits, least) = (Waits::default(), script.len());
        }
        match warehouse.client.script(&attempts.id(attempt), location, &script.join(";\n")).await? {
            State::Failed(fault) if (fault.is_passing() || fault.is_conflict()) && waits.again() => {
                waits.wait(&fault).await;
            }
            State::Failed(fault) => return Err(fault.into()),
            State::Done { .. } | State::Running => {}
        }
    }
}

/// Whether an entry is in the journal.
async fn stands(warehouse: &BigQuery, entry: &str) -> Result<bool> {
    Ok(matches!(lock(warehouse).await?, Some(Lock { changing: Some(there), .. }) if there == entry))
}

/// What is left to do of an entry, with its end. It follows from what is there, so it is true for one attempt only:
/// between two of them nothing changes.
async fn script(warehouse: &BigQuery, location: &str, entry: &str, steps: &[Step]) -> Result<Vec<String>> {
    let writer = Writer::new(&warehouse.dataset);
    let mut out = Vec::new();
    for Step { table, column, to } in steps {
        let (table, column) = (Ident::from(table.as_str()), Ident::from(column.as_str()));
        let tables = live(warehouse, std::slice::from_ref(&table)).await?;
        let Some(there) = tables.get(&table) else { continue };
        let from = there.columns.get(&column).and_then(LiveType::known);
        if to == &Type::Float
            && let Some(from @ (Type::Int | Type::Decimal)) = from
            && !twin_has(warehouse, &table, &column).await?
        {
            keep_bent(warehouse, location, entry, &table, &column, from, there).await?;
        }
        let spans = match from {
            Some(from) if is_copied(from, *to) && is_received(there) => {
                days(warehouse, location, &table, &column).await?
            }
            _ => Vec::new(),
        };
        out.extend(statements(writer, &table, &column, *to, there, &spans));
    }
    out.push(writer.end_change(entry, i64::try_from(steps.len()).unwrap_or(1)));
    Ok(out)
}

/// Whether BigQuery cannot change a type in place.
fn is_copied(from: Type, to: Type) -> bool {
    from.join(to) != from && (from.kind() != Kind::Number || to.kind() != Kind::Number)
}

/// Whether a table has a time of receipt, by which it may be partitioned.
fn is_received(there: &Table) -> bool {
    there.columns.get("received_at") == Some(&LiveType::Known(Type::Timestamp))
}

/// Spans of time that together have all values of a column, none of them in too many partitions.
async fn days(warehouse: &BigQuery, location: &str, table: &Ident, column: &Ident) -> Result<Vec<(i64, i64)>> {
    let rows = warehouse.client.query(location, &Writer::new(&warehouse.dataset).days(table, column)).await?;
    let day = |row: Vec<Option<String>>| row.into_iter().next().flatten().and_then(|day| day.parse().ok());
    Ok(spans::of_days(rows.into_iter().filter_map(day).collect()))
}

/// What is left to do for one column.
fn statements(
    writer: Writer<'_>,
    table: &Ident,
    column: &Ident,
    to: Type,
    there: &Table,
    spans: &[(i64, i64)],
) -> Vec<String> {
    let has = |name: &str| there.columns.contains_key(name);
    let name = column.as_str();
    let mut out = Vec::new();
    match there.columns.get(column) {
        // The old one is gone, the new one has not got its name.
        None if has(WIDENED) => out.push(writer.rename_column(table, WIDENED, name)),
        None => out.push(writer.add_columns(table, &[(column.clone(), to)])),
        Some(LiveType::Known(from)) if from.join(to) == *from => {}
        Some(LiveType::Known(from)) if !is_copied(*from, to) => out.push(writer.set_type(table, column, to)),
        Some(LiveType::Known(from)) => {
            out.push(writer.add_columns(table, &[(WIDENED.into(), to)]));
            match spans {
                [] | [_] => out.push(writer.copy_column(table, column, *from, None)),
                // A row without a time of receipt would be left out; the planner makes none.
                spans => out.extend(spans.iter().map(|span| writer.copy_column(table, column, *from, Some(*span)))),
            }
            out.push(writer.rename_column(table, name, REPLACED));
            out.push(writer.rename_column(table, WIDENED, name));
        }
        // Somebody made something else of it meanwhile.
        Some(LiveType::Other(_)) => {}
    }
    if has(REPLACED) || out.len() > 1 {
        out.push(writer.drop_column(table, REPLACED));
    }
    out
}

/// Whether the append table that gets the same values has them, exactly or in `_discards`.
async fn twin_has(warehouse: &BigQuery, table: &Ident, column: &Ident) -> Result<bool> {
    let Some(twin) = append_twin(table).map(Ident::from) else { return Ok(false) };
    let tables = live(warehouse, std::slice::from_ref(&twin)).await?;
    Ok(tables.get(&twin).is_some_and(|twin| twin.columns.contains_key(column)))
}

/// Notes every number of a column that will be bent when it becomes a float.
async fn keep_bent(
    warehouse: &BigQuery,
    location: &str,
    entry: &str,
    table: &Ident,
    column: &Ident,
    from: Type,
    there: &Table,
) -> Result<()> {
    let client = &warehouse.client;
    let writer = Writer::new(&warehouse.dataset);
    let rows = client.query(location, &writer.large_numbers(table, column, from, is_received(there))).await?;
    let mut bent = Vec::new();
    for row in rows {
        let mut cells = row.into_iter();
        let (Some(Some(event)), Some(Some(digits)), at) = (cells.next(), cells.next(), cells.next().flatten()) else {
            continue;
        };
        // Digits that are no whole number are of a float: somebody else has changed the column and kept what was bent.
        let is_exact = digits.parse::<i128>().ok().is_none_or(|number| nearest_float(number).1);
        if !is_exact {
            let at = at.and_then(|at| at.parse().ok()).unwrap_or(0);
            bent.push(Discard::new(&event, table.as_str(), column.as_str(), digits.as_bytes(), Reason::Precision, at));
        }
    }
    if bent.is_empty() {
        return Ok(());
    }
    let columns: Vec<(Ident, Type)> = discard::COLUMNS.iter().map(|(name, ty)| (Ident::from(*name), *ty)).collect();
    let partition = warehouse.options.partition;
    for text in writer.create_table(&discard::TABLE.into(), TableKind::Append, &columns, partition) {
        client.run(location, &text).await?;
    }
    for (first, last) in spans::of_days(bent.iter().map(|discard| spans::day(discard.received_at)).collect()) {
        let part: Vec<&Discard> = bent.iter().filter(|discard| (first..=last).contains(&discard.received_at)).collect();
        keep(warehouse, location, entry, &load(&part)?).await?;
    }
    Ok(())
}

/// Loads discards that are not there yet.
async fn keep(warehouse: &BigQuery, location: &str, entry: &str, load: &Load) -> Result<()> {
    let (client, dataset) = (&warehouse.client, warehouse.dataset.as_str());
    let group: Vec<usize> = (1..load.columns.len()).collect();
    let staged = shared::stage_columns(load, &group);
    let stage = Names::new(crate::now()).table(0, 0);
    let data = stage::encode(&load.batch, &staged)?;
    stage::fill(client, (dataset, location), "change", &stage, &stage::schema(&staged), &data, load.rows()).await?;
    let kept = client.run(location, &Writer::new(dataset).keep(entry, load, &[group], &stage)).await;
    stage::clear(client, dataset, &[stage]).await;
    kept?;
    Ok(())
}

/// Discards as a load of their table.
fn load(discards: &[&Discard]) -> Result<Load> {
    let text = |of: &dyn Fn(&Discard) -> String| -> ArrayRef {
        Arc::new(discards.iter().map(|d| Some(of(d))).collect::<StringArray>())
    };
    let none: ArrayRef = Arc::new(discards.iter().map(|_| None::<String>).collect::<StringArray>());
    let bytes = discards.iter().map(|discard| i64::try_from(discard.bytes).unwrap_or(i64::MAX));
    let times = discards.iter().map(|discard| discard.received_at);
    let arrays: [ArrayRef; 10] = [
        text(&|discard| discard.id()),
        none,
        text(&|discard| discard.table.clone()),
        text(&|discard| discard.event_id.clone()),
        text(&|discard| discard.column.clone()),
        text(&|discard| discard.value.clone()),
        Arc::new(bytes.collect::<Int64Array>()),
        text(&|discard| discard.sha256.clone()),
        text(&|discard| discard.reason.code().to_owned()),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
    ];
    let columns = discard::COLUMNS.iter().enumerate().map(|(at, (name, ty))| LoadColumn {
        name: (*name).into(),
        ty: *ty,
        fold: Fold::Once,
        values: Some(at),
        versions: None,
    });
    let batch = RecordBatch::try_from_iter(discard::COLUMNS.iter().map(|(name, _)| *name).zip(arrays))
        .map_err(|error| Error::new(ErrorKind::Internal, "discards do not fit their table").because(error))?;
    Ok(Load {
        table: discard::TABLE.into(),
        kind: TableKind::Append,
        columns: columns.collect(),
        batch,
        counts: Counts::default(),
        fill: false,
        window: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, Type)]) -> Table {
        let columns = columns.iter().map(|(name, ty)| ((*name).into(), LiveType::Known(*ty))).collect();
        Table { columns, ..Table::default() }
    }

    fn left(columns: &[(&str, Type)], to: Type) -> Vec<String> {
        let verbs = ["ADD COLUMN", "SET DATA TYPE", "UPDATE", "RENAME", "DROP"];
        let out = statements(Writer::new("d"), &"t".into(), &"c".into(), to, &table(columns), &[]);
        let verb = |text: &String| verbs.iter().find(|verb| text.contains(**verb)).map(|verb| (*verb).to_owned());
        out.iter().filter_map(verb).collect()
    }

    #[test]
    fn a_change_goes_on_where_it_was_left() {
        let (int, text) = (Type::Int, Type::Text);
        assert_eq!(left(&[("c", int)], Type::Float), ["SET DATA TYPE"]);
        assert_eq!(left(&[("c", int)], Type::Decimal), ["SET DATA TYPE"]);
        assert_eq!(left(&[("c", Type::Float)], int), [""; 0]);
        assert_eq!(left(&[], int), ["ADD COLUMN"]);
        // add, copy, swap: after each step
        assert_eq!(left(&[("c", int)], text), ["ADD COLUMN", "UPDATE", "RENAME", "RENAME", "DROP"]);
        assert_eq!(left(&[("c", int), (WIDENED, text)], text), ["ADD COLUMN", "UPDATE", "RENAME", "RENAME", "DROP"]);
        assert_eq!(left(&[(REPLACED, int), (WIDENED, text)], text), ["RENAME", "DROP"]);
        assert_eq!(left(&[(REPLACED, int), ("c", text)], text), ["DROP"]);
        assert_eq!(left(&[("c", text)], text), [""; 0]);
        // A table of many days is copied in parts.
        let spans = [(0, 9), (10, 19)];
        let parts = statements(Writer::new("d"), &"t".into(), &"c".into(), text, &table(&[("c", int)]), &spans);
        let copies: Vec<&String> = parts.iter().filter(|part| part.starts_with("UPDATE")).collect();
        assert!(copies.len() == 2 && copies[1].contains("`received_at` >= TIMESTAMP '1970-01-01 00:00:00.000010+00'"));
    }
}
