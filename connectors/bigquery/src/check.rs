//! Looking at everything that a load needs. What it makes to see whether it may, it drops again.

use crate::BigQuery;
use crate::error::Fault;
use crate::schema;
use crate::sql::{ONE, Writer};
use crate::stage;
use crate::types::DIALECT;
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::time::Duration;
use tablecast_core::ident::STANDARD_TABLES;
use tablecast_core::sql::StageColumn;
use tablecast_core::{Error, ErrorKind, Finding, Ident, Result, Type};

/// What a load would trip over, and what is as it should be.
pub(crate) async fn check(opened: Result<BigQuery>) -> Vec<Finding> {
    let warehouse = match opened {
        Ok(warehouse) => warehouse,
        Err(error) => return vec![Finding::bad("configuration", &error)],
    };
    let (client, dataset) = (&warehouse.client, &warehouse.dataset);
    let found = match client.dataset(dataset).await {
        Ok(found) => found,
        Err(fault) => return vec![bad("connect", fault)],
    };
    let mut findings = vec![Finding::good("connect", format!("project {} answers", client.project()))];
    let is_there = found.is_some();
    let location = match warehouse.agree(found) {
        Ok(location) => location,
        Err(error) => {
            findings.push(Finding::bad("location", &error));
            return findings;
        }
    };
    findings.push(match is_there {
        true => Finding::good("location", format!("dataset {dataset} is in {location}")),
        // Whether it may, only making it would tell.
        false => Finding::good(
            "location",
            format!(
                "dataset {dataset} will be made in {location} by the first load, for which the account needs \
                 roles/bigquery.dataEditor on the project"
            ),
        ),
    });
    findings.push(match client.query(&location, ONE).await {
        Ok(_) => Finding::good("jobs", "queries can be run"),
        Err(fault) => bad("jobs", fault),
    });
    if is_there {
        findings.push(rights(&warehouse, &location).await);
        match client.expires(dataset).await {
            Ok(false) => {}
            Ok(true) => findings.push(Finding {
                what: "expiration".into(),
                ok: false,
                detail: "the dataset drops its tables or their partitions after some time".into(),
                remedy: Some(format!(
                    "bq update --default_table_expiration 0 --default_partition_expiration 0 {}:{dataset}, and the same \
                     for tables that are there",
                    client.project()
                )),
            }),
            Err(fault) => findings.push(bad("expiration", fault)),
        }
        findings.extend(tables(&warehouse).await);
    }
    findings
}

fn bad(what: &str, fault: Fault) -> Finding {
    Finding::bad(what, &Error::from(fault))
}

/// Makes a table that goes away by itself, changes it as a commit would, and drops it.
async fn rights(warehouse: &BigQuery, location: &str) -> Finding {
    let (client, dataset) = (&warehouse.client, &warehouse.dataset);
    let table = stage::Names::new(crate::now()).table(0, 0);
    let schema = stage::schema(&[StageColumn { name: "k".into(), ty: Type::Text, source: 0 }]);
    if let Err(fault) = client.create_passing(dataset, &table, &schema, Duration::from_secs(3_600)).await {
        return bad("rights", fault);
    }
    let changed = client.run(location, &Writer::new(dataset).rehearse(&table)).await;
    let dropped = client.drop_table(dataset, &table).await;
    match changed.and(dropped) {
        Ok(()) => Finding::good("rights", "tables can be made, changed and dropped"),
        Err(fault) => bad("rights", fault),
    }
}

async fn tables(warehouse: &BigQuery) -> Vec<Finding> {
    let names: Vec<Ident> = match warehouse.tables().await {
        Ok(names) => names.into_iter().map(Ident::new).collect(),
        Err(error) => return vec![Finding::bad("tables", &error)],
    };
    let one = |name: Ident| async move {
        let found = schema::live(warehouse, std::slice::from_ref(&name)).await;
        (name, found)
    };
    let all: Vec<_> = stream::iter(names).map(one).buffer_unordered(schema::AT_ONCE).collect().await;
    let (mut live, mut others) = (BTreeMap::new(), 0_usize);
    for (name, found) in all {
        let is_ours = name.as_str().starts_with('_') || STANDARD_TABLES.contains(&name.as_str());
        match found {
            Ok(found) => live.extend(found),
            // Somebody else's table, which no event is called like.
            Err(error) if error.kind() == ErrorKind::SchemaBroken && !is_ours => others += 1,
            Err(error) => return vec![Finding::bad("tables", &error)],
        }
    }
    let lock = match schema::lock(warehouse).await {
        Ok(lock) => lock.unwrap_or_default(),
        Err(error) => return vec![Finding::bad("tables", &error)],
    };
    let others = if others > 0 { format!(", {others} of others") } else { String::new() };
    let mut findings =
        vec![Finding::good("tables", format!("{} tables, schema version {}{others}", live.len(), lock.version))];
    if lock.changing.is_some() {
        findings.push(Finding {
            what: "changes".into(),
            ok: true,
            detail: "a change of a type is under way or was broken off".into(),
            remedy: Some("nothing: the next load finishes it".into()),
        });
    }
    let full = live.iter().filter(|(_, table)| table.columns.len() * 5 >= DIALECT.max_columns * 4);
    let full: Vec<String> =
        full.map(|(name, table)| format!("{name}: {} of {}", table.columns.len(), DIALECT.max_columns)).collect();
    if !full.is_empty() {
        findings.push(Finding {
            what: "columns".into(),
            ok: true,
            detail: full.join(", "),
            remedy: Some("switch columns off before the limit is reached: values beyond it go to _discards".into()),
        });
    }
    findings
}
