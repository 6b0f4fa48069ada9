//! Telling what happens: one `tracing` event for each call, with counts and never a value.

use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tablecast_core::{Catalog, Change, Commit, Dialect, Error, Ident, Receipt, Result, Warehouse};
use tracing::{debug, info, warn};

/// Emits a `tracing` event after every call: which, how long it took in ms, how much. Target `tablecast`.
///
/// Outside [`Retry`](crate::Retry) it sees whole calls, inside of it each attempt.
#[derive(Debug)]
pub struct Trace {
    inner: Arc<dyn Warehouse>,
}

impl Trace {
    /// Wraps a warehouse.
    pub fn new(inner: Arc<dyn Warehouse>) -> Self {
        Trace { inner }
    }

    fn failed(&self, call: &'static str, ms: u64, error: &Error) {
        let (kind, temporary) = (error.kind(), error.is_temporary());
        warn!(target: "tablecast", warehouse = self.dialect().name, call, ms, ?kind, temporary, %error, "failed");
    }
}

fn ms(since: Instant) -> u64 {
    let elapsed: Duration = since.elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Warehouse for Trace {
    fn dialect(&self) -> &'static Dialect {
        self.inner.dialect()
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        let start = Instant::now();
        let answer = self.inner.describe(tables).await;
        match &answer {
            Ok(catalog) => {
                debug!(target: "tablecast", warehouse = self.dialect().name, ms = ms(start), asked = tables.len(), found = catalog.tables.len(), version = catalog.version, "described");
            }
            Err(error) => self.failed("describe", ms(start), error),
        }
        answer
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        let start = Instant::now();
        let answer = self.inner.apply(changes).await;
        match &answer {
            Ok(()) => {
                info!(target: "tablecast", warehouse = self.dialect().name, ms = ms(start), changes = changes.len(), "applied");
            }
            Err(error) => self.failed("apply", ms(start), error),
        }
        answer
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        let start = Instant::now();
        let answer = self.inner.commit(commit).await;
        match &answer {
            Ok(receipt) => {
                let loaded: u64 = receipt.tables.iter().map(|(_, counts)| counts.loaded).sum();
                let received: u64 = receipt.tables.iter().map(|(_, counts)| counts.received).sum();
                info!(target: "tablecast", warehouse = self.dialect().name, ms = ms(start), commit = %commit.id, tables = commit.loads.len(), received, loaded, replayed = receipt.replayed, "committed");
            }
            Err(error) => self.failed("commit", ms(start), error),
        }
        answer
    }

    async fn estimate(&self, commit: &Commit) -> Result<Option<u64>> {
        let start = Instant::now();
        let answer = self.inner.estimate(commit).await;
        match &answer {
            Ok(bytes) => {
                debug!(target: "tablecast", warehouse = self.dialect().name, ms = ms(start), commit = %commit.id, bytes, "estimated");
            }
            Err(error) => self.failed("estimate", ms(start), error),
        }
        answer
    }
}
