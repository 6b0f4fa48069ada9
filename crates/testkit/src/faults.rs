//! A warehouse that fails on cue: refuses, loses its answer, or is dropped half way.

use async_trait::async_trait;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use tablecast_core::{
    BoxFuture, Catalog, Change, Commit, Dialect, Error, ErrorKind, Ident, Receipt, Result, Warehouse,
};

/// A method of the trait that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Warehouse::describe`]
    Describe,
    /// [`Warehouse::apply`]
    Apply,
    /// [`Warehouse::commit`]
    Commit,
}

/// How a call fails. The caller sees the same each time: the warehouse stopped answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Before anything was done.
    Reject,
    /// After everything was done.
    LoseAnswer,
    /// The call's future is dropped when it has been polled this often; if it is done by then, its answer is lost.
    Drop {
        /// Polls, at least 1.
        polls: u32,
    },
}

/// One failure: the `nth` call of a kind, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which method.
    pub call: Call,
    /// Which of its calls, from 1.
    pub nth: u64,
    /// In what way.
    pub how: How,
}

/// A warehouse in front of another, with a script of failures. Without one it only counts.
#[derive(Debug)]
pub struct Faults {
    inner: Arc<dyn Warehouse>,
    script: Mutex<Vec<Fault>>,
    calls: [AtomicU64; 3],
}

impl Faults {
    /// Puts a script in front of a warehouse.
    pub fn new(inner: Arc<dyn Warehouse>, script: impl Into<Vec<Fault>>) -> Self {
        Faults { inner, script: Mutex::new(script.into()), calls: Default::default() }
    }

    /// How often a method was called so far.
    pub fn calls(&self, call: Call) -> u64 {
        self.counter(call).load(Ordering::SeqCst)
    }

    /// The failures that have not come to pass.
    pub fn unused(&self) -> Vec<Fault> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn counter(&self, call: Call) -> &AtomicU64 {
        match call {
            Call::Describe => &self.calls[0],
            Call::Apply => &self.calls[1],
            Call::Commit => &self.calls[2],
        }
    }

    fn next(&self, call: Call) -> Option<How> {
        let nth = self.counter(call).fetch_add(1, Ordering::SeqCst) + 1;
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let at = script.iter().position(|fault| fault.call == call && fault.nth == nth)?;
        Some(script.swap_remove(at).how)
    }

    async fn pass<T>(&self, call: Call, future: BoxFuture<'_, Result<T>>) -> Result<T> {
        match self.next(call) {
            None => return future.await,
            Some(How::Reject) => drop(future),
            Some(How::LoseAnswer) => drop(future.await?),
            Some(How::Drop { polls }) => drop_after(polls, future).await?,
        }
        Err(Error::new(ErrorKind::Unavailable, "the warehouse stopped answering")
            .temporary()
            .with("call", format!("{call:?}")))
    }
}

/// Polls a future at most so often, then drops it.
async fn drop_after<T>(polls: u32, mut future: BoxFuture<'_, Result<T>>) -> Result<()> {
    let mut polled = 0;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(out) => Poll::Ready(out.map(drop)),
        Poll::Pending => {
            polled += 1;
            if polled >= polls { Poll::Ready(Ok(())) } else { Poll::Pending }
        }
    })
    .await
}

#[async_trait]
impl Warehouse for Faults {
    fn dialect(&self) -> &'static Dialect {
        self.inner.dialect()
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        self.pass(Call::Describe, self.inner.describe(tables)).await
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        self.pass(Call::Apply, self.inner.apply(changes)).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        self.pass(Call::Commit, self.inner.commit(commit)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::block_on;
    use tablecast_core::memory::Memory;
    use tablecast_core::{TableKind, Type};

    fn create() -> [Change; 1] {
        [Change::CreateTable { table: "t".into(), kind: TableKind::Append, columns: vec![("id".into(), Type::Text)] }]
    }

    fn exists(memory: &Memory) -> bool {
        block_on(memory.describe(&["t".into()])).unwrap().table("t").is_some()
    }

    #[test]
    fn each_way_to_fail_does_what_it_says() {
        for (how, done) in [(How::Reject, false), (How::LoseAnswer, true), (How::Drop { polls: 1 }, true)] {
            let memory = Memory::new();
            let faults = Faults::new(Arc::new(memory.clone()), [Fault { call: Call::Apply, nth: 2, how }]);
            block_on(faults.apply(&[])).unwrap();
            let error = block_on(faults.apply(&create())).unwrap_err();
            assert!(error.is_temporary() && error.kind() == ErrorKind::Unavailable);
            assert_eq!(exists(&memory), done, "{how:?}");
            assert!(faults.unused().is_empty());
            block_on(faults.apply(&create())).unwrap();
            assert!(exists(&memory));
            assert_eq!((faults.calls(Call::Apply), faults.calls(Call::Commit)), (3, 0));
        }
    }

    #[test]
    fn a_future_that_waits_is_dropped_in_time() {
        let waits: BoxFuture<'_, Result<()>> = Box::pin(std::future::pending());
        assert!(block_on(drop_after(1, waits)).is_ok());
    }

    #[test]
    fn nothing_is_changed_without_a_script() {
        let memory = Memory::new();
        let faults = Faults::new(Arc::new(memory.clone()), []);
        assert_eq!(faults.dialect().name, "memory");
        block_on(faults.apply(&create())).unwrap();
        assert_eq!(
            block_on(faults.describe(&["t".into()])).unwrap(),
            block_on(memory.describe(&["t".into()])).unwrap()
        );
        let commit =
            Commit { id: tablecast_core::CommitId(1), schema_version: 0, source: String::new(), loads: Vec::new() };
        assert_eq!(block_on(faults.commit(&commit)).unwrap_err().kind(), ErrorKind::SchemaMismatch);
    }
}
