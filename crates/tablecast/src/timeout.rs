//! Giving up on an answer that does not come.

use async_trait::async_trait;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tablecast_core::{Catalog, Change, Commit, Dialect, Error, ErrorKind, Ident, Receipt, Result, Warehouse};

/// How long each call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For [`Warehouse::describe`].
    pub describe: Duration,
    /// For [`Warehouse::apply`]; rewriting a large column takes a while.
    pub apply: Duration,
    /// For [`Warehouse::commit`].
    pub commit: Duration,
}

impl Default for Limits {
    /// One minute to describe, fifteen to change or to commit.
    fn default() -> Self {
        let long = Duration::from_secs(15 * 60);
        Limits { describe: Duration::from_secs(60), apply: long, commit: long }
    }
}

/// Drops a call that takes too long, and answers with a temporary `Unavailable`.
///
/// The outcome is then unknown; calling again is safe. Put [`Retry`](crate::Retry) around it. Needs a tokio runtime with time enabled.
#[derive(Debug)]
pub struct Timeout {
    inner: Arc<dyn Warehouse>,
    limits: Limits,
}

impl Timeout {
    /// Wraps a warehouse.
    pub fn new(inner: Arc<dyn Warehouse>, limits: Limits) -> Self {
        Timeout { inner, limits }
    }
}

async fn within<T>(limit: Duration, call: &'static str, future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Unavailable, "the warehouse did not answer in time")
            .temporary()
            .with("call", call)
            .with("seconds", limit.as_secs_f32())
            .fix("check the warehouse's load or raise the limit, then run again; nothing is loaded twice"))
    })
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Warehouse for Timeout {
    fn dialect(&self) -> &'static Dialect {
        self.inner.dialect()
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        within(self.limits.describe, "describe", self.inner.describe(tables)).await
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        within(self.limits.apply, "apply", self.inner.apply(changes)).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        within(self.limits.commit, "commit", self.inner.commit(commit)).await
    }

    async fn estimate(&self, commit: &Commit) -> Result<Option<u64>> {
        within(self.limits.describe, "estimate", self.inner.estimate(commit)).await
    }
}
