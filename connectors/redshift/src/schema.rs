//! What tables are there, and bringing them forward.

use crate::client::{Rows, Session, nonce, now};
use crate::sql::{self, OWN_STATEMENTS, WIDENED, Widening};
use crate::types::{MAX_TEXT, live_type, text_size};
use crate::{DIALECT, Redshift, error};
use std::collections::{BTreeMap, BTreeSet};
use tablecast_core::discard::{self, Discard, Reason};
use tablecast_core::ident::{append_twin, versions_table};
use tablecast_core::rules::Timestamps;
use tablecast_core::schema::{Table, TableKind};
use tablecast_core::sql::{COMMITS, KEY, LOCK, Sql};
use tablecast_core::{Catalog, Change, Error, ErrorKind, Ident, LiveType, Result, Type, nearest_float, time};

/// How often an `apply` looks again because somebody else was faster.
const RACES: usize = 8;
/// Tables that are asked for in one query.
const ASKED: usize = 200;
/// Rows of `_discards` in one statement, and statements in one transaction.
const DISCARDS: usize = 60;
const CHANGES: usize = 30;

/// Sizes of text columns that a list of changes asks for.
type Sizes = BTreeMap<(Ident, Ident), usize>;

/// The shape of `tables`, as far as they are there. The version is read before the tables: if somebody changes a
/// type in between, a plan from this is stale and no worse.
pub(crate) async fn describe(session: &mut Session, schema: &Ident, tables: &[Ident]) -> Result<Catalog> {
    let version = version(session, schema).await?.unwrap_or(0);
    let mut catalog = Catalog { version, ..Catalog::default() };
    let tables: BTreeSet<&Ident> = tables.iter().collect();
    let tables: Vec<&Ident> = tables.into_iter().collect();
    for some in tables.chunks(ASKED) {
        for row in session.query(&sql::columns(schema, some)).await? {
            note(&mut catalog, row)?;
        }
    }
    for (name, table) in &catalog.tables {
        let key = if name == COMMITS { "commit_id" } else { KEY };
        if table.columns.get(key).and_then(LiveType::known) != Some(Type::Text) {
            return Err(Error::new(ErrorKind::SchemaBroken, "a table has lost its key column")
                .with("table", name)
                .with("column", key)
                .fix("rename the table away, then run again: it is made anew"));
        }
    }
    Ok(catalog)
}

fn note(catalog: &mut Catalog, row: Vec<Option<String>>) -> Result<()> {
    let mut cells = row.into_iter();
    let mut next = || cells.next().flatten();
    let (Some(table), Some(kind), Some(column), Some(data_type)) = (next(), next(), next(), next()) else {
        return Err(unreadable());
    };
    if kind != "BASE TABLE" {
        return Err(Error::new(ErrorKind::SchemaBroken, "a table was replaced by a view")
            .with("table", table)
            .fix("rename the view away, then run again: the table is made anew"));
    }
    let (length, precision, scale) = (next(), next(), next());
    let table = catalog.tables.entry(Ident::new(table)).or_default();
    let column = Ident::new(column);
    let ty = live_type(&data_type, precision.as_deref(), scale.as_deref());
    if ty == LiveType::Known(Type::Text) {
        let bytes = length.and_then(|length| length.parse().ok()).unwrap_or(MAX_TEXT);
        table.text_bytes.insert(column.clone(), bytes);
    }
    table.columns.insert(column, ty);
    Ok(())
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Corrupt, "Redshift's catalog answered in a form that is not known")
}

/// The schema's version; none without the guard's table or row. It waits for a commit that is under way.
pub(crate) async fn version(session: &mut Session, schema: &Ident) -> Result<Option<i64>> {
    let rows = match session.query(&sql::versions(&sql::sql(schema))).await {
        Err(error) if error.kind() == ErrorKind::SchemaMismatch => return Ok(None),
        answer => answer?,
    };
    only_version(&rows)
}

fn only_version(rows: &Rows) -> Result<Option<i64>> {
    match rows.as_slice() {
        [] => Ok(None),
        [row] => {
            let version = row.first().cloned().flatten().and_then(|text| text.parse().ok());
            version.map(Some).ok_or_else(unreadable)
        }
        _ => Err(Error::new(ErrorKind::SchemaBroken, "the guard has more than one row")
            .with("table", LOCK)
            .fix("delete all rows of the table but the one with the highest schema_version, then run again")),
    }
}

/// Puts the guard's row in unless there is one. Two who do it at once take turns.
pub(crate) async fn put_guard(session: &mut Session, sql: &Sql<'_>, version: i64) -> Result<()> {
    session.transaction(&nonce(), &[sql::lock(sql), sql.lock_row(&version.to_string())]).await
}

