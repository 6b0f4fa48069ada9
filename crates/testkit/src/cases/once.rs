//! Every event once, whatever is repeated, lost, or done by two at a time.

use super::at;
use crate::faults::{Call as Method, Fault, Faults, How};
use crate::generate::Call;
use crate::harness::{Checked, Failed};
use crate::load::{Writer, counts, load};
use crate::room::{Room, same};
use futures_util::future::join;
use std::sync::Arc;
use tablecast_core::{Counts, Draft, ErrorKind, Receipt, Result, Warehouse};

fn lines() -> Vec<String> {
    vec![
        at("m1", 1, r#"{"plan": "free", "n": 1}"#),
        Call::track("m2", "u1", "Order Completed").at(2).properties(r#"{"total": 5}"#).line(),
        at("m3", 3, r#"{"plan": "pro"}"#),
    ]
}

const AFTER: [(&str, &str); 4] = [
    ("identifies", "id | plan | n\n m1 | free | 1\n m3 | pro |"),
    ("users", "id | plan | n\n u1 | pro | 1"),
    ("order_completed", "id | total\n m2 | 5"),
    ("tracks", "id | event\n m2 | order_completed"),
];

async fn expect_after(room: &Room<'_>) -> Checked {
    for (table, rows) in AFTER {
        room.expect(table, rows).await?;
    }
    Ok(())
}

/// An id that comes twice in one cut is one row, and counted as a duplicate.
pub async fn the_same_id_in_one_cut(room: &Room<'_>) -> Checked {
    let receipts = room.load(&[lines(), lines()].concat()).await?;
    expect_after(room).await?;
    let identifies = Counts { received: 4, loaded: 2, duplicates: 2, ..Counts::default() };
    same(&counts(&receipts, "identifies"), &identifies, "counts of identifies")?;
    let orders = Counts { received: 2, loaded: 1, duplicates: 1, ..Counts::default() };
    same(&counts(&receipts, "order_completed"), &orders, "counts of order_completed")
}

/// An id that was loaded before is not loaded again; what is new beside it is.
pub async fn the_same_id_in_two_commits(room: &Room<'_>) -> Checked {
    room.load(&lines()[..2]).await?;
    let receipts = room.load(&lines()).await?;
    expect_after(room).await?;
    let identifies = Counts { received: 2, loaded: 1, duplicates: 1, ..Counts::default() };
    same(&counts(&receipts, "identifies"), &identifies, "counts of identifies")?;
    let orders = Counts { received: 1, duplicates: 1, ..Counts::default() };
    same(&counts(&receipts, "order_completed"), &orders, "counts of order_completed")
}

/// The same call delivered two days later, received anew, is still one row: the first.
pub async fn the_same_id_two_days_apart(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"plan": "free"}"#)]).await?;
    let again =
        Call::identify("m1", "u1").at(1).set("receivedAt", "\"2026-01-03T00:00:00Z\"").traits(r#"{"plan": "free"}"#);
    room.load(&[again.line(), at("m2", 172_800, r#"{"n": 1}"#)]).await?;
    room.expect("identifies", "id | plan | n | received_at\n m1 | free | | 2026-01-01T00:00:02.000000Z\n m2 | | 1 | 2026-01-03T00:00:01.000000Z").await
}

/// The same events again are the same commit: it is not loaded, its receipt comes back.
pub async fn the_same_commit_again(room: &Room<'_>) -> Checked {
    room.load(&lines()).await?;
    let before = room.rows("_commits").await?.len();
    let (first, second) = (room.draft(&lines()), room.draft(&lines()));
    let opened = room.second().await?;
    let replays = [load(&*room.opened().warehouse, &first).await?, load(&*opened.warehouse, &second).await?];
    for receipts in &replays {
        for receipt in receipts {
            same(&receipt.replayed, &true, "replayed")?;
        }
        same(
            &counts(receipts, "identifies"),
            &Counts { received: 2, loaded: 2, ..Counts::default() },
            "counts as stored",
        )?;
    }
    same(&room.rows("_commits").await?.len(), &before, "rows of the ledger")?;
    expect_after(room).await
}

/// Each commit twice by hand, and each change: nothing happens the second time.
pub async fn a_commit_is_repeated_whole(room: &Room<'_>) -> Checked {
    let warehouse = &room.opened().warehouse;
    let draft = room.draft(&lines());
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await?);
    warehouse.apply(&plan.changes).await?;
    warehouse.apply(&plan.changes).await?;
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await?);
    same(&plan.changes, &Vec::new(), "changes once they are applied")?;
    for commit in &plan.commits {
        let first = warehouse.commit(commit).await?;
        same(&first.replayed, &false, "replayed at first")?;
        let again = warehouse.commit(commit).await?;
        same(&again, &Receipt { replayed: true, ..first }, "the receipt of a replay")?;
    }
    expect_after(room).await
}

/// Two who read the tables at the same moment, then write one after the other.
pub async fn two_writers_with_plans_of_the_same_moment(room: &Room<'_>) -> Checked {
    let other = room.second().await?;
    let drafts = [room.draft(&[lines()[0].clone(), at("m4", 4, r#"{"vip": true}"#)]), room.draft(&lines())];
    let mut writers = [Writer::new(&*room.opened().warehouse, &drafts[0]), Writer::new(&*other.warehouse, &drafts[1])];
    let mut done = [false, false];
    while done != [true, true] {
        for (writer, done) in writers.iter_mut().zip(&mut done) {
            if !*done {
                *done = writer.step().await?;
            }
        }
    }
    room.expect("identifies", "id | plan | n | vip\n m1 | free | 1 |\n m3 | pro | |\n m4 | | | true").await?;
    room.expect("users", "id | plan | n | vip\n u1 | pro | 1 | true").await
}

/// A commit planned before somebody changed a type is refused whole; planned again it loads.
pub async fn a_stale_plan_is_refused(room: &Room<'_>) -> Checked {
    room.load(&lines()).await?;
    let warehouse = &room.opened().warehouse;
    // one plan has values for the column that changes, the other has not
    let drafts = [room.draft(&[at("m4", 4, r#"{"n": 2}"#)]), room.draft(&[at("m5", 5, r#"{"plan": "max"}"#)])];
    let mut stale = Vec::new();
    for draft in &drafts {
        let plan = draft.plan(&warehouse.describe(&draft.tables()).await?);
        same(&plan.changes, &Vec::new(), "changes")?;
        stale.extend(plan.commits);
    }

    let other = room.second().await?;
    load(&*other.warehouse, &room.draft(&[at("m6", 6, r#"{"n": 0.5}"#)])).await?;
    for commit in &stale {
        match warehouse.commit(commit).await {
            Err(error) if error.kind() == ErrorKind::SchemaMismatch => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(Failed::new("a stale commit was loaded")),
        }
    }
    room.expect("identifies", "id | n\n m1 | 1.0\n m3 |\n m6 | 0.5").await?;
    for draft in &drafts {
        load(&**warehouse, draft).await?;
    }
    room.expect("identifies", "id | n\n m1 | 1.0\n m3 |\n m4 | 2.0\n m5 |\n m6 | 0.5").await?;
    room.expect("users", "id | n | plan\n u1 | 0.5 | max").await
}

/// A null planned while its column was missing still clears what another writer put there in between.
pub async fn a_null_planned_before_its_column_came(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"n": 1}"#)]).await?;
    let warehouse = &room.opened().warehouse;
    let draft = room.draft(&[at("m2", 20, r#"{"plan": null}"#)]);
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await?);
    warehouse.apply(&plan.changes).await?;
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await?);
    same(&plan.changes, &Vec::new(), "changes once they are applied")?;

    let other = room.second().await?;
    load(&*other.warehouse, &room.draft(&[at("m3", 10, r#"{"plan": "old"}"#)])).await?;
    room.expect("users", "id | plan\n u1 | old").await?;
    for commit in &plan.commits {
        match warehouse.commit(commit).await {
            // a warehouse may say that the plan is stale, and is then asked again
            Err(error) if error.kind() == ErrorKind::SchemaMismatch => drop(load(&**warehouse, &draft).await?),
            out => drop(out?),
        }
    }
    room.expect("users", "id | n | plan\n u1 | 1 |").await?;
    room.load(&[at("m4", 15, r#"{"plan": "still old"}"#)]).await?;
    room.expect("users", "id | n | plan\n u1 | 1 |").await
}

/// The same, where the column comes by a plan that was made before the table was there.
pub async fn a_null_planned_before_a_table_planned_earlier_came(room: &Room<'_>) -> Checked {
    let other = room.second().await?;
    let early = room.draft(&[at("m3", 10, r#"{"plan": "old"}"#)]);
    let planned = early.plan(&other.warehouse.describe(&early.tables()).await?);
    room.load(&[at("m1", 1, r#"{"n": 1}"#)]).await?;
    let warehouse = &room.opened().warehouse;
    let draft = room.draft(&[at("m2", 20, r#"{"plan": null}"#)]);
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await?);
    warehouse.apply(&plan.changes).await?;
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await?);

    other.warehouse.apply(&planned.changes).await?;
    load(&*other.warehouse, &early).await?;
    for commit in &plan.commits {
        match warehouse.commit(commit).await {
            Err(error) if error.kind() == ErrorKind::SchemaMismatch => drop(load(&**warehouse, &draft).await?),
            out => drop(out?),
        }
    }
    room.expect("users", "id | n | plan\n u1 | 1 |").await
}

/// A commit of which one table does not add up is not there at all, and does not keep the good one out.
pub async fn counts_that_do_not_add_up_roll_everything_back(room: &Room<'_>) -> Checked {
    room.load(&lines()[..1]).await?;
    let warehouse = &room.opened().warehouse;
    let draft = room.draft(&lines());
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await?);
    warehouse.apply(&plan.changes).await?;
    let plan = draft.plan(&warehouse.describe(&draft.tables()).await?);
    let before = room.dump().await?;
    let ledger = room.rows("_commits").await?.len();
    for commit in &plan.commits {
        let mut wrong = commit.clone();
        if let Some(load) = wrong.loads.last_mut() {
            load.counts.received += 1;
        }
        match warehouse.commit(&wrong).await {
            Err(error) if error.kind() == ErrorKind::CountMismatch => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(Failed::new("a commit was loaded that does not add up")),
        }
    }
    room.dump().await?.must_equal(&before, "something of it is there")?;
    same(&room.rows("_commits").await?.len(), &ledger, "rows of the ledger")?;
    for commit in &plan.commits {
        same(&warehouse.commit(commit).await?.replayed, &false, "replayed")?;
    }
    expect_after(room).await
}

/// Each call in turn is refused, or does its work and loses the answer; trying again is always right.
pub async fn lost_answers_change_nothing(room: &Room<'_>) -> Checked {
    for call in [Method::Describe, Method::Apply, Method::Commit] {
        for nth in [1, 2] {
            for how in [How::Reject, How::LoseAnswer] {
                let other = room.beside().await?;
                let faults = Faults::new(other.opened().warehouse.clone(), [Fault { call, nth, how }]);
                // the second half makes a column wider, so that there is a second `apply` and a second `commit`
                for part in [lines(), vec![at("m4", 2, r#"{"n": 0.5}"#)]] {
                    stubborn(&faults, &other.draft(&part)).await?;
                }
                same(&faults.unused(), &Vec::new(), "faults that never happened")?;
                other.expect("identifies", "id | plan | n\n m1 | free | 1.0\n m3 | pro |\n m4 | | 0.5").await?;
                other.expect("users", "id | plan | n\n u1 | pro | 0.5").await?;
            }
        }
    }
    Ok(())
}

/// Two at the same time, each trying again whatever temporary thing is in the way.
pub async fn two_writers_at_the_same_time(room: &Room<'_>) -> Checked {
    let other = room.second().await?;
    let mine: Vec<String> =
        (0..20).map(|n| at(&format!("m{n}"), n, &format!(r#"{{"n": {n}, "mine": true}}"#))).collect();
    let theirs: Vec<String> =
        (10..30).map(|n| at(&format!("m{n}"), n, &format!(r#"{{"n": {n}, "mine": true}}"#))).collect();
    let (first, second) = (Arc::clone(&room.opened().warehouse), other.warehouse);
    for part in 0..4 {
        let drafts = [room.draft(&mine[part * 5..part * 5 + 5]), room.draft(&theirs[part * 5..part * 5 + 5])];
        let (one, two) = join(stubborn(&*first, &drafts[0]), stubborn(&*second, &drafts[1])).await;
        one?;
        two?;
    }
    let rows: Vec<String> = (0..30).map(|n| format!("m{n} | {n}")).collect();
    room.expect("identifies", &format!("id | n\n{}", rows.join("\n"))).await?;
    room.expect("users", "id | n\n u1 | 29").await
}

/// Loads a draft, again and again while the error is one that may pass.
pub(crate) async fn stubborn(warehouse: &dyn Warehouse, draft: &Draft) -> Result<Vec<Receipt>> {
    let mut tries = 0;
    loop {
        match load(warehouse, draft).await {
            Err(error) if error.is_temporary() && tries < 20 => tries += 1,
            out => return out,
        }
    }
}
