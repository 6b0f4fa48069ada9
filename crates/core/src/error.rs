//! One error for every connector: what happened, what the caller does about it, and whether again may help.

use std::error::Error as StdError;
use std::fmt;

/// The result of anything that talks to a warehouse.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`]. Events never cause one: bad data becomes a discard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration or the URI is wrong; nothing was contacted.
    Config,
    /// Credentials were refused.
    Auth,
    /// Credentials are good but a right is missing.
    Permission,
    /// The warehouse cannot be reached, or stopped answering.
    Unavailable,
    /// Somebody else holds a lock, or a concurrent transaction won.
    Conflict,
    /// The catalog that the plan was made from is stale: describe and plan again.
    SchemaMismatch,
    /// A table or column was changed by hand into something that cannot be loaded.
    SchemaBroken,
    /// Disk, quota or another limit of the warehouse is used up.
    Exhausted,
    /// The warehouse's files or answers are damaged.
    Corrupt,
    /// The rows of a commit do not add up; the commit was rolled back.
    CountMismatch,
    /// A defect in Tablecast or in a connector.
    Internal,
}

/// An error with its kind, whether again may help, context and source.
///
/// It never holds data values or secrets. `Display` is one line; [`Error::remedy`] says what to do.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    temporary: bool,
    message: String,
    context: Vec<(&'static str, String)>,
    remedy: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error that trying again will not cure.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            temporary: false,
            message: message.into(),
            context: Vec::new(),
            remedy: None,
            source: None,
        }))
    }

    /// Marks the error as one that may be gone on the next try.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.0.temporary = true;
        self
    }

    /// Adds a fact about where it happened: a table, a statement's id, a path. Never a value.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Says what the operator should do.
    #[must_use]
    pub fn fix(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Attaches what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without a change.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// The context pairs, in the order they were added.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// What to do about it.
    pub fn remedy(&self) -> &str {
        match (&self.0.remedy, self.0.kind) {
            (Some(own), _) => own,
            (None, ErrorKind::Config) => "correct the URI or the configuration",
            (None, ErrorKind::Auth) => "check the user and the secret it refers to",
            (None, ErrorKind::Permission) => "grant the missing right; `tablecast check` names it",
            (None, ErrorKind::Unavailable) => {
                "check that the warehouse is up and reachable, then run again; nothing is loaded twice"
            }
            (None, ErrorKind::Conflict) => "run again; nothing is loaded twice",
            (None, ErrorKind::SchemaMismatch) => "run again: the tables changed while the plan was made",
            (None, ErrorKind::SchemaBroken) => "undo the manual change of the named table, then run again",
            (None, ErrorKind::Exhausted) => "free space or raise the limit, then run again; nothing is loaded twice",
            (None, ErrorKind::Corrupt) => "restore the warehouse from a backup, or load into a new one",
            (None, ErrorKind::CountMismatch | ErrorKind::Internal) => {
                "report this with the command and the message; the commit was rolled back"
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (i, (key, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{key}: {value}", if i == 0 { " (" } else { ", " })?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}: {self}", self.0.kind, if self.0.temporary { " (temporary)" } else { "" })?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "\n  because: {cause}")?;
            source = cause.source();
        }
        write!(f, "\n  to do: {}", self.remedy())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_people_and_all_of_it_for_debugging() {
        let error = Error::new(ErrorKind::Unavailable, "cannot open the database")
            .temporary()
            .with("path", "w/x.db")
            .because(std::io::Error::other("disk gone"));
        assert_eq!(error.to_string(), "cannot open the database (path: w/x.db)");
        assert!(format!("{error:?}").contains("because: disk gone"));
        assert!(error.is_temporary());
        assert!(error.remedy().contains("run again"));
        assert_eq!(std::mem::size_of::<Error>(), std::mem::size_of::<usize>());
    }
}
