#![doc = include_str!("../README.md")]

mod check;
mod client;
mod commit;
mod config;
mod error;
#[cfg(feature = "testing")]
mod probe;
mod read;
mod schema;
mod sql;
mod types;

pub use config::{Mode, Options, Synchronous};
pub use read::{Rows, read_table};
pub use types::DIALECT;

use async_trait::async_trait;
use client::{Faults, Session};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tablecast_core::{
    BoxFuture, Catalog, Change, Commit, Connector, Dialect, Error, ErrorKind, Finding, Ident, Receipt, Result, Uri,
    Warehouse,
};

/// Opens `sqlite:DIR`.
pub const CONNECTOR: Connector = Connector {
    name: "sqlite",
    schemes: &["sqlite"],
    example: "sqlite:./warehouse",
    dialect: &DIALECT,
    open: |uri, schema| -> BoxFuture<'_, Result<Arc<dyn Warehouse>>> {
        Box::pin(async move { Ok(Arc::new(from_uri(uri, schema)?) as Arc<dyn Warehouse>) })
    },
    check: |uri, schema| -> BoxFuture<'_, Vec<Finding>> {
        Box::pin(async move { check::check(from_uri(uri, schema)) })
    },
};

fn from_uri(uri: &Uri, schema: &Ident) -> Result<Sqlite> {
    Sqlite::open(config::directory(uri)?, schema, uri.options()?)
}

/// One schema in one SQLite file.
///
/// Every call opens a connection of its own and closes it, and works on the calling thread until it is
/// done: on an async runtime that serves others too, run it where blocking is allowed.
#[derive(Clone, Debug)]
pub struct Sqlite {
    path: PathBuf,
    options: Options,
    faults: Faults,
}

impl Sqlite {
    /// Names the file `<directory>/<schema>.db`. Nothing is opened or made before it is needed: the first
    /// [`apply`](Warehouse::apply) makes the directory and the file.
    pub fn open(directory: impl AsRef<Path>, schema: &Ident, options: Options) -> Result<Self> {
        Ok(Sqlite { path: config::file(directory.as_ref(), schema)?, options, faults: Faults::default() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the `step`-th SQL statement (1 is the first) of the next `apply` or `commit` fail before it runs,
    /// with a temporary `Unavailable`. BEGIN, COMMIT and every row count as one. It holds for that one
    /// call, whether or not it has as many statements; clones share it.
    #[cfg(feature = "testing")]
    pub fn fail_at_step(&self, step: u64) {
        self.faults.fail_at(step);
    }

    /// Makes the COMMIT of the next `apply` or `commit` succeed and its answer get lost: the call fails with
    /// a temporary `Unavailable` though everything is there.
    #[cfg(feature = "testing")]
    pub fn lose_answer(&self) {
        self.faults.lose_answer();
    }

    /// The file as it is there; none before the first load.
    fn session(&self) -> Result<Option<Session>> {
        Session::open(&self.path, &self.options, &Faults::default())
    }

    fn apply_now(&self, changes: &[Change]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let session = Session::create(&self.path, &self.options, &self.faults)?;
        schema::apply(&session, changes)
    }

    fn commit_now(&self, commit: &Commit) -> Result<Receipt> {
        self.options.must_be_writable(&self.path)?;
        let Some(session) = Session::open(&self.path, &self.options, &self.faults)? else {
            return Err(Error::new(ErrorKind::SchemaMismatch, "the database file is gone since the plan was made"));
        };
        commit::commit(&session, commit)
    }

    /// Faults hold for one call; errors name the file.
    fn finish<T>(&self, result: Result<T>) -> Result<T> {
        self.faults.disarm();
        result.map_err(|error| placed(error, "path", self.path.display()))
    }
}

#[async_trait]
impl Warehouse for Sqlite {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        let described = self.session().and_then(|session| match session {
            Some(session) => schema::describe(&session, tables),
            None => Ok(Catalog::default()),
        });
        described.map_err(|error| placed(error, "path", self.path.display()))
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        self.finish(self.apply_now(changes))
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        self.finish(self.commit_now(commit))
    }
}

/// Says where an error happened, unless it does already.
fn placed(error: Error, key: &'static str, place: impl std::fmt::Display) -> Error {
    if error.context().iter().any(|(known, _)| *known == key) { error } else { error.with(key, place) }
}

/// µs since 1970, by the clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