/// Makes `changes` true; what holds already is left alone.
pub(crate) async fn apply(redshift: &Redshift, changes: &[Change]) -> Result<()> {
    let mut last = None;
    for _ in 0..RACES {
        // An error leaves a connection of the wire inside a transaction: each try has its own.
        let mut session = redshift.client.session().await?;
        redshift.sweep(&mut session).await;
        let applying = Applying { redshift, changes, sizes: sizes(changes) };
        match applying.once(&mut session).await {
            Err(error) if is_race(&error) => last = Some(error),
            done => return done,
        }
    }
    let error = Error::new(ErrorKind::Conflict, "others changed the tables again and again").temporary();
    Err(match last {
        Some(last) => error.because(last),
        None => error,
    })
}

/// Whether somebody else did what was to be done: looking again shows it.
fn is_race(error: &Error) -> bool {
    let text = error.to_string();
    text.starts_with(error::EXISTS) || text.starts_with(error::SIZED) || text.starts_with(error::CHECK)
}

/// The largest size that is asked for, by column; a merge table's key has the same in its table of versions.
fn sizes(changes: &[Change]) -> Sizes {
    let mut sizes = Sizes::new();
    for change in changes {
        if let Change::Grow { table, column, bytes } = change {
            let mut ask = |table: Ident| {
                let size = sizes.entry((table, column.clone())).or_default();
                *size = text_size(*bytes).max(*size);
            };
            ask(table.clone());
            if column == KEY {
                ask(versions_table(table));
            }
        }
    }
    sizes
}

/// The tables and columns that a change lacks. Of a table that came since the plan was made that is columns, each of
/// which may raise the schema's version.
fn lacking(live: &Catalog, change: &Change) -> Result<Vec<Change>> {
    let add = |table: &Ident, there: &Table, columns: &[(Ident, Type)]| {
        let missing = columns.iter().filter(|(column, _)| !there.columns.contains_key(column));
        missing
            .map(|(column, ty)| Change::AddColumn { table: table.clone(), column: column.clone(), ty: *ty })
            .collect()
    };
    match change {
        Change::CreateTable { table, columns, .. } => {
            Ok(live.table(table.as_str()).map_or_else(|| vec![change.clone()], |there| add(table, there, columns)))
        }
        Change::AddColumn { table, column, ty } => match live.table(table.as_str()) {
            Some(there) => Ok(add(table, there, &[(column.clone(), *ty)])),
            None => Err(stale("a table is gone since the plan was made", table)),
        },
        Change::Widen { .. } | Change::Grow { .. } => Ok(Vec::new()),
    }
}

struct Applying<'a> {
    redshift: &'a Redshift,
    changes: &'a [Change],
    sizes: Sizes,
}

