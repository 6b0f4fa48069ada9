//! What tables are there, and bringing them forward.

use crate::Snowflake;
use crate::change::{self, Step};
use crate::client::{Rows, Session};
use crate::error::Fault;
use crate::types::live_type;
use std::collections::BTreeMap;
use tablecast_core::ident::versions_table;
use tablecast_core::schema::Table;
use tablecast_core::sql::{COMMITS, KEY, LOCK};
use tablecast_core::{Catalog, Change, Error, ErrorKind, Ident, LiveType, Result, Type};

/// The row of `_lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) version: i64,
    /// The entry of the journal, if a change of a type is under way.
    pub(crate) changing: Option<String>,
    pub(crate) taken_by: Option<String>,
    /// The time of the last commit, µs since 1970.
    pub(crate) stamped: i64,
}

/// The shape of `tables`, as far as they are there.
pub(crate) async fn describe(snowflake: &Snowflake, session: &mut Session, tables: &[Ident]) -> Result<Catalog> {
    // The version first: a shape that is newer than its version is refused by the guard, an older one would not be.
    let version = lock(snowflake, session).await?.unwrap_or_default().version;
    Ok(Catalog { version, tables: live(snowflake, session, tables).await? })
}

/// The row of `_lock`; none without the table or the row.
pub(crate) async fn lock(snowflake: &Snowflake, session: &mut Session) -> Result<Option<Lock>> {
    match session.query(&snowflake.writer().lock(), &[]).await {
        Ok(rows) => Ok(lock_of(&rows)),
        Err(fault) if fault.is_missing() => Ok(None),
        Err(fault) => {
            let error = Error::from(fault);
            if error.kind() != ErrorKind::SchemaMismatch {
                return Err(error);
            }
            Err(Error::new(ErrorKind::SchemaBroken, "the guard has lost a column")
                .with("table", LOCK)
                .fix("rename the table away, then run again: it is made anew")
                .because(error))
        }
    }
}

fn lock_of(rows: &Rows) -> Option<Lock> {
    let text = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten();
    let number = |row, at| text(row, at).and_then(|text| text.parse::<i64>().ok());
    rows.first()?;
    // Two who put the row back at the same moment make two.
    Some(Lock {
        version: rows.iter().filter_map(|row| number(row, 0)).max().unwrap_or(0),
        changing: rows.iter().find_map(|row| text(row, 1)),
        taken_by: rows.iter().max_by_key(|row| number(row, 0)).and_then(|row| text(row, 2)),
        stamped: rows.iter().filter_map(|row| number(row, 3)).max().unwrap_or(0),
    })
}

/// The shapes of tables that are there. A view in the place of one, or no key, is an error.
pub(crate) async fn live(
    snowflake: &Snowflake,
    session: &mut Session,
    tables: &[Ident],
) -> Result<BTreeMap<Ident, Table>> {
    let writer = snowflake.writer();
    let mut found: BTreeMap<Ident, (String, Table)> = BTreeMap::new();
    for some in tables.chunks(500) {
        for row in session.query(&writer.columns(some), &[]).await? {
            let text = |at: usize| row.get(at).and_then(Option::as_deref);
            let (Some(table), Some(kind), Some(column), Some(declared)) = (text(0), text(1), text(2), text(3)) else {
                continue;
            };
            let Some(table) = writer.unfolded(table) else { continue };
            let (_, shape) = found.entry(table).or_insert_with(|| (kind.to_owned(), Table::default()));
            // A name of other letters is none of ours.
            if let Some(column) = writer.unfolded(column) {
                shape.columns.insert(column, live_type(declared, text(4), text(5), text(6)));
            }
        }
    }
    let checked =
        found.into_iter().map(|(table, (kind, shape))| must_be_ours(&table, &kind, &shape).map(|()| (table, shape)));
    checked.collect()
}

