#![doc = include_str!("../README.md")]

mod check;
mod client;
mod commit;
mod config;
#[cfg(feature = "data-api")]
mod data;
mod error;
#[cfg(feature = "testing")]
mod probe;
mod schema;
mod sql;
mod stage;
mod types;
mod wire;

pub use config::{Keys, Options};
pub use types::DIALECT;

use async_trait::async_trait;
use client::{Client, Session};
use config::Address;
use stage::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tablecast_core::sql::Sql;
use tablecast_core::{
    BoxFuture, Catalog, Change, Commit, Connector, Dialect, Finding, Ident, Receipt, Result, Uri, Warehouse,
};

/// Opens `redshift:` and `redshift-data:` URIs.
pub const CONNECTOR: Connector = Connector {
    name: "redshift",
    schemes: &config::SCHEMES,
    example: "redshift://user@host:5439/db?password=env:NAME&stage=s3://bucket/prefix&iam_role=default",
    dialect: &DIALECT,
    open: |uri, schema| -> BoxFuture<'_, Result<Arc<dyn Warehouse>>> {
        Box::pin(async move { Ok(Arc::new(Redshift::open(uri, schema).await?) as Arc<dyn Warehouse>) })
    },
    check: |uri, schema| -> BoxFuture<'_, Vec<Finding>> { Box::pin(check::check(uri, schema)) },
};

/// How often a handle looks for what killed processes left, in µs.
const SWEEP: i64 = 3_600_000_000;

/// One schema of a Redshift database, over the wire or through the Data API.
///
/// Every call connects anew and leaves nothing open: a future that is dropped closes its connection.
#[derive(Debug)]
pub struct Redshift {
    client: Client,
    store: Store,
    schema: Ident,
    keys: Keys,
    /// When it was last looked for leftovers, µs since 1970.
    swept: AtomicI64,
}

impl Redshift {
    /// Reads a URI and what its options name. Nothing is contacted, nothing is made.
    ///
    /// # Errors
    ///
    /// `Config` if something in the URI is wrong or missing, with what to write instead.
    pub async fn open(uri: &Uri, schema: &Ident) -> Result<Redshift> {
        let options: Options = uri.options()?;
        let address = config::address(uri)?;
        let place = options.check(&address)?;
        config::schema(schema)?;
        let client = match &address {
            Address::Wire { .. } => Client::Wire(Box::new(wire::Server::new(&address, &options)?)),
            #[cfg(feature = "data-api")]
            Address::Data { .. } => Client::Data(Arc::new(data::Service::new(&address, &options).await?)),
            #[cfg(not(feature = "data-api"))]
            Address::Data { target, .. } => {
                return Err(tablecast_core::Error::new(
                    tablecast_core::ErrorKind::Config,
                    "this program was built without the Data API",
                )
                .with("address", format!("{target:?}"))
                .fix("build it with the feature `redshift-data-api`, or connect by redshift:"));
            }
        };
        let store = Store::new(place, &options)?;
        Ok(Redshift { client, store, schema: schema.clone(), keys: options.keys, swept: AtomicI64::new(0) })
    }

    fn sql(&self) -> Sql<'_> {
        sql::sql(&self.schema)
    }

    /// Takes away what killed processes left, now and then. Whether it works does not matter to anybody.
    async fn sweep(&self, session: &mut Session) {
        let now = client::now();
        if now - self.swept.load(Ordering::Relaxed) >= SWEEP {
            self.swept.store(now, Ordering::Relaxed);
            let _ = stage::sweep(self, session).await;
        }
    }
}

#[async_trait]
impl Warehouse for Redshift {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        schema::describe(&mut self.client.session().await?, &self.schema, tables).await
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        if changes.is_empty() { Ok(()) } else { schema::apply(self, changes).await }
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        commit::commit(self, commit).await
    }
}
