//! One commit: staged first, then loaded in one transaction; where nobody heard its end, the ledger says what came of it.

use crate::change::{self, begin};
use crate::client::{Rows, Session, nonce, now};
use crate::error::Fault;
use crate::schema::{self, live, lock};
use crate::sql::{self, Attempt, Entry, Writer};
use crate::stage::Staging;
use crate::types::DIALECT;
use crate::{Snowflake, window};
use std::collections::BTreeMap;
use std::time::Instant;
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{self as shared, COMMITS, LOCK, STAMP};
use tablecast_core::{Commit, Counts, Error, ErrorKind, Ident, LiveType, Load, Receipt, Result, Type};

/// Loads a commit, or says that it is loaded already.
pub(crate) async fn commit(snowflake: &Snowflake, commit: &Commit) -> Result<Receipt> {
    let mut session = snowflake.session().await?;
    let looked = prepared(snowflake, &mut session, commit).await;
    if let Ok(None) = looked {
        return run(snowflake, session, commit).await;
    }
    session.close().await;
    looked?.ok_or_else(|| Error::new(ErrorKind::Internal, "a commit was neither made nor found"))
}

/// The receipt of a commit that is done; none if it can be tried.
async fn prepared(snowflake: &Snowflake, session: &mut Session, commit: &Commit) -> Result<Option<Receipt>> {
    if let Some(done) = look(snowflake, session, commit).await? {
        return Ok(Some(done.receipt(commit, None)));
    }
    must_add_up(commit)?;
    must_fit(snowflake, session, commit).await?;
    snowflake.sweep_now_and_then(session).await;
    Ok(None)
}

async fn run(snowflake: &Snowflake, mut session: Session, commit: &Commit) -> Result<Receipt> {
    let (started, nonce) = (Instant::now(), nonce());
    let staging = Staging::new(snowflake, commit, &nonce);
    let loaded = match staging.fill(&mut session).await {
        Ok(()) => transact(snowflake, &mut session, commit, &staging, &nonce, started).await,
        Err(error) => Err(Failed { error, committing: false }),
    };
    let failed = match loaded {
        Ok(receipt) => {
            staging.tidy(&mut session).await;
            session.close().await;
            return Ok(receipt);
        }
        Err(failed) => failed,
    };
    // Whatever state it is in: closing it gives up what was not committed.
    let _ = session.exec(sql::ROLLBACK).await;
    session.close().await;
    let Ok(mut session) = snowflake.session().await else { return Err(failed.error) };
    let found = if failed.committing { look(snowflake, &mut session, commit).await } else { Ok(None) };
    let stale = failed.error.kind() == ErrorKind::SchemaMismatch;
    let mended = if stale { mend(snowflake, &mut session).await } else { Ok(()) };
    staging.tidy(&mut session).await;
    session.close().await;
    mended?;
    match found {
        Ok(Some(done)) => Ok(done.receipt(commit, Some(&nonce))),
        Ok(None) | Err(_) => Err(failed.error),
    }
}

/// Why a transaction came to nothing, as far as anybody knows.
struct Failed {
    error: Error,
    /// Whether its COMMIT was sent.
    committing: bool,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        Failed { error: fault.into(), committing: false }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed { error, committing: false }
    }
}

async fn transact(
    snowflake: &Snowflake,
    session: &mut Session,
    commit: &Commit,
    staging: &Staging<'_>,
    nonce: &str,
    started: Instant,
) -> Result<Receipt, Failed> {
    let writer = snowflake.writer();
    begin(snowflake, session, &writer.guard(commit.schema_version, now()), nonce).await?;
    // What the guard is now, and that it is ours: who waited for it may have been judged by what it was.
    let lock = lock(snowflake, session).await?.unwrap_or_default();
    if lock.version != commit.schema_version || lock.changing.is_some() || lock.taken_by.as_deref() != Some(nonce) {
        return Err(Error::new(ErrorKind::SchemaMismatch, "the types of columns changed since the plan was made")
            .with("planned", commit.schema_version)
            .with("found", lock.version)
            .into());
    }
    if let Some(done) = look(snowflake, session, commit).await? {
        session.exec(sql::ROLLBACK).await?;
        return Ok(done.receipt(commit, Some(nonce)));
    }
    count_stages(snowflake, session, staging).await?;
    let id = commit.id.to_string();
    let attempt = Attempt { id: &id, source: &commit.source, nonce, stamp: lock.stamped };
    let mut entries = Vec::with_capacity(commit.loads.len());
    for (nth, load) in commit.loads.iter().enumerate() {
        let stages = staging.sources(nth);
        let counts = load_table(session, &writer, load, &stages, attempt.stamp)
            .await
            .map_err(|error| error.with("table", &load.table))?;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        entries.push(Entry { table: load.table.clone(), counts, duration_ms });
    }
    if !entries.is_empty() {
        let binds = Writer::ledger_binds(&attempt, &entries);
        let (_, resent) = session.change(&writer.ledger_rows(&attempt, &entries), &binds).await?;
        // What was sent twice may have been run twice.
        if resent && session.query(&writer.ledger(), &[&id]).await?.len() != entries.len() {
            return Err(unsure("nobody knows how many rows the ledger got").into());
        }
    }
    if let Err(fault) = session.exec(sql::COMMIT).await {
        // Refused or unheard: the ledger knows.
        return Err(Failed { error: fault.into(), committing: true });
    }
    let tables = entries.into_iter().map(|entry| (entry.table, entry.counts)).collect();
    Ok(Receipt { id: commit.id, replayed: false, tables })
}

