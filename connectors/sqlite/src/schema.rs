//! What tables are there, and bringing them forward.

use crate::client::Session;
use crate::sql::{self, SQL};
use crate::types::DIALECT;
use std::collections::BTreeSet;
use tablecast_core::discard::{self, Discard, Reason};
use tablecast_core::ident::{append_twin, versions_table};
use tablecast_core::rules::Timestamps;
use tablecast_core::schema::{Table, TableKind};
use tablecast_core::sql::{COMMITS, KEY, LOCK};
use tablecast_core::{Catalog, Change, Error, ErrorKind, Ident, LiveType, Result, Type, time};

/// The shape of `tables`, as far as they are there.
pub(crate) fn describe(session: &Session, tables: &[Ident]) -> Result<Catalog> {
    session.snapshot()?;
    let mut catalog = Catalog { version: version(session)?.unwrap_or(0), ..Catalog::default() };
    for table in tables {
        if let Some(live) = live(session, table)? {
            catalog.tables.insert(table.clone(), live);
        }
    }
    Ok(catalog)
}

/// The schema's version; none without the guard's table or row.
pub(crate) fn version(session: &Session) -> Result<Option<i64>> {
    match live(session, &Ident::from(LOCK))? {
        Some(_) => session.first(&SQL.schema_version(), [], |row| row.get(0)),
        None => Ok(None),
    }
}