impl Applying<'_> {
    async fn once(&self, session: &mut Session) -> Result<()> {
        self.make_guard(session).await?;
        self.add(session).await?;
        for change in self.changes {
            if let Change::Widen { table, column, to, .. } = change {
                self.widen(session, table, column, *to).await?;
            }
        }
        self.grow(session).await
    }

    async fn look(&self, session: &mut Session) -> Result<Catalog> {
        let mut tables: Vec<Ident> = self.changes.iter().map(|change| change.table().clone()).collect();
        tables.extend(self.changes.iter().map(|change| versions_table(change.table())));
        tables.push(LOCK.into());
        describe(session, &self.redshift.schema, &tables).await
    }

    /// The schema, and the guard with its row: everything else is done under it.
    async fn make_guard(&self, session: &mut Session) -> Result<()> {
        let (redshift, sql) = (self.redshift, self.redshift.sql());
        let made = self.changes.iter().find_map(|change| match change {
            Change::CreateTable { table, kind, columns } if table == LOCK => Some((table, *kind, columns)),
            _ => None,
        });
        let catalog = self.look(session).await?;
        if let Some((table, kind, columns)) = made
            && catalog.table(LOCK).is_none()
        {
            // CREATE SCHEMA asks for the right to it even if there is nothing to create.
            if session.query(&sql::schema_there(&redshift.schema)).await?.is_empty() {
                session.exec(&sql::create_schema(&redshift.schema)).await?;
            }
            for statement in sql::create_table(&sql, table, kind, columns, &self.sizes, redshift.keys) {
                session.exec(&statement).await?;
            }
            return put_guard(session, &sql, 0).await;
        }
        // Somebody deleted the row: no plan that was made before holds any more.
        if catalog.table(LOCK).is_some() && version(session, &redshift.schema).await?.is_none() {
            let version = if made.is_some() { 0 } else { now() };
            return put_guard(session, &sql, version).await;
        }
        Ok(())
    }

    /// Tables and columns that are not there, some in each transaction.
    async fn add(&self, session: &mut Session) -> Result<()> {
        let (redshift, sql) = (self.redshift, self.redshift.sql());
        let mut live = self.look(session).await?;
        let mut statements = Vec::new();
        for change in self.changes {
            for change in lacking(&live, change)? {
                match &change {
                    Change::CreateTable { table, kind, columns } => {
                        statements.extend(sql::create_table(&sql, table, *kind, columns, &self.sizes, redshift.keys));
                    }
                    Change::AddColumn { table, column, ty } => {
                        statements.push(self.add_column(table, column, *ty));
                        statements.extend(live.is_raised_by(&change).then(|| sql.raise()));
                    }
                    Change::Widen { .. } | Change::Grow { .. } => {}
                }
                live.advance(&[change]);
            }
        }
        // A column that raises the version and its raise must not be parted.
        let mut rest = statements.as_slice();
        while !rest.is_empty() {
            let mut end = rest.len().min(CHANGES);
            if rest.get(end).is_some_and(|statement| *statement == sql.raise()) {
                end += 1;
            }
            let mut batch = vec![sql::lock(&sql)];
            batch.extend_from_slice(&rest[..end]);
            session.transaction(&nonce(), &batch).await?;
            rest = &rest[end..];
        }
        Ok(())
    }

    fn add_column(&self, table: &Ident, column: &Ident, ty: Type) -> String {
        let bytes = self.sizes.get(&(table.clone(), column.clone())).copied();
        sql::add_column(&self.redshift.sql(), table, column.as_str(), ty, bytes)
    }

    /// Text columns that are too small. Each is a statement of its own: Redshift wants no transaction around it.
    async fn grow(&self, session: &mut Session) -> Result<()> {
        if self.sizes.is_empty() {
            return Ok(());
        }
        let live = self.look(session).await?;
        for ((table, column), bytes) in &self.sizes {
            let there = live.table(table.as_str()).and_then(|live| live.text_bytes.get(column));
            if there.is_some_and(|there| there < bytes) {
                let text = sql::grow(&self.redshift.sql(), table, column, *bytes);
                session.exec(&text).await.map_err(|error| error.with("table", table).with("column", column))?;
            }
        }
        Ok(())
    }

    /// Widens a column unless it is that wide already, and raises the schema's version.
    async fn widen(&self, session: &mut Session, table: &Ident, column: &Ident, to: Type) -> Result<()> {
        let sql = self.redshift.sql();
        let mut all = vec![table.clone()];
        all.extend(append_twin(table).map(Ident::from));
        let catalog = describe(session, &self.redshift.schema, &all).await?;
        let live =
            catalog.table(table.as_str()).ok_or_else(|| stale("a table is gone since the plan was made", table))?;
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
        let stored = if to == Type::Json { Type::Text } else { to };
        if from.join(stored) == from {
            return Ok(());
        }
        if from.join(stored) != stored {
            return Err(stale("a column has a type that cannot be widened as planned", table).with("column", column));
        }
        let twin_has = append_twin(table).is_some_and(|twin| catalog.column(twin, column.as_str()).is_some());
        let large = if to == Type::Float && !twin_has {
            Some(self.keep_bent(session, table, column, from, live).await?)
        } else {
            None
        };
        let bytes = self.sizes.get(&(table.clone(), column.clone())).copied();
        let widening = Widening { table, column, from, to: stored, bytes };
        let leftover = live.columns.contains_key(WIDENED);
        let statements = sql::widen(&sql, &widening, catalog.version, large, leftover);
        let widened = session.transaction(&nonce(), &statements).await;
        widened.map_err(|error| error.with("table", table).with("column", column))
    }

    /// Notes every number of a column that will be bent when it becomes a float; how many numbers are that large.
    async fn keep_bent(
        &self,
        session: &mut Session,
        table: &Ident,
        column: &Ident,
        from: Type,
        live: &Table,
    ) -> Result<usize> {
        let sql = self.redshift.sql();
        let has_received_at = live.columns.contains_key("received_at");
        let rows = session.query(&sql::large(&sql, table, column, from, has_received_at)).await?;
        let large = rows.len();
        let bent: Vec<Discard> = rows.into_iter().filter_map(|row| bent(table, column, row)).collect();
        if bent.is_empty() {
            return Ok(large);
        }
        let columns: Vec<(Ident, Type)> = discard::COLUMNS.iter().map(|(name, ty)| (Ident::from(*name), *ty)).collect();
        let name = Ident::from(discard::TABLE);
        let keys = self.redshift.keys;
        for statement in sql::create_table(&sql, &name, TableKind::Append, &columns, &self.sizes, keys) {
            session.exec(&statement).await?;
        }
        let inserts = inserts(&sql, &bent);
        for some in inserts.chunks(CHANGES) {
            let mut batch = vec![sql::lock(&sql)];
            batch.extend_from_slice(some);
            session.transaction(&nonce(), &batch).await?;
        }
        Ok(large)
    }
}

