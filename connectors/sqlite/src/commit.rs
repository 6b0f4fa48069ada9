//! One commit: guard, ledger, rows, counts, all in one transaction.

use crate::client::Session;
use crate::schema;
use crate::sql::{self, SQL};
use crate::types::{Cells, DIALECT};
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use std::collections::BTreeMap;
use std::time::Instant;
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{self as shared, COMMITS, LOCK, StageColumn};
use tablecast_core::{Commit, Counts, Error, ErrorKind, Ident, LiveType, Load, Receipt, Result, Type, time};

/// Loads a commit, or says that it is loaded already.
pub(crate) fn commit(session: &Session, commit: &Commit) -> Result<Receipt> {
    let started = Instant::now();
    session.begin()?;
    guard(session, commit.schema_version)?;
    let done = ledger(session, commit)?;
    let replayed = !commit.loads.is_empty() && commit.loads.iter().all(|load| done.contains_key(load.table.as_str()));
    let mut tables = Vec::with_capacity(commit.loads.len());
    if replayed {
        tables.extend(commit.loads.iter().map(|load| (load.table.clone(), done[load.table.as_str()])));
        return Ok(Receipt { id: commit.id, replayed, tables });
    }
    let stamp = time::format(crate::now());
    for load in &commit.loads {
        // A row of the ledger that is there without the others was left by hand: its table is done.
        let counts = match done.get(load.table.as_str()) {
            Some(counts) => *counts,
            None => {
                let counts = rows(session, load, &stamp).map_err(|error| crate::placed(error, "table", &load.table))?;
                write_ledger(session, commit, load, counts, &stamp, started)?;
                counts
            }
        };
        tables.push((load.table.clone(), counts));
    }
    session.commit()?;
    Ok(Receipt { id: commit.id, replayed, tables })
}

/// Takes the guard: another version is a stale plan. A row that was deleted is put back first.
fn guard(session: &Session, planned: i64) -> Result<()> {
    for table in [LOCK, COMMITS] {
        let table = Ident::from(table);
        if schema::live(session, &table)?.is_none() {
            return Err(schema::stale("a table of Tablecast's own is gone since the plan was made", &table));
        }
    }
    if session.execute(&SQL.guard("?1"), [planned])? > 0 {
        return Ok(());
    }
    let found = schema::version(session)?;
    if found.is_none() {
        schema::new_guard(session)?;
        session.commit()?;
    }
    let error = Error::new(ErrorKind::SchemaMismatch, "the types of columns changed since the plan was made")
        .with("planned", planned);
    Err(match found {
        Some(found) => error.with("found", found),
        None => error.with("found", "no guard; it was put back"),
    })
}

