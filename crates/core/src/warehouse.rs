//! The plug: what a connector implements.

use crate::dialect::Dialect;
use crate::error::Result;
use crate::ident::Ident;
use crate::plan::{Commit, Receipt};
use crate::schema::{Catalog, Change};
use async_trait::async_trait;
use std::fmt::Debug;

/// One schema (`personas_<space>`) of a live warehouse.
///
/// # Contract
///
/// 1. **Again is safe.** Every method may be called again after any failure (an error, a lost answer,
///    a dropped future, a second process doing the same) and then has the effect of one call. So one
///    generic retry is right everywhere, cancelling is dropping the future, and recovery is running it again.
/// 2. **A commit is all or nothing, once only.** A [`Commit`] whose id is in the ledger is not loaded
///    again: its stored receipt comes back with `replayed` set. Readers see all its tables at once.
/// 3. **Nothing is lost.** Inside the transaction, per table, `received = loaded + duplicates + filtered
///    + discarded`; if it does not add up the transaction rolls back with `CountMismatch`.
/// 4. **One writer at a time.** Every commit and every type change takes the guard, the single row of
///    `_lock`, before anything takes a snapshot. A commit planned for another schema version answers
///    `SchemaMismatch`: describe and plan again.
/// 5. **Changes are additive**, so a schema ahead of its data is always safe: nothing is dropped, and a
///    column's values survive a change of its type.
///
/// Between calls nothing is held: a dropped future or an error closes the connection it used.
/// Wrappers forward every item. One has a default: [`estimate`](Warehouse::estimate) changes nothing, and most warehouses
/// have no answer to it.
#[async_trait]
pub trait Warehouse: Debug + Send + Sync + 'static {
    /// Facts about this kind of warehouse; no I/O.
    fn dialect(&self) -> &'static Dialect;

    /// The shape of `tables`, as far as they exist; a missing table is simply absent. With the schema's version.
    async fn describe(&self, tables: &[Ident]) -> Result<Catalog>;

    /// Makes `changes` true, in order. Steps that hold already are left alone; on an error any prefix may hold.
    /// Raises the schema's version, under the guard, where [`Change`] says so.
    async fn apply(&self, changes: &[Change]) -> Result<()>;

    /// Loads all of `commit`, visible at once, once only per [`CommitId`](crate::CommitId).
    async fn commit(&self, commit: &Commit) -> Result<Receipt>;

    /// The bytes that the statements of `commit` would read, where a warehouse charges for them and can say so without
    /// running them. It changes nothing. Tables and columns that are not there yet count as empty.
    async fn estimate(&self, commit: &Commit) -> Result<Option<u64>> {
        let _ = commit;
        Ok(None)
    }
}
