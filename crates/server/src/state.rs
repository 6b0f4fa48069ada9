//! What the service remembers besides the calls: how far each warehouse is in each space, what is switched off and
//! since when, and the history of syncs. One SQLite file, durable with every step.

mod history;
mod known;
mod model;
mod position;
mod sql;

pub use history::HistoryFilter;
pub(crate) use history::{End, Step, rows_of};
pub use model::ReasonCount;
pub use model::{BackfillRequest, Kind, Level, Notice, Progress, Status, Sync, SyncDetail, TableCounts, Trouble};
pub use position::{Begun, Gap, Position};

use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tablecast::{Error, ErrorKind, Result};

/// The file in the data folder.
const FILE: &str = "state.db";
/// What this program writes.
const VERSION: i64 = 1;

/// The service's memory. Cheap to clone; calls are short and wait for the disk.
#[derive(Clone, Debug)]
pub struct State {
    connection: Arc<Mutex<Connection>>,
}

impl State {
    /// Opens the state in a data folder, and makes it if it is not there.
    ///
    /// Only one process at a time may have it: the data folder's lock sees to that.
    pub fn open(data: &Path) -> Result<State> {
        std::fs::create_dir_all(data).map_err(|error| {
            Error::new(ErrorKind::Config, "the data folder cannot be made")
                .with("path", data.display())
                .because(error)
                .fix("set `data` to a folder that the service may write to")
        })?;
        let path = data.join(FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.execute_batch(sql::PRAGMAS)?;
            let version = connection.query_row(sql::VERSION, [], |row| row.get::<_, i64>(0))?;
            if version == 0 {
                connection.execute_batch(sql::SCHEMA)?;
            }
            Ok((connection, version))
        });
        let (connection, version) = opened.map_err(|error| failed(error).with("path", path.display()))?;
        if version > VERSION {
            return Err(Error::new(ErrorKind::Config, "the state was written by a later version of Tablecast")
                .with("path", path.display())
                .fix("run that version, or a later one"));
        }
        Ok(State { connection: Arc::new(Mutex::new(connection)) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic in the middle rolled its transaction back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs steps in a transaction that is durable when it returns.
    fn change<T>(&self, steps: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self.lock();
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
        let done = steps(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    fn read<T>(&self, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        look(&self.lock()).map_err(failed)
    }
}

fn failed(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase};
    let what = "the service's own state cannot be read or written";
    let wrong = |kind| Error::new(kind, what);
    let sorted = match error.sqlite_error_code() {
        Some(DiskFull) => wrong(ErrorKind::Exhausted).temporary().fix("free space on the disk of the data folder"),
        Some(DatabaseBusy | DatabaseLocked) => {
            wrong(ErrorKind::Conflict).temporary().fix("end the other program that has the data folder's state.db open")
        }
        Some(DatabaseCorrupt | NotADatabase) => wrong(ErrorKind::Corrupt).fix(
            "put state.db back from a backup, or take it away: then every warehouse begins anew with all that the spool has, \
             and nothing is loaded twice",
        ),
        _ => wrong(ErrorKind::Unavailable).temporary().fix("look at the disk of the data folder, then run again"),
    };
    sorted.because(error)
}

/// An offset as SQLite has it.
fn stored(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// An offset as it was stored.
fn offset(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

#[cfg(test)]
mod tests;