/// What the ledger has of this commit, by table.
fn ledger(session: &Session, commit: &Commit) -> Result<BTreeMap<String, Counts>> {
    let found = session.all(&SQL.ledger_select("?1"), [commit.id.to_string()], |row| {
        let counts = [row.get::<_, i64>(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
        Ok((row.get::<_, String>(0)?, counts))
    })?;
    let read = |(table, counts): (String, [i64; 5])| {
        let [received, loaded, duplicates, filtered, discarded] = counts.map(|count| u64::try_from(count).unwrap_or(0));
        (table, Counts { received, loaded, duplicates, filtered, discarded })
    };
    Ok(found.into_iter().map(read).collect())
}

fn write_ledger(
    session: &Session,
    commit: &Commit,
    load: &Load,
    counts: Counts,
    stamp: &str,
    started: Instant,
) -> Result<()> {
    let count = |count: u64| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let duration = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let values = [
        Value::Text(commit.id.to_string()),
        Value::Text(load.table.to_string()),
        Value::Text(stamp.to_owned()),
        Value::Text(commit.source.clone()),
        count(counts.received),
        count(counts.loaded),
        count(counts.duplicates),
        count(counts.filtered),
        count(counts.discarded),
        count(duration),
        Value::Text(env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let places = ["?1", "?2", "?3", "?4", "?5", "?6", "?7", "?8", "?9", "?10", sql::NONCE, "?11"].map(str::to_owned);
    session.execute(&SQL.ledger_insert(&places), params_from_iter(values)).map(drop)
}

/// Puts the rows of one load in and counts them.
fn rows(session: &Session, load: &Load, stamp: &str) -> Result<Counts> {
    let mut counts = load.counts;
    if load.rows() > 0 {
        check_shape(session, load)?;
        match load.kind {
            TableKind::Append => append(session, load, stamp, &mut counts)?,
            TableKind::Merge => counts.loaded += merge(session, load, stamp)?,
            TableKind::Versions | TableKind::System => {
                return Err(Error::new(ErrorKind::Internal, "a load cannot be for a bookkeeping table"));
            }
        }
    }
    if counts.add_up() {
        return Ok(counts);
    }
    Err(Error::new(ErrorKind::CountMismatch, "the rows of a table do not add up")
        .with("received", counts.received)
        .with("loaded", counts.loaded)
        .with("duplicates", counts.duplicates)
        .with("filtered", counts.filtered)
        .with("discarded", counts.discarded))
}

/// Whether the table still has what the plan says. SQLite would take a value of any type into any column.
fn check_shape(session: &Session, load: &Load) -> Result<()> {
    let key = load.columns.first().filter(|column| column.name == *shared::KEY && column.values == Some(0));
    if key.is_none() || load.batch.num_columns() == 0 || load.batch.column(0).null_count() > 0 {
        return Err(Error::new(ErrorKind::Internal, "a load does not begin with its key"));
    }
    let live = schema::live(session, &load.table)?
        .ok_or_else(|| schema::stale("a table is gone since the plan was made", &load.table))?;
    for column in load.columns.iter().filter(|column| column.values.is_some()) {
        if live.columns.get(&column.name) != Some(&LiveType::Known(column.ty)) {
            return Err(schema::stale("a column is gone or has another type since the plan was made", &load.table)
                .with("column", &column.name));
        }
    }
    if shared::is_stamped(load) && live.columns.get(shared::STAMP) != Some(&LiveType::Known(Type::Timestamp)) {
        return Err(
            schema::stale("a column is gone since the plan was made", &load.table).with("column", shared::STAMP)
        );
    }
    Ok(())
}

/// Inserts straight into the table: with an index on the key, staging would only write every row twice.
fn append(session: &Session, load: &Load, stamp: &str, counts: &mut Counts) -> Result<()> {
    let columns: Vec<(usize, Type)> =
        load.columns.iter().filter_map(|column| Some((column.values?, column.ty))).collect();
    let cells = read(load, &columns)?;
    let mut insert = session.prepare(&sql::insert(load))?;
    let mut exists = session.prepare(&sql::exists(&load.table))?;
    let fill = sql::fill(load).filter(|_| load.fill);
    let mut fill = fill.map(|text| session.prepare(&text)).transpose()?;
    if shared::is_stamped(load) {
        insert.raw_bind_parameter(cells.len() + 1, stamp).map_err(crate::error::classify)?;
    }
    let mut scratch = String::new();
    for row in 0..load.rows() {
        session.step()?;
        let inserted = put(&cells, row, &mut insert, &mut scratch)?;
        if inserted > 0 {
            counts.loaded += 1;
        } else {
            // A trigger that drops rows in silence must not pass for a duplicate.
            cells[0].bind(row, &mut exists, 1, &mut scratch).map_err(crate::error::classify)?;
            let there = exists.raw_query().next().map_err(crate::error::classify)?.is_some();
            counts.duplicates += u64::from(there);
            if let Some(fill) = &mut fill {
                put(&cells, row, fill, &mut scratch)?;
            }
        }
    }
    Ok(())
}

/// Stages the rows and merges them; how many keys of the load the table has then.
fn merge(session: &Session, load: &Load, stamp: &str) -> Result<u64> {
    let groups = shared::groups(load, &DIALECT);
    let stages: Vec<String> = (0..groups.len()).map(sql::stage_name).collect();
    for (group, stage) in groups.iter().zip(&stages) {
        stage_rows(session, load, stage, &shared::stage_columns(load, group))?;
    }
    let stamped = shared::is_stamped(load).then_some("?1");
    for text in SQL.merge(load, &groups, &stages, stamped) {
        session.step()?;
        let mut statement = session.prepare(&text)?;
        let done = if statement.parameter_count() > 0 { statement.execute([stamp]) } else { statement.execute([]) };
        done.map_err(crate::error::classify)?;
    }
    let first = stages.first().map_or("", String::as_str);
    let present = session.first(&SQL.count_present(load, first, None), [], |row| row.get::<_, i64>(0))?;
    for stage in &stages {
        session.execute(&sql::drop_stage(stage), [])?;
    }
    Ok(present.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

fn stage_rows(session: &Session, load: &Load, stage: &str, columns: &[StageColumn]) -> Result<()> {
    session.execute(&sql::create_stage(stage, columns), [])?;
    let sources: Vec<(usize, Type)> = columns.iter().map(|column| (column.source, column.ty)).collect();
    let cells = read(load, &sources)?;
    let mut insert = session.prepare(&sql::insert_stage(stage, columns.len()))?;
    let mut scratch = String::new();
    for row in 0..load.rows() {
        session.step()?;
        put(&cells, row, &mut insert, &mut scratch)?;
    }
    let counted =
        session.first(&SQL.count_stage(stage), [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    let rows = i64::try_from(load.rows()).unwrap_or(i64::MAX);
    if counted != Some((rows, rows)) {
        return Err(
            Error::new(ErrorKind::CountMismatch, "the staged rows are not those of the load").with("rows", rows)
        );
    }
    Ok(())
}

fn read<'a>(load: &'a Load, columns: &[(usize, Type)]) -> Result<Vec<Cells<'a>>> {
    let missing = || Error::new(ErrorKind::Internal, "a load names a column that its batch does not have");
    let column = |&(source, ty): &(usize, Type)| Cells::of(load.batch.columns().get(source).ok_or_else(missing)?, ty);
    columns.iter().map(column).collect()
}

fn put(
    cells: &[Cells<'_>],
    row: usize,
    statement: &mut rusqlite::Statement<'_>,
    scratch: &mut String,
) -> Result<usize> {
    for (at, cell) in cells.iter().enumerate() {
        cell.bind(row, statement, at + 1, scratch).map_err(crate::error::classify)?;
    }
    statement.raw_execute().map_err(crate::error::classify)
}
