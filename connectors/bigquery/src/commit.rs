//! One commit: the rows staged by load jobs, then one script under an id that every attempt at this commit finds.

use crate::BigQuery;
use crate::attempts::Attempts;
use crate::change;
use crate::client::{Cells, State, Waits};
use crate::error::Fault;
use crate::schema;
use crate::spans;
use crate::sql::{Attempt, Part, Writer};
use crate::stage::{self, Names};
use crate::types::DIALECT;
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::time::Instant;
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{self as shared, COMMITS, LOCK};
use tablecast_core::{Commit, Counts, Error, ErrorKind, Ident, LiveType, Load, Receipt, Result, Type};

/// Uploads that are under way at the same time: each holds its rows in memory.
const UPLOADS: usize = 4;

/// Loads a commit, or says that it is loaded already.
pub(crate) async fn commit(warehouse: &BigQuery, commit: &Commit) -> Result<Receipt> {
    let location = warehouse.location().await?;
    let names = Names::new(crate::now());
    let mut scripts = Scripts::new(warehouse, &location, commit, &names);
    match scripts.newest_ended().await? {
        Some(State::Running | State::Failed(_)) | None => {}
        // Done, or hidden: the ledger knows.
        Some(State::Done { .. }) => {
            let rows = warehouse.client.query(&location, &scripts.ledger).await?;
            if let Some(receipt) = receipt(commit, &rows, None) {
                return Ok(receipt);
            }
        }
    }
    look(warehouse, commit).await?;
    let started = Instant::now();
    let staged = parts(warehouse, commit, &names);
    let tables: Vec<String> = staged.iter().flat_map(|part| part.stages.clone()).collect();
    let done = match fill(warehouse, &location, commit, &staged).await {
        Ok(()) => {
            let staging_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let attempt = Attempt { nonce: &names.nonce, stamp: crate::now(), staging_ms };
            let script = Writer::new(&warehouse.dataset).commit(commit, &staged, &attempt);
            // Where nobody saw the end of the script it may still run: then what it reads must stay.
            scripts.run(&script).await?
        }
        Err(error) => Err(error),
    };
    stage::clear(&warehouse.client, &warehouse.dataset, &tables).await;
    receipt(commit, &done?, Some(&names.nonce))
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a commit was made that the ledger does not have"))
}

/// The attempts at one commit.
struct Scripts<'a> {
    warehouse: &'a BigQuery,
    location: &'a str,
    attempts: Attempts<'a>,
    /// The number of the next one.
    next: u32,
    /// What reads the commit's ledger.
    ledger: String,
    /// The key of attempts that nobody else knows, as long as it was not needed.
    own: Option<String>,
}

impl<'a> Scripts<'a> {
    fn new(warehouse: &'a BigQuery, location: &'a str, commit: &Commit, names: &Names) -> Scripts<'a> {
        let key = format!("tablecast_{}_{}", warehouse.dataset, commit.id);
        let own = Some(format!("{key}_{}", names.nonce));
        let ledger = Writer::new(&warehouse.dataset).ledger(&commit.id.to_string());
        Scripts { warehouse, location, attempts: Attempts::new(&warehouse.client, location, key), next: 0, ledger, own }
    }

    /// Waits for the newest attempt, if there is one, and says how it ended. One that may not be seen counts as done:
    /// whether it is, the ledger knows.
    async fn newest_ended(&mut self) -> Result<Option<State>> {
        let client = &self.warehouse.client;
        let ended = async |attempts: &Attempts<'_>| match attempts.newest().await? {
            None => Ok(None),
            Some(newest) => Ok(Some((newest, client.ended(&attempts.id(newest), self.location).await?))),
        };
        match ended(&self.attempts).await {
            Ok(None) => Ok(None),
            Ok(Some((newest, state))) => {
                self.next = newest + 1;
                Ok(Some(state))
            }
            Err(fault) if self.is_hidden(&fault) => Ok(Some(State::Done { rows: None })),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Whether another account's job is in the way, which this one may not look at. From then on the attempts have ids
    /// of their own, and the guard alone keeps the two apart.
    fn is_hidden(&mut self, fault: &Fault) -> bool {
        let own = if fault.is_forbidden() { self.own.take() } else { None };
        let Some(key) = own else { return false };
        self.attempts = Attempts::new(&self.warehouse.client, self.location, key);
        self.next = 0;
        true
    }

    /// Runs the script under the first number that is free, and again under the next while that may help; its rows, or
    /// how it failed. The outer error says that nobody knows.
    async fn run(&mut self, script: &str) -> Result<Result<Vec<Cells>>> {
        let client = &self.warehouse.client;
        let (mut waits, mut turns) = (Waits::default(), Waits::patient());
        loop {
            let id = self.attempts.id(self.next);
            let fault = match client.script(&id, self.location, script).await {
                Ok(State::Done { .. } | State::Running) => return Ok(Ok(self.rows(&id).await?)),
                Ok(State::Failed(fault)) => fault,
                Err(fault) if self.is_hidden(&fault) => continue,
                Err(fault) => return Err(fault.into()),
            };
            // Another writer may take as long as its commit; what is staged waits.
            let again = match fault.is_conflict() {
                true => turns.again(),
                false => fault.is_passing() && waits.again(),
            };
            if !again {
                let error = Error::from(fault);
                if error.kind() == ErrorKind::SchemaMismatch {
                    self.tidy().await?;
                }
                return Ok(Err(error));
            }
            let waits = if fault.is_conflict() { &turns } else { &waits };
            waits.wait(&fault).await;
            self.next += 1;
        }
    }

    /// What the ledger has after a script, which ends with reading it. What another account's script read, this one may
    /// not see; then it reads the ledger itself.
    async fn rows(&self, id: &str) -> Result<Vec<Cells>, Fault> {
        let client = &self.warehouse.client;
        match client.results(id, self.location).await {
            Err(fault) if fault.is_forbidden() => client.query(self.location, &self.ledger).await,
            done => done,
        }
    }

    /// Puts right what keeps every commit out: an entry of the journal that nobody finished, or a guard without a row.
    async fn tidy(&self) -> Result<()> {
        match schema::lock(self.warehouse).await? {
            Some(schema::Lock { changing: Some(entry), .. }) => {
                change::finish(self.warehouse, self.location, &entry).await
            }
            Some(_) => Ok(()),
            None => self.warehouse.restore_lock(self.location).await,
        }
    }
}

