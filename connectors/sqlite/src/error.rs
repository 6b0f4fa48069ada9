//! From SQLite's codes to what the caller does about them, in one table.

use rusqlite::Error as Sqlite;
use rusqlite::ffi;
use tablecast_core::{Error, ErrorKind};

/// One row: result code (extended codes first), a part of SQLite's message, and what it means.
struct Row {
    code: i32,
    part: &'static str,
    kind: ErrorKind,
    temporary: bool,
    message: &'static str,
    remedy: &'static str,
}

const AGAIN: &str = "run again; nothing is loaded twice";
const RIGHTS: &str = "let this user read and write the directory, the file and the -wal and -shm files beside it";
const RESTORE: &str =
    "restore the file from a backup, or move it away and load into a new one; keep its -wal file with it";
const SPACE: &str = "free space on the disk or raise max_page_count, then run again; nothing is loaded twice";
const DISK: &str = "check the disk and its file system, then run again; nothing is loaded twice";
const HAND: &str = "undo the manual change of the named table or column, or rename the table away, then run again";
const DEFECT: &str = "report this with the command and the message; nothing was loaded";

const fn row(
    code: i32,
    part: &'static str,
    kind: ErrorKind,
    temporary: bool,
    message: &'static str,
    remedy: &'static str,
) -> Row {
    Row { code, part, kind, temporary, message, remedy }
}

