//! One commit: staged first, then loaded by one script in one transaction; the ledger says what came of it.

use crate::client::{Session, nonce, now};
use crate::schema::{self, put_guard};
use crate::sql::{self, Attempt};
use crate::stage::Staging;
use crate::{Redshift, error};
use std::collections::BTreeMap;
use std::time::Instant;
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{COMMITS, LOCK};
use tablecast_core::{Commit, Counts, Error, ErrorKind, Ident, Receipt, Result};

/// Loads a commit, or says that it is loaded already.
pub(crate) async fn commit(redshift: &Redshift, commit: &Commit) -> Result<Receipt> {
    let started = Instant::now();
    let mut session = redshift.client.session().await?;
    if let Some(done) = look(&mut session, redshift, commit).await? {
        return Ok(done.receipt(commit, None));
    }
    must_add_up(commit)?;
    redshift.sweep(&mut session).await;
    drop(session);
    let nonce = nonce();
    let staging = Staging::new(redshift, commit, &nonce);
    let loaded = load(redshift, commit, &staging, &nonce, started).await;
    staging.tidy().await;
    loaded
}

async fn load(
    redshift: &Redshift,
    commit: &Commit,
    staging: &Staging<'_>,
    nonce: &str,
    started: Instant,
) -> Result<Receipt> {
    staging.fill(commit).await?;
    let stages = staging.names(commit);
    let attempt = Attempt {
        commit,
        nonce,
        stamp: now(),
        duration_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
        stages: &stages,
    };
    let script = sql::script(&redshift.sql(), &attempt);
    // The same batch sent twice is the same to the Data API; another try is another one.
    let token = format!("{}{nonce}", commit.id);
    let mut session = redshift.client.session().await?;
    let failed = session.transaction(&token, &script).await.err();
    if failed.is_some() {
        // It may be in the middle of a transaction, or gone.
        session = match redshift.client.session().await {
            Ok(session) => session,
            Err(unreachable) => return Err(failed.unwrap_or(unreachable)),
        };
    }
    match (look(&mut session, redshift, commit).await, failed) {
        (Ok(Some(done)), _) => Ok(done.receipt(commit, Some(nonce))),
        (_, Some(failed)) => Err(explained(&mut session, redshift, &attempt, failed).await),
        (Err(unknown), None) => Err(unknown),
        (Ok(None), None) => {
            Err(Error::new(ErrorKind::SchemaBroken, "a commit is done, but the ledger has no row of it")
                .with("table", COMMITS)
                .fix("see who deletes rows of the table; run again: nothing is loaded twice"))
        }
    }
}

/// What the ledger has of a commit that is done.
struct Done {
    tables: BTreeMap<String, Counts>,
    nonce: String,
}

impl Done {
    /// The receipt; `ours` is the nonce of the try that asks.
    fn receipt(&self, commit: &Commit, ours: Option<&str>) -> Receipt {
        let counts = |table: &Ident| self.tables.get(table.as_str()).copied().unwrap_or_default();
        let tables = commit.loads.iter().map(|load| (load.table.clone(), counts(&load.table))).collect();
        Receipt { id: commit.id, replayed: ours != Some(self.nonce.as_str()), tables }
    }
}

/// The ledger's rows of a commit; none if it is not done.
async fn look(session: &mut Session, redshift: &Redshift, commit: &Commit) -> Result<Option<Done>> {
    let rows = session.query(&sql::ledger(&redshift.sql(), &commit.id.to_string())).await?;
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

/// What is known before anything is staged must add up with the rows; the script sees to the rest.
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

/// Why a check did not hold: the script can only fail.
async fn explained(session: &mut Session, redshift: &Redshift, attempt: &Attempt<'_>, failed: Error) -> Error {
    if !failed.to_string().starts_with(error::CHECK) {
        return failed;
    }
    match why(session, redshift, attempt).await {
        Ok(error) | Err(error) => error.because(failed),
    }
}

async fn why(session: &mut Session, redshift: &Redshift, attempt: &Attempt<'_>) -> Result<Error> {
    let (sql, planned) = (redshift.sql(), attempt.commit.schema_version);
    let stale = Error::new(ErrorKind::SchemaMismatch, "the types of columns changed since the plan was made")
        .with("planned", planned);
    match schema::version(session, &redshift.schema).await? {
        Some(found) if found != planned => return Ok(stale.with("found", found)),
        None => {
            // Under a version that nobody has planned for, whatever it was before.
            put_guard(session, &sql, now()).await?;
            return Ok(stale.with("found", "no guard; it was put back").with("table", LOCK));
        }
        Some(_) => {}
    }
    for (load, stages) in attempt.commit.loads.iter().zip(attempt.stages) {
        for stage in stages {
            let rows = session.query(&sql.count_stage(stage)).await?;
            let counted: Vec<String> = rows.into_iter().flatten().flatten().collect();
            let drafted = load.rows().to_string();
            if counted.iter().any(|count| *count != drafted) {
                return Ok(Error::new(ErrorKind::CountMismatch, "the staged rows are not those of the load")
                    .with("table", &load.table)
                    .with("drafted", drafted)
                    .with("staged", counted.join(" rows, distinct keys: ")));
            }
        }
    }
    // Two commits in the same microsecond, or a guard that moved and moved back: the next try is another one.
    Ok(Error::new(ErrorKind::Conflict, "a check of the transaction did not hold, and holds now").temporary())
}
