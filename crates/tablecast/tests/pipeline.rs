//! `write` and `Pipeline` before the model warehouse, with trouble put in the way.

use async_trait::async_trait;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tablecast::core::memory::Memory;
use tablecast::core::testing::Probe;
use tablecast::{
    Catalog, Change, Commit, Cut, Dialect, Draft, Error, ErrorKind, Ident, Options, Origin, Pipeline, Receipt,
    Rehearsal, Report, Result, Rules, Type, Warehouse,
};
use tokio::sync::Semaphore;

/// The model, with a gate in front of its commits and errors to order.
#[derive(Debug)]
struct Hindered {
    model: Memory,
    /// One permit lets one commit through.
    gate: Semaphore,
    /// Kinds of the next errors, for commits.
    errors: Mutex<Vec<ErrorKind>>,
    /// Somebody else's change before the next commit.
    meddling: Mutex<Option<Change>>,
    commits: AtomicUsize,
}

const OPEN: usize = 1_000_000;

impl Hindered {
    fn new(gate: usize) -> Arc<Self> {
        Arc::new(Hindered {
            model: Memory::new(),
            gate: Semaphore::new(gate),
            errors: Mutex::default(),
            meddling: Mutex::default(),
            commits: 0.into(),
        })
    }

    fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    async fn ids(&self, table: &str) -> Vec<String> {
        let mut ids: Vec<String> = self.model.rows(table).await.unwrap().iter().map(|row| row["id"].clone()).collect();
        ids.sort();
        ids
    }
}

#[async_trait]
impl Warehouse for Hindered {
    fn dialect(&self) -> &'static Dialect {
        self.model.dialect()
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        self.model.describe(tables).await
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        self.model.apply(changes).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        self.gate.acquire().await.unwrap().forget();
        let (error, change) = (self.errors.lock().unwrap().pop(), self.meddling.lock().unwrap().take());
        if let Some(change) = change {
            self.model.apply(&[change]).await?;
        }
        match error {
            Some(kind) => Err(Error::new(kind, "as told").fix("wait")),
            None => {
                self.commits.fetch_add(1, Ordering::SeqCst);
                self.model.commit(commit).await
            }
        }
    }
}

