//! The behaviour suite and the laws on BigQuery's emulator, and what only BigQuery can get wrong.

mod support;

#[path = "bigquery/faults.rs"]
mod faults;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "bigquery/warehouse.rs"]
mod warehouse;
#[path = "bigquery/wrong.rs"]
mod wrong;

use async_trait::async_trait;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tablecast_bigquery::{BigQuery, Options};
use tablecast_core::{Ident, Result, Uri};
use tablecast_testkit::{Gap, Harness, Opened};

/// The address of an emulator: of the second, if there is one, for every other test that runs at the same time.
fn address() -> Uri {
    Uri::parse(&uri()).expect("a warehouse URI")
}

fn uri() -> String {
    let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").ok().and_then(|slot| slot.parse::<u32>().ok());
    let second = slot.filter(|slot| slot % 2 == 1).and_then(|_| std::env::var("TABLECAST_BIGQUERY_2").ok());
    second.or_else(|| std::env::var("TABLECAST_BIGQUERY").ok()).unwrap_or_else(|| {
        panic!("TABLECAST_BIGQUERY is not set; run: cargo xtask emulators up bigquery, or: cargo xtask test --engine bigquery")
    })
}

/// An error of the API in the form that most of its answers have.
fn refused(status: u16, reason: &str, message: &str) -> proxy::How {
    let errors = serde_json::json!([{"reason": reason, "message": message}]);
    let error = serde_json::json!({"error": {"code": status, "message": message, "errors": errors}});
    proxy::answer(status, error.to_string().leak())
}

async fn open(schema: &Ident, options: Options) -> Result<BigQuery> {
    BigQuery::open(address().body().trim_matches('/'), schema, options).await
}

struct Emulator;

#[async_trait]
impl Harness for Emulator {
    async fn open(&self, schema: &Ident) -> Result<Opened> {
        let warehouse = Arc::new(open(schema, address().options()?).await?);
        Ok(Opened { warehouse: warehouse.clone(), probe: warehouse })
    }

    fn gaps(&self) -> &[Gap] {
        &[]
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + Send + '_>>) {
        runtime().block_on(future);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

tablecast_testkit::suite_tests!(Emulator);
tablecast_testkit::law_tests!(Emulator);

#[test]
fn the_data_files_have_the_same_cells_as_in_sqlite() {
    runtime().block_on(support::same_cells_as_sqlite(&Emulator)).expect("the same cells");
}

#[test]
fn the_service_keeps_it_as_it_keeps_sqlite() {
    runtime().block_on(support::same_cells_by_the_service(&Emulator, &uri())).expect("the same cells");
}
