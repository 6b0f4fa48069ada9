//! Opening a file: flags, pragmas, functions, transactions, and the faults that tests put in the way.

use crate::config::{Mode, Options};
use crate::error::{classify, classify_io};
use crate::sql;
use rusqlite::config::DbConfig;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, Statement};
use std::path::Path;
use std::time::{Duration, Instant};
use tablecast_core::{Error, ErrorKind, Result};

/// One open connection. Dropping it rolls back what was not committed.
pub(crate) struct Session {
    connection: Connection,
    faults: Faults,
}

impl Session {
    /// Opens a file that is there, as far as the mode allows; none if it is not there.
    pub(crate) fn open(path: &Path, options: &Options, faults: &Faults) -> Result<Option<Session>> {
        let there =
            path.try_exists().map_err(|error| classify_io(error, "the database file cannot be looked at", path))?;
        if !there {
            return Ok(None);
        }
        let flags = match options.mode {
            Mode::Rw => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Mode::Ro => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        Session::connect(path, flags, options, faults).map(Some)
    }

    /// Opens a file for writing, and makes it and its directory if they are not there.
    pub(crate) fn create(path: &Path, options: &Options, faults: &Faults) -> Result<Session> {
        options.must_be_writable(path)?;
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|error| classify_io(error, "the directory cannot be made", directory))?;
        }
        let session =
            Session::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, options, faults)?;
        session.use_wal(options)?;
        Ok(session)
    }

    fn connect(path: &Path, flags: OpenFlags, options: &Options, faults: &Faults) -> Result<Session> {
        let at = |error| classify(error).with("path", path.display());
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(at)?;
        connection.busy_timeout(Duration::from_millis(u64::from(options.busy_timeout_ms))).map_err(at)?;
        // Otherwise a column that is not there would be read as a string.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false).map_err(at)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false).map_err(at)?;
        connection.execute_batch(&sql::pragmas(options)).map_err(at)?;
        register(&connection).map_err(at)?;
        Ok(Session { connection, faults: faults.clone() })
    }

    /// Turns write-ahead logging on, so that readers do not wait for a load. A file system that cannot
    /// do it keeps its journal. SQLite does not wait for this lock by itself.
    fn use_wal(&self, options: &Options) -> Result<()> {
        let give_up = Instant::now() + Duration::from_millis(u64::from(options.busy_timeout_ms));
        loop {
            let switched = self.connection.query_row(sql::USE_WAL, [], |_| Ok(())).map_err(classify);
            match switched {
                Err(error) if error.kind() == ErrorKind::Conflict && Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => return other,
            }
        }
    }

    /// Starts a transaction that is the only one to write.
    pub(crate) fn begin(&self) -> Result<()> {
        self.execute(sql::BEGIN, []).map(drop)
    }

    /// Starts a transaction that sees one state of the file.
    pub(crate) fn snapshot(&self) -> Result<()> {
        self.connection.execute_batch(sql::SNAPSHOT).map_err(classify)
    }

    /// Makes the transaction durable.
    pub(crate) fn commit(&self) -> Result<()> {
        self.execute(sql::COMMIT, [])?;
        self.faults.answer()
    }

    /// Gives the transaction up, if there is one.
    pub(crate) fn rollback(&self) {
        // Without a transaction there is nothing to give up.
        let _ = self.connection.execute_batch(sql::ROLLBACK);
    }

    /// Runs a statement; rows changed.
    pub(crate) fn execute(&self, text: &str, params: impl Params) -> Result<usize> {
        self.step()?;
        self.connection.execute(text, params).map_err(classify)
    }

    /// Reads the first row, if there is one.
    pub(crate) fn first<T>(
        &self,
        text: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        self.step()?;
        self.connection.query_row(text, params, read).optional().map_err(classify)
    }

    /// Reads all rows.
    pub(crate) fn all<T>(
        &self,
        text: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        self.step()?;
        let mut statement = self.connection.prepare(text).map_err(classify)?;
        let rows = statement.query_map(params, read).map_err(classify)?;
        rows.collect::<rusqlite::Result<_>>().map_err(classify)
    }

    /// A statement that is run many times; [`Session::step`] goes before each.
    pub(crate) fn prepare(&self, text: &str) -> Result<Statement<'_>> {
        self.connection.prepare(text).map_err(classify)
    }

    /// One statement is about to run.
    #[inline]
    pub(crate) fn step(&self) -> Result<()> {
        self.faults.step()
    }
}

