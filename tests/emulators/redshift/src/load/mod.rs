//! COPY from S3, within the client's session and transaction.

mod cell;
mod rows;
mod source;

use crate::engine::{Engine, Reply};
use crate::frame::Frame;
use crate::gate::{Copy, Refusal, quote, text};
use cell::Kind;
use rows::{Load, LoadError};
use std::io;
use std::sync::Arc;

/// Why a load did not happen.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The emulator refuses: PostgreSQL is to raise this.
    Refused(Refusal),
    /// PostgreSQL refused; its answer, `ReadyForQuery` last.
    Postgres(Vec<Frame>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A column that is loaded.
#[derive(Clone, Debug)]
struct Column {
    /// As the client calls it.
    name: String,
    ty: String,
    /// For types that have one.
    length: String,
    kind: Kind,
    not_null: bool,
}

/// What the columns' query tells of the table.
struct Target {
    table_id: String,
    transaction: String,
    user_id: String,
    columns: Vec<Column>,
}

/// Loads. The inner result is what the client gets.
pub(crate) async fn run(engine: &mut Engine, copy: &Copy) -> io::Result<Result<Reply, Stop>> {
    let home = engine.home()?;
    let path: Vec<String> = copy.table.iter().map(|name| quote(&home.names.short(name))).collect();
    let table = path.join(".");
    let id = home.must("SELECT nextval('rs_emu.query_ids')").await?;
    let id = id.into_iter().flatten().flatten().next().and_then(|id| id.parse().ok()).unwrap_or(-1);
    engine.last_copy = (id, 0);

    let rows = match engine.backend.rows(&columns_sql(&table)).await? {
        Ok(rows) => rows,
        Err(frames) => return Ok(Err(Stop::Postgres(frames))),
    };
    let target = match target(engine, copy, rows)? {
        Ok(target) => target,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    let objects = match source::objects(&engine.world, &engine.user, copy) {
        Ok(objects) => objects,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    let work = Load {
        columns: Arc::new(target.columns.clone()),
        any_time: copy.any_time,
        gzip: copy.gzip,
        max_errors: copy.max_errors,
    };
    let loaded = tokio::task::spawn_blocking(move || work.read(&objects)).await.map_err(io::Error::other)?;
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    for error in &loaded.errors {
        let sql = error_sql(engine, &target, error);
        engine.home()?.must(&sql).await?;
    }
    let name = copy.table.last().map_or("", String::as_str);
    if loaded.failed {
        let message =
            format!("Load into table '{name}' failed.  Check 'sys_load_error_detail' system table for details.");
        return Ok(Err(Refusal::new("XX000", message).into()));
    }
    let names = &engine.home()?.names;
    let columns: Vec<String> = target.columns.iter().map(|column| quote(&names.short(&column.name))).collect();
    let sql = format!("COPY {table} ({}) FROM STDIN", columns.join(", "));
    let notice = format!("Load into table '{name}' completed, {} record(s) loaded successfully.", loaded.count);
    let reply = engine.copy_in(&sql, &loaded.text, &notice).await?;
    if !reply.iter().any(|frame| frame.kind == b'E') {
        engine.last_copy = (id, loaded.count);
    }
    Ok(Ok(reply))
}

fn columns_sql(table: &str) -> String {
    format!(
        "SELECT a.attname, t.typname, a.atttypmod, a.attnotnull, a.attrelid::bigint, \
         coalesce(txid_current_if_assigned(), 0), (SELECT oid FROM pg_roles WHERE rolname = current_user) \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
         WHERE a.attrelid = {}::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        text(table)
    )
}

fn target(engine: &Engine, copy: &Copy, rows: Vec<Vec<Option<String>>>) -> io::Result<Result<Target, Refusal>> {
    let names = &engine.home()?.names;
    let mut target = Target { table_id: "0".into(), transaction: "0".into(), user_id: "0".into(), columns: Vec::new() };
    let mut all = Vec::new();
    for row in rows {
        let mut cells = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || cells.next().unwrap_or_default();
        let (name, ty, modifier, not_null) = (names.long(&next()), next(), next(), next() == "t");
        (target.table_id, target.transaction, target.user_id) = (next(), next(), next());
        let modifier = modifier.parse().unwrap_or(-1);
        let Some(kind) = Kind::of(&ty, modifier) else {
            return Ok(Err(Refusal::new("0A000", format!("rsemu: COPY into a column of type {ty}"))));
        };
        let length = match kind {
            Kind::Varchar(bytes) | Kind::Char(bytes) => bytes.to_string(),
            Kind::Numeric(precision, scale) => format!("{precision},{scale}"),
            _ => "0".into(),
        };
        all.push(Column { name, ty, length, kind, not_null });
    }
    let Some(wanted) = &copy.columns else {
        target.columns = all;
        return Ok(Ok(target));
    };
    for name in wanted {
        let Some(column) = all.iter().find(|column| column.name == *name) else {
            let table = copy.table.last().map_or("", String::as_str);
            let message = format!("column \"{name}\" of relation \"{table}\" does not exist");
            return Ok(Err(Refusal::new("42703", message)));
        };
        target.columns.push(column.clone());
    }
    Ok(Ok(target))
}

fn error_sql(engine: &Engine, target: &Target, error: &LoadError) -> String {
    let column = error.column.map(|at| &target.columns[at]);
    let (name, ty, length) = column.map_or(("", "", ""), |column| (&column.name, &column.ty, &column.length));
    let cut = |value: &str, bytes: usize| text(&value.chars().take(bytes).collect::<String>());
    // Several systems' names of types are longer than the column is.
    let ty = if ty == "timestamptz" { "timestampt" } else { ty };
    format!(
        "INSERT INTO rs_emu.load_errors VALUES ({}, {}, {}, {}, {}, {}, now()::timestamp, {}, {}, {}, {}, {}, 0, {}, {})",
        target.user_id,
        engine.last_copy.0,
        target.transaction,
        engine.process,
        text(&engine.database),
        target.table_id,
        cut(&error.file, 256),
        error.line,
        cut(name, 127),
        cut(ty, 10),
        cut(length, 10),
        error.code,
        cut(&error.message, 256),
    )
}