/// Loads one table's staged rows; how they came out.
async fn load_table(
    session: &mut Session,
    writer: &Writer<'_>,
    load: &Load,
    stages: &[String],
    stamp: i64,
) -> Result<Counts> {
    let mut counts = load.counts;
    if let Some(first) = stages.first() {
        let rows = u64::try_from(load.rows()).unwrap_or(u64::MAX);
        let groups = shared::groups(load, writer.sql.dialect);
        if load.kind == TableKind::Append {
            let within = window::within(load);
            let present = count(session, &writer.count_present(load, first, within)).await?;
            let (mut inserted, mut again) = (0, false);
            for statement in writer.load(load, &groups, stages, stamp, within) {
                let (changed, resent) = session.change(&statement, &[]).await?;
                if is_insert(&statement) {
                    inserted += changed;
                    again |= resent;
                }
            }
            if again && inserted + present != rows {
                // The second answer to a statement that was sent twice counts what the first run left over.
                return Err(unsure("nobody knows how many rows were inserted"));
            }
            counts.loaded += inserted;
            counts.duplicates += present;
        } else {
            for statement in writer.load(load, &groups, stages, stamp, None) {
                session.change(&statement, &[]).await?;
            }
            counts.loaded += count(session, &writer.count_present(load, first, None)).await?;
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

fn unsure(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, what).temporary().fix("run again; nothing is loaded twice")
}

fn is_insert(statement: &str) -> bool {
    statement.starts_with("INSERT")
}

async fn count(session: &mut Session, statement: &str) -> Result<u64> {
    let rows = session.query(statement, &[]).await?;
    number(&rows, 0, 0).ok_or_else(|| unsure("a count has no answer"))
}

fn number(rows: &Rows, row: usize, at: usize) -> Option<u64> {
    rows.get(row)?.get(at)?.as_deref()?.parse().ok()
}

/// Every staging table must hold just the rows of its load.
async fn count_stages(snowflake: &Snowflake, session: &mut Session, staging: &Staging<'_>) -> Result<()> {
    let expected = staging.expected();
    // So many counts fit one statement.
    for (part, some) in expected.chunks(200).enumerate() {
        let tables: Vec<&str> = some.iter().map(|(table, _)| *table).collect();
        let rows = session.query(&snowflake.writer().count_stages(&tables), &[]).await?;
        let counted: BTreeMap<u64, (u64, u64)> = (0..rows.len())
            .filter_map(|row| Some((number(&rows, row, 0)?, (number(&rows, row, 1)?, number(&rows, row, 2)?))))
            .collect();
        for (nth, (_, load)) in some.iter().enumerate() {
            let drafted = u64::try_from(load.rows()).unwrap_or(u64::MAX);
            let found = u64::try_from(nth).ok().and_then(|nth| counted.get(&nth)).copied();
            if found != Some((drafted, drafted)) {
                let (rows, keys) = found.unwrap_or_default();
                return Err(Error::new(ErrorKind::CountMismatch, "the staged rows are not those of the load")
                    .with("table", &load.table)
                    .with("part", part)
                    .with("drafted", drafted)
                    .with("staged", format!("{rows} rows, distinct keys: {keys}")));
            }
        }
    }
    Ok(())
}

/// Puts right what keeps every commit out: an entry of the journal that nobody finished, or a guard without a row.
async fn mend(snowflake: &Snowflake, session: &mut Session) -> Result<()> {
    match lock(snowflake, session).await? {
        Some(found) => match found.changing {
            Some(entry) => change::finish(snowflake, session, &entry).await,
            None => Ok(()),
        },
        None => {
            let there = schema::live(snowflake, session, &[LOCK.into()]).await?;
            if there.is_empty() {
                return Ok(());
            }
            // Under a version that nobody has planned for, whatever it was before.
            Ok(session.exec(&snowflake.writer().restore_lock(now())).await?)
        }
    }
}

/// What the ledger has of a commit that is done.
struct Done {
    tables: BTreeMap<String, Counts>,
    nonce: String,
}

impl Done {
    /// The receipt; `ours` is the nonce of the attempt that asks.
    fn receipt(&self, commit: &Commit, ours: Option<&str>) -> Receipt {
        let counts = |table: &Ident| self.tables.get(table.as_str()).copied().unwrap_or_default();
        let tables = commit.loads.iter().map(|load| (load.table.clone(), counts(&load.table))).collect();
        Receipt { id: commit.id, replayed: ours != Some(self.nonce.as_str()), tables }
    }
}

/// The ledger's rows of a commit; none if it is not done, or there is no ledger.
async fn look(snowflake: &Snowflake, session: &mut Session, commit: &Commit) -> Result<Option<Done>> {
    let rows = match session.query(&snowflake.writer().ledger(), &[&commit.id.to_string()]).await {
        Ok(rows) => rows,
        Err(fault) if fault.is_missing() => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    let mut done = Done { tables: BTreeMap::new(), nonce: String::new() };
    for row in rows {
        let mut cells = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || cells.next().unwrap_or_default();
        let table = next();
        let [received, loaded, duplicates, filtered, discarded] = [(); 5].map(|()| next().parse().unwrap_or(0));
        done.tables.insert(table, Counts { received, loaded, duplicates, filtered, discarded });
        done.nonce = next();
    }
    if done.tables.is_empty() {
        return Ok(None);
    }
    if let Some(load) = commit.loads.iter().find(|load| !done.tables.contains_key(load.table.as_str())) {
        return Err(Error::new(ErrorKind::SchemaBroken, "the ledger has lost a row of a commit that is done")
            .with("commit", commit.id)
            .with("table", &load.table)
            .fix("delete the commit's other rows from _commits too, then run again: rows that are there are not loaded twice"));
    }
    Ok(Some(done))
}

/// What is known before anything is staged must add up with the rows.
fn must_add_up(commit: &Commit) -> Result<()> {
    for load in &commit.loads {
        if !matches!(load.kind, TableKind::Append | TableKind::Merge) {
            return Err(
                Error::new(ErrorKind::Internal, "a load cannot be for a bookkeeping table").with("table", &load.table)
            );
        }
        let rows = u64::try_from(load.rows()).unwrap_or(u64::MAX);
        let counts = Counts { loaded: load.counts.loaded + rows, ..load.counts };
        if !counts.add_up() {
            return Err(Error::new(ErrorKind::CountMismatch, "the rows of a load do not add up")
                .with("table", &load.table)
                .with("received", counts.received)
                .with("staged", rows));
        }
    }
    Ok(())
}

/// Looks at the tables before anything is staged: what was changed by hand does not raise the schema's version.
async fn must_fit(snowflake: &Snowflake, session: &mut Session, commit: &Commit) -> Result<()> {
    let loads = || commit.loads.iter().filter(|load| load.rows() > 0);
    let mut tables: Vec<Ident> = loads().map(|load| load.table.clone()).collect();
    tables.extend([COMMITS.into(), LOCK.into()]);
    let live = live(snowflake, session, &tables).await?;
    let stale = |table: &Ident, what: &str| Error::new(ErrorKind::SchemaMismatch, what).with("table", table);
    if let Some(table) = tables.iter().find(|table| !live.contains_key(*table)) {
        return Err(stale(table, "a table is gone since the plan was made"));
    }
    for load in loads() {
        let columns = &live[&load.table].columns;
        let known = |name: &str, ty: Type| {
            columns.get(name).and_then(LiveType::known).is_some_and(|live| live == DIALECT.told(ty))
        };
        let mut wanted = load.columns.iter().filter(|column| column.values.is_some());
        if let Some(column) = wanted.find(|column| !known(column.name.as_str(), column.ty)) {
            return Err(stale(&load.table, "a column is gone or has another type since the plan was made")
                .with("column", &column.name));
        }
        if shared::is_stamped(load) && !known(STAMP, Type::Timestamp) {
            return Err(stale(&load.table, "a column is gone since the plan was made").with("column", STAMP));
        }
    }
    Ok(())
}
