//! A service without HTTP: real spools, the real state, SQLite warehouses behind a gate, and a clock that tests move.

use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tablecast::{Catalog, Change, Commit, Dialect, Error, ErrorKind, Ident, Receipt, RetryPolicy, Warehouse};
use tablecast_core::BoxFuture;
use tablecast_server::spool::{Kind, NewRecord, Spool, SpoolOptions};
use tablecast_server::state::{self, HistoryFilter, Status, Sync, SyncDetail};
use tablecast_server::sync::{Clock, Engine, Open, Settings, Spools};
use tablecast_server::{Config, Control, State};
use tablecast_sqlite::{Options, Sqlite, Synchronous};
use tablecast_testkit::{Dump, Opened};
use tokio::sync::watch;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600_000_000;
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const HOUR: i64 = 3_600 * SECOND;
pub(crate) const DAY: i64 = 24 * HOUR;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct TestClock(watch::Sender<i64>);

impl TestClock {
    pub(crate) fn advance(&self, micros: i64) {
        self.0.send_modify(|now| *now += micros);
    }
}

impl Clock for TestClock {
    fn now(&self) -> i64 {
        *self.0.borrow()
    }

    fn until(&self, now: i64, at: i64) -> BoxFuture<'_, ()> {
        let mut moved = self.0.subscribe();
        Box::pin(async move {
            // The sender lives as long as the clock.
            let _ = moved.wait_for(|is| *is >= at || *is < now).await;
        })
    }
}

/// What stands between the engine and its warehouses.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Warehouses that refuse every call.
    pub(crate) down: Mutex<BTreeSet<String>>,
    /// Warehouses that do not answer until they are taken out.
    pub(crate) stuck: Mutex<BTreeSet<String>>,
    /// One commit in so many does its work and its answer is lost; 0 is never.
    pub(crate) lose: Mutex<u64>,
    commits: Mutex<u64>,
}

/// A warehouse behind the gate: every call waits once before it begins and once before its answer.
struct Gated {
    name: String,
    gate: Arc<Gate>,
    inner: Arc<dyn Warehouse>,
}

impl fmt::Debug for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gated({})", self.name)
    }
}

impl Gated {
    async fn pass(&self) -> tablecast::Result<()> {
        tokio::task::yield_now().await;
        while self.gate.stuck.lock().unwrap().contains(&self.name) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if self.gate.down.lock().unwrap().contains(&self.name) {
            return Err(Error::new(ErrorKind::Unavailable, "the warehouse is down").temporary());
        }
        Ok(())
    }
}

#[async_trait]
impl Warehouse for Gated {
    fn dialect(&self) -> &'static Dialect {
        self.inner.dialect()
    }

    async fn describe(&self, tables: &[Ident]) -> tablecast::Result<Catalog> {
        self.pass().await?;
        self.inner.describe(tables).await
    }

    async fn apply(&self, changes: &[Change]) -> tablecast::Result<()> {
        self.pass().await?;
        self.inner.apply(changes).await?;
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn commit(&self, commit: &Commit) -> tablecast::Result<Receipt> {
        self.pass().await?;
        let receipt = self.inner.commit(commit).await?;
        tokio::task::yield_now().await;
        let lose = *self.gate.lose.lock().unwrap();
        let mut commits = self.gate.commits.lock().unwrap();
        *commits += 1;
        if lose > 0 && commits.is_multiple_of(lose) {
            return Err(Error::new(ErrorKind::Unavailable, "the answer was lost").temporary());
        }
        Ok(receipt)
    }
}

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) engine: Engine,
    pub(crate) state: State,
    spools: Spools,
    config: String,
}

/// One space with one key, and a number of warehouses with more keys in their sections.
pub(crate) fn config(warehouses: &[(&str, &str)]) -> String {
    let mut text = "[[source]]\nspace = \"default\"\nwrite_keys = [\"k\"]\n".to_owned();
    for (name, more) in warehouses {
        text.push_str(&format!("[[warehouse]]\nname = \"{name}\"\nuri = \"sqlite:{name}\"\n{more}\n"));
    }
    text
}

impl World {
    pub(crate) fn new(config: &str) -> World {
        let clock = Arc::new(TestClock(watch::channel(START).0));
        World::open(tempfile::tempdir().unwrap(), clock, Arc::default(), config)
    }

    /// The process ends, something happens to the segments of the spool, and the next one begins.
    pub(crate) fn reopen(self, damage: impl FnOnce(Vec<std::path::PathBuf>)) -> World {
        let segments = self.segments();
        let World { dir, clock, gate, engine, state, spools, config } = self;
        drop((engine, state, spools));
        damage(segments);
        World::open(dir, clock, gate, &config)
    }

    fn open(dir: tempfile::TempDir, clock: Arc<TestClock>, gate: Arc<Gate>, config: &str) -> World {
        let spools = Spools::default();
        let parsed = Config::parse(config).unwrap();
        for space in parsed.spaces() {
            let options = SpoolOptions { segment_bytes: 4_000, ..SpoolOptions::new(space) };
            spools.open(dir.path(), options).unwrap();
        }
        let state = State::open(dir.path()).unwrap();
        let settings = settings(dir.path(), &clock, &gate);
        let engine = Engine::new(parsed, state.clone(), spools.clone(), settings).unwrap();
        World { dir, clock, gate, engine, state, spools, config: config.to_owned() }
    }

