//! The service put together: the data folder's lock, the spools, ingest, the engine, HTTP, and the signals that reload
//! and end it.

mod lock;
mod measures;
mod ops;
mod token;

pub use lock::DataLock;
pub use token::token;

use crate::api::{self, App};
use crate::config::{Config, Problem, Problems};
use crate::emit::{self, Door};
use crate::ingest::{self, Ingest, Limits};
use crate::metrics::Metrics;
use crate::spool::{Spool, SpoolOptions};
use crate::state::State;
use crate::sync::{Engine, Settings, Spools};
use crate::web;
use axum::Router;
use measures::Measures;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

/// How long warehouses may take to end what they are about when the service ends.
const GRACE: Duration = Duration::from_secs(30);

/// The data folder, opened: nobody else has it.
#[derive(Debug)]
pub struct Opened {
    /// Held as long as this is.
    pub lock: DataLock,
    /// The spools of all spaces.
    pub spools: Spools,
    /// Everything else that is remembered.
    pub state: State,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Opened {
    /// Locks the data folder, opens the state and the spool of each space. What a crash left is put right.
    pub fn open(config: &Config) -> Result<Opened, Problems> {
        let lock = DataLock::take(&config.data)?;
        let wrong = |error: tablecast::Error| Problems::one(Problem::new("data", error.to_string(), error.remedy()));
        let state = State::open(&config.data).map_err(wrong)?;
        let (spools, metrics) = (Spools::default(), Arc::new(Metrics::new()));
        let opened = Opened { lock, spools, state, metrics };
        opened.open_spools(config)?;
        Ok(opened)
    }

    /// The spools of a configuration, those that are new to it too.
    fn open_spools(&self, config: &Config) -> Result<BTreeMap<String, Spool>, Problems> {
        open_spools(&self.spools, &self.metrics, config)
    }

    /// An engine over all of it.
    pub fn engine(&self, config: Config, settings: Settings) -> Result<Engine, Problems> {
        Engine::new(config, self.state.clone(), self.spools.clone(), settings)
    }
}

fn open_spools(spools: &Spools, metrics: &Arc<Metrics>, config: &Config) -> Result<BTreeMap<String, Spool>, Problems> {
    let mut problems = Problems::default();
    let mut open = BTreeMap::new();
    for space in config.spaces() {
        let metrics = metrics.clone();
        let on_group: crate::spool::OnGroup = Arc::new(move |group| metrics.spool.group(group));
        let options = SpoolOptions { on_group: Some(on_group), ..SpoolOptions::new(space) };
        let known = spools.get(space).is_some();
        match spools.open(&config.data, options) {
            Ok(spool) => {
                let recovery = spool.recovery();
                if !known && (recovery.cut > 0 || recovery.damaged.is_some()) {
                    let (cut, damaged) = (recovery.cut, recovery.damaged);
                    warn!(target: "tablecast", space, cut, damaged, "the spool was not ended well: what was not whole was cut off");
                }
                open.insert(space.to_owned(), spool);
            }
            Err(error) => {
                problems.0.push(Problem::new(format!("the spool of \"{space}\""), error.to_string(), error.remedy()));
            }
        }
    }
    if problems.0.is_empty() { Ok(open) } else { Err(problems) }
}

/// The file of the data folder that says where the service listens.
const ADDRESS: &str = "address";

/// Where the service that has a data folder can be reached from this machine.
pub fn reach(config: &Config) -> SocketAddr {
    let written = std::fs::read_to_string(config.data.join(ADDRESS)).ok();
    let mut address = written.and_then(|text| text.trim().parse().ok()).unwrap_or(config.listen);
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// Where to find a token that the service made for itself; none if the configuration has one.
pub fn made_token(config: &Config) -> Option<PathBuf> {
    config.token.is_none().then(|| token::file(config))
}

/// What is ready to serve.
#[derive(Debug)]
pub struct Service {
    path: Option<PathBuf>,
    config: Config,
    opened: Opened,
    engine: Engine,
    ingest: Arc<Ingest>,
    door: Arc<Door>,
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    hang_up: Signal,
}

impl Service {
    /// Opens everything and binds the address, so that what is wrong is known before anything is served. A SIGHUP that
    /// comes meanwhile is done by [`Service::run`].
    ///
    /// `path` is where the configuration is read again on SIGHUP; `settings` are the engine's, of which `on_end` is the
    /// service's own. Needs a tokio runtime of several threads.
    pub async fn start(config: Config, path: Option<PathBuf>, settings: Settings) -> Result<Service, Problems> {
        // Before anything that takes its time: until it is listened to, SIGHUP ends the process.
        let hang_up = signal(SignalKind::hangup()).map_err(|error| {
            let what = format!("SIGHUP cannot be listened to: {error}");
            Problems::one(Problem::new("signals", what, "report this with the command and the message"))
        })?;
        let opened = Opened::open(&config)?;
        let measures = Measures::register(&opened.metrics);
        let settings = Settings { on_end: Some(measures.on_end()), ..settings };
        let engine = opened.engine(config.clone(), settings)?;
        let token = token(&config)?;
        let spools = opened.open_spools(&config)?;
        let ingest = Arc::new(Ingest::new(ingest_settings(&config), spools, opened.metrics.clone()));
        let own = token.clone();
        let opens = move |given: &str| token::is_same(&own, given);
        let door = Arc::new(Door::new(ingest.clone(), config.computations.clone(), opens));
        let (control, metrics, spools) = (engine.control(), opened.metrics.clone(), opened.spools.clone());
        let app = App::new(control.clone(), metrics.clone(), spools.clone(), ingest.clone(), &token);
        let router = ingest::router(ingest.clone())
            .merge(emit::router(door.clone()))
            .merge(api::router(app.clone()))
            .merge(ops::router(control, metrics, measures, spools))
            // It answers for every other address.
            .merge(web::router(app));
        let wrong = |error: std::io::Error| {
            Problems::one(Problem::new(
                "listen",
                format!("{} cannot be listened on: {error}", config.listen),
                "end the program that has the port, or set `listen` to another",
            ))
        };
        let listener = TcpListener::bind(config.listen).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        std::fs::write(config.data.join(ADDRESS), format!("{address}\n")).map_err(wrong)?;
        Ok(Service { path, config, opened, engine, ingest, door, listener, address, router, hang_up })
    }

    /// Where it listens: the port is the real one, also where the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it goes by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The engine, for what is asked of it from within the process.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Serves until SIGTERM or Ctrl-C; then requests and cuts that run come to their ends.
    pub async fn run(self) -> std::io::Result<()> {
        let (end, ended) = watch::channel(false);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = self.hang_up;
        let limits = Limits { connections: self.config.max_connections, ..Limits::default() };
        let until = |mut ended: watch::Receiver<bool>| async move {
            // A sender that is gone is an end as well.
            let _ = ended.wait_for(|ended| *ended).await;
        };
        let serving = tokio::spawn(ingest::serve(
            self.listener,
            self.router,
            limits,
            self.opened.metrics.clone(),
            until(ended.clone()),
        ));
        let (stop, stopped) = watch::channel(false);
        let engine = self.engine.clone();
        let syncing = tokio::spawn(async move { engine.run(stopped).await });
        let parts = Reloading {
            path: self.path,
            config: self.config,
            spools: self.opened.spools.clone(),
            metrics: self.opened.metrics.clone(),
            engine: self.engine,
            ingest: self.ingest,
            door: self.door,
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => parts.reload(),
            }
        }
        info!(target: "tablecast", "ending: no more calls are taken, what runs comes to its end");
        end.send_replace(true);
        stop.send_replace(true);
        serving.await.map_err(std::io::Error::other)??;
        if tokio::time::timeout(GRACE, syncing).await.is_err() {
            warn!(target: "tablecast", "a warehouse takes too long to end; the next start goes on where it was");
        }
        info!(target: "tablecast", "ended");
        drop(self.opened.lock);
        Ok(())
    }
}

fn ingest_settings(config: &Config) -> ingest::Settings {
    ingest::Settings { keys: config.keys(), strict: config.strict }
}

/// What a reload changes.
struct Reloading {
    path: Option<PathBuf>,
    config: Config,
    spools: Spools,
    metrics: Arc<Metrics>,
    engine: Engine,
    ingest: Arc<Ingest>,
    door: Arc<Door>,
}

impl Reloading {
    /// Reads the configuration again; a wrong one is told, and the old one stays.
    fn reload(&self) {
        let Some(path) = &self.path else { return };
        match self.try_reload(path) {
            Ok(()) => info!(target: "tablecast", path = %path.display(), "the configuration was read again"),
            Err(problems) => {
                for problem in &problems.0 {
                    error!(target: "tablecast", %problem, to_do = problem.to_do, "the configuration is wrong, the old one stays");
                }
            }
        }
    }

    fn try_reload(&self, path: &Path) -> Result<(), Problems> {
        let config = Config::load(path)?;
        let mut problems = Problems::default();
        let fixed = [
            ("listen", config.listen == self.config.listen),
            ("data", config.data == self.config.data),
            ("max_connections", config.max_connections == self.config.max_connections),
            ("token", config.token == self.config.token),
        ];
        for (key, same) in fixed {
            if !same {
                problems.0.push(Problem::new(
                    key,
                    "it cannot change while the service runs",
                    "start the service again",
                ));
            }
        }
        if !problems.0.is_empty() {
            return Err(problems);
        }
        self.engine.check(&config)?;
        let spools = open_spools(&self.spools, &self.metrics, &config)?;
        self.engine.reload(config.clone())?;
        self.ingest.update(ingest_settings(&config), spools);
        self.door.update(config.computations.clone());
        Ok(())
    }
}
