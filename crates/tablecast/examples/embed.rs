//! A program that has calls of its own and wants them as tables: the three doors, one after the other.
//!
//! ```text
//! cargo run -p tablecast --example embed --features sqlite
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;
use tablecast::{
    Catalog, Draft, Limits, Options, Pipeline, Report, Result, Retry, RetryPolicy, Rules, Timeout, Trace, Warehouse,
};

/// What this program has: its customers, and what it knows of them.
struct Customer {
    id: u32,
    revenue: f64,
    vip: bool,
}

/// One call for a customer, as the planner reads it. The id makes it once only, however often it is sent.
fn identify(customer: &Customer) -> Vec<u8> {
    let Customer { id, revenue, vip } = customer;
    format!(r#"{{"type":"identify","messageId":"sync-7-{id}","userId":"c{id}","traits":{{"revenue":{revenue:?},"vip":{vip}}}}}"#).into_bytes()
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("tablecast-embed-{}", std::process::id()));
    let uri = format!("sqlite:{}", folder.display());
    let customers: Vec<Customer> =
        (0..1_000).map(|id| Customer { id, revenue: f64::from(id) * 1.5, vip: id % 10 == 0 }).collect();
    let (few, many) = customers.split_at(100);

    plan_only(few)?;

    // Each attempt is timed, failed ones are tried again, and every call leaves a trace.
    let rules = Rules { space: "embed".into(), ..Rules::default() };
    let warehouse = tablecast::open(&uri, &rules).await?;
    let warehouse = Timeout::new(warehouse, Limits::default());
    let warehouse = Retry::new(Arc::new(warehouse), RetryPolicy::default());
    let warehouse: Arc<dyn Warehouse> = Arc::new(Trace::new(Arc::new(warehouse)));

    one_shot(&*warehouse, &rules, few).await?;
    stream(warehouse, rules, many).await?;

    std::fs::remove_dir_all(&folder).ok();
    Ok(())
}

/// L0: what would have to be done in an empty warehouse, as a value; somebody else does the I/O.
fn plan_only(customers: &[Customer]) -> Result<()> {
    let mut draft = Draft::new(&Rules::default(), tablecast::dialect("sqlite")?);
    for customer in customers {
        draft.push_line(&identify(customer));
    }
    let plan = draft.plan(&Catalog::default());
    println!("L0 plans {} changes, the first is: {}", plan.changes.len(), plan.changes[0]);
    for load in plan.commits.iter().flat_map(|commit| &commit.loads) {
        println!(
            "   {} rows for {}, in an Arrow batch of {} columns",
            load.rows(),
            load.table,
            load.batch.num_columns()
        );
    }
    Ok(())
}

/// L1: a set of calls that is there already.
async fn one_shot(warehouse: &dyn Warehouse, rules: &Rules, customers: &[Customer]) -> Result<()> {
    let mut draft = Draft::new(rules, warehouse.dialect());
    for customer in customers {
        draft.push_line(&identify(customer));
    }
    let report = tablecast::write(warehouse, &draft).await?;
    assert_eq!(report.tables["users"].loaded, 100);
    tell("L1", &report);

    let again = tablecast::write(warehouse, &draft).await?;
    assert_eq!(
        again.tables["identifies"].received,
        again.tables["identifies"].loaded + again.tables["identifies"].duplicates
    );
    println!("   once more: replayed {}", again.commits.iter().all(|commit| commit.replayed));
    Ok(())
}

/// L2: calls that keep coming, in bounded memory.
async fn stream(warehouse: Arc<dyn Warehouse>, rules: Rules, customers: &[Customer]) -> Result<()> {
    let options = Options { rules, source: "embed".into(), cut_after: Duration::from_secs(1), ..Options::default() };
    let (pipeline, work) = Pipeline::new(warehouse, options);
    let work = tokio::spawn(work);
    for customer in customers {
        pipeline.send(identify(customer)).await?; // waits while memory is full
    }
    let report = pipeline.flush().await?; // everything sent before is durable now
    assert_eq!(report.tables["users"].loaded, 900);
    tell("L2", &report);

    drop(pipeline); // ends the work after the last commit
    work.await.expect("the work does not panic")?;
    Ok(())
}

fn tell(door: &str, report: &Report) {
    println!("{door}, changes: {}, commits: {}", report.changes.len(), report.commits.len());
    for (table, counts) in &report.tables {
        println!("   {table}: {} loaded of {}", counts.loaded, counts.received);
    }
}
