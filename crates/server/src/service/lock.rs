//! One process at a time has a data folder.

use crate::config::{Problem, Problems};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// The lock of a data folder; it goes with this, and with the process.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the lock, and makes the folder if it is not there: for its owner alone, since calls are about persons.
    pub fn take(data: &Path) -> Result<DataLock, Problems> {
        let wrong = |what: String, to_do: &str| Problems::one(Problem::new("data", what, to_do));
        let open = || {
            if let Some(parent) = data.parent() {
                std::fs::create_dir_all(parent)?;
            }
            DirBuilder::new().recursive(true).mode(0o700).create(data)?;
            OpenOptions::new().create(true).truncate(false).write(true).open(data.join("lock"))
        };
        let file = open().map_err(|error| {
            let what = format!("{} cannot be used: {error}", data.display());
            wrong(what, "set `data` to a folder that the service may write to")
        })?;
        match file.try_lock() {
            Ok(()) => Ok(DataLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(wrong(
                format!("another process of Tablecast has {}", data.display()),
                "end it first, or give this one a data folder of its own",
            )),
            Err(TryLockError::Error(error)) => {
                let what = format!("{} cannot be locked: {error}", data.display());
                Err(wrong(what, "put the data folder on a disk whose file system has locks"))
            }
        }
    }

    /// Whether a process has the folder.
    pub fn is_taken(data: &Path) -> bool {
        let Ok(file) = File::open(data.join("lock")) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folder_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let data = dir.path().join("above/data");
        drop(DataLock::take(&data).unwrap());
        assert_eq!(mode(&data), 0o700);
        std::fs::create_dir(dir.path().join("beside")).unwrap();
        assert_eq!(mode(&dir.path().join("above")), mode(&dir.path().join("beside")), "what is above it is as ever");
        // One that is there stays as its owner made it.
        std::fs::set_permissions(&data, PermissionsExt::from_mode(0o750)).unwrap();
        drop(DataLock::take(&data).unwrap());
        assert_eq!(mode(&data), 0o750);
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        assert!(!DataLock::is_taken(&data));
        let lock = DataLock::take(&data).unwrap();
        assert!(DataLock::is_taken(&data));
        let problems = DataLock::take(&data).unwrap_err();
        assert!(problems.to_string().contains("another process"), "{problems}");
        drop(lock);
        assert!(!DataLock::is_taken(&data));
        assert!(DataLock::take(&data).is_ok());
    }
}
