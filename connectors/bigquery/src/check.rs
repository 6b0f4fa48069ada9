//! Looking at everything that a load needs. What it makes to see whether it may, it drops again.

use crate::BigQuery;
use crate::error::Fault;
use crate::schema;
use crate::sql::ONE;
use crate::types::DIALECT;
use tablecast_core::{Error, Finding, Ident, Result};

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
        findings.push(rights(&warehouse).await);
        findings.extend(tables(&warehouse).await);
    }
    findings
}

fn bad(what: &str, fault: Fault) -> Finding {
    Finding::bad(what, &Error::from(fault))
}

/// Makes a table that goes away by itself, and drops it.
async fn rights(warehouse: &BigQuery) -> Finding {
    let table = crate::stage::Names::new(crate::now()).table(0, 0);
    let schema = crate::stage::schema(&[]);
    let lives = std::time::Duration::from_secs(3_600);
    let made = match warehouse.client.create_passing(&warehouse.dataset, &table, &schema, lives).await {
        Ok(()) => warehouse.client.drop_table(&warehouse.dataset, &table).await,
        Err(fault) => Err(fault),
    };
    match made {
        Ok(()) => Finding::good("rights", "tables can be made and dropped"),
        Err(fault) => bad("rights", fault),
    }
}

async fn tables(warehouse: &BigQuery) -> Vec<Finding> {
    let names: Vec<Ident> = match warehouse.tables().await {
        Ok(names) => names.into_iter().map(Ident::new).collect(),
        Err(error) => return vec![Finding::bad("tables", &error)],
    };
    let catalog = match schema::describe(warehouse, &names).await {
        Ok(catalog) => catalog,
        Err(error) => return vec![Finding::bad("tables", &error)],
    };
    let there = format!("{} tables, schema version {}", catalog.tables.len(), catalog.version);
    let mut findings = vec![Finding::good("tables", there)];
    match schema::lock(warehouse).await {
        Ok(Some(schema::Lock { changing: Some(_), .. })) => findings.push(Finding {
            what: "changes".into(),
            ok: true,
            detail: "a change of a type is under way or was broken off".into(),
            remedy: Some("nothing: the next load finishes it".into()),
        }),
        Ok(_) => {}
        Err(error) => findings.push(Finding::bad("changes", &error)),
    }
    let full = catalog.tables.iter().filter(|(_, table)| table.columns.len() * 5 >= DIALECT.max_columns * 4);
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