impl Options {
    /// Whether a write may be tried at all.
    pub(crate) fn must_be_writable(&self, path: &Path) -> Result<()> {
        match self.mode {
            Mode::Rw => Ok(()),
            Mode::Ro => Err(Error::new(ErrorKind::Permission, "the warehouse was opened read only")
                .with("path", path.display())
                .fix("take mode=ro out of the URI to load into it")),
        }
    }
}

/// The functions that widening needs, where SQLite's own CAST would lose digits.
fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function(sql::FLOAT, 1, flags, |context| {
        Ok(match number(context)? {
            Some(digits) => digits.parse().map(Value::Real).unwrap_or(Value::Text(digits)),
            None => context.get(0)?,
        })
    })?;
    connection.create_scalar_function(sql::EXACT, 1, flags, |context| {
        let Some(digits) = number(context)? else { return Ok(true) };
        Ok(digits.parse::<f64>().map_or(true, |nearest| format!("{nearest:.0}") == digits))
    })?;
    connection.create_scalar_function(sql::FLOAT_TEXT, 1, flags, |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Real(value) => Value::Text(zmij::Buffer::new().format(value).to_owned()),
            _ => context.get(0)?,
        })
    })
}

/// The decimal digits of a whole number; none for what is not one.
fn number(context: &Context<'_>) -> rusqlite::Result<Option<String>> {
    Ok(match context.get_raw(0) {
        ValueRef::Integer(value) => Some(value.to_string()),
        ValueRef::Text(text) => {
            std::str::from_utf8(text).ok().filter(|text| text.parse::<i128>().is_ok()).map(str::to_owned)
        }
        _ => None,
    })
}

/// Faults for tests: nothing at all without the feature `testing`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    #[cfg(feature = "testing")]
    armed: std::sync::Arc<Armed>,
}

#[cfg(feature = "testing")]
#[derive(Debug, Default)]
struct Armed {
    steps: std::sync::atomic::AtomicU64,
    lose_answer: std::sync::atomic::AtomicBool,
}

#[cfg(not(feature = "testing"))]
impl Faults {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the other half is behind the feature")]
    #[inline]
    fn step(&self) -> Result<()> {
        Ok(())
    }

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the other half is behind the feature")]
    #[inline]
    fn answer(&self) -> Result<()> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "the other half is behind the feature")]
    pub(crate) fn disarm(&self) {}
}

#[cfg(feature = "testing")]
impl Faults {
    pub(crate) fn fail_at(&self, step: u64) {
        self.armed.steps.store(step, std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) fn lose_answer(&self) {
        self.armed.lose_answer.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) fn disarm(&self) {
        self.armed.steps.store(0, std::sync::atomic::Ordering::SeqCst);
        self.armed.lose_answer.store(false, std::sync::atomic::Ordering::SeqCst);
    }

    fn step(&self) -> Result<()> {
        use std::sync::atomic::Ordering::Relaxed;
        let left = self.armed.steps.load(Relaxed);
        if left == 0 {
            return Ok(());
        }
        self.armed.steps.store(left - 1, Relaxed);
        if left == 1 {
            Err(Error::new(ErrorKind::Unavailable, "a fault was injected before a statement").temporary())
        } else {
            Ok(())
        }
    }

    fn answer(&self) -> Result<()> {
        if self.armed.lose_answer.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(
                Error::new(ErrorKind::Unavailable, "a fault was injected: the answer of a commit was lost").temporary()
            );
        }
        Ok(())
    }
}
