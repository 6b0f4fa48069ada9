//! What all tasks share, and the one that starts and ends them.

use super::clock::{Clock, SystemClock};
use super::control::Control;
use super::live::Live;
use super::spools::Spools;
use super::worker::Worker;
use crate::config::{Config, Off, Problem, Problems, WarehouseConfig};
use crate::state::{Kind, State, Status};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tablecast::core::BoxFuture;
use tablecast::{Ident, Limits, Result, RetryPolicy, Warehouse};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

/// Opens a schema of the warehouse at a URI.
pub type Open = Arc<dyn Fn(String, Ident) -> BoxFuture<'static, Result<Arc<dyn Warehouse>>> + Send + Sync>;

/// What is called at the end of each sync, fill and backfill.
pub type OnEnd = Arc<dyn Fn(&EndedSync<'_>) + Send + Sync>;

/// A sync, a fill or a backfill that ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedSync<'e> {
    /// The warehouse.
    pub warehouse: &'e str,
    /// The space.
    pub space: &'e str,
    /// What it was for.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// Rows that it loaded since the process began.
    pub rows: u64,
    /// Rows of `_discards`.
    pub discards: u64,
    /// Preparing and loading.
    pub time: Duration,
}

/// How often segments that nobody needs are looked for, in µs.
const SWEEP: i64 = 600_000_000;

/// How the engine meets the world. The default is the real one; tests have their own clock and warehouses.
#[derive(Clone)]
pub struct Settings {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How warehouses are opened.
    pub open: Open,
    /// How often a call to a warehouse is tried within a sync.
    pub retry: RetryPolicy,
    /// How long a call to a warehouse may take.
    pub limits: Limits,
    /// Who wants to know of ends.
    pub on_end: Option<OnEnd>,
}

impl Default for Settings {
    fn default() -> Self {
        let open: Open = Arc::new(|uri, schema| {
            Box::pin(async move { tablecast::open_with(tablecast::connectors(), &uri, &schema).await })
        });
        Settings {
            clock: Arc::new(SystemClock),
            open,
            retry: RetryPolicy::default(),
            limits: Limits::default(),
            on_end: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("clock", &self.clock).field("retry", &self.retry).finish_non_exhaustive()
    }
}

/// What all parts of the engine share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: State,
    pub(super) spools: Spools,
    pub(super) settings: Settings,
    pub(super) live: Live,
    config: RwLock<Arc<Config>>,
    /// Raised whenever a task should look again.
    changed: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn now(&self) -> i64 {
        self.settings.clock.now()
    }

    /// Lets all tasks look again.
    pub(super) fn wake(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Everything that is off for a warehouse.
    pub(super) fn off(&self, warehouse: &WarehouseConfig) -> Result<Off> {
        Ok(warehouse.off.with(self.state.switches(&warehouse.name)?.0))
    }
}

/// Keeps all warehouses up to date. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Shared>);

impl Engine {
    /// An engine over a state and the open spools of all spaces of the configuration.
    ///
    /// What a crash left in the history is put right, and new warehouses are made known: one with `history` begins with all
    /// that the spool has, another from now on. Fails if a schema was changed: see [`Engine::check`].
    pub fn new(config: Config, state: State, spools: Spools, settings: Settings) -> Result<Engine, Problems> {
        let now = settings.clock.now();
        let wrong = |error: tablecast::Error| Problems::one(Problem::new("data", error.to_string(), error.remedy()));
        state.recover(now).map_err(wrong)?;
        let (changed, _) = watch::channel(0);
        let live = Live::default();
        let config = RwLock::new(Arc::new(config));
        let engine = Engine(Arc::new(Shared { state, spools, settings, live, config, changed }));
        let config = engine.0.config();
        engine.check(&config)?;
        engine.enroll(&config).map_err(wrong)?;
        Ok(engine)
    }

