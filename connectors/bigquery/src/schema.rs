//! What tables are there, and bringing them forward.

use crate::BigQuery;
use crate::change::{self, Step};
use crate::client::Shape;
use crate::config::Options;
use crate::error::Fault;
use crate::sql::{COLUMNS_AT_ONCE, TAKEN_BY, Writer};
use crate::types::DIALECT;
use crate::views;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use tablecast_core::ident::versions_table;
use tablecast_core::schema::{Table, TableKind};
use tablecast_core::sql::{COMMITS, KEY, LOCK};
use tablecast_core::{Catalog, Change, Error, ErrorKind, Ident, LiveType, Result, Type};

/// Calls that are under way at the same time.
pub(crate) const AT_ONCE: usize = 8;

/// The row of `_lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) version: i64,
    /// The entry of the journal, if a change of a type is under way.
    pub(crate) changing: Option<String>,
}

/// The shape of `tables`, as far as they are there.
pub(crate) async fn describe(warehouse: &BigQuery, tables: &[Ident]) -> Result<Catalog> {
    // The version first: a shape that is newer than its version is refused by the guard, an older one would not be.
    let version = lock(warehouse).await?.unwrap_or_default().version;
    Ok(Catalog { version, tables: live(warehouse, tables).await? })
}

/// The row of `_lock`; none without the table or the row.
pub(crate) async fn lock(warehouse: &BigQuery) -> Result<Option<Lock>> {
    let (client, dataset) = (&warehouse.client, &warehouse.dataset);
    let Some(shape) = client.table(dataset, LOCK).await? else { return Ok(None) };
    let Some(rows) = client.first_rows(dataset, LOCK).await? else { return Ok(None) };
    let at = |name: &str| shape.columns.iter().position(|(column, _)| column.eq_ignore_ascii_case(name));
    let Some((version, changing)) = at("schema_version").zip(at("changing")).filter(|_| at(TAKEN_BY).is_some()) else {
        return Err(Error::new(ErrorKind::SchemaBroken, "the guard has lost a column")
            .with("table", LOCK)
            .fix("rename the table away, then run again: it is made anew"));
    };
    let cell = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten();
    let number = |row: &[Option<String>]| cell(row, version).and_then(|text| text.parse::<i64>().ok());
    Ok(rows.first().map(|_| Lock {
        version: rows.iter().filter_map(|row| number(row)).max().unwrap_or(0),
        changing: rows.iter().find_map(|row| cell(row, changing)),
    }))
}

/// The shapes of tables that are there.
pub(crate) async fn live(warehouse: &BigQuery, tables: &[Ident]) -> Result<BTreeMap<Ident, Table>> {
    let one = |table: Ident| async move {
        let shape = warehouse.client.table(&warehouse.dataset, table.as_str()).await?;
        shape.map(|shape| table_of(&table, &shape)).transpose().map(|found| found.map(|found| (table, found)))
    };
    let found: Vec<Option<(Ident, Table)>> =
        stream::iter(tables.to_vec()).map(one).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// A table as the planner sees it. A view in its place, or no key, is an error.
fn table_of(table: &Ident, shape: &Shape) -> Result<Table> {
    let broken = |what: &str| {
        Error::new(ErrorKind::SchemaBroken, what)
            .with("table", table)
            .fix("rename it away, then run again: the table is made anew")
    };
    if shape.kind != "TABLE" {
        return Err(broken("a table was replaced by something else").with("kind", &shape.kind));
    }
    let mut live = Table::default();
    for (name, declared) in &shape.columns {
        let ty = (DIALECT.parse_type)(declared).map_or_else(|| LiveType::Other(declared.clone()), LiveType::Known);
        // Names are not case sensitive, and ours are lower case.
        live.columns.insert(Ident::new(name.to_ascii_lowercase()), ty);
    }
    let key = if table == COMMITS { "commit_id" } else { KEY };
    if live.columns.get(key).and_then(LiveType::known) != Some(Type::Text) {
        return Err(broken("a table has lost its key column").with("column", key));
    }
    Ok(live)
}

/// Makes `changes` true.
pub(crate) async fn apply(warehouse: &BigQuery, changes: &[Change]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let location = warehouse.make_dataset().await?;
    let mut tables: Vec<Ident> = changes.iter().map(|change| change.table().clone()).collect();
    // Tables of Tablecast's own have no versions.
    let users = |table: &&Ident| !table.as_str().starts_with('_');
    tables.extend(changes.iter().map(Change::table).filter(users).map(versions_table));
    tables.push(LOCK.into());
    tables.sort_unstable();
    tables.dedup();
    let lock = lock(warehouse).await?;
    if let Some(entry) = lock.as_ref().and_then(|lock| lock.changing.as_deref()) {
        change::finish(warehouse, &location, entry).await?;
    }
    let todo = Todo::new(changes, &Catalog { version: 0, tables: live(warehouse, &tables).await? })?;
    todo.run(warehouse, &location, lock.is_some()).await
}

/// Columns with their types, in order.
type Columns = Vec<(Ident, Type)>;

/// What has to be done, in the order in which it is safe.
#[derive(Default)]
struct Todo {
    create: Vec<(Ident, TableKind, Columns)>,
    add: BTreeMap<Ident, Columns>,
    /// What raises the schema's version.
    steps: Vec<Step>,
}

impl Todo {
    fn new(changes: &[Change], live: &Catalog) -> Result<Todo> {
        let mut todo = Todo::default();
        for change in changes {
            match change {
                Change::CreateTable { table, kind, columns } => match live.table(table.as_str()) {
                    None => todo.create.push((table.clone(), *kind, columns.clone())),
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

    async fn run(self, warehouse: &BigQuery, location: &str, has_lock: bool) -> Result<()> {
        let writer = Writer::new(&warehouse.dataset);
        let options = &warehouse.options;
        let scripts = self.create.iter().map(|(table, kind, columns)| create(writer, options, table, *kind, columns));
        run_all(warehouse, location, scripts.collect()).await?;
        if !has_lock && !self.create.iter().any(|(table, ..)| *table == *LOCK) {
            warehouse.restore_lock(location).await?;
        }
        // Values before their versions: who sees the versions of a column without the column takes them for nulls.
        let is_versions = |table: &Ident| table.as_str().starts_with('_') && table.as_str().ends_with("_versions");
        let (versions, others): (Vec<_>, Vec<_>) = self.add.into_iter().partition(|(table, _)| is_versions(table));
        for tables in [others, versions] {
            let scripts = tables.iter().map(|(table, columns)| {
                let parts = columns.chunks(COLUMNS_AT_ONCE).map(|columns| writer.add_columns(table, columns));
                parts.collect::<Vec<_>>()
            });
            run_all(warehouse, location, scripts.collect()).await?;
        }
        change::change(warehouse, location, &self.steps).await?;
        if options.views { views::make(warehouse, location).await } else { Ok(()) }
    }
}

/// The statements that make a table.
fn create(
    writer: Writer<'_>,
    options: &Options,
    table: &Ident,
    kind: TableKind,
    columns: &[(Ident, Type)],
) -> Vec<String> {
    if *table == *LOCK {
        return vec![writer.create_lock(columns)];
    }
    writer.create_table(table, kind, columns, options.partition)
}

/// Runs some lists of statements beside each other, each list in its order.
pub(crate) async fn run_all(warehouse: &BigQuery, location: &str, scripts: Vec<Vec<String>>) -> Result<()> {
    let one = |statements: Vec<String>| async move {
        for text in statements {
            warehouse.client.run(location, &text).await?;
        }
        Ok::<(), Fault>(())
    };
    stream::iter(scripts).map(one).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}
