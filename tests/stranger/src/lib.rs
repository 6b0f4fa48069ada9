#![doc = include_str!("../README.md")]

mod cells;
mod shelf;
mod state;

use async_trait::async_trait;
use serde::Deserialize;
use shelf::Shelf;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tablecast_core::dialect::double_quoted;
use tablecast_core::testing::{Probe, Row};
use tablecast_core::{
    BoxFuture, Catalog, Change, Commit, Connector, Dialect, Error, ErrorKind, Finding, Ident, Receipt, Result, Type,
    Uri, Warehouse,
};

/// What a program puts into its slice of connectors.
pub const CONNECTOR: Connector =
    Connector { name: "shelf", schemes: &["shelf"], example: "shelf:./folder", dialect: &DIALECT, open, check };

/// A shelf has few limits of its own; these are what one can still look at.
pub static DIALECT: Dialect = Dialect {
    name: "shelf",
    quote: double_quoted,
    max_identifier: 120,
    reserved: &[],
    type_name: |ty| match ty {
        Type::Boolean => "boolean",
        Type::Int => "int",
        Type::Decimal => "decimal",
        Type::Float => "float",
        Type::Timestamp => "timestamp",
        Type::Text => "text",
        Type::Json => "json",
        Type::Version => "version",
    },
    parse_type: |name| serde_json::from_value(name.into()).ok(),
    max_columns: 1_000,
    tables_per_commit: 50,
    merge_group: 400,
    max_text_bytes: 100_000,
    max_row_bytes: 1 << 20,
    max_sql_bytes: 1 << 20,
    max_statements: usize::MAX,
    max_script_bytes: usize::MAX,
    text_sizes: &[],
};

/// A shelf has no options; one that is given is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {}

/// One schema on a shelf.
#[derive(Debug)]
pub struct Stranger {
    shelf: Shelf,
}

impl Stranger {
    /// The schema in a folder; nothing is created before the first change.
    pub fn new(folder: impl Into<PathBuf>, schema: &Ident) -> Self {
        Stranger { shelf: Shelf::new(folder.into(), schema.as_str()) }
    }
}

fn configured(uri: &Uri, schema: &Ident) -> Result<Stranger> {
    let Options {} = uri.options()?;
    if uri.body().is_empty() {
        return Err(Error::new(ErrorKind::Config, "a shelf needs a folder").fix("write it as shelf:./folder"));
    }
    Ok(Stranger::new(uri.body(), schema))
}

fn open<'a>(uri: &'a Uri, schema: &'a Ident) -> BoxFuture<'a, Result<Arc<dyn Warehouse>>> {
    Box::pin(async move { Ok(Arc::new(configured(uri, schema)?) as Arc<dyn Warehouse>) })
}

fn check<'a>(uri: &'a Uri, schema: &'a Ident) -> BoxFuture<'a, Vec<Finding>> {
    Box::pin(async move {
        let looked = configured(uri, schema).and_then(|stranger| stranger.shelf.read());
        vec![match looked {
            Ok(state) => Finding::good("read", format!("{} tables", state.tables.len())),
            Err(error) => Finding::bad("read", &error),
        }]
    })
}

// Files are read and written on the caller's thread: there is nothing to wait for but the disk. A method
// does not give up control in its middle, so dropping its future either undoes nothing or is too late.
#[async_trait]
impl Warehouse for Stranger {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        Ok(self.shelf.read()?.catalog(tables))
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        self.shelf.change(|state| changes.iter().try_for_each(|change| state.apply(change)))
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.shelf.change(|state| state.commit(commit, now))
    }
}

#[async_trait]
impl Probe for Stranger {
    async fn tables(&self) -> Result<Vec<String>> {
        Ok(self.shelf.read()?.tables.into_keys().collect())
    }

    async fn rows(&self, table: &str) -> Result<Vec<Row>> {
        let tables = self.shelf.read()?.tables;
        Ok(tables.get(table).map(|table| table.rows.values().cloned().collect()).unwrap_or_default())
    }
}