fn call(n: usize) -> Vec<u8> {
    format!(r#"{{"type":"identify","messageId":"m{n:06}","userId":"u{n:06}","receivedAt":"2026-01-01T00:00:00Z","traits":{{"n":{n}}}}}"#).into_bytes()
}

fn options() -> Options {
    Options { cut_after: Duration::from_secs(3600), ..Options::default() }
}

#[tokio::test]
async fn write_counts_and_a_second_write_is_a_replay() {
    let warehouse = Hindered::new(OPEN);
    let mut draft = Draft::new(&Rules::default(), warehouse.dialect());
    for n in [1, 2, 2, 3] {
        draft.push_line(&call(n));
    }
    let report = tablecast::write(&*warehouse, &draft).await.unwrap();
    let counts = report.tables["identifies"];
    assert_eq!((counts.received, counts.loaded, counts.duplicates), (4, 3, 1));
    assert!(report.changes.iter().any(|change| change.to_string().starts_with("create table users")));
    assert!(!report.commits[0].replayed);
    let again = tablecast::write(&*warehouse, &draft).await.unwrap();
    assert!(again.changes.is_empty() && again.commits[0].replayed);
    assert_eq!(again.tables["identifies"], counts);
    assert_eq!(warehouse.ids("users").await, ["u000001", "u000002", "u000003"]);
}

#[tokio::test]
async fn an_error_leaves_a_report_of_what_was_done() {
    let warehouse = Hindered::new(OPEN);
    let mut draft = Draft::new(&Rules::default(), warehouse.dialect());
    draft.push_line(&call(1));
    warehouse.errors.lock().unwrap().push(ErrorKind::Unavailable);
    let mut report = Report::default();
    tablecast::write_into(&*warehouse, &draft, &mut report).await.unwrap_err();
    assert!(report.changes.iter().any(|change| change.to_string().starts_with("create table users")));
    assert!(report.columns["users"].contains("n") && report.tables.is_empty());
    // The same report goes on.
    tablecast::write_into(&*warehouse, &draft, &mut report).await.unwrap();
    assert_eq!((report.tables["users"].loaded, report.commits.len()), (1, 1));
}

#[tokio::test]
async fn a_catalog_that_went_stale_is_described_and_planned_anew() {
    let warehouse = Hindered::new(OPEN);
    let mut draft = Draft::new(&Rules::default(), warehouse.dialect());
    draft.push_line(&call(1));
    tablecast::write(&*warehouse, &draft).await.unwrap();

    draft.clear();
    draft.push_line(&call(2));
    *warehouse.meddling.lock().unwrap() =
        Some(Change::Widen { table: "users".into(), column: "n".into(), from: Type::Int, to: Type::Float });
    let report = tablecast::write(&*warehouse, &draft).await.unwrap();
    assert_eq!(report.tables["users"].loaded, 1);
    let rows = warehouse.model.rows("users").await.unwrap();
    assert!(rows.iter().any(|row| row["n"] == "2.0"), "{rows:?}");

    *warehouse.errors.lock().unwrap() = vec![ErrorKind::SchemaMismatch; 4];
    draft.push_line(&call(3));
    tablecast::write(&*warehouse, &draft).await.unwrap();
    *warehouse.errors.lock().unwrap() = vec![ErrorKind::SchemaMismatch; 5];
    draft.push_line(&call(4));
    assert_eq!(tablecast::write(&*warehouse, &draft).await.unwrap_err().kind(), ErrorKind::SchemaMismatch);
}

#[tokio::test]
async fn a_rehearsal_says_what_the_write_then_does_and_does_nothing() {
    let model = Memory::new();
    let live: Arc<dyn Warehouse> = Arc::new(model.clone());
    let mut draft = Draft::new(&Rules::default(), model.dialect());
    draft.push_line(&call(1));
    for rehearsal in [Rehearsal::before(Arc::clone(&live)), Rehearsal::offline(model.dialect())] {
        let planned = tablecast::write(&rehearsal, &draft).await.unwrap();
        assert!(model.tables().await.unwrap().is_empty());
        let fresh = Memory::new();
        let done = tablecast::write(&fresh, &draft).await.unwrap();
        assert_eq!(planned.changes, done.changes);
        assert_eq!(planned.tables, done.tables);
        assert_eq!(planned.commits, done.commits);
        let next = tablecast::write(&rehearsal, &draft).await.unwrap();
        assert!(next.changes.is_empty(), "the next cut is planned against the catalog as advanced");
    }
}

#[tokio::test]
async fn a_flush_makes_everything_before_it_durable() {
    let warehouse = Hindered::new(OPEN);
    let (pipeline, work) = Pipeline::new(warehouse.clone(), options());
    let work = tokio::spawn(work);
    for n in 0..100 {
        pipeline.send(call(n)).await.unwrap();
    }
    let report = pipeline.flush().await.unwrap();
    assert_eq!(report.tables["identifies"].loaded, 100);
    assert_eq!(warehouse.ids("identifies").await.len(), 100);
    assert!(pipeline.flush().await.unwrap().commits.is_empty(), "a report tells of what came since the last");

    let clone = pipeline.clone();
    drop(pipeline);
    clone.send(call(100)).await.unwrap();
    drop(clone);
    let last = work.await.unwrap().unwrap();
    assert_eq!(last.tables["identifies"].loaded, 1, "the last commit comes before the end");
    assert_eq!(warehouse.ids("users").await.len(), 101);
}

#[tokio::test(start_paused = true)]
async fn cuts_come_by_events_and_by_time() {
    let warehouse = Hindered::new(OPEN);
    let rules = Rules { cut: Cut { events: 10, ..Cut::default() }, ..Rules::default() };
    let (pipeline, work) =
        Pipeline::new(warehouse.clone(), Options { rules, cut_after: Duration::from_secs(5), ..Options::default() });
    tokio::spawn(work);
    for n in 0..25 {
        pipeline.send(call(n)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((warehouse.commits(), warehouse.ids("users").await.len()), (2, 20));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((warehouse.commits(), warehouse.ids("users").await.len()), (3, 25));
}

#[tokio::test]
async fn memory_is_bounded_by_bytes_until_rows_are_durable() {
    let warehouse = Hindered::new(0);
    let memory = 128 << 10;
    let (pipeline, work) = Pipeline::new(warehouse.clone(), Options { memory, ..options() });
    tokio::spawn(work);
    let taken = Arc::new(AtomicUsize::new(0));
    let sender = tokio::spawn({
        let (pipeline, taken) = (pipeline.clone(), Arc::clone(&taken));
        async move {
            for n in 0..1_500 {
                pipeline.send(call(n)).await.unwrap();
                taken.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let room = taken.load(Ordering::SeqCst);
    let cost = |calls: usize| (0..calls).map(|n| call(n).len() + 128).sum::<usize>();
    assert!(
        cost(room) <= memory && cost(room + 1) > memory,
        "the gate is shut: what fits was taken, and no more: {room}"
    );
    warehouse.gate.add_permits(1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = taken.load(Ordering::SeqCst);
    assert!(after > room && after <= 2 * room, "one commit made room for its own rows: {after}");
    warehouse.gate.add_permits(OPEN);
    sender.await.unwrap();
    pipeline.flush().await.unwrap();
    assert_eq!(warehouse.ids("users").await.len(), 1_500);
    assert!(warehouse.commits() < 40, "cuts stay large under pressure: {}", warehouse.commits());
}

#[tokio::test]
async fn a_failed_commit_loses_nothing_and_is_told() {
    let warehouse = Hindered::new(OPEN);
    *warehouse.errors.lock().unwrap() = vec![ErrorKind::Exhausted; 2];
    let (pipeline, work) = Pipeline::new(warehouse.clone(), Options { memory: 128 << 10, ..options() });
    tokio::spawn(work);
    pipeline.send(call(0)).await.unwrap();
    let error = pipeline.flush().await.unwrap_err();
    assert_eq!((error.kind(), error.remedy()), (ErrorKind::Exhausted, "wait"));

    // Memory fills; then send answers why, and does not take the call.
    let mut taken = 1;
    let error = loop {
        match pipeline.send(call(taken)).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 10_000);
    };
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(pipeline.flush().await.is_err());
    let report = pipeline.flush().await.unwrap();
    assert_eq!(report.tables["users"].loaded, taken as u64);
    pipeline.send(call(taken)).await.unwrap();
    pipeline.flush().await.unwrap();
    assert_eq!(warehouse.ids("users").await.len(), taken + 1);
}

#[tokio::test]
async fn the_last_commit_s_error_is_the_work_s() {
    let warehouse = Hindered::new(OPEN);
    *warehouse.errors.lock().unwrap() = vec![ErrorKind::Permission];
    let (pipeline, work) = Pipeline::new(warehouse, options());
    pipeline.send(call(0)).await.unwrap();
    drop(pipeline);
    assert_eq!(work.await.unwrap_err().kind(), ErrorKind::Permission);
}

#[tokio::test]
async fn without_its_work_a_pipeline_says_so() {
    let (pipeline, work) = Pipeline::new(Hindered::new(OPEN), options());
    drop(work);
    assert!(pipeline.send(call(0)).await.unwrap_err().remedy().contains("spawn"));
    assert!(pipeline.flush().await.unwrap_err().remedy().contains("spawn"));
}

#[tokio::test]
async fn a_call_that_is_too_long_is_a_discard() {
    let warehouse = Hindered::new(OPEN);
    let (pipeline, work) = Pipeline::new(warehouse.clone(), Options { memory: 128 << 10, ..options() });
    tokio::spawn(work);
    pipeline.send(call(0)).await.unwrap();
    pipeline.send(vec![b'x'; 1 << 20]).await.unwrap();
    let report = pipeline.flush().await.unwrap();
    assert_eq!(report.discards(), 1);
    let discards = warehouse.model.rows("_discards").await.unwrap();
    assert_eq!(discards[0]["bytes"], "1048576");
    assert_eq!(warehouse.ids("users").await.len(), 1);
}

/// Kept so that a stream and a file of the same calls end alike.
#[tokio::test]
async fn calls_without_ids_are_all_different_in_a_stream() {
    let warehouse = Hindered::new(OPEN);
    let (pipeline, work) = Pipeline::new(warehouse.clone(), options());
    tokio::spawn(work);
    for _ in 0..3 {
        pipeline.send(&br#"{"type":"identify","userId":"u1","traits":{"a":1}}"#[..]).await.unwrap();
    }
    pipeline.flush().await.unwrap();
    let ids = warehouse.ids("identifies").await;
    assert!(ids.len() == 3 && ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");

    let mut draft = Draft::new(&Rules::default(), warehouse.dialect());
    let mut origin = Origin::file("a.ndjson", 0);
    draft.push_line_from(&mut origin, br#"{"type":"identify","userId":"u1","traits":{"a":1}}"#);
    tablecast::write(&*warehouse, &draft).await.unwrap();
    assert_eq!(warehouse.ids("identifies").await.len(), 4);
}

#[cfg(feature = "arrow")]
#[tokio::test]
async fn rows_of_arrow_batches_are_calls() {
    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
    use arrow_schema::{DataType, Field};

    let count = 3_000;
    let names = |prefix: &str, of: i64| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..count).map(|n| format!("{prefix}{:06}", n % of))))
    };
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter((0..count).map(|n| (n % 2 == 0).then_some(n))));
    let traits: ArrayRef =
        Arc::new(StructArray::from(vec![(Arc::new(Field::new("n", DataType::Int64, true)), numbers)]));
    let kinds: ArrayRef = Arc::new(StringArray::from_iter_values((0..count).map(|_| "identify")));
    let columns = [("type", kinds), ("messageId", names("m", count)), ("userId", names("u", 50)), ("traits", traits)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();

    let warehouse = Hindered::new(OPEN);
    let mut draft = Draft::new(&Rules::default(), warehouse.dialect());
    tablecast::input::push_batch(&mut draft, &mut Origin::stream("arrow", 1), &batch).unwrap();
    assert_eq!(draft.events(), 3_000);
    tablecast::write(&*warehouse, &draft).await.unwrap();

    let (pipeline, work) = Pipeline::new(warehouse.clone(), options());
    tokio::spawn(work);
    pipeline.send_batch(&batch).await.unwrap();
    let report = pipeline.flush().await.unwrap();
    assert_eq!((report.tables["identifies"].loaded, report.tables["identifies"].duplicates), (0, 3_000));
    let rows = warehouse.model.rows("identifies").await.unwrap();
    assert_eq!(
        (rows.len(), rows.iter().filter(|row| row.contains_key("n")).count()),
        (3_000, 1_500),
        "a null is an absent trait"
    );
}