/// Statements that put discards in, each short enough: a quote in an id takes many bytes of SQL.
pub(crate) fn inserts(sql: &Sql<'_>, discards: &[Discard]) -> Vec<String> {
    if discards.len() <= DISCARDS {
        let one = sql::insert_discards(sql, discards);
        if discards.len() == 1 || one.len() <= DIALECT.max_sql_bytes {
            return vec![one];
        }
    }
    let (some, others) = discards.split_at(discards.len() / 2);
    [inserts(sql, some), inserts(sql, others)].concat()
}

fn bent(table: &Ident, column: &Ident, row: Vec<Option<String>>) -> Option<Discard> {
    let mut cells = row.into_iter();
    let (event, digits, received_at) = (cells.next()??, cells.next()??, cells.next().flatten());
    if nearest_float(digits.parse().ok()?).1 {
        return None;
    }
    let at = received_at.and_then(|text| time::parse(&text, Timestamps::Iso8601)).map_or(0, |parsed| parsed.micros);
    Some(Discard::new(&event, table.as_str(), column.as_str(), digits.as_bytes(), Reason::Precision, at))
}

pub(crate) fn stale(what: &str, table: &Ident) -> Error {
    Error::new(ErrorKind::SchemaMismatch, what).with("table", table)
}

/// Tables that are close to Redshift's limit of columns.
pub(crate) async fn nearly_full(session: &mut Session, schema: &Ident) -> Result<BTreeSet<String>> {
    let rows = session.query(&sql::widths(schema)).await?;
    let tables = rows.into_iter().filter_map(|row| {
        let mut cells = row.into_iter();
        let (table, columns) = (cells.next()??, cells.next()??.parse::<usize>().ok()?);
        (columns * 5 >= DIALECT.max_columns * 4).then(|| format!("{table}: {columns} of {}", DIALECT.max_columns))
    });
    Ok(tables.collect())
}

const _: () = assert!(CHANGES + OWN_STATEMENTS <= 40, "a transaction of the Data API has at most 40 statements");

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(rows: &[[Option<&str>; 7]]) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        for row in rows {
            note(&mut catalog, row.iter().map(|cell| cell.map(str::to_owned)).collect())?;
        }
        Ok(catalog)
    }

    #[test]
    fn the_catalog_is_read_as_redshift_spells_it() {
        let table = Some("t");
        let rows = [
            [table, Some("BASE TABLE"), Some("id"), Some("character varying"), Some("512"), None, None],
            [table, Some("BASE TABLE"), Some("n"), Some("numeric"), None, Some("38"), Some("0")],
            [table, Some("BASE TABLE"), Some("s"), Some("super"), None, None, None],
        ];
        let catalog = noted(&rows).unwrap();
        let live = catalog.table("t").unwrap();
        assert_eq!(live.text_bytes, BTreeMap::from([("id".into(), 512)]));
        assert_eq!(catalog.column("t", "n"), Some(&LiveType::Known(Type::Decimal)));
        assert_eq!(catalog.column("t", "s"), Some(&LiveType::Other("super".into())));
        let view = noted(&[[table, Some("VIEW"), Some("id"), Some("bigint"), None, None, None]]).unwrap_err();
        assert!(view.kind() == ErrorKind::SchemaBroken && view.remedy().contains("rename the view away"), "{view:?}");
        assert_eq!(noted(&[[None; 7]]).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_key_that_grows_takes_its_versions_along() {
        let grow = |column: &str, bytes| Change::Grow { table: "users".into(), column: column.into(), bytes };
        let sizes = sizes(&[grow("plan", 2_048), grow("id", 600), grow("plan", 512)]);
        let of = |table: &str, column: &str| sizes.get(&(table.into(), column.into())).copied();
        assert_eq!((of("users", "plan"), of("users", "id")), (Some(2_048), Some(2_048)));
        assert_eq!((of("_users_versions", "id"), of("_users_versions", "plan")), (Some(2_048), None));
    }

    #[test]
    fn the_guard_has_one_row() {
        let row = |text: &str| vec![Some(text.to_owned())];
        assert_eq!(only_version(&Vec::new()).unwrap(), None);
        assert_eq!(only_version(&vec![row("7")]).unwrap(), Some(7));
        assert_eq!(only_version(&vec![row("7"), row("8")]).unwrap_err().kind(), ErrorKind::SchemaBroken);
        assert_eq!(only_version(&vec![row("x")]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