/// The first row that fits decides: the extended code or the primary one, and the part of the message.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    row(ffi::SQLITE_IOERR_CORRUPTFS, "", ErrorKind::Corrupt, false, "the file system is damaged", RESTORE),
    row(ffi::SQLITE_IOERR_NOMEM, "", ErrorKind::Exhausted, true, "memory is used up", "free memory or cut smaller commits, then run again"),
    row(ffi::SQLITE_IOERR_ACCESS, "", ErrorKind::Permission, false, "the database file cannot be accessed", RIGHTS),
    row(ffi::SQLITE_CANTOPEN, "", ErrorKind::Permission, false, "the database file cannot be opened", RIGHTS),
    row(ffi::SQLITE_PERM, "", ErrorKind::Permission, false, "access to the database file was refused", RIGHTS),
    row(ffi::SQLITE_AUTH, "", ErrorKind::Permission, false, "access to the database was refused", RIGHTS),
    row(ffi::SQLITE_READONLY, "", ErrorKind::Permission, false, "the database file cannot be written", RIGHTS),
    row(ffi::SQLITE_BUSY, "", ErrorKind::Conflict, true, "another process holds the database's lock", AGAIN),
    row(ffi::SQLITE_LOCKED, "", ErrorKind::Conflict, true, "another connection holds a table's lock", AGAIN),
    row(ffi::SQLITE_PROTOCOL, "", ErrorKind::Conflict, true, "the database's lock could not be taken", AGAIN),
    row(ffi::SQLITE_SCHEMA, "", ErrorKind::Conflict, true, "the tables changed meanwhile", AGAIN),
    row(ffi::SQLITE_INTERRUPT, "", ErrorKind::Unavailable, true, "a statement was interrupted", AGAIN),
    row(ffi::SQLITE_ABORT, "", ErrorKind::Unavailable, true, "a statement was aborted", AGAIN),
    row(ffi::SQLITE_IOERR, "", ErrorKind::Unavailable, true, "the disk did not do what it was asked to", DISK),
    row(ffi::SQLITE_FULL, "", ErrorKind::Exhausted, false, "the disk or the file's size limit is used up", SPACE),
    row(ffi::SQLITE_NOLFS, "", ErrorKind::Exhausted, false, "the file system holds no file this large", SPACE),
    row(ffi::SQLITE_NOMEM, "", ErrorKind::Exhausted, true, "memory is used up", "free memory or cut smaller commits, then run again"),
    row(ffi::SQLITE_TOOBIG, "", ErrorKind::Exhausted, false, "a row or a statement is larger than SQLite allows", "cut smaller commits or switch off the largest columns"),
    row(ffi::SQLITE_CORRUPT, "", ErrorKind::Corrupt, false, "the database file is damaged", RESTORE),
    row(ffi::SQLITE_NOTADB, "", ErrorKind::Corrupt, false, "the file is not a SQLite database", RESTORE),
    row(ffi::SQLITE_FORMAT, "", ErrorKind::Corrupt, false, "the database file has a format that cannot be read", RESTORE),
    row(ffi::SQLITE_CONSTRAINT_NOTNULL, "", ErrorKind::SchemaBroken, false, "a column was made NOT NULL by hand", "drop the column, or give it a default, then run again"),
    row(ffi::SQLITE_CONSTRAINT, "", ErrorKind::SchemaBroken, false, "a constraint that was added by hand refuses a row", HAND),
    row(ffi::SQLITE_MISMATCH, "", ErrorKind::SchemaBroken, false, "a column's type was changed by hand", HAND),
    row(ffi::SQLITE_ERROR, "after drop column", ErrorKind::SchemaBroken, false, "an index, trigger or view that was added by hand uses a column that must change its type", "drop it, run again, and make it anew"),
    row(ffi::SQLITE_ERROR, "cannot drop column", ErrorKind::SchemaBroken, false, "a column that must change its type is part of a key", HAND),
    row(ffi::SQLITE_ERROR, "no such table", ErrorKind::SchemaMismatch, false, "a table is gone since the plan was made", AGAIN),
    row(ffi::SQLITE_ERROR, "no such column", ErrorKind::SchemaMismatch, false, "a column is gone since the plan was made", AGAIN),
    row(ffi::SQLITE_ERROR, "has no column named", ErrorKind::SchemaMismatch, false, "a column is gone since the plan was made", AGAIN),
    row(ffi::SQLITE_ERROR, "ON CONFLICT clause does not match", ErrorKind::SchemaBroken, false, "a table has no unique key on id any more",
        "make one (CREATE UNIQUE INDEX … ON … (id)) or rename the table away, then run again"),
    row(ffi::SQLITE_ERROR, "because it is a view", ErrorKind::SchemaBroken, false, "a table was replaced by a view", "rename the view away, then run again"),
    row(ffi::SQLITE_ERROR, "is not a table", ErrorKind::SchemaBroken, false, "a table was replaced by something else", HAND),
    row(ffi::SQLITE_ERROR, "there is already", ErrorKind::SchemaBroken, false, "the name of a table is taken by something else", HAND),
    row(ffi::SQLITE_ERROR, "may not be modified", ErrorKind::SchemaBroken, false, "a table was replaced by one that cannot be written", HAND),
    row(ffi::SQLITE_ERROR, "virtual table", ErrorKind::SchemaBroken, false, "a table was replaced by a virtual table", HAND),
    row(ffi::SQLITE_ERROR, "too many columns", ErrorKind::Exhausted, false, "a table has as many columns as SQLite allows", "switch columns off, or drop some that are not needed"),
    row(ffi::SQLITE_ERROR, "error in ", ErrorKind::SchemaBroken, false, "an index, trigger or view that was added by hand does not work", "drop it, then run again"),
    row(ffi::SQLITE_ERROR, "unsupported file format", ErrorKind::Corrupt, false, "the database file has a format that cannot be read", RESTORE),
    row(ffi::SQLITE_ERROR, "malformed", ErrorKind::Corrupt, false, "the database file is damaged", RESTORE),
];