fn must_be_ours(table: &Ident, kind: &str, shape: &Table) -> Result<()> {
    let broken = |what: &str| {
        Error::new(ErrorKind::SchemaBroken, what)
            .with("table", table)
            .fix("rename it away, then run again: the table is made anew")
    };
    if kind != "BASE TABLE" {
        return Err(broken("a table was replaced by something else").with("kind", kind));
    }
    let key = if table == COMMITS { "commit_id" } else { KEY };
    if shape.columns.get(key).and_then(LiveType::known) != Some(Type::Text) {
        return Err(broken("a table has lost its key column").with("column", key));
    }
    Ok(())
}

/// Makes `changes` true.
pub(crate) async fn apply(snowflake: &Snowflake, session: &mut Session, changes: &[Change]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut tables: Vec<Ident> = changes.iter().map(|change| change.table().clone()).collect();
    // Tables of Tablecast's own have no versions.
    let users = |table: &&Ident| !table.as_str().starts_with('_');
    tables.extend(changes.iter().map(Change::table).filter(users).map(versions_table));
    tables.push(LOCK.into());
    tables.sort_unstable();
    tables.dedup();
    let lock = lock(snowflake, session).await?;
    if let Some(entry) = lock.as_ref().and_then(|lock| lock.changing.as_deref()) {
        change::finish(snowflake, session, entry).await?;
    }
    let todo = Todo::new(changes, &Catalog { version: 0, tables: live(snowflake, session, &tables).await? })?;
    todo.run(snowflake, session, lock.is_some()).await
}

/// Columns with their types, in order.
type Columns = Vec<(Ident, Type)>;

/// What has to be done, in the order in which it is safe.
#[derive(Default)]
struct Todo {
    create: Vec<(Ident, Columns)>,
    add: BTreeMap<Ident, Columns>,
    /// What raises the schema's version.
    steps: Vec<Step>,
}

impl Todo {
    fn new(changes: &[Change], live: &Catalog) -> Result<Todo> {
        let mut todo = Todo::default();
        for change in changes {
            match change {
                Change::CreateTable { table, columns, .. } => match live.table(table.as_str()) {
                    None => todo.create.push((table.clone(), columns.clone())),
                    Some(_) => columns.iter().for_each(|(column, ty)| todo.add(live, table, column, *ty)),
                },
                Change::AddColumn { table, column, ty } => todo.add(live, table, column, *ty),
                Change::Widen { table, column, to, .. } => todo.widen(live, table, column, *to)?,
                // Text has no declared size here.
                Change::Grow { .. } => {}
            }
        }
        Ok(todo)
    }

    fn add(&mut self, live: &Catalog, table: &Ident, column: &Ident, ty: Type) {
        if live.column(table.as_str(), column.as_str()).is_some() {
            return;
        }
        // Versions without a value are nulls that somebody planned before the column came.
        if live.column(versions_table(table).as_str(), column.as_str()).is_some() {
            self.steps.push(Step { table: table.to_string(), column: column.to_string(), to: ty });
        } else {
            self.add.entry(table.clone()).or_default().push((column.clone(), ty));
        }
    }

    fn widen(&mut self, live: &Catalog, table: &Ident, column: &Ident, to: Type) -> Result<()> {
        let stale =
            |what: &str| Err(Error::new(ErrorKind::SchemaMismatch, what).with("table", table).with("column", column));
        match live.column(table.as_str(), column.as_str()) {
            Some(LiveType::Known(from)) if from.join(to) == *from => Ok(()),
            Some(LiveType::Known(from)) if from.join(to) == to => {
                self.steps.push(Step { table: table.to_string(), column: column.to_string(), to });
                Ok(())
            }
            Some(LiveType::Known(_)) => stale("a column has a type that cannot be widened as planned"),
            Some(LiveType::Other(declared)) => {
                Err(Error::new(ErrorKind::SchemaBroken, "a column was given a type that cannot be widened")
                    .with("table", table)
                    .with("column", column)
                    .with("type", declared))
            }
            None => stale("a column is gone since the plan was made"),
        }
    }

