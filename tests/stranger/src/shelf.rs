//! The file of one schema: read whole, replaced whole, under a lock on a file beside it.

use crate::state::State;
use std::fs::{self, File};
use std::io::{ErrorKind as Io, Write};
use std::path::PathBuf;
use tablecast_core::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    schema: String,
}

impl Shelf {
    pub(crate) fn new(folder: PathBuf, schema: &str) -> Self {
        Shelf { folder, schema: schema.to_owned() }
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.schema))
    }

    /// What is there now; a schema that was never written is empty.
    pub(crate) fn read(&self) -> Result<State> {
        match fs::read(self.path("json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::new(ErrorKind::Corrupt, "the file of a schema cannot be read")
                    .with("schema", &self.schema)
                    .because(error)
            }),
            Err(error) if error.kind() == Io::NotFound => Ok(State::default()),
            Err(error) => Err(self.classify(error)),
        }
    }

    /// Changes what is there, all of it or nothing. The lock ends with the process that holds it, however it ends.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        fs::create_dir_all(&self.folder).map_err(|error| self.classify(error))?;
        let lock = File::create(self.path("lock")).map_err(|error| self.classify(error))?;
        lock.lock().map_err(|error| self.classify(error))?;
        let mut state = self.read()?;
        let done = change(&mut state)?;
        self.replace(&state)?;
        Ok(done)
    }

    /// A half-written file has another name, and is overwritten by the next attempt.
    fn replace(&self, state: &State) -> Result<()> {
        let bytes = serde_json::to_vec(state).map_err(|error| {
            Error::new(ErrorKind::Internal, "the file of a schema cannot be written")
                .with("schema", &self.schema)
                .because(error)
        })?;
        let next = self.path("next");
        let written = File::create(&next)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&next, self.path("json")))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        written.map_err(|error| self.classify(error))
    }

    /// What the caller can do about an error of the file system.
    fn classify(&self, error: std::io::Error) -> Error {
        let kind = match error.kind() {
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Permission,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Exhausted,
            Io::NotADirectory | Io::AlreadyExists | Io::InvalidFilename | Io::InvalidInput => ErrorKind::Config,
            _ => ErrorKind::Unavailable,
        };
        let error = Error::new(kind, "the shelf cannot be used").with("folder", self.folder.display()).because(error);
        if kind == ErrorKind::Unavailable { error.temporary() } else { error }
    }
}