/// The shape of one table; none if it is not there. A view in its place, or no key, is an error.
pub(crate) fn live(session: &Session, table: &Ident) -> Result<Option<Table>> {
    let object = session
        .first(sql::OBJECT, [table.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
    let Some((kind, made_by)) = object else { return Ok(None) };
    let broken =
        |what: &str, remedy: &str| Err(Error::new(ErrorKind::SchemaBroken, what).with("table", table).fix(remedy));
    if kind == "view" {
        return broken(
            "a table was replaced by a view",
            "rename the view away, then run again: the table is made anew",
        );
    }
    if made_by.is_some_and(|text| text.to_ascii_uppercase().starts_with("CREATE VIRTUAL")) {
        return broken(
            "a table was replaced by a virtual table",
            "rename it away, then run again: the table is made anew",
        );
    }
    let columns = session.all(sql::COLUMNS, [table.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    })?;
    let mut live = Table::default();
    for (name, declared, hidden) in columns {
        let ty = match (DIALECT.parse_type)(&declared) {
            Some(ty) if hidden == 0 => LiveType::Known(ty),
            _ if hidden == 0 => LiveType::Other(declared),
            _ => LiveType::Other(format!("{declared} (generated)")),
        };
        // SQLite's names differ in more than case, and ours are lower case.
        live.columns.insert(Ident::new(name.to_ascii_lowercase()), ty);
    }
    let key = if table == COMMITS { "commit_id" } else { KEY };
    if live.columns.get(key).and_then(LiveType::known) != Some(Type::Text) {
        return Err(Error::new(ErrorKind::SchemaBroken, "a table has lost its key column")
            .with("table", table)
            .with("column", key)
            .fix("rename the table away, then run again: it is made anew"));
    }
    Ok(Some(live))
}

/// Makes `changes` true, all of them or none.
pub(crate) fn apply(session: &Session, changes: &[Change]) -> Result<()> {
    session.begin()?;
    for change in changes {
        match change {
            Change::CreateTable { table, kind, columns } => create(session, table, *kind, columns)?,
            Change::AddColumn { table, column, ty } => {
                let live =
                    live(session, table)?.ok_or_else(|| stale("a table is gone since the plan was made", table))?;
                add(session, table, &live, column, *ty)?;
            }
            Change::Widen { table, column, to, .. } => widen(session, table, column, *to)?,
            // Text has no declared size here.
            Change::Grow { .. } => {}
        }
    }
    session.commit()
}

fn create(session: &Session, table: &Ident, kind: TableKind, columns: &[(Ident, Type)]) -> Result<()> {
    if let Some(live) = live(session, table)? {
        return columns.iter().try_for_each(|(column, ty)| add(session, table, &live, column, *ty));
    }
    let key = match (kind, table) {
        (TableKind::System, table) if table == COMMITS => sql::key(&["commit_id", "table_name"]),
        _ => sql::key(&[KEY]),
    };
    session.execute(&SQL.create_table(table.as_str(), columns, Some(&key)), [])?;
    if table == LOCK {
        session.execute(&SQL.lock_row("?1"), [0])?;
    }
    Ok(())
}

/// Adds a column unless it is there. Values for a column of which a plan knew only the versions would come in too late.
fn add(session: &Session, table: &Ident, there: &Table, column: &Ident, ty: Type) -> Result<()> {
    if there.columns.contains_key(column) {
        return Ok(());
    }
    session.execute(&SQL.add_column(table.as_str(), column.as_str(), ty), [])?;
    let versions = live(session, &versions_table(table))?;
    if versions.is_some_and(|versions| versions.columns.contains_key(column)) { raise(session) } else { Ok(()) }
}

fn raise(session: &Session) -> Result<()> {
    if session.execute(&SQL.raise(), [])? == 0 {
        ensure(session, LOCK, &[(KEY, Type::Text), ("schema_version", Type::Int), ("changing", Type::Text)])?;
        new_guard(session)?;
    }
    Ok(())
}

/// Widens a column unless it is that wide already, and raises the schema's version.
fn widen(session: &Session, table: &Ident, column: &Ident, to: Type) -> Result<()> {
    let live = live(session, table)?.ok_or_else(|| stale("a table is gone since the plan was made", table))?;
    let from = match live.columns.get(column) {
        Some(LiveType::Known(from)) => *from,
        Some(LiveType::Other(declared)) => {
            return Err(Error::new(ErrorKind::SchemaBroken, "a column was given a type that cannot be widened")
                .with("table", table)
                .with("column", column)
                .with("type", declared));
        }
        None => return Err(stale("a column is gone since the plan was made", table).with("column", column)),
    };
    if from.join(to) == from {
        return Ok(());
    }
    if from.join(to) != to {
        return Err(stale("a column has a type that cannot be widened as planned", table).with("column", column));
    }
    if to == Type::Float && !twin_has(session, table, column)? {
        keep_bent(session, table, column, live.columns.contains_key("received_at"))?;
    }
    for text in sql::widen(table, column, from, to) {
        session.execute(&text, [])?;
    }
    raise(session)
}

/// Puts the guard's row back under a version that nobody has planned for, whatever it was before.
pub(crate) fn new_guard(session: &Session) -> Result<()> {
    session.execute(&SQL.lock_row("?1"), [crate::now()]).map(drop)
}

/// Whether the append table that gets the same values has them, exactly or in `_discards`.
fn twin_has(session: &Session, table: &Ident, column: &Ident) -> Result<bool> {
    let Some(twin) = append_twin(table) else { return Ok(false) };
    Ok(live(session, &Ident::from(twin))?.is_some_and(|twin| twin.columns.contains_key(column)))
}

/// Notes every number of a column that will be bent when it becomes a float.
fn keep_bent(session: &Session, table: &Ident, column: &Ident, has_received_at: bool) -> Result<()> {
    let bent = session.all(&sql::bent(table, column, has_received_at), [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
    })?;
    if bent.is_empty() {
        return Ok(());
    }
    ensure(session, discard::TABLE, &discard::COLUMNS)?;
    let insert = sql::insert_discard();
    for (event, value, received_at) in bent {
        let at = received_at.and_then(|text| time::parse(&text, Timestamps::Iso8601)).map_or(0, |parsed| parsed.micros);
        let discard = Discard::new(&event, table.as_str(), column.as_str(), value.as_bytes(), Reason::Precision, at);
        let bytes = i64::try_from(discard.bytes).unwrap_or(i64::MAX);
        let (id, at) = (discard.id(), time::format(discard.received_at));
        session.execute(
            &insert,
            (
                id,
                None::<String>,
                discard.table,
                discard.event_id,
                discard.column,
                discard.value,
                bytes,
                discard.sha256,
                discard.reason.code(),
                at,
            ),
        )?;
    }
    Ok(())
}

/// Makes a table of Tablecast's own if it was dropped by hand.
fn ensure(session: &Session, table: &str, columns: &[(&str, Type)]) -> Result<()> {
    let columns: Vec<(Ident, Type)> = columns.iter().map(|(name, ty)| (Ident::from(*name), *ty)).collect();
    session.execute(&SQL.create_table(table, &columns, Some(&sql::key(&[KEY]))), []).map(drop)
}

pub(crate) fn stale(what: &str, table: &Ident) -> Error {
    Error::new(ErrorKind::SchemaMismatch, what).with("table", table)
}

/// Tables that are close to SQLite's limit of columns.
pub(crate) fn nearly_full(session: &Session) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for table in session.all(sql::TABLES, [], |row| row.get::<_, String>(0))? {
        let columns = session.all(sql::COLUMNS, [&table], |_| Ok(()))?.len();
        if columns * 5 >= DIALECT.max_columns * 4 {
            found.insert(format!("{table}: {columns} of {}", DIALECT.max_columns));
        }
    }
    Ok(found)
}
