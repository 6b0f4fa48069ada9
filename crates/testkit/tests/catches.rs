//! The suite must find what is wrong: warehouses with one defect each, none of which may pass.

use arrow_array::{Array, Decimal128Array};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tablecast_core::{Catalog, Change, Commit, CommitId, Dialect, Fold, Ident, Receipt, Result, TableKind, Warehouse};
use tablecast_testkit::{Gap, Harness, Model, Opened, suite};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    None,
    /// Commits whatever version of the schema they were planned for.
    NoGuard,
    /// Does not know a commit again.
    NoLedger,
    /// The last to arrive wins.
    ArrivalOrder,
    /// The last column of each load is forgotten.
    ForgetsAColumn,
    /// Columns never become wider.
    NeverWidens,
    /// What was discarded is not kept.
    NoDiscards,
    /// An explicit null is taken for an absent value.
    IgnoresNulls,
    /// Each table in a commit of its own.
    TablesApart,
}

#[derive(Debug)]
struct Broken {
    inner: Arc<dyn Warehouse>,
    defect: Defect,
    calls: AtomicU64,
}

#[async_trait]
impl Warehouse for Broken {
    fn dialect(&self) -> &'static Dialect {
        self.inner.dialect()
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        self.inner.describe(tables).await
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        let kept = changes
            .iter()
            .filter(|change| self.defect != Defect::NeverWidens || !matches!(change, Change::Widen { .. }));
        self.inner.apply(&kept.cloned().collect::<Vec<_>>()).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        let mut commit = commit.clone();
        let call = i128::from(self.calls.fetch_add(1, Ordering::SeqCst));
        match self.defect {
            Defect::None | Defect::NeverWidens => {}
            Defect::NoGuard => commit.schema_version = self.inner.describe(&[]).await?.version,
            Defect::NoLedger => commit.id = CommitId(commit.id.0 ^ u128::try_from(call).unwrap()),
            Defect::NoDiscards => commit.loads.retain(|load| load.table != "_discards"),
            Defect::TablesApart => {
                let loads = std::mem::take(&mut commit.loads);
                let mut receipt = Receipt { id: commit.id, replayed: false, tables: Vec::new() };
                for load in loads {
                    let id = CommitId(commit.id.0 ^ u128::try_from(receipt.tables.len()).unwrap());
                    let part = self.inner.commit(&Commit { id, loads: vec![load], ..commit.clone() }).await?;
                    receipt.tables.extend(part.tables);
                }
                return Ok(receipt);
            }
            Defect::ForgetsAColumn => {
                for load in commit.loads.iter_mut().filter(|load| load.columns.len() > 1) {
                    load.columns.pop();
                }
            }
            Defect::ArrivalOrder | Defect::IgnoresNulls => {
                for load in commit.loads.iter_mut().filter(|load| load.kind == TableKind::Merge) {
                    for column in load.columns.iter().filter(|column| column.fold == Fold::Latest) {
                        let (Some(versions), values) = (column.versions, column.values) else { continue };
                        let old = load.batch.column(versions).clone();
                        let is_null = |row| values.is_none_or(|values| load.batch.column(values).is_null(row));
                        let old = old.as_any().downcast_ref::<Decimal128Array>().unwrap();
                        let new = old.iter().enumerate().map(|(row, version)| match self.defect {
                            Defect::ArrivalOrder => version.map(|_| call + 1),
                            _ => version.filter(|_| !is_null(row)),
                        });
                        let new = new.collect::<Decimal128Array>().with_data_type(old.data_type().clone());
                        let mut columns = load.batch.columns().to_vec();
                        columns[versions] = Arc::new(new);
                        load.batch = arrow_array::RecordBatch::try_new(load.batch.schema(), columns).unwrap();
                    }
                }
            }
        }
        self.inner.commit(&commit).await
    }
}

struct BrokenHarness {
    model: Model,
    defect: Defect,
    gaps: Vec<Gap>,
}

impl BrokenHarness {
    fn new(defect: Defect) -> Self {
        BrokenHarness { model: Model::new(), defect, gaps: Vec::new() }
    }
}

#[async_trait]
impl Harness for BrokenHarness {
    async fn open(&self, schema: &Ident) -> Result<Opened> {
        let Opened { warehouse: inner, probe } = self.model.open(schema).await?;
        Ok(Opened { warehouse: Arc::new(Broken { inner, defect: self.defect, calls: AtomicU64::new(0) }), probe })
    }

    fn gaps(&self) -> &[Gap] {
        &self.gaps
    }
}

fn faults(harness: &BrokenHarness) -> Vec<&'static str> {
    suite::run(harness, "")
        .into_iter()
        .filter(|outcome| outcome.fault().is_some())
        .map(|outcome| outcome.case.name)
        .collect()
}

#[test]
fn a_sound_warehouse_passes() {
    assert_eq!(faults(&BrokenHarness::new(Defect::None)), Vec::<&str>::new());
}

#[test]
fn each_defect_is_found() {
    for (defect, case) in [
        (Defect::NoGuard, "a_stale_plan_is_refused"),
        (Defect::NoLedger, "the_same_commit_again"),
        (Defect::ArrivalOrder, "a_late_older_value_does_not_overwrite"),
        (Defect::ForgetsAColumn, "identifies_and_users"),
        (Defect::NeverWidens, "numbers_widen_and_stay_exact"),
        (Defect::NoDiscards, "a_word_in_a_number_column_is_kept_aside"),
        (Defect::IgnoresNulls, "absent_is_not_null"),
        (Defect::TablesApart, "counts_that_do_not_add_up_roll_everything_back"),
    ] {
        let found = faults(&BrokenHarness::new(defect));
        assert!(found.contains(&case), "{defect:?} is not found by {case}, only by {found:?}");
    }
}

#[test]
fn a_gap_must_fail_to_be_one() {
    let mut harness = BrokenHarness::new(Defect::NoDiscards);
    let gaps = faults(&harness);
    harness.gaps = gaps.iter().map(|case| Gap { case, reason: "it keeps no discards" }).collect();
    assert_eq!(faults(&harness), Vec::<&str>::new());
    harness.defect = Defect::None;
    assert_eq!(faults(&harness), gaps, "gaps that have closed");
}