/// Says what an error of SQLite means and what to do about it.
pub(crate) fn classify(error: Sqlite) -> Error {
    let (code, text) = match &error {
        Sqlite::SqliteFailure(code, text) => (*code, text.clone().unwrap_or_else(|| code.to_string())),
        // Its Display would repeat the whole statement.
        Sqlite::SqlInputError { error, msg, .. } => (*error, msg.clone()),
        _ => {
            return Error::new(ErrorKind::Internal, "SQLite was used in a way it does not allow")
                .fix(DEFECT)
                .because(error);
        }
    };
    let fits = |row: &&Row| {
        (row.code == code.extended_code || row.code == code.extended_code & 0xff) && text.contains(row.part)
    };
    let (kind, temporary, message, remedy) = match TABLE.iter().find(fits) {
        Some(row) => (row.kind, row.temporary, row.message, row.remedy),
        None => (ErrorKind::Internal, false, "SQLite refused a statement", DEFECT),
    };
    let classified = Error::new(kind, message).with("sqlite", format!("{} {text}", code.extended_code)).fix(remedy);
    let classified = if temporary { classified.temporary() } else { classified };
    match error {
        Sqlite::SqliteFailure(code, _) => classified.because(code),
        _ => classified,
    }
}

/// The file system's answer when a directory or file cannot be made or read.
pub(crate) fn classify_io(error: std::io::Error, what: &str, path: &std::path::Path) -> Error {
    use std::io::ErrorKind as Io;
    let (kind, remedy) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => (ErrorKind::Exhausted, SPACE),
        Io::NotADirectory | Io::AlreadyExists | Io::InvalidInput | Io::InvalidFilename => {
            (ErrorKind::Config, "give the path of a directory; a file is in its place")
        }
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (ErrorKind::Permission, RIGHTS),
        _ => (ErrorKind::Unavailable, DISK),
    };
    Error::new(kind, what).with("path", path.display()).fix(remedy).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(code: i32, text: &str) -> Error {
        classify(Sqlite::SqliteFailure(ffi::Error::new(code), Some(text.into())))
    }

    #[test]
    fn every_row_is_reached_and_says_what_to_do() {
        for row in TABLE {
            let error = classified(row.code, &format!("xx {} yy", row.part));
            assert_eq!((error.kind(), error.is_temporary()), (row.kind, row.temporary), "{} {}", row.code, row.part);
            assert!(error.to_string().starts_with(row.message), "{error} is not {}", row.message);
            assert_eq!(error.remedy(), row.remedy);
        }
    }

    #[test]
    fn codes_mean_what_they_should() {
        for (code, text, kind, temporary) in [
            (ffi::SQLITE_BUSY, "database is locked", ErrorKind::Conflict, true),
            (ffi::SQLITE_BUSY_SNAPSHOT, "database is locked", ErrorKind::Conflict, true),
            (ffi::SQLITE_READONLY_DIRECTORY, "attempt to write a readonly database", ErrorKind::Permission, false),
            (ffi::SQLITE_CANTOPEN_ISDIR, "unable to open database file", ErrorKind::Permission, false),
            (ffi::SQLITE_FULL, "database or disk is full", ErrorKind::Exhausted, false),
            (ffi::SQLITE_NOTADB, "file is not a database", ErrorKind::Corrupt, false),
            (ffi::SQLITE_CORRUPT_INDEX, "database disk image is malformed", ErrorKind::Corrupt, false),
            (ffi::SQLITE_IOERR_WRITE, "disk I/O error", ErrorKind::Unavailable, true),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, "UNIQUE constraint failed: users.id", ErrorKind::SchemaBroken, false),
            (ffi::SQLITE_ERROR, "cannot modify users because it is a view", ErrorKind::SchemaBroken, false),
            (ffi::SQLITE_ERROR, "table users has no column named a", ErrorKind::SchemaMismatch, false),
            (ffi::SQLITE_ERROR, "near \"x\": syntax error", ErrorKind::Internal, false),
            (ffi::SQLITE_MISUSE, "bad parameter or other API misuse", ErrorKind::Internal, false),
        ] {
            let error = classified(code, text);
            assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{code} {text}: {error:?}");
        }
        assert_eq!(classify(Sqlite::InvalidQuery).kind(), ErrorKind::Internal);
    }
}