    /// Whether a configuration goes with what earlier syncs did: the schema of a warehouse and a space is fixed by the first.
    pub fn check(&self, config: &Config) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for warehouse in &config.warehouses {
            for space in &warehouse.spaces {
                let place = format!("[[warehouse]] \"{}\": schema_prefix", warehouse.name);
                let position = match self.0.state.position(&warehouse.name, space) {
                    Ok(position) => position,
                    Err(error) => return Err(Problems::one(Problem::new("data", error.to_string(), error.remedy()))),
                };
                let wanted = warehouse.schema(space);
                if let Some(fixed) = position.and_then(|position| position.schema)
                    && wanted != *fixed.as_str()
                {
                    problems.0.push(Problem::new(
                        place,
                        format!("the space \"{space}\" is in the schema {fixed} since the first sync and would go to {wanted}"),
                        format!(
                            "put the prefix back; or give the warehouse a new name, which begins a new schema with all that the \
                             spool has; or end the service, rename {fixed} to {wanted} in the warehouse, and say so: \
                             tablecast sync renamed --to {}",
                            warehouse.name
                        ),
                    ));
                }
            }
        }
        if problems.0.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Goes on by another configuration, whose spools are open. Syncs that run end by the old one.
    pub fn reload(&self, config: Config) -> Result<(), Problems> {
        self.check(&config)?;
        let wrong = |error: tablecast::Error| Problems::one(Problem::new("data", error.to_string(), error.remedy()));
        self.enroll(&config).map_err(wrong)?;
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.0.wake();
        Ok(())
    }

    /// The handle for page, API and command line.
    pub fn control(&self) -> Control {
        Control::new(self.0.clone())
    }

    /// Runs a task for each warehouse until `stop` is true or gone, then lets each end what it is about.
    ///
    /// Each task has a thread of its own, because a warehouse may hold the thread that calls it. Needs a tokio runtime.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let shared = &self.0;
        let mut tasks: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
        let mut changes = shared.changes();
        let mut sweep = shared.now();
        while !*stop.borrow() {
            tasks.retain(|_, task| !task.is_finished());
            for warehouse in &shared.config().warehouses {
                if !tasks.contains_key(&warehouse.name) {
                    tasks.insert(warehouse.name.clone(), self.start(&warehouse.name, stop.clone()));
                }
            }
            let now = shared.now();
            if now >= sweep {
                super::retention::sweep(shared);
            }
            if now >= sweep || sweep > now.saturating_add(SWEEP) {
                // Or the clock was set back.
                sweep = now.saturating_add(SWEEP);
            }
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { break },
                _ = changes.changed() => {}
                () = shared.settings.clock.until(now, sweep) => {}
            }
        }
        for (name, task) in tasks {
            if task.await.is_err() {
                error!(target: "tablecast", warehouse = name, "the task of a warehouse ended by a defect");
            }
        }
    }

    fn start(&self, name: &str, stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let (shared, name) = (self.0.clone(), name.to_owned());
        let runtime = tokio::runtime::Handle::current();
        info!(target: "tablecast", warehouse = name, "the warehouse's task begins");
        tokio::task::spawn_blocking(move || {
            runtime.block_on(Worker::new(shared.clone(), name.clone()).run(stop));
            shared.live.forget(&name);
        })
    }

    /// The task of one warehouse, until `stop` is true or the warehouse is no longer configured. For a runtime of one's own;
    /// to drop it anywhere is safe.
    pub async fn run_warehouse(&self, name: &str, stop: watch::Receiver<bool>) {
        Worker::new(self.0.clone(), name.to_owned()).run(stop).await;
    }

    /// Does what waits for all warehouses, and what it brings along, then comes back: the service in one shot.
    pub async fn drain(&self) {
        for warehouse in &self.0.config().warehouses {
            Worker::new(self.0.clone(), warehouse.name.clone()).drain().await;
        }
    }

    /// Looks for segments that nobody needs any more, and removes them.
    pub fn sweep(&self) {
        super::retention::sweep(&self.0);
    }

    /// A spool may have lost its end: to a disk that lied, to damage, to a backup that was put back. Cursors beyond it
    /// would leave out what is taken from now on.
    fn turn_back(&self, space: &str) -> Result<()> {
        // In this order, because a sync may be at work.
        let farthest = self.0.state.farthest(space)?;
        let Some((_, end)) = self.0.spools.get(space).map(|spool| spool.bounds()) else { return Ok(()) };
        if farthest <= end {
            return Ok(());
        }
        for warehouse in self.0.state.turn_back(space, end)? {
            warn!(target: "tablecast", warehouse, space, lost = farthest - end, "the spool has lost its end: syncs go on from what is left");
        }
        Ok(())
    }

    fn enroll(&self, config: &Config) -> Result<()> {
        for space in config.spaces() {
            self.turn_back(space)?;
        }
        for warehouse in &config.warehouses {
            for space in &warehouse.spaces {
                let (first, end) = self.0.spools.get(space).map_or((0, 0), |spool| spool.bounds());
                self.0.state.enroll(&warehouse.name, space, if warehouse.history { first } else { end })?;
            }
        }
        Ok(())
    }
}
