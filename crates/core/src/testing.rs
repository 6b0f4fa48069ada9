//! Reading tables back, for tests: what the trait leaves out on purpose. Behind the feature `testing`.

use crate::error::Result;
use async_trait::async_trait;
use std::collections::BTreeMap;

/// One row: column to value, in the canonical rendering; a NULL is absent.
///
/// Booleans are `true` or `false`, integers and decimals plain digits, floats as JSON writes them with
/// the fewest digits, timestamps `2026-01-31T23:59:59.000000Z`, text as it is.
pub type Row = BTreeMap<String, String>;

/// Reads one schema of a warehouse back.
#[async_trait]
pub trait Probe: Send + Sync {
    /// The tables that are there, Tablecast's own included, staging excluded.
    async fn tables(&self) -> Result<Vec<String>>;

    /// All rows of a table, in no particular order; none if the table is missing.
    async fn rows(&self, table: &str) -> Result<Vec<Row>>;
}