    /// The process ends, and the next begins, by another configuration if one is given.
    pub(crate) fn restart(&mut self, config: Option<&str>) {
        if let Some(config) = config {
            self.config = config.to_owned();
        }
        self.engine = self.try_restart(&self.config).unwrap();
    }

    pub(crate) fn try_restart(&self, config: &str) -> Result<Engine, tablecast_server::config::Problems> {
        let state = State::open(self.dir.path()).unwrap();
        let settings = settings(self.dir.path(), &self.clock, &self.gate);
        Engine::new(Config::parse(config).unwrap(), state, self.spools.clone(), settings)
    }

    pub(crate) fn control(&self) -> Control {
        self.engine.control()
    }

    pub(crate) fn spool(&self) -> Spool {
        self.spools.get("default").unwrap()
    }

    /// The segments of the spool, oldest first.
    pub(crate) fn segments(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.dir.path().join("spool/default")).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        files.sort();
        files
    }

    /// Puts lines into the spool, received now.
    pub(crate) async fn post<L: AsRef<[u8]>>(&self, lines: &[L]) {
        for line in lines {
            let record = NewRecord { received_at: self.clock.now(), kind: Kind::Call, payload: line.as_ref().to_vec() };
            self.spool().append(record).await.unwrap();
        }
    }

    /// Asks for a sync of everything, and does all that waits.
    pub(crate) async fn sync(&self) {
        self.control().sync_now(None, None).unwrap();
        self.engine.drain().await;
    }

    /// The history, the oldest first, as `kind status rows`.
    pub(crate) fn history(&self, warehouse: &str) -> Vec<String> {
        let rows = self.syncs(warehouse);
        rows.iter().map(|sync| format!("{} {} {}", sync.kind, sync.status, sync.rows)).collect()
    }

    pub(crate) fn syncs(&self, warehouse: &str) -> Vec<Sync> {
        let filter = HistoryFilter { warehouse: Some(warehouse.to_owned()), limit: 1_000, ..HistoryFilter::default() };
        let mut rows = self.state.syncs(&filter).unwrap();
        rows.reverse();
        rows
    }

    /// The newest row of the history that has ended, with everything.
    pub(crate) fn last(&self, warehouse: &str) -> SyncDetail {
        let rows = self.syncs(warehouse);
        let last = rows.iter().rev().find(|sync| sync.status.is_final()).unwrap();
        self.state.sync(last.id).unwrap().unwrap()
    }

    pub(crate) fn opened(&self, warehouse: &str, schema: &str) -> Opened {
        opened(&self.dir.path().join(warehouse), schema)
    }

    pub(crate) async fn dump(&self, warehouse: &str) -> Dump {
        Dump::of(&self.opened(warehouse, "personas_default")).await.unwrap()
    }

    /// Some columns of a table as text, one line for each row, sorted.
    pub(crate) async fn show(&self, warehouse: &str, table: &str, columns: &[&str]) -> Vec<String> {
        let rows = self.opened(warehouse, "personas_default").probe.rows(table).await.unwrap();
        let cell = |row: &tablecast_core::testing::Row, column: &str| row.get(column).cloned().unwrap_or_default();
        let mut lines: Vec<String> = rows
            .iter()
            .map(|row| columns.iter().map(|column| cell(row, column)).collect::<Vec<_>>().join(" | "))
            .collect();
        lines.sort();
        lines
    }
}

pub(crate) fn opened(folder: &std::path::Path, schema: &str) -> Opened {
    let options = Options { synchronous: Synchronous::Off, ..Options::default() };
    let sqlite = Arc::new(Sqlite::open(folder, &schema.into(), options).unwrap());
    Opened { warehouse: sqlite.clone(), probe: sqlite }
}

fn settings(dir: &std::path::Path, clock: &Arc<TestClock>, gate: &Arc<Gate>) -> Settings {
    let (dir, gate) = (dir.to_owned(), gate.clone());
    let open: Open = Arc::new(move |uri, schema| {
        let name = uri.trim_start_matches("sqlite:").to_owned();
        let inner = opened(&dir.join(&name), schema.as_str()).warehouse;
        let gated = Gated { name, gate: gate.clone(), inner };
        Box::pin(async move { Ok(Arc::new(gated) as Arc<dyn Warehouse>) })
    });
    let retry = RetryPolicy { attempts: 2, first: Duration::from_millis(1), most: Duration::from_millis(1) };
    Settings { clock: clock.clone(), open, retry, ..Settings::default() }
}

/// Waits until something is so; a test that waits for ever is wrong.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("never happened: {what}");
}

/// Polls a future so often, then drops it. True if it came to its end.
pub(crate) async fn polled(future: impl Future<Output = ()>, mut times: u32) -> bool {
    let mut future = pin!(future);
    poll_fn(|context| {
        if times == 0 {
            return Poll::Ready(false);
        }
        times -= 1;
        future.as_mut().poll(context).map(|()| true)
    })
    .await
}

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

pub(crate) fn ended(sync: &Sync, status: Status) -> bool {
    sync.kind == state::Kind::Sync && sync.status == status
}
