//! Looking at everything that a load needs, without changing anything.

use crate::Sqlite;
use crate::client::{Faults, Session};
use crate::config::Mode;
use crate::error::classify_io;
use crate::{schema, sql};
use std::path::Path;
use tablecast_core::{Error, ErrorKind, Finding, Ident, Result};

/// What a load would trip over, and what is as it should be.
pub(crate) fn check(opened: Result<Sqlite>) -> Vec<Finding> {
    let sqlite = match opened {
        Ok(sqlite) => sqlite,
        Err(error) => return vec![Finding::bad("configuration", &error)],
    };
    let mut findings = vec![directory(&sqlite)];
    match Session::open(&sqlite.path, &sqlite.options, &Faults::default()) {
        Err(error) => findings.push(Finding::bad("file", &error)),
        Ok(None) => {
            findings.push(Finding::good("file", format!("{} will be made by the first load", sqlite.path.display())));
        }
        Ok(Some(session)) => file(&sqlite, &session, &mut findings),
    }
    findings
}

fn directory(sqlite: &Sqlite) -> Finding {
    let what = "directory";
    if sqlite.options.mode == Mode::Ro {
        let error = sqlite.options.must_be_writable(&sqlite.path);
        return error.map_or_else(|error| Finding::bad(what, &error), |()| Finding::good(what, ""));
    }
    let path = sqlite.path.parent().unwrap_or(Path::new("."));
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let found = path
        .ancestors()
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path })
        .find(|path| path.exists());
    let found = found.unwrap_or(path);
    match try_write(found) {
        Ok(()) if found == path => Finding::good(what, format!("{} can be written", path.display())),
        Ok(()) => Finding::good(what, format!("{} will be made by the first load", path.display())),
        Err(error) => Finding::bad(what, &error),
    }
}

fn try_write(directory: &Path) -> Result<()> {
    if !directory.is_dir() {
        return Err(Error::new(ErrorKind::Config, "the warehouse's path is not a directory")
            .with("path", directory.display())
            .fix("give the path of a directory; a file is in its place"));
    }
    let probe = directory.join(format!(".tablecast-check-{}-{}", std::process::id(), crate::now()));
    let cannot = |error| classify_io(error, "the directory cannot be written", directory);
    std::fs::File::create_new(&probe).map_err(cannot)?;
    std::fs::remove_file(&probe).map_err(cannot)
}

fn file(sqlite: &Sqlite, session: &Session, findings: &mut Vec<Finding>) {
    let mut look = |what: &str, looked: Result<String>| match looked {
        Ok(detail) => findings.push(Finding::good(what, detail)),
        Err(error) => findings.push(Finding::bad(what, &error.with("path", sqlite.path.display()))),
    };
    look(
        "file",
        session.first(sql::QUICK_CHECK, [], |row| row.get::<_, String>(0)).and_then(|answer| match answer.as_deref() {
            Some("ok") => Ok("opens and is sound".to_owned()),
            _ => Err(Error::new(ErrorKind::Corrupt, "the database file is damaged")
                .fix("restore the file from a backup, or move it away and load into a new one")),
        }),
    );
    look(
        "journal",
        session.first(sql::JOURNAL, [], |row| row.get::<_, String>(0)).map(|mode| match mode.as_deref() {
            Some("wal") => "write-ahead log: readers do not wait for a load".to_owned(),
            mode => format!("{}: readers wait for a load, and a load for them", mode.unwrap_or("unknown")),
        }),
    );
    if sqlite.options.mode == Mode::Rw {
        look("lock", session.begin().map(|()| "can be taken".to_owned()));
        session.rollback();
    }
    look("tables", tables(session));
    match schema::nearly_full(session) {
        Ok(tables) if tables.is_empty() => {}
        Ok(tables) => findings.push(Finding {
            what: "columns".into(),
            ok: true,
            detail: tables.into_iter().collect::<Vec<_>>().join(", "),
            remedy: Some("switch columns off before the limit is reached: values beyond it go to _discards".into()),
        }),
        Err(error) => findings.push(Finding::bad("columns", &error)),
    }
}

fn tables(session: &Session) -> Result<String> {
    let names: Vec<Ident> =
        session.all(sql::TABLES, [], |row| row.get::<_, String>(0))?.into_iter().map(Ident::new).collect();
    let catalog = schema::describe(session, &names)?;
    Ok(format!("{} tables, schema version {}", catalog.tables.len(), catalog.version))
}
