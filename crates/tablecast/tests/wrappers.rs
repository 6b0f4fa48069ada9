//! Retry, Timeout and Trace in front of a warehouse that fails when told to.

use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tablecast::core::memory::DIALECT;
use tablecast::{
    Catalog, Change, Commit, CommitId, Dialect, Error, ErrorKind, Ident, Limits, Receipt, Result, Retry, RetryPolicy,
    Timeout, Trace, Warehouse,
};
use tokio::time::Instant;

/// Answers each call with the next step of a script, then well.
#[derive(Debug, Default)]
struct Scripted {
    steps: Mutex<VecDeque<Step>>,
    calls: Mutex<Vec<&'static str>>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Fail(ErrorKind, bool),
    Hang,
}

impl Scripted {
    fn new(steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        Arc::new(Scripted { steps: Mutex::new(steps.into_iter().collect()), calls: Mutex::default() })
    }

    async fn step(&self, call: &'static str) -> Result<()> {
        self.calls.lock().unwrap().push(call);
        let step = self.steps.lock().unwrap().pop_front();
        match step {
            Some(Step::Hang) => std::future::pending().await,
            Some(Step::Fail(kind, true)) => Err(Error::new(kind, "as told").temporary()),
            Some(Step::Fail(kind, false)) => Err(Error::new(kind, "as told")),
            None => Ok(()),
        }
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl Warehouse for Scripted {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn describe(&self, _: &[Ident]) -> Result<Catalog> {
        self.step("describe").await.map(|()| Catalog { version: 7, ..Catalog::default() })
    }

    async fn apply(&self, _: &[Change]) -> Result<()> {
        self.step("apply").await
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        self.step("commit").await.map(|()| Receipt { id: commit.id, replayed: false, tables: Vec::new() })
    }
}

fn commit() -> Commit {
    Commit { id: CommitId(5), schema_version: 7, source: "test".into(), loads: Vec::new() }
}

const POLICY: RetryPolicy =
    RetryPolicy { attempts: 3, first: Duration::from_millis(100), most: Duration::from_secs(1) };

#[tokio::test(start_paused = true)]
async fn every_call_is_tried_again_while_the_error_is_temporary() {
    let busy = Step::Fail(ErrorKind::Conflict, true);
    let inner = Scripted::new([busy, busy]);
    let retry = Retry::new(inner.clone(), POLICY);
    let begun = Instant::now();
    assert_eq!(retry.describe(&[]).await.unwrap().version, 7);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(150) && waited <= Duration::from_millis(310), "{waited:?}");

    inner.steps.lock().unwrap().extend([busy]);
    retry.apply(&[]).await.unwrap();
    inner.steps.lock().unwrap().extend([busy]);
    assert_eq!(retry.commit(&commit()).await.unwrap().id, CommitId(5));
    assert_eq!(inner.calls(), ["describe", "describe", "describe", "apply", "apply", "commit", "commit"]);
    assert_eq!(retry.dialect().name, "memory");
}

#[tokio::test(start_paused = true)]
async fn final_errors_and_stale_catalogs_come_back_at_once() {
    for (kind, temporary) in [(ErrorKind::Permission, false), (ErrorKind::SchemaMismatch, true)] {
        let inner = Scripted::new([Step::Fail(kind, temporary)]);
        let error = Retry::new(inner.clone(), POLICY).commit(&commit()).await.unwrap_err();
        assert_eq!((error.kind(), inner.calls().len()), (kind, 1));
    }
    let inner = Scripted::new([Step::Fail(ErrorKind::Unavailable, true); 9]);
    let error = Retry::new(inner.clone(), POLICY).apply(&[]).await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("attempts: 3"), "{error}");
    assert_eq!(inner.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_a_temporary_error_and_retry_goes_around_it() {
    let limits =
        Limits { describe: Duration::from_secs(1), apply: Duration::from_secs(2), commit: Duration::from_secs(3) };
    let inner = Scripted::new([Step::Hang; 3]);
    let timeout = Timeout::new(inner.clone(), limits);
    let begun = Instant::now();
    for error in [
        timeout.describe(&[]).await.unwrap_err(),
        timeout.apply(&[]).await.unwrap_err(),
        timeout.commit(&commit()).await.unwrap_err(),
    ] {
        assert!(
            error.is_temporary() && error.kind() == ErrorKind::Unavailable && error.to_string().contains("call: "),
            "{error}"
        );
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(6));

    let inner = Scripted::new([Step::Hang, Step::Fail(ErrorKind::Conflict, true)]);
    let both = Trace::new(Arc::new(Retry::new(Arc::new(Timeout::new(inner.clone(), limits)), POLICY)));
    both.commit(&commit()).await.unwrap();
    both.describe(&[]).await.unwrap();
    both.apply(&[]).await.unwrap();
    assert_eq!(inner.calls(), ["commit", "commit", "commit", "describe", "apply"]);
    assert_eq!(both.dialect().name, "memory");
}