/// Whether the tables still have what the plan says, before anything is staged for them.
async fn look(warehouse: &BigQuery, commit: &Commit) -> Result<()> {
    let loads = || commit.loads.iter().filter(|load| load.rows() > 0);
    let mut tables: Vec<Ident> = loads().map(|load| load.table.clone()).collect();
    tables.extend([LOCK.into(), COMMITS.into()]);
    let live = schema::live(warehouse, &tables).await?;
    let stale = |table: &Ident, what: &str| Error::new(ErrorKind::SchemaMismatch, what).with("table", table);
    for table in &tables {
        if !live.contains_key(table) {
            return Err(stale(table, "a table is gone since the plan was made"));
        }
    }
    for load in loads() {
        let columns = &live[&load.table].columns;
        let known = |name: &str, ty: Type| columns.get(name) == Some(&LiveType::Known(ty));
        let mut wanted = load.columns.iter().filter(|column| column.values.is_some());
        if let Some(column) = wanted.find(|column| !known(column.name.as_str(), column.ty)) {
            return Err(stale(&load.table, "a column is gone or has another type since the plan was made")
                .with("column", &column.name));
        }
        if shared::is_stamped(load) && !known(shared::STAMP, Type::Timestamp) {
            return Err(stale(&load.table, "a column is gone since the plan was made").with("column", shared::STAMP));
        }
        if matches!(load.kind, TableKind::Versions | TableKind::System) {
            return Err(
                Error::new(ErrorKind::Internal, "a load cannot be for a bookkeeping table").with("table", &load.table)
            );
        }
    }
    Ok(())
}

/// The loads with their staging tables.
fn parts<'a>(warehouse: &BigQuery, commit: &'a Commit, names: &Names) -> Vec<Part<'a>> {
    let part = |(nth, load): (usize, &'a Load)| {
        let groups = if load.rows() > 0 { shared::groups(load, &DIALECT) } else { Vec::new() };
        let stages = (0..groups.len()).map(|group| names.table(nth, group)).collect();
        let append = load.kind == TableKind::Append;
        let spans = if append { spans::inserted(load, warehouse.options.partition) } else { Vec::new() };
        Part { load, groups, stages, spans, within: spans::within(load).filter(|_| append) }
    };
    commit.loads.iter().enumerate().map(part).collect()
}

/// Fills all staging tables.
async fn fill(warehouse: &BigQuery, location: &str, commit: &Commit, parts: &[Part<'_>]) -> Result<()> {
    let of = commit.id.to_string();
    let mut all = Vec::new();
    for part in parts {
        all.extend(part.groups.iter().zip(&part.stages).map(|(group, table)| (part.load, group, table)));
    }
    let one = async |(load, group, table): (&Load, &Vec<usize>, &String)| {
        let columns = shared::stage_columns(load, group);
        let data = stage::encode(&load.batch, &columns)?;
        let at = (warehouse.dataset.as_str(), location);
        stage::fill(&warehouse.client, at, &of, table, &stage::schema(&columns), &data, load.rows()).await
    };
    // All to their end: what a dropped one has sent would be made behind the back of who tidies up.
    let filled: Vec<Result<()>> = stream::iter(all).map(one).buffer_unordered(UPLOADS).collect().await;
    filled.into_iter().collect()
}

/// What the ledger's rows say, if they are all there. Those of another attempt are a replay.
fn receipt(commit: &Commit, rows: &[Cells], nonce: Option<&str>) -> Option<Receipt> {
    let mut replayed = false;
    let mut done = BTreeMap::new();
    for row in rows {
        let text = |at: usize| row.get(at).and_then(Option::as_deref);
        let number = |at: usize| text(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let counts = Counts {
            received: number(1),
            loaded: number(2),
            duplicates: number(3),
            filtered: number(4),
            discarded: number(5),
        };
        done.insert(text(0)?, (counts, text(6) != nonce));
    }
    let mut tables = Vec::with_capacity(commit.loads.len());
    for load in &commit.loads {
        let (counts, others) = done.get(load.table.as_str())?;
        replayed |= others;
        tables.push((load.table.clone(), *counts));
    }
    Some(Receipt { id: commit.id, replayed, tables })
}
