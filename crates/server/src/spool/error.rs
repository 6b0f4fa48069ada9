//! What can go wrong with a spool, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the spool did not do what it was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SpoolError {
    /// The disk, a quota or a limit on files is used up. Nothing of what was given is kept; the same may work later.
    Full(Arc<io::Error>),
    /// More waits to be synced than may. Nothing was kept; the same may work in a moment.
    Busy,
    /// Longer than a record can be.
    TooLong,
    /// The disk refused for another reason. Nothing of what was given is kept.
    Failed(Arc<io::Error>),
    /// After a failure that could not be undone, until it can be or the spool is opened again.
    Broken,
    /// Something durable cannot be read any more.
    Damaged {
        /// The file.
        segment: PathBuf,
        /// The place in the log.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The place is before what is still kept.
    Forgotten {
        /// The first place that is.
        first: u64,
    },
}

impl SpoolError {
    /// Sorts what the operating system said.
    pub(crate) fn of(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => SpoolError::Full(Arc::new(error)),
            _ => SpoolError::Failed(Arc::new(error)),
        }
    }

    /// Whether the same may work later without anybody doing anything about the spool itself.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, SpoolError::TooLong | SpoolError::Damaged { .. } | SpoolError::Forgotten { .. })
    }

    /// What the operator should do.
    pub fn remedy(&self) -> &'static str {
        match self {
            SpoolError::Full(_) => "free space on the disk of the data folder; senders try again by themselves",
            SpoolError::Busy => "nothing: senders try again; if it stays, the disk is too slow for the load",
            SpoolError::TooLong => "send less at once",
            SpoolError::Failed(_) => "look at the disk of the data folder",
            SpoolError::Broken => "look at the disk of the data folder, then start the server again",
            SpoolError::Damaged { .. } => {
                "put the file back from a backup, or go on behind the damage: the rest of the spool is readable"
            }
            SpoolError::Forgotten { .. } => "begin at the first place that is kept, or keep segments longer",
        }
    }
}

impl std::fmt::Display for SpoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SpoolError::Full(_) => f.write_str("the disk of the spool is full"),
            SpoolError::Busy => f.write_str("too much waits to be written to the spool"),
            SpoolError::TooLong => f.write_str("this is longer than a record of the spool can be"),
            SpoolError::Failed(error) => write!(f, "the spool cannot be written or read: {error}"),
            SpoolError::Broken => f.write_str("the spool takes nothing until a failed write is undone"),
            SpoolError::Damaged { segment, offset, what } => {
                write!(f, "the spool is damaged at {offset}, in {}: {what}", segment.display())
            }
            SpoolError::Forgotten { first } => write!(f, "the spool begins at {first}; what was before is forgotten"),
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SpoolError::Full(error) | SpoolError::Failed(error) => Some(&**error),
            _ => None,
        }
    }
}
