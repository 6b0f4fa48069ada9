#![doc = include_str!("../README.md")]

mod change;
mod check;
mod client;
mod commit;
mod config;
mod error;
#[cfg(feature = "testing")]
mod probe;
mod schema;
mod sql;
mod stage;
mod types;
mod window;

pub use config::{Encryption, Names, Options, Protocol};
pub use types::DIALECT;

use async_trait::async_trait;
use client::{Client, Session};
use sql::Writer;
use stage::Own;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tablecast_core::{
    BoxFuture, Catalog, Change, Commit, Connector, Dialect, Finding, Ident, Receipt, Result, Uri, Warehouse,
};

/// Opens `snowflake://USER@ACCOUNT/DATABASE`.
pub const CONNECTOR: Connector = Connector {
    name: "snowflake",
    schemes: &["snowflake"],
    example: "snowflake://user@account/db?warehouse=WH&role=R&private_key=file:key.p8",
    dialect: &DIALECT,
    open: |uri, schema| -> BoxFuture<'_, Result<Arc<dyn Warehouse>>> {
        Box::pin(async move { Ok(Arc::new(from_uri(uri, schema)?) as Arc<dyn Warehouse>) })
    },
    check: |uri, schema| -> BoxFuture<'_, Vec<Finding>> { Box::pin(check::check(from_uri(uri, schema))) },
};

fn from_uri(uri: &Uri, schema: &Ident) -> Result<Snowflake> {
    Snowflake::new(uri.body(), schema, uri.options()?)
}

/// How often a handle looks for what killed processes left, in µs.
const SWEEP: i64 = 3_600_000_000;

/// One schema of a database of a Snowflake account.
///
/// It needs a tokio runtime with time and I/O. Every call signs in anew and closes its sessions. Those of a call whose
/// future is dropped are ended by the next call of the same handle, and otherwise by Snowflake.
#[derive(Debug)]
pub struct Snowflake {
    client: Arc<Client>,
    schema: Ident,
    store: Option<Arc<Own>>,
    /// When it was last looked for leftovers, µs since 1970.
    swept: AtomicI64,
}

impl Snowflake {
    /// Reads an address, `USER@ACCOUNT/DATABASE`, and what the options name. Nobody is asked and nothing is made.
    ///
    /// # Errors
    ///
    /// `Config` if something is wrong or missing, with what to write instead.
    pub async fn open(address: &str, schema: &Ident, options: Options) -> Result<Snowflake> {
        Snowflake::new(address, schema, options)
    }

    fn new(address: &str, schema: &Ident, options: Options) -> Result<Snowflake> {
        config::schema(schema)?;
        let store = match options.place()? {
            Some(place) => Some(Arc::new(Own { store: stage::own_store(&place, &options)?, place })),
            None => None,
        };
        let client = Arc::new(Client::new(config::address(address)?, options)?);
        Ok(Snowflake { client, schema: schema.clone(), store, swept: AtomicI64::new(0) })
    }

    /// The same for another schema.
    fn with_schema(&self, schema: Ident) -> Snowflake {
        let store = self.store.clone();
        Snowflake { client: Arc::clone(&self.client), schema, store, swept: AtomicI64::new(0) }
    }

    fn options(&self) -> &Options {
        &self.client.options
    }

    fn writer(&self) -> Writer<'_> {
        Writer::new(self.schema.as_str(), self.options().names, self.store.is_some())
    }

    async fn session(&self) -> Result<Session> {
        Session::open(&self.client).await
    }

    /// Takes away what killed processes left, now and then. Whether it works does not matter to anybody.
    async fn sweep_now_and_then(&self, session: &mut Session) {
        let now = client::now();
        if now - self.swept.load(Ordering::Relaxed) >= SWEEP {
            self.swept.store(now, Ordering::Relaxed);
            let _ = self.sweep(session).await;
        }
    }

    /// Says which schema an error is about.
    fn placed<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.with("schema", format!("{}.{}", self.client.database(), self.schema)))
    }
}

#[async_trait]
impl Warehouse for Snowflake {
    fn dialect(&self) -> &'static Dialect {
        types::dialect(self.options().names)
    }

    async fn describe(&self, tables: &[Ident]) -> Result<Catalog> {
        let mut session = self.session().await?;
        let described = schema::describe(self, &mut session, tables).await;
        session.close().await;
        self.placed(described)
    }

    async fn apply(&self, changes: &[Change]) -> Result<()> {
        let mut session = self.session().await?;
        let applied = schema::apply(self, &mut session, changes).await;
        session.close().await;
        self.placed(applied)
    }

    async fn commit(&self, commit: &Commit) -> Result<Receipt> {
        self.placed(commit::commit(self, commit).await)
    }
}
