//! The service in a process of its own, for tests that kill it, fill its disk or let its warehouses fail.
//!
//! It is this test program, started again with the variable [`CONFIG`]; it prints `listening ADDRESS`. With [`FAIL_EVERY`]
//! one call in so many to any warehouse fails, by turns before and after it did its work.

use async_trait::async_trait;
use std::error::Error as StdError;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tablecast::core::BoxFuture;
use tablecast::{Catalog, Change, Commit, Dialect, Error, ErrorKind, Ident, Receipt, Result, RetryPolicy, Warehouse};
use tablecast_server::sync::{Open, Settings};
use tablecast_server::{Config, Service};

/// Names the configuration.
pub(crate) const CONFIG: &str = "TABLECAST_SERVING_CONFIG";
/// One call to a warehouse in so many fails.
pub(crate) const FAIL_EVERY: &str = "TABLECAST_FAIL_EVERY";

#[test]
#[ignore = "a process of its own, which the other tests start"]
fn process() {
    let path = std::env::var(CONFIG).expect("the configuration is named");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(serve(Path::new(&path))).expect("it serves");
}

async fn serve(path: &Path) -> std::result::Result<(), Box<dyn StdError>> {
    let retry = RetryPolicy { first: Duration::from_millis(10), ..RetryPolicy::default() };
    let settings = Settings { retry, open: failing(), ..Settings::default() };
    let service = Service::start(Config::load(path)?, Some(path.to_owned()), settings).await?;
    writeln!(std::io::stdout(), "\nlistening {}", service.address())?;
    service.run().await?;
    Ok(())
}

/// Opens warehouses of which one call in so many fails.
fn failing() -> Open {
    let every: u64 = std::env::var(FAIL_EVERY).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let calls = Arc::new(AtomicU64::new(0));
    Arc::new(move |uri, schema: Ident| {
        let calls = calls.clone();
        let opening: BoxFuture<'static, Result<Arc<dyn Warehouse>>> = Box::pin(async move {
            let inner = tablecast::open_with(tablecast::connectors(), &uri, &schema).await?;
            let failing: Arc<dyn Warehouse> = Arc::new(Failing { inner, calls, every });
            Ok(failing)
        });
        opening
    })
}

#[derive(Debug)]
struct Failing {
    inner: Arc<dyn Warehouse>,
    calls: Arc<AtomicU64>,
    every: u64,
}

impl Failing {
    async fn pass<T>(&self, call: BoxFuture<'_, Result<T>>) -> Result<T> {
        let nth = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.every == 0 || !nth.is_multiple_of(self.every) {
            return call.await;
        }
        // Its turn: the answer is lost, or the call is not even begun.
        if (nth / self.every).is_multiple_of(2) {
            call.await?;
        }
        Err(Error::new(ErrorKind::Unavailable, "the warehouse stopped answering").temporary())
    }
}

#[async_trait]
impl Warehouse for Failing {
    fn dialect(&self) -> &'static Dialect {
        self.inner.dialect()
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        self.pass(self.inner.describe(tables)).await
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        self.pass(self.inner.apply(changes)).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        self.pass(self.inner.commit(commit)).await
    }
}