    async fn run(self, snowflake: &Snowflake, session: &mut Session, has_lock: bool) -> Result<()> {
        let writer = snowflake.writer();
        if !self.create.is_empty() {
            session.exec(&writer.create_schema()).await?;
        }
        // The guard first: whoever sees a table must find it.
        let (guard, others): (Vec<_>, Vec<_>) = self.create.into_iter().partition(|(table, _)| *table == *LOCK);
        for (_, columns) in &guard {
            there_or_made(session.exec(&writer.create_lock(columns)).await)?;
        }
        if !has_lock && guard.is_empty() {
            session.exec(&writer.restore_lock(crate::client::now())).await?;
        }
        for (table, columns) in &others {
            for text in writer.create_table(table, columns) {
                there_or_made(session.exec(&text).await)?;
            }
        }
        // Values before their versions: who sees the versions of a column without the column takes them for nulls.
        let is_versions = |table: &Ident| table.as_str().starts_with('_') && table.as_str().ends_with("_versions");
        let (versions, others): (Vec<_>, Vec<_>) = self.add.into_iter().partition(|(table, _)| is_versions(table));
        for (table, columns) in others.iter().chain(&versions) {
            for (column, ty) in columns {
                there_or_made(session.exec(&writer.add_column(table, column.as_str(), *ty)).await)?;
            }
        }
        change::change(snowflake, session, &self.steps).await
    }
}

/// What somebody else made at the same moment is there too.
fn there_or_made(made: Result<(), Fault>) -> Result<()> {
    match made {
        Err(fault) if fault.is_there() => Ok(()),
        made => Ok(made?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rows_of_the_guard_count_as_the_newer_one() {
        let row = |cells: [&str; 4]| cells.map(|cell| (!cell.is_empty()).then(|| cell.to_owned())).to_vec();
        assert_eq!(lock_of(&vec![]), None);
        let rows = vec![row(["3", "", "a", "7"]), row(["12", "{}", "b", ""])];
        let lock = lock_of(&rows).unwrap();
        assert_eq!(lock, Lock { version: 12, changing: Some("{}".into()), taken_by: Some("b".into()), stamped: 7 });
    }

    #[test]
    fn what_is_not_a_table_of_ours_is_told() {
        let mut shape = Table::default();
        shape.columns.insert("id".into(), LiveType::Known(Type::Text));
        assert!(must_be_ours(&"users".into(), "BASE TABLE", &shape).is_ok());
        assert_eq!(must_be_ours(&"users".into(), "VIEW", &shape).unwrap_err().kind(), ErrorKind::SchemaBroken);
        assert!(must_be_ours(&"_commits".into(), "BASE TABLE", &shape).is_err());
    }

    #[test]
    fn changes_become_steps_that_are_left_to_do() {
        let mut live = Catalog::default();
        live.advance(&[Change::CreateTable {
            table: "users".into(),
            kind: tablecast_core::TableKind::Merge,
            columns: vec![("id".into(), Type::Text), ("n".into(), Type::Decimal)],
        }]);
        live.advance(&[Change::AddColumn { table: "_users_versions".into(), column: "m".into(), ty: Type::Version }]);
        let add = |column: &str, ty| Change::AddColumn { table: "users".into(), column: column.into(), ty };
        let widen = |from, to| Change::Widen { table: "users".into(), column: "n".into(), from, to };
        let todo = |changes: &[Change]| Todo::new(changes, &live);
        let done = todo(&[add("n", Type::Int), widen(Type::Int, Type::Decimal)]).unwrap();
        assert!(done.add.is_empty() && done.steps.is_empty() && done.create.is_empty());
        let left = todo(&[add("x", Type::Text), add("m", Type::Int), widen(Type::Int, Type::Float)]).unwrap();
        assert_eq!(left.add["users"], [("x".into(), Type::Text)]);
        assert_eq!(left.steps.len(), 2, "a float, and a column whose versions are there");
        assert_eq!(
            todo(&[widen(Type::Boolean, Type::Boolean)]).err().map(|e| e.kind()),
            Some(ErrorKind::SchemaMismatch)
        );
    }
}
