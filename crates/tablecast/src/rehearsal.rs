//! Planning without doing: a warehouse that notes the changes and loads nothing.

use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use tablecast_core::{Catalog, Change, Commit, Dialect, Ident, Receipt, Result, Warehouse};

/// Stands in for a warehouse: its catalog is the live one (or none) advanced by the changes made here.
///
/// So the code that loads also plans, and a plan is what a load does. It counts every row as loaded,
/// because it does not look which ones are there already.
#[derive(Debug)]
pub struct Rehearsal {
    dialect: &'static Dialect,
    live: Option<Arc<dyn Warehouse>>,
    changes: Mutex<Vec<Change>>,
    bytes: Mutex<Option<u64>>,
}

impl Rehearsal {
    /// Before an empty warehouse of a kind; nothing is contacted.
    pub fn offline(dialect: &'static Dialect) -> Self {
        Rehearsal { dialect, live: None, changes: Mutex::default(), bytes: Mutex::default() }
    }

    /// Before a live warehouse, which is only described.
    pub fn before(live: Arc<dyn Warehouse>) -> Self {
        Rehearsal { dialect: live.dialect(), live: Some(live), changes: Mutex::default(), bytes: Mutex::default() }
    }

    /// The bytes that the commits so far would read, if the warehouse charges for them:
    /// [`Warehouse::estimate`], summed up.
    pub fn bytes(&self) -> Option<u64> {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Warehouse for Rehearsal {
    fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        let mut catalog = match &self.live {
            Some(live) => live.describe(tables).await?,
            None => Catalog::default(),
        };
        catalog.advance(&self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(catalog)
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(changes);
        Ok(())
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        if let Some(more) = self.estimate(commit).await? {
            let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            *bytes = Some(bytes.unwrap_or(0).saturating_add(more));
        }
        let tables = commit.loads.iter().map(|load| {
            let mut counts = load.counts;
            counts.loaded = counts.received - counts.duplicates - counts.filtered - counts.discarded;
            (load.table.clone(), counts)
        });
        Ok(Receipt { id: commit.id, replayed: false, tables: tables.collect() })
    }
    async fn estimate(&self, commit: &Commit) -> Result<Option<u64>> {
        match &self.live {
            Some(live) => live.estimate(commit).await,
            None => Ok(None),
        }
    }
}
