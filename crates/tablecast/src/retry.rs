//! Trying again: a wrapper that is right for every connector, because every call may be repeated.

use async_trait::async_trait;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tablecast_core::{Catalog, Change, Commit, Dialect, Error, ErrorKind, Ident, Receipt, Result, Warehouse};

/// How often and how soon to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Longest wait before the second attempt; it doubles from there.
    pub first: Duration,
    /// Longest wait of all.
    pub most: Duration,
}

impl Default for RetryPolicy {
    /// Six attempts within half a minute or so.
    fn default() -> Self {
        RetryPolicy { attempts: 6, first: Duration::from_millis(500), most: Duration::from_secs(15) }
    }
}

impl RetryPolicy {
    /// The wait after a number of failures: between half and all of `first × 2^(failures − 1)`, at most `most`.
    fn wait(&self, failures: u32) -> Duration {
        let doubled =
            2_u32.checked_pow(failures.saturating_sub(1)).map_or(self.most, |factor| self.first.saturating_mul(factor));
        let half = doubled.min(self.most) / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(RandomState::new().hash_one(failures) % spread)
    }
}

/// Repeats calls that failed with a temporary error, after a growing wait.
///
/// Put it outside [`Timeout`](crate::Timeout), so that each attempt has its own limit. Needs a tokio runtime with time enabled.
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn Warehouse>,
    policy: RetryPolicy,
}

impl Retry {
    /// Wraps a warehouse.
    pub fn new(inner: Arc<dyn Warehouse>, policy: RetryPolicy) -> Self {
        Retry { inner, policy }
    }

    /// Waits, unless the error is final; then gives it back.
    async fn pause(&self, failures: u32, error: Error) -> Result<()> {
        let again = error.is_temporary() && error.kind() != ErrorKind::SchemaMismatch;
        if !again {
            return Err(error);
        }
        if failures >= self.policy.attempts {
            return Err(error.with("attempts", failures));
        }
        tokio::time::sleep(self.policy.wait(failures)).await;
        Ok(())
    }
}

/// The call until it succeeds or the error is final.
macro_rules! repeat {
    ($self:ident, $call:expr) => {{
        let mut failures = 0;
        loop {
            match $call.await {
                Ok(done) => break Ok(done),
                Err(error) => {
                    failures += 1;
                    $self.pause(failures, error).await?;
                }
            }
        }
    }};
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Warehouse for Retry {
    fn dialect(&self) -> &'static Dialect {
        self.inner.dialect()
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        repeat!(self, self.inner.describe(tables))
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        repeat!(self, self.inner.apply(changes))
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        repeat!(self, self.inner.commit(commit))
    }

    async fn estimate(&self, commit: &Commit) -> Result<Option<u64>> {
        repeat!(self, self.inner.estimate(commit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_keep_half_of_it_random() {
        let policy = RetryPolicy { attempts: 9, first: Duration::from_millis(100), most: Duration::from_secs(1) };
        for (failures, longest) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (60, 1000)] {
            for _ in 0..50 {
                let wait = policy.wait(failures);
                let longest = Duration::from_millis(longest);
                assert!(wait >= longest / 2 && wait <= longest, "{failures}: {wait:?}");
            }
        }
        let first: std::collections::BTreeSet<Duration> = (0..20).map(|_| policy.wait(5)).collect();
        assert!(first.len() > 1, "no two programs come back at the same moment");
    }
}
