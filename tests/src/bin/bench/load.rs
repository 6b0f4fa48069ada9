//! A load into SQLite, end to end, against bare inserts of the same rows.

use crate::{compare, made, timed};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use tablecast::Rules;
use tablecast::input::{Input, Loader};

fn load(bytes: &[u8], dir: &Path) -> tablecast::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rules = Rules::default();
    runtime.block_on(async {
        let warehouse = tablecast::open(&format!("sqlite:{}", dir.display()), &rules).await?;
        let mut loader = Loader::new(&*warehouse, &rules);
        let bytes: Box<dyn std::io::Read + Send> = Box::new(std::io::Cursor::new(bytes.to_vec()));
        loader.read(&mut Input::stream("bench", bytes)?).await?;
        loader.finish().await.map(drop)
    })
}

/// A table as it is after a load: how it was made, and its rows.
struct Copied {
    sql: Vec<String>,
    tables: Vec<(String, Vec<Vec<Value>>)>,
}

fn copy(file: &Path) -> rusqlite::Result<Copied> {
    let from = Connection::open(file)?;
    let mut all = from.prepare("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC")?;
    let parts: Vec<(String, String, String)> =
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut copied = Copied { sql: parts.iter().map(|(_, _, sql)| sql.clone()).collect(), tables: Vec::new() };
    for (_, name, _) in parts.iter().filter(|(kind, _, _)| kind == "table") {
        let mut select = from.prepare(&format!("SELECT * FROM \"{name}\""))?;
        let width = select.column_count();
        let rows =
            select.query_map([], |row| (0..width).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>())?;
        copied.tables.push((name.clone(), rows.collect::<rusqlite::Result<_>>()?));
    }
    Ok(copied)
}

/// The same tables and indexes, the same rows, prepared statements, one transaction, the same settings of the database.
fn insert(copied: &Copied, dir: &Path) -> rusqlite::Result<()> {
    let mut into = Connection::open(dir.join("bare.db"))?;
    into.pragma_update(None, "journal_mode", "WAL")?;
    let all = into.transaction()?;
    for sql in &copied.sql {
        all.execute_batch(sql)?;
    }
    for (name, rows) in &copied.tables {
        let Some(first) = rows.first() else { continue };
        let places = vec!["?"; first.len()].join(", ");
        let mut statement = all.prepare(&format!("INSERT INTO \"{name}\" VALUES ({places})"))?;
        for row in rows {
            statement.execute(params_from_iter(row))?;
        }
    }
    all.commit()
}

/// End to end, from bytes to durable tables.
pub(crate) fn against_bare_inserts(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let first = tempfile::tempdir()?;
    load(bytes, first.path())?;
    let copied = copy(&first.path().join("personas_default.db"))?;
    let rows: usize = copied.tables.iter().map(|(_, rows)| rows.len()).sum();
    let what = format!("load 20,000 calls into SQLite / bare inserts of its {rows} rows");
    compare(&what, "must <= 3x, aim <= 2x", 5, || {
        let dir = tempfile::tempdir().expect("a directory");
        let (ours, done) = timed(|| load(bytes, dir.path()));
        done.expect("it loaded before");
        let (theirs, done) = timed(|| insert(&copied, dir.path()));
        done.expect("the same rows");
        (ours, theirs)
    });
    Ok(())
}

/// Ten times the events, of the same users, and of ten times as many.
pub(crate) fn with_more_events() -> Result<(), Box<dyn Error>> {
    let few = made::made(20_000, 100, 2_000);
    let one = |bytes: &[u8]| -> Duration {
        let dir = tempfile::tempdir().expect("a directory");
        let (time, done) = timed(|| load(bytes, dir.path()));
        done.expect("it loads");
        time
    };
    let many = made::made(200_000, 100, 2_000);
    compare("load 200,000 calls into SQLite / 20,000, of 2,000 users", "must <= 12x", 5, || (one(&many), one(&few)));
    let many = made::made(200_000, 100, 20_000);
    compare("load 200,000 calls of 20,000 users / 20,000 of 2,000 users", "", 5, || (one(&many), one(&few)));
    Ok(())
}
