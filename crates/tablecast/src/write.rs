//! One shot: everything a draft wants, into a warehouse.

use crate::report::Report;
use std::collections::BTreeMap;
use tablecast_core::{CommitId, Draft, Error, ErrorKind, Receipt, Result, Warehouse};

/// How often a stale catalog is described anew before it is an error.
const ATTEMPTS: usize = 5;

/// Describes, plans, applies and commits, until the whole draft is durable.
///
/// A catalog that turned out to be stale is described and planned anew. The draft is not changed:
/// call it again after an error, nothing is loaded twice. Dropping the future is safe too.
pub async fn write(warehouse: &dyn Warehouse, draft: &Draft) -> Result<Report> {
    let mut report = Report::default();
    write_into(warehouse, draft, &mut report).await?;
    Ok(report)
}

/// As [`write()`], and adds to a report what was done, also where it ends in an error.
///
/// After an error the report has the changes that were made and the commits that were new. The write that goes through
/// has all its commits, those that were there already as replayed.
pub async fn write_into(warehouse: &dyn Warehouse, draft: &Draft, report: &mut Report) -> Result<()> {
    let mut own = Report::default();
    let mut earlier: BTreeMap<CommitId, Receipt> = BTreeMap::new();
    let mut attempt = 1;
    let outcome = loop {
        let mut receipts = Vec::new();
        match try_once(warehouse, draft, &mut own, &mut receipts).await {
            Err(error) if error.kind() == ErrorKind::SchemaMismatch && attempt < ATTEMPTS => {
                earlier.extend(receipts.into_iter().map(|receipt| (receipt.id, receipt)));
                attempt += 1;
            }
            outcome => {
                sum_up(&mut own, &receipts, earlier, outcome.is_ok());
                break outcome;
            }
        }
    };
    report.extend(own);
    outcome
}

async fn try_once(
    warehouse: &dyn Warehouse,
    draft: &Draft,
    report: &mut Report,
    receipts: &mut Vec<Receipt>,
) -> Result<()> {
    let tables = draft.tables();
    let live = warehouse.describe(&tables).await?;
    let mut plan = draft.plan(&live);
    if !plan.changes.is_empty() {
        plan.commits.clear(); // the second plan has them; their batches need not be in memory twice
        warehouse.apply(&plan.changes).await?;
        report.changes.append(&mut plan.changes);
        let live = warehouse.describe(&tables).await?;
        plan = draft.plan(&live);
        if let Some(change) = plan.changes.first() {
            return Err(Error::new(
                ErrorKind::SchemaMismatch,
                "the tables are not what the changes should have made them",
            )
            .with("missing", change));
        }
    }
    report.notice(plan.notices);
    // Whatever an earlier attempt had planned is in this plan again.
    report.reasons.clear();
    for commit in &plan.commits {
        for load in &commit.loads {
            let columns = load.columns.iter().map(|column| column.name.clone());
            report.columns.entry(load.table.clone()).or_default().extend(columns);
        }
        receipts.push(warehouse.commit(commit).await?);
        for (reason, count) in commit.reasons() {
            *report.reasons.entry(reason).or_default() += count;
        }
    }
    Ok(())
}

/// Counts the last attempt. If it went through, rows that an earlier attempt had loaded in commits of another
/// cut came back as duplicates; this write loaded them all the same.
fn sum_up(report: &mut Report, receipts: &[Receipt], mut earlier: BTreeMap<CommitId, Receipt>, through: bool) {
    // A write that fails again and again would count what is durable each time.
    for receipt in receipts.iter().filter(|receipt| through || !receipt.replayed) {
        match earlier.remove(&receipt.id) {
            Some(first) => report.receipt(&first),
            None => report.receipt(receipt),
        }
    }
    if !through {
        earlier.values().filter(|receipt| !receipt.replayed).for_each(|receipt| report.receipt(receipt));
        return;
    }
    for (table, counts) in earlier.values().flat_map(|receipt| &receipt.tables) {
        if let Some(sum) = report.tables.get_mut(table) {
            let ours = counts.loaded.min(sum.duplicates);
            sum.duplicates -= ours;
            sum.loaded += ours;
        }
    }
}
